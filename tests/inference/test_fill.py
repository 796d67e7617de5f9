"""Filled images against dense universal kriging at the fitted parameters, and what a filled image promises."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, Intrinsic, Matern, TensionSpline
from sparsegmrf.scores import coverage
from tests.inference import dense
from tests.inference.test_fit import design, problem

SHAPE = (12, 13)


def kriging(result, image, missing, flat_level):
    """Mean and covariance of field and trend: the trend's coefficients have a flat prior."""
    X = design("linear", image.shape)
    Q = result.fit.model.stencil(image.shape).tocsr().toarray()
    prior = np.linalg.pinv(Q, hermitian=True, rcond=1e-12) if flat_level else np.linalg.inv(Q)
    o = ~missing.ravel()
    C = prior[np.ix_(o, o)] + result.fit.noise_variance * np.eye(o.sum())
    beta, covariance = dense.generalized_least_squares(image.ravel()[o], C, X[o])
    gain = np.linalg.solve(C, prior[o]).T
    mean = X @ beta + gain @ (image.ravel()[o] - X[o] @ beta)
    left = X - gain @ X[o]
    return mean, prior - gain @ prior[o] + left @ covariance @ left.T


@pytest.mark.parametrize("noise", ["estimate", None, 0.2])
@pytest.mark.parametrize("model", [None, Matern(range=4.0)], ids=["spline", "matern"])
def test_mean_and_std_are_those_of_dense_universal_kriging(model, noise):
    image, missing = problem(3, SHAPE)
    image[missing] = np.nan
    result = fill(image, model=model, noise_variance=noise)
    mean, covariance = kriging(result, image, missing, flat_level=model is None)
    assert_allclose(result.mean.ravel(), mean, rtol=1e-7, atol=1e-7)
    assert_allclose(result.std.ravel() ** 2, np.diagonal(covariance), rtol=1e-6, atol=1e-8)
    assert_allclose(result.predictive_std**2, result.std**2 + result.fit.noise_variance, rtol=1e-12)
    assert np.array_equal(result.filled, np.where(missing, result.mean, image))


def test_draws_have_the_mean_and_covariance_of_dense_universal_kriging():
    image, missing = problem(4, (7, 8))
    result = fill(image, mask=missing, noise_variance=0.1, model=Matern(range=4.0), n_samples=20_000, rng=2)
    mean, covariance = kriging(result, image, missing, flat_level=False)
    flat = result.samples.reshape(20_000, -1)
    std = np.sqrt(np.diagonal(covariance))
    # 56 means and 1596 covariances beyond 6.5 standard errors: probability below 1e-6; the seed is fixed.
    assert np.abs((flat.mean(axis=0) - mean) / std).max() < 6.5 / np.sqrt(20_000)
    error = np.sqrt((np.outer(std**2, std**2) + covariance**2) / 20_000)
    assert np.abs((np.cov(flat.T) - covariance) / error).max() < 6.5


def test_draws_follow_the_seed_whatever_the_number_of_threads(threads):
    image, missing = problem(5, SHAPE)
    draws = []
    for count in (1, 2):
        threads(count)
        draws.append(fill(image, mask=missing, n_samples=2, rng=7).samples)
    assert draws[0].shape == (2, *SHAPE)
    assert np.array_equal(*draws)


def test_large_gaps_are_covered_at_the_level_promised():
    rows, columns = np.mgrid[:60, :70]
    hits = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth = 20.0 + 0.05 * rows + Matern(range=15.0, sigma=2.0).gmrf((60, 70)).sample(rng=rng)
        image = truth + 0.3 * rng.standard_normal(truth.shape)
        gap = (rows - 25) ** 2 + (columns - 30) ** 2 < 10**2
        result = fill(np.where(gap, np.nan, image))
        hits.append(coverage(image[gap], result.mean[gap], result.predictive_std[gap]))
        assert np.abs(result.mean - truth)[gap].mean() < 2.0
        assert result.std[gap].mean() > 2.0 * result.std[~gap].mean()
    # Pixels of a gap are correlated: four gaps say little more than that the level is not badly wrong.
    assert 0.85 < np.mean(hits) <= 1.0


def test_filled_image_moves_with_flips_transposes_and_shifts_of_level():
    image, missing = problem(6, SHAPE)
    image[missing] = np.nan
    plain = fill(image)
    for turn in (np.flipud, np.fliplr, np.transpose):
        turned = fill(turn(image))
        assert_allclose(turned.mean, turn(plain.mean), rtol=1e-4, atol=1e-4)
        assert_allclose(turned.std, turn(plain.std), rtol=1e-3)
    assert_allclose(fill(image + 100.0).mean, plain.mean + 100.0, rtol=1e-5)


def test_image_is_not_changed_and_masks_agree():
    image, missing = problem(6, SHAPE)
    holes = np.where(missing, np.nan, image)
    copy = holes.copy()
    result = fill(holes)
    assert np.array_equal(holes, copy, equal_nan=True)
    assert np.array_equal(fill(image, mask=missing).mean, result.mean)
    assert np.array_equal(fill(np.ma.array(image, mask=missing)).mean, result.mean)
    assert repr(result).startswith(f"FillResult(shape=(12, 13), {missing.sum()} pixels filled")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full(SHAPE, np.nan), r"^image must have an observed pixel"),
        (np.full(SHAPE, 3.0), r"^image must vary"),
        (np.full(SHAPE, np.inf), r"^image must be finite"),
        (
            np.where(np.arange(156).reshape(SHAPE) == 5, 1.0, np.nan),
            r"^image must vary over its observed pixels, got 1",
        ),
        (np.zeros((2, 3, 4)), r"^image must have shape \(H, W\)"),
    ],
)
def test_hopeless_images_are_refused(image, message):
    with pytest.raises(ArgumentError, match=message):
        fill(image)
    with pytest.raises(ArgumentError, match=r"^n_samples must be at least 0"):
        fill(np.eye(5), n_samples=-1)


def test_fitted_field_fills_again_without_a_search():
    image, missing = problem(6, SHAPE)
    result = fill(image, mask=missing)
    model = result.fit.model
    again = fill(
        image, mask=missing, model=model, noise_variance=result.fit.noise_variance, fixed=list(model.parameters)
    )
    assert again.fit.reason.startswith("nothing to search")
    assert_allclose(again.mean, result.mean, rtol=1e-9)
    assert_allclose(again.std, result.std, rtol=1e-9)


def test_complete_image_without_noise_is_its_own_filling():
    image = np.random.default_rng(0).normal(size=SHAPE).cumsum(axis=0)
    result = fill(image, noise_variance=None, n_samples=2, rng=0)
    for found in (result.mean, result.filled, *result.samples):
        assert np.array_equal(found, image)
    assert not result.std.any()
    assert not result.predictive_std.any()


@pytest.mark.parametrize(
    "model", [TensionSpline(), Matern(), CAR(0.2), Intrinsic()], ids=lambda model: type(model).__name__
)
@pytest.mark.parametrize("noise", ["estimate", 0.3])
def test_what_the_search_leaves_predicts_as_the_fit_does(model, noise):
    image, missing = problem(4, (30, 33))
    found = fill(1e3 + 5.0 * image, mask=missing, model=model, noise_variance=noise, n_samples=2, rng=3)
    fitted = found.fit.predict(n_samples=2, rng=np.random.default_rng(3))
    assert_allclose(found.mean, fitted.mean, rtol=0, atol=1e-9)
    assert_allclose(found.std, fitted.std, rtol=1e-9)
    assert_allclose(found.predictive_std, fitted.predictive_std, rtol=1e-9)
    assert_allclose(found.samples, fitted.samples, rtol=0, atol=1e-9)
