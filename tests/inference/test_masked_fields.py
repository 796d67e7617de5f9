"""Intrinsic fields with pixels that have no value, and parts that do not touch: what every door says of them."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import condition, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import diagnose
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._parameters import unknowns_of
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.models import CAR, Channels, Independent, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.pixels import matched_filter
from sparsegmrf.scores import gap_copies, leave_block_out, leave_one_out
from tests.inference.law import Law, drawn
from tests.inference.problems import read
from tests.models.catalogue import BARRIER, PARTS, SHAPE

RNG = np.random.default_rng(3)
GAPS = (RNG.random(SHAPE) < 0.2) & ~np.eye(*SHAPE, dtype=bool)
GAPS[5, 0] = False
NOISE = RNG.uniform(0.1, 0.5, SHAPE)
FIELDS = {
    "order 1": Intrinsic(1, 2.0, mask=PARTS),
    "order 2": Intrinsic(2, 0.5, mask=PARTS),
    "spline": TensionSpline(0.3, 2.0, barrier=PARTS),
    "spline with a barrier": TensionSpline(0.3, barrier=BARRIER),
}
ALL = {
    **FIELDS,
    "sum": Sum([Intrinsic(mask=PARTS), CAR(0.2)]),
    "no value by one": Sum([Independent(), FIELDS["spline"]]),
}


def problem_of(name, noise=0.3, seed=0):
    law = Law(ALL[name], SHAPE)
    y = drawn(law.model, SHAPE, None, noise, seed)
    return law, y, np.where(GAPS | ~law.domain, np.nan, y)


@pytest.mark.parametrize("name", ALL)
def test_values_where_the_field_has_none_are_refused(name):
    law, y, given = problem_of(name)
    outside = np.argwhere(~law.domain)
    words = (
        f"image must be missing where the model has no value (its mask or barrier), got {len(outside)} values there, "
    )
    with pytest.raises(
        ArgumentError, match=re.escape(words + f"the first at {tuple(outside[0].tolist())}; set them to")
    ):
        fit(law.model, y)
    given[tuple(outside[-1])] = 1.0
    with pytest.raises(
        ArgumentError, match="got 1 values there, the first at " + re.escape(str(tuple(outside[-1].tolist())))
    ):
        fill(given, model=law.model)
    with pytest.raises(ArgumentError, match=r"^image 1 must be missing where the model has no value"):
        fit(law.model, np.stack([np.where(law.domain, y, np.nan), given]))


@pytest.mark.parametrize("name", ["order 1", "order 2", "spline", "sum"])
def test_part_without_an_observation_is_named(name):
    _, _, given = problem_of(name)
    given[5, 0] = np.nan
    words = r"on each of its 3 connected parts, got 0 on the part of 1 pixels with pixel \(5, 0\): nothing says where"
    with pytest.raises(ArgumentError, match=words):
        fit(ALL[name], given)
    given[:2] = np.nan
    with pytest.raises(
        ArgumentError, match=r"got 0 on the part of 14 pixels with pixel \(0, 0\), and so one more part"
    ):
        fit(ALL[name], given)


def test_pixels_behind_a_barrier_of_a_proper_field_may_be_observed_and_are_predicted():
    y = drawn(Matern(barrier=BARRIER), SHAPE, None, 0.1)
    found = fit(Matern(barrier=BARRIER), y, noise_variance=0.1, fixed="range")
    assert found.n_observed == y.size
    assert np.isfinite(found.predict().mean).all()


@pytest.mark.parametrize("noise", [0.3, NOISE, 0.0])
@pytest.mark.parametrize("name", FIELDS)
def test_pixels_left_out_are_predicted_densely_and_not_where_nothing_is_left(name, noise):
    law, _, given = problem_of(name, np.mean(noise))
    found = leave_one_out(law.field, given, mask="nan", noise_variance=noise)
    for pixel in map(tuple, np.argwhere(np.isfinite(given))):
        rest = np.isfinite(given)
        rest[pixel] = False
        left = law.free[rest.ravel()]
        if np.linalg.matrix_rank(left, tol=1e-9) < law.free.shape[1]:
            assert np.isnan([found.mean[pixel], found.std[pixel], found.observed[pixel]]).all()
            continue
        mean, covariance = law.prediction(np.nan_to_num(given), rest, noise, None)
        at = np.ravel_multi_index(pixel, SHAPE)
        variance = covariance[at, at] + np.broadcast_to(noise, SHAPE)[pixel]
        assert found.mean[pixel] == pytest.approx(mean[at], rel=1e-8, abs=1e-8)
        assert found.std[pixel] == pytest.approx(np.sqrt(variance), rel=1e-8)
    assert np.isnan(found.mean[5, 0]) == (law.free.shape[1] > 1)
    assert np.isfinite(found.mean).sum() > 20
    assert np.isfinite(found.scores()["crps"])


@pytest.mark.parametrize("noise", [0.3, 0.0])
@pytest.mark.parametrize("name", FIELDS)
def test_blocks_left_out_are_predicted_densely_and_refused_where_they_take_a_part(name, noise):
    law, _, given = problem_of(name, noise)
    observed = np.isfinite(given)
    blocks = np.zeros(SHAPE, dtype=int)
    blocks[0, 2:5] = blocks[3, 4:6] = 1
    found = leave_block_out(law.field, given, blocks, mask="nan", noise_variance=noise)
    held = observed & (blocks > 0)
    mean, covariance = law.prediction(np.nan_to_num(given), observed & ~held, noise, None)
    assert_allclose(found.mean[held], mean[held.ravel()], rtol=1e-8, atol=1e-8)
    assert_allclose(found.std[held], np.sqrt(np.diagonal(covariance)[held.ravel()] + noise), rtol=1e-8)
    blocks[5, 0] = 1
    if law.free.shape[1] > 1:
        with pytest.raises(ArgumentError, match=r"^mask must leave enough observed pixels to fix the \d null vectors"):
            leave_block_out(law.field, given, blocks, mask="nan", noise_variance=noise)


@pytest.mark.parametrize("name", ALL)
def test_functionals_have_the_dense_covariance_and_are_nan_outside(name):
    law, _, given = problem_of(name)
    fixed = list(law.model.parameters)
    found = fit(law.model, given, noise_variance=0.3, covariates="linear", fixed=fixed)
    weights = np.random.default_rng(1).standard_normal((3, *SHAPE)) * law.domain
    mean, covariance = law.prediction(np.nan_to_num(given), np.isfinite(given), 0.3, "linear")
    result, W = found.functional(weights), weights.reshape(3, -1)
    assert_allclose(result.estimate, W @ np.nan_to_num(mean), rtol=0.0, atol=1e-8)
    assert_allclose(result.covariance, W @ np.nan_to_num(covariance) @ W.T, rtol=1e-8, atol=1e-10)
    assert np.isnan(found.functional(np.ones(SHAPE)).estimate)


@pytest.mark.parametrize("name", ALL)
def test_posterior_has_the_draws_of_the_dense_law_and_no_variance_outside_its_domain(name):
    law, _, given = problem_of(name)
    found = fit(law.model, given, noise_variance=0.3, covariates=None, fixed=list(law.model.parameters))
    posterior, predicted = found.posterior(), found.predict()
    outside = ~posterior.lattice.domain
    assert not posterior.marginal_variance()[outside].any()
    draws = posterior.sample(2000, rng=0)
    assert not (draws - posterior.mean)[:, outside].any()
    total = law.model.observe(draws) if hasattr(law.model, "observe") else draws
    z = (total.mean(axis=0) - predicted.mean) / (predicted.std / np.sqrt(2000))
    assert np.nanmax(np.abs(z)) < 6.5
    assert_allclose((total.std(axis=0) / predicted.std)[law.domain], 1.0, atol=0.12)


@pytest.mark.parametrize("name", FIELDS)
def test_field_conditioned_by_itself_is_that_of_the_fit(name):
    law, _, given = problem_of(name)
    found = fit(law.model, given, noise_variance=0.3, covariates=None, fixed=list(law.model.parameters)).predict()
    posterior = condition(law.field, given, mask="nan", noise_variance=0.3)
    assert_allclose(posterior.mean[law.domain], found.mean[law.domain], rtol=0.0, atol=1e-9)
    assert_allclose(posterior.marginal_variance()[law.domain], found.variance[law.domain], rtol=1e-9)
    assert_array_equal(posterior.lattice.domain, law.domain)


@pytest.mark.parametrize("name", ["order 1", "spline with a barrier", "sum"])
def test_images_of_a_stack_add_up(name):
    law, _, given = problem_of(name)
    other = problem_of(name, seed=5)[2]
    options = {"noise_variance": 0.3, "covariates": None, "fixed": list(law.model.parameters)}
    together = fit(law.model, np.stack([given, other + 7.0]), **options)
    alone = [fit(law.model, each, **options) for each in (given, other)]
    assert together.loglik == pytest.approx(sum(each.loglik for each in alone), rel=1e-10)
    assert_allclose(
        together.predict().mean, np.stack([alone[0].predict().mean, alone[1].predict().mean + 7.0]), atol=1e-8
    )


def coast(shape, seed=0):
    """Land in the upper left corner and as a wall with a lake, and an image of the sea with gaps."""
    rng = np.random.default_rng(seed)
    land = np.zeros(shape, dtype=bool)
    land[: shape[0] // 3, : shape[1] // 3] = True
    land[:, shape[1] // 2 : shape[1] // 2 + 3] = True
    land[-9:-2, -9:-2] = True
    land[-6:-4, -6:-4] = False
    sea = Intrinsic(1, 4.0, mask=land).gmrf(shape).sample(rng=rng) + 0.3 * rng.standard_normal(shape)
    sea[rng.random(shape) < 0.1] = np.nan
    sea[-6:-4, -6:-4] = 3.0, 3.2
    return land, np.where(land, np.nan, sea)


def test_blocks_held_out_in_cross_validation_leave_something_on_every_part():
    land, sea = coast((40, 42))
    found = fit(Intrinsic(mask=land), sea, method="cv", covariates=None, rng=0)
    assert found.cross_validation.blocks > 5
    assert found.cv_score > 0.0
    assert found.parameters["tau"] == pytest.approx(4.0, rel=0.6)


def test_large_image_starts_from_a_tile_of_its_sea():
    land, sea = coast((270, 260))
    found = fit(Intrinsic(mask=land), sea, covariates=None)
    assert found.converged
    assert found.parameters["tau"] == pytest.approx(4.0, abs=5.0 * found.standard_errors["tau"])
    assert found.parameters["noise_variance"] == pytest.approx(0.09, abs=5.0 * found.standard_errors["noise_variance"])
    assert found.evaluations < 12


def test_right_model_is_diagnosed_white_on_its_domain():
    land, sea = coast((60, 62))
    found = diagnose(fit(Intrinsic(mask=land), sea, covariates=None), n_samples=32)
    assert found.residual < 1e-10
    assert found.innovations.count == np.count_nonzero(~land) - 3
    assert found.innovations.p_value > 1e-4
    assert abs(found.variance_ratio_z) < 5.0


def test_level_of_each_part_is_taken_off_before_the_precision_is_applied():
    model = FIELDS["spline"]
    precision = PriorPrecision.of(model.stencil(SHAPE), unknowns_of(model, SHAPE))
    x = np.where(PARTS, 0.0, np.round(np.random.default_rng(0).standard_normal(SHAPE) * 2.0**20) / 2.0**20)
    steps = np.where(PARTS, 0.0, np.where(np.arange(6)[:, np.newaxis] < 2, 2.0**32, -(2.0**30)))
    assert_allclose(precision.times(x + steps), model.stencil(SHAPE) @ x, rtol=0.0, atol=1e-9)
    assert np.abs(model.stencil(SHAPE) @ (x + steps) - model.stencil(SHAPE) @ x).max() > 1e-7
    assert_allclose(precision.without_level(x + steps)[:2].sum(), 0.0, atol=1e-2)
    assert precision.of_ones == (0.0,)


def test_search_does_not_compare_fields_of_other_parts():
    model = TensionSpline(0.3, anisotropy=(2.0, 0.4), barrier=BARRIER)
    y = drawn(model, SHAPE, None, 0.3)
    objective = read(model, np.where(BARRIER, np.nan, y), "nan", 0.3, None).objective
    # Along rows, but for rounding: pixels are tied to others of their row only.
    torn = model.replace(stretch=5.546808195219858, shear=-1.6228554939544888)
    assert [each.gmrf(SHAPE).rank_deficiency for each in (model, torn)] == [1, 6]
    assert np.isfinite(Memo(objective)(objective.start(model, None)).value)
    with pytest.raises(ArgumentError, match=r"^parameters must leave the field its 1 null vectors.* got 6\.$"):
        Memo(objective)(objective.start(torn, None))


def test_several_channels_with_a_mask_are_refused_by_name():
    model = Channels(Intrinsic(mask=BARRIER), np.eye(2))
    with pytest.raises(
        ArgumentError, match=r"^model must have a value at every pixel with Channels, .* 6 pixels outside"
    ):
        fit(model, np.where(BARRIER[..., np.newaxis], np.nan, 1.0) * np.ones((*SHAPE, 2)))


def test_matched_filter_with_missing_pixels_wants_a_field_without_known_ones():
    _, _, given = problem_of("order 1")
    with pytest.raises(ArgumentError, match=r"^gmrf must be a field without known pixels or constraints"):
        matched_filter(given, np.ones((1, 1)), FIELDS["order 1"].gmrf(SHAPE), mask=np.isnan(given))


def test_gaps_copied_for_holding_out_may_lie_anywhere():
    """A mask is no gap: with it for one, the copies would be of land."""
    land, sea = coast((40, 42))
    copies = gap_copies(np.isfinite(sea) | land, 0)
    assert copies.distances()[0].max() < 3.0
    assert gap_copies(np.isfinite(sea), 0).distances()[0].max() > 6.0
