"""Leave-block-out predictions against the dense conditional distribution without the block."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, condition
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.inference import _leave_out as module
from sparsegmrf.scores import gap_copies, hold_out, leave_block_out, leave_one_out
from tests import reference
from tests.inference import dense
from tests.inference.test_condition import FIVE, MEMBRANE, problem

SHAPE = (5, 6)
LABELS = np.array(
    [
        [1, 1, 0, 0, 2, 2],
        [1, 1, 0, 0, 0, 2],
        [0, 0, 0, 3, 0, 0],
        [4, 0, 0, 0, 0, 0],
        [4, 4, 4, 0, 0, -1],
    ]
)
FIELDS = {"proper": GMRF.from_precision(FIVE, mean=0.5), "level": IntrinsicGMRF(MEMBRANE, mean=0.5)}


def dense_covariance(name):
    if name == "proper":
        return np.linalg.inv(FIVE.tocsr().toarray())
    flat = 1e8 * np.ones((30, 30)) / 30  # the limit of a flat level
    return reference.pseudo_inverse(MEMBRANE.tocsr().toarray(), 1) + flat


def expected_without(name, y, rest, noise):
    mean, C = dense.conditional(np.full(30, 0.5), dense_covariance(name), y.ravel(), rest.ravel(), noise.ravel())
    variance = np.where(rest.ravel(), np.nan, np.diagonal(C)) + noise.ravel()
    return mean.reshape(SHAPE), np.sqrt(variance).reshape(SHAPE)


@pytest.mark.parametrize("way", ["solves", "removal"])
@pytest.mark.parametrize("kind", ["noisy", "exact", "mixed", "complete", "complete exact"])
@pytest.mark.parametrize("name", FIELDS)
def test_a_block_is_predicted_from_everything_outside_it(name, kind, way, monkeypatch):
    monkeypatch.setattr(module, "_SOLVED", 100 if way == "solves" else 0)
    monkeypatch.setattr(module, "_DIGITS", 0.0)  # no way out of the solves
    monkeypatch.setattr(module, "_BATCH", 3)  # batches end within blocks
    y, missing, noise = problem(SHAPE, 11, kind.split()[-1])
    if "complete" in kind:
        missing[...] = False
    found = leave_block_out(FIELDS[name], y, LABELS, mask=missing, noise_variance=noise)
    for k in range(1, 5):
        block = (k == LABELS) & ~missing
        mean, std = expected_without(name, y, ~missing & ~block, noise)
        assert_allclose(found.mean[block], mean[block], rtol=1e-6, atol=1e-7)
        assert_allclose(found.std[block], std[block], rtol=1e-6)
    held = (LABELS > 0) & ~missing
    for image in (found.mean, found.std, found.observed):
        assert np.array_equal(np.isfinite(image), held)
    assert np.array_equal(found.observed[held], y[held])


@pytest.mark.parametrize("kind", ["noisy", "exact", "mixed"])
@pytest.mark.parametrize("name", FIELDS)
def test_all_blocks_together_are_predicted_from_what_no_block_holds(name, kind):
    y, missing, noise = problem(SHAPE, 12, kind)
    held = (LABELS > 0) & ~missing
    found = hold_out(FIELDS[name], y, LABELS > 0, mask=missing, noise_variance=noise)
    mean, std = expected_without(name, y, ~missing & ~held, noise)
    assert_allclose(found.mean[held], mean[held], rtol=1e-6, atol=1e-7)
    assert_allclose(found.std[held], std[held], rtol=1e-6)
    assert np.array_equal(np.isfinite(found.mean), held)


def test_blocks_of_one_pixel_are_leave_one_out():
    y, missing, noise = problem(SHAPE, 13, "noisy")
    found = leave_block_out(FIELDS["proper"], y, np.arange(1, 31).reshape(SHAPE), mask=missing, noise_variance=noise)
    one = leave_one_out(FIELDS["proper"], y, mask=missing, noise_variance=noise)
    assert_allclose(found.mean, one.mean, rtol=1e-10)
    assert_allclose(found.std, one.std, rtol=1e-10)


def test_small_and_large_blocks_of_a_larger_lattice_agree_between_the_ways(monkeypatch):
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.05, -1.0, -1.0], (40, 30))
    field = GMRF.from_precision(stencil)
    y = field.sample(rng=0) + 0.3 * np.random.default_rng(1).standard_normal((40, 30))
    observed = np.ones((40, 30), dtype=bool)
    observed[3:13, 4:15] = False
    blocks = gap_copies(observed, 2, share=0.3)
    assert np.bincount(blocks.labels.ravel())[1:].max() <= module._SOLVED
    by_solves = leave_block_out(field, y, blocks, mask=~observed, noise_variance=0.09)
    monkeypatch.setattr(module, "_SOLVED", 0)
    by_removal = leave_block_out(field, y, blocks, mask=~observed, noise_variance=0.09)
    assert_allclose(by_solves.mean, by_removal.mean, rtol=1e-9, atol=1e-10)
    assert_allclose(by_solves.std, by_removal.std, rtol=1e-9)
    for turn in (np.flipud, np.fliplr, np.transpose):
        turned = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.05, -1.0, -1.0], turn(y).shape))
        found = leave_block_out(turned, turn(y), turn(blocks.labels), mask=turn(~observed), noise_variance=0.09)
        assert_allclose(found.mean, turn(by_solves.mean), rtol=1e-9, atol=1e-10)
        assert_allclose(found.std, turn(by_solves.std), rtol=1e-9)


def test_a_block_whose_difference_would_lose_its_digits_is_removed_instead():
    # The noise is 1e-12 of the field's variance: 1 - w var(x) keeps four digits of sixteen.
    y = np.random.default_rng(3).standard_normal(SHAPE)
    found = leave_block_out(FIELDS["proper"], y, LABELS, noise_variance=1e-12)
    for k in range(1, 5):
        block = k == LABELS
        mean, std = expected_without("proper", y, ~block, np.full(SHAPE, 1e-12))
        assert_allclose(found.mean[block], mean[block], rtol=1e-7)
        assert_allclose(found.std[block], std[block], rtol=1e-7)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (np.zeros(SHAPE, dtype=int), r"^blocks must hold out an observed pixel, got none"),
        (np.ones(SHAPE, dtype=int), r"^blocks must leave an observed pixel to predict from"),
        (np.ones(SHAPE), r"^blocks must be a label image of integers of shape \(5, 6\), got dtype float64"),
        (np.ones((2, 2), dtype=int), r"^blocks must be a label image .* shape \(2, 2\)"),
    ],
)
def test_bad_blocks_are_named(blocks, message):
    with pytest.raises(ArgumentError, match=message):
        leave_block_out(FIELDS["proper"], np.zeros(SHAPE), blocks, noise_variance=1.0)


def test_bad_input_is_named():
    with pytest.raises(ArgumentError, match=r"^held_out must be boolean"):
        hold_out(FIELDS["proper"], np.zeros(SHAPE), LABELS, noise_variance=1.0)
    with pytest.raises(ArgumentError, match=r"^gmrf must be a GMRF, got str"):
        leave_block_out("field", np.zeros(SHAPE), LABELS, noise_variance=1.0)  # type: ignore[arg-type]
    parted = IntrinsicGMRF(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (2, 3), boundary="neumann"))
    with pytest.raises(ArgumentError, match=r"^mask must leave enough observed pixels to fix the 2 null vectors"):
        leave_block_out(parted, np.zeros((2, 3)), [[1, 1, 1], [0, 0, 0]], noise_variance=1.0)


@pytest.mark.parametrize("way", ["solves", "removal", "together"])
@pytest.mark.parametrize("name", FIELDS)
def test_pixels_known_by_an_earlier_condition_stay_known_without_their_block(name, way, monkeypatch):
    monkeypatch.setattr(module, "_SOLVED", 100 if way == "solves" else 0)
    first, missing, _ = problem(SHAPE, 5, "noisy")
    known = np.zeros(SHAPE, bool)
    known[0, 0] = known[1, 5] = known[3, 1] = True  # in two of the blocks, and in none
    field = condition(FIELDS[name], first, mask=~known, noise_variance=0.0)
    y, missing, noise = problem(SHAPE, 6, "mixed")
    missing[known] = False
    noise[known] = 0.3
    labels = np.where(LABELS == 2, 1, LABELS * (LABELS <= 2)) if way == "together" else LABELS
    found = (
        hold_out(field, y, labels > 0, mask=missing, noise_variance=noise)
        if way == "together"
        else leave_block_out(field, y, labels, mask=missing, noise_variance=noise)
    )
    total, variances = np.where(known, first, y), np.where(known, 0.0, noise)
    for k in range(1, int(labels.max()) + 1):
        block = (k == labels) & ~missing
        rest = ~missing & (~block | known)
        mean, std = expected_without(name, total, rest, variances)
        free = block & ~known
        assert_allclose(found.mean[free], mean[free], rtol=1e-6, atol=1e-7)
        assert_allclose(found.std[free], std[free], rtol=1e-6)
    told = known & (labels > 0)
    assert np.array_equal(found.mean[told], field.mean[told])
    assert_allclose(found.std[told], np.sqrt(0.3), rtol=1e-12)
    held = (labels > 0) & ~missing
    assert np.array_equal(found.observed[held], y[held])
    for image in (found.mean, found.std, found.observed):
        assert np.array_equal(np.isfinite(image), held)


def test_exact_measurements_of_known_pixels_are_not_predicted():
    y = np.arange(30.0).reshape(SHAPE)
    known = LABELS == 1
    field = condition(FIELDS["proper"], y, mask=~known, noise_variance=0.0)
    for found in (
        leave_block_out(field, y, LABELS, noise_variance=0.0),
        hold_out(field, y, LABELS > 0, noise_variance=0.0),
    ):
        assert np.array_equal(np.isfinite(found.mean), (LABELS > 0) & ~known)
    single = leave_one_out(field, y, noise_variance=0.0)
    assert np.array_equal(np.isfinite(single.mean), ~known)
    everything = leave_one_out(FIELDS["proper"], y, noise_variance=0.0)
    assert_allclose(single.mean[~known], everything.mean[~known], rtol=1e-12)
    assert_allclose(single.std[~known], everything.std[~known], rtol=1e-12)
    with pytest.raises(ArgumentError, match=r"^blocks must hold out an observed pixel, got none that is not known"):
        leave_block_out(field, y, known, noise_variance=0.0)
    with pytest.raises(ArgumentError, match=r"^y must agree with what is known exactly"):
        leave_one_out(field, y + 1.0, noise_variance=0.0)
    with pytest.raises(ArgumentError, match=r"^y must agree with what is known exactly"):
        leave_block_out(field, y + 1.0, LABELS, noise_variance=0.0)


def test_noisy_measurements_of_known_pixels_are_told_by_the_field_alone():
    y = np.arange(30.0).reshape(SHAPE)
    field = condition(FIELDS["proper"], y, mask=LABELS != 1, noise_variance=0.0)
    for found in (
        leave_block_out(field, y + 1.0, LABELS == 1, noise_variance=0.25),
        hold_out(field, y + 1.0, LABELS == 1, noise_variance=0.25),
        leave_one_out(field, y + 1.0, noise_variance=0.25),
    ):
        assert_allclose(found.mean[LABELS == 1], y[LABELS == 1], rtol=1e-12)
        assert_allclose(found.std[LABELS == 1], 0.5, rtol=1e-12)
