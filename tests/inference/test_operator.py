"""Observations through point-spread functions and block averages against dense matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, TriangularStencil, condition
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import BlockAverage, IntrinsicGMRF, PointSpread, covariance_between, variance_of
from tests import reference, strategies
from tests.conftest import require
from tests.inference import dense

FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (4, 6))
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 6), boundary="neumann")
KERNEL = np.random.default_rng(0).uniform(0.1, 1.0, (3, 5))
BLUR = np.full((3, 3), 1.0 / 9.0)


@st.composite
def operators(draw):
    """An operator, the shape of an image, and the matrix written out."""
    seed = draw(st.integers(0, 2**16))
    if draw(st.booleans()):
        block = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        count = draw(st.tuples(st.integers(1, 3), st.integers(1, 2)))
        shape = (block[0] * count[0], block[1] * count[1])
        return BlockAverage(*block), shape, dense.block_average(block, shape), seed
    shape = draw(strategies.shapes(5))
    sides = draw(st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 5])))
    border = draw(st.sampled_from(["drop", "renormalize"]))
    rng = np.random.default_rng(seed)
    kernel = rng.uniform(0.1, 1.0, sides) if border == "renormalize" else rng.standard_normal(sides)
    return PointSpread(kernel, border), shape, dense.point_spread(kernel, shape, border == "renormalize"), seed


def problem(shape, seed, per_pixel=True):
    """Measurements, missing ones and noise variances."""
    rng = np.random.default_rng(seed)
    missing = rng.random(shape) < 0.3
    missing.flat[rng.integers(missing.size)] = False
    noise = rng.uniform(0.2, 2.0, shape) if per_pixel else np.full(shape, 0.6)
    return rng.standard_normal(shape), missing, noise


@given(operators())
def test_operator_and_its_adjoint_are_those_of_the_dense_matrix(drawn):
    B, shape, matrix, seed = drawn
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 3, *shape)), rng.standard_normal((3, *B.observed_shape(shape)))
    assert_allclose(B.tocsr(shape).toarray(), matrix, rtol=1e-12, atol=1e-14)
    assert_allclose(B.apply(x).reshape(2, 3, -1), x.reshape(2, 3, -1) @ matrix.T, atol=1e-12)
    assert_allclose(B.adjoint(y).reshape(3, -1), y.reshape(3, -1) @ matrix, atol=1e-12)


@given(operators())
def test_information_is_the_weighted_square_of_the_dense_matrix(drawn):
    B, shape, matrix, seed = drawn
    weight = np.random.default_rng(seed).uniform(0.0, 2.0, B.observed_shape(shape))
    expected = matrix.T @ np.diag(weight.ravel()) @ matrix
    assert_allclose(B.information(weight).tocsr().toarray(), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=30)
@given(operators(), st.booleans())
def test_posterior_is_the_dense_conditional_distribution(drawn, per_pixel):
    B, shape, matrix, seed = drawn
    y, missing, noise = problem(B.observed_shape(shape), seed, per_pixel)
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0), (1, 1)], [4.7, -1.0, -1.1, -0.2], shape)
    mean = np.random.default_rng(seed + 1).standard_normal(shape)
    seen = ~missing.ravel()
    expected, covariance = dense.conditional_on(
        mean.ravel(), reference.covariance(Q.tocsr().toarray()), y.ravel()[seen], matrix[seen], noise.ravel()[seen]
    )
    given_noise = noise if per_pixel else 0.6
    posterior = condition(GMRF(Q, mean), y, mask=missing, noise_variance=given_noise, operator=B)
    assert_allclose(posterior.mean.ravel(), expected, rtol=1e-8, atol=1e-10)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(covariance), rtol=1e-8)
    w = np.random.default_rng(seed).standard_normal(shape)
    assert_allclose(variance_of(posterior, w), w.ravel() @ covariance @ w.ravel(), rtol=1e-8)
    last = (shape[0] - 1, shape[1] - 1)
    assert_allclose(covariance_between(posterior, [(0, 0)], [last])[0, 0], covariance[0, -1], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("B", [PointSpread(KERNEL), PointSpread(BLUR, border="renormalize"), BlockAverage(2, 3)])
def test_posterior_of_an_intrinsic_field_has_its_level_from_the_data(B):
    matrix = B.tocsr((4, 6)).toarray()
    y, missing, noise = problem(B.observed_shape((4, 6)), 2)
    seen = ~missing.ravel()
    # With V the constants, the posterior precision is that of the dense sum, whatever the level's prior.
    P = MEMBRANE.tocsr().toarray() + matrix[seen].T @ np.diag(1.0 / noise.ravel()[seen]) @ matrix[seen]
    mean = np.linalg.solve(P, matrix[seen].T @ (y / noise).ravel()[seen])
    posterior = condition(IntrinsicGMRF(MEMBRANE), y, mask=missing, noise_variance=noise, operator=B)
    assert_allclose(posterior.mean.ravel(), mean, rtol=1e-9, atol=1e-9)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(np.linalg.inv(P)), rtol=1e-9)


def test_other_factors_of_the_prior_give_the_same_posterior():
    A = TriangularStencil([(-1, 0), (0, -1)], 1.0, [-0.4, -0.5], (4, 6))
    y, missing, noise = problem((4, 6), 1)
    matrix, seen = dense.point_spread(KERNEL, (4, 6)), ~missing.ravel()
    covariance = np.linalg.inv((A.tocsr().T @ A.tocsr()).toarray())
    expected, _ = dense.conditional_on(np.full(24, 2.0), covariance, y.ravel()[seen], matrix[seen], noise.ravel()[seen])
    posterior = condition(GMRF.from_whitening(A, 2.0), y, mask=missing, noise_variance=noise, operator=KERNEL)
    assert_allclose(posterior.mean.ravel(), expected, rtol=1e-9)


def test_operator_does_not_wrap_around_a_torus():
    require("sksparse.cholmod")
    torus = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (3, 4), boundary="torus")
    y, missing, noise = problem((3, 4), 5)
    matrix, seen = dense.point_spread(KERNEL, (3, 4)), ~missing.ravel()
    covariance = reference.covariance(torus.tocsr().toarray())
    mean, expected = dense.conditional_on(np.zeros(12), covariance, y.ravel()[seen], matrix[seen], noise.ravel()[seen])
    posterior = condition(GMRF.from_precision(torus), y, mask=missing, noise_variance=noise, operator=KERNEL)
    assert_allclose(posterior.mean.ravel(), mean, rtol=1e-9)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(expected), rtol=1e-9)


def test_single_pixel_kernel_is_the_plain_observation():
    y, missing, noise = problem((4, 6), 3)
    plain = condition(GMRF.from_precision(FIVE, mean=0.4), y, mask=missing, noise_variance=noise)
    for operator in ([[1.0]], PointSpread([[1.0]]), BlockAverage(1, 1)):
        seen = condition(GMRF.from_precision(FIVE, mean=0.4), y, mask=missing, noise_variance=noise, operator=operator)
        assert_allclose(seen.mean, plain.mean, rtol=1e-12)
        assert seen.logdet == pytest.approx(plain.logdet, rel=1e-12)


@pytest.mark.parametrize("border", ["drop", "renormalize"])
def test_flipped_and_transposed_images_give_the_flipped_and_transposed_posterior(border):
    y, missing, noise = problem((4, 6), 6)
    plain = condition(
        GMRF.from_precision(FIVE), y, mask=missing, noise_variance=noise, operator=PointSpread(KERNEL, border)
    )
    for turn, stencil in (
        (np.fliplr, FIVE),
        (np.flipud, FIVE),
        (np.transpose, SymmetricStencil([(0, 0), (1, 0), (0, 1)], [4.3, -1.0, -1.1], (6, 4))),
    ):
        operator = PointSpread(turn(KERNEL), border)
        turned = condition(
            GMRF.from_precision(stencil), turn(y), mask=turn(missing), noise_variance=turn(noise), operator=operator
        )
        assert_allclose(turned.mean, turn(plain.mean), atol=1e-12)
        assert_allclose(turned.marginal_variance(), turn(plain.marginal_variance()), atol=1e-12)


def test_draws_have_the_moments_of_the_posterior():
    y, missing, noise = problem((2, 2), 5)
    posterior = condition(GMRF.from_precision(FIVE), y, mask=missing, noise_variance=noise, operator=BlockAverage(2, 3))
    draws = posterior.sample(20_000, rng=3)
    std = np.sqrt(posterior.marginal_variance())
    # 24 means of 20000 draws beyond 6 standard errors: probability below 1e-7; a variance has relative error 0.01.
    assert np.abs((draws.mean(axis=0) - posterior.mean) / std).max() < 6.0 / np.sqrt(20_000)
    assert_allclose(draws.std(axis=0), std, rtol=0.031)


def test_same_seed_gives_the_same_draw_for_any_number_of_threads(threads):
    y, missing, noise = problem((4, 6), 7)
    draws = []
    for count in (1, 3):
        threads(count)
        posterior = condition(GMRF.from_precision(FIVE), y, mask=missing, noise_variance=noise, operator=KERNEL)
        draws.append(posterior.sample(2, rng=4))
    assert np.array_equal(*draws)


def test_missing_measurements_say_nothing_whatever_stands_there():
    y, missing, noise = problem((4, 6), 8)
    field = GMRF.from_precision(FIVE)
    expected = condition(field, y, mask=missing, noise_variance=noise, operator=KERNEL).mean
    holes = np.where(missing, np.nan, y)
    for mask, v in ((missing, noise), ("nan", np.where(missing, 0.0, noise))):
        assert np.array_equal(condition(field, holes, mask=mask, noise_variance=v, operator=KERNEL).mean, expected)


def test_kernel_is_copied_and_cannot_be_changed():
    kernel = KERNEL.copy()
    B = PointSpread(kernel)
    kernel[:] = 0.0
    assert np.array_equal(B.kernel, KERNEL)
    assert not B.kernel.flags.writeable


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PointSpread(np.ones((2, 3))), r"^kernel must be an array with two odd sides.*\(2, 3\); pad"),
        (lambda: PointSpread(np.ones(3)), r"^kernel must be an array with two odd sides"),
        (lambda: PointSpread(np.zeros((1, 3))), r"^kernel must have a weight that is not zero, got 3 zeros"),
        (lambda: PointSpread([[np.nan]]), r"^kernel must be finite"),
        (lambda: PointSpread([["a"]]), r"^kernel must hold real numbers"),
        (lambda: PointSpread(BLUR, border="wrap"), r"^border must be one of 'drop', 'renormalize', got 'wrap'"),
        (
            lambda: PointSpread([[-1.0, 0.0, 1.0]], border="renormalize").apply(np.ones((2, 4))),
            r"^kernel must have weights that do not cancel.*sum up to 0 at pixel \(0, 1\); use border='drop'",
        ),
        (lambda: BlockAverage(0, 2), r"^height must be at least 1, got 0"),
        (lambda: BlockAverage(2, 1.5), r"^width must be an integer"),
        (
            lambda: BlockAverage(3, 4).observed_shape((4, 6)),
            r"^shape must consist of whole blocks of 3 x 4 pixels, got 4 x 6, which leaves 1 rows and 2 columns over; "
            r"enlarge the field to 6 x 8",
        ),
        (lambda: PointSpread(BLUR).apply(np.ones(3)), r"^x must have shape \(\.\.\., H, W\), got \(3,\)"),
        (lambda: BlockAverage(2, 2).adjoint(1.0), r"^y must have shape"),
        (lambda: PointSpread(BLUR).information([1.0]), r"^weight must have shape"),
    ],
)
def test_bad_operators_are_named_with_the_remedy(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operator": "blur"}, r"^operator must be a kernel .* PointSpread or a BlockAverage, got str"),
        ({"operator": np.ones((2, 2))}, r"^kernel must be an array with two odd sides"),
        ({"operator": BlockAverage(2, 3)}, r"^y must have the shape \(2, 2\) that the operator makes, got \(4, 6\)"),
        ({"operator": BlockAverage(3, 3)}, r"^shape must consist of whole blocks"),
        ({"y": np.zeros((6, 4))}, r"^y must have the shape \(4, 6\) that the operator makes"),
        (
            {"noise_variance": np.eye(4, 6)},
            r"^noise_variance must be positive with an operator, got zero at 20 of 24 measurements; .*constrain\(gmrf",
        ),
        ({"noise_variance": -1.0}, r"^noise_variance must not be negative"),
        ({"mask": np.ones((4, 6), dtype=bool)}, r"^y must have an observed pixel"),
    ],
)
def test_bad_observations_are_named_with_the_remedy(changes, message):
    arguments = {"y": np.zeros((4, 6)), "noise_variance": 1.0, "operator": BLUR} | changes
    with pytest.raises(ArgumentError, match=message):
        condition(GMRF.from_precision(FIVE), arguments.pop("y"), **arguments)


def test_an_operator_that_does_not_see_the_level_of_an_intrinsic_field_is_refused():
    slope = PointSpread([[0.0, 0.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    border = np.ones((4, 6), dtype=bool)
    border[:, 1:5] = False  # at the border a weight is dropped, and the level would be seen
    with pytest.raises(ArgumentError, match=r"^mask must leave enough observed pixels to fix the 1 null vectors"):
        condition(IntrinsicGMRF(MEMBRANE), np.zeros((4, 6)), mask=border, noise_variance=1.0, operator=slope)
