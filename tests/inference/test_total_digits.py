"""Sums of fields with little noise or none: the likelihood, gradient and prediction of the dense covariance."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from sparsegmrf import fill, fit
from sparsegmrf.errors import LostDigitsError
from sparsegmrf.models import CAR, Intrinsic, Matern, Sum

SHAPE = (12, 15)
SUMS = {
    "two ranges": [Matern(range=3.0), Matern(range=12.0)],
    "smooth": [Matern(range=3.0, nu=2.0), Matern(range=9.0, nu=2.0)],
    "interactions": [CAR(0.24), Matern(range=5.0)],
    "fractional": [Matern(range=4.0, nu=0.5), CAR(0.1)],
}
IMAGE = 1.0 + np.random.default_rng(0).normal(size=SHAPE).cumsum(0).cumsum(1) / 5.0
NOISE = (1e-2, 1e-6, 1e-8, 1e-12, 1e-15, 1e-17, 1e-18, 1e-25, 1e-200, 0.0)


def covariance_of(models):
    return sum(
        np.array([each.gmrf(SHAPE).covariance_with((i, j)).ravel() for i in range(SHAPE[0]) for j in range(SHAPE[1])])
        for each in models
    )


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("name", SUMS)
def test_likelihood_is_the_dense_one_down_to_no_noise(name, noise):
    model = Sum(SUMS[name])
    options = {"noise_variance": noise, "covariates": None, "fixed": list(model.parameters)}
    n, C = IMAGE.size, covariance_of(SUMS[name])
    expected = multivariate_normal(np.zeros(n), C + noise * np.eye(n), allow_singular=True).logpdf(IMAGE.ravel())
    assert fit(model, IMAGE, **options).loglik == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("noise", [1e-12, 1e-25, 0.0])
def test_prediction_is_the_dense_one_down_to_no_noise(noise):
    model, C = Sum(SUMS["two ranges"]), covariance_of(SUMS["two ranges"])
    image = IMAGE.copy()
    image[4:7, 5:9] = np.nan
    found = fit(model, image, noise_variance=noise, covariates=None, fixed=list(model.parameters)).predict()
    o = np.isfinite(image).ravel()
    gain = C[:, o] @ np.linalg.inv(C[np.ix_(o, o)] + noise * np.eye(o.sum()))
    assert_allclose(found.mean.ravel(), gain @ image.ravel()[o], atol=1e-9)
    assert_allclose(found.variance.ravel(), np.diagonal(C - gain @ C[o]), atol=1e-9)


@pytest.mark.parametrize("models", [SUMS["two ranges"], [Intrinsic(tau=2.0), Matern(range=3.0)]])
def test_fit_without_noise_is_at_the_limit_of_little(models):
    image = IMAGE + 0.3 * np.random.default_rng(1).normal(size=SHAPE)
    image[2, 3:6] = np.nan
    none, little = (fit(Sum(models), image, noise_variance=each) for each in (None, 1e-13))
    assert none.loglik == pytest.approx(little.loglik, abs=1e-5)
    assert_allclose(list(none.parameters.values()), list(little.parameters.values()), rtol=1e-3)


@pytest.mark.parametrize("noise", NOISE[:-1])
def test_map_of_noise_that_is_small_in_places_makes_no_nan(noise):
    variances = np.full(SHAPE, 1e-3)
    variances[:4] = noise
    options = {"model": Sum(SUMS["two ranges"]), "noise_variance": variances, "n_samples": 1, "rng": 0}
    found = fill(IMAGE, **options)
    assert np.isfinite(found.std).all()
    assert np.isfinite(found.samples).all()
    assert (found.std[:4] <= 1.01 * np.sqrt(noise)).all()


def test_long_ranges_of_stacked_fields_are_refused_before_their_levels_are_rounding():
    model = Matern(range=4.0, nu=1.5, boundary="torus")
    image = IMAGE.copy()
    image[4:7, 5:9] = np.nan
    with pytest.raises(LostDigitsError, match=r"^model must have levels that can be told from rounding"):
        fit(model.replace(range=2000.0), image, noise_variance=0.3, fixed=["range", "sigma"])
    for reach in (20.0, 150.0):
        long = model.replace(range=reach, sigma=reach)
        v, _ = long.spectral_density(SHAPE).values((slice(0, SHAPE[0]), slice(0, SHAPE[1])))
        rows, columns = np.indices(SHAPE).reshape(2, -1)
        column = np.fft.ifft2(v).real
        C = column[(rows[:, None] - rows) % SHAPE[0], (columns[:, None] - columns) % SHAPE[1]]
        o = np.isfinite(image).ravel()
        expected = multivariate_normal(np.zeros(o.sum()), C[np.ix_(o, o)] + 0.3 * np.eye(o.sum())).logpdf(
            image.ravel()[o]
        )
        found = fit(long, image, noise_variance=0.3, covariates=None, fixed=["range", "sigma"])
        assert found.loglik == pytest.approx(expected, abs=2e-3)
