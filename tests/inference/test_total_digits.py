"""Sums of fields with little noise: the likelihood of the dense covariance, or an error that says what was lost."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError, LostDigitsError
from sparsegmrf.models import CAR, Matern, Sum

SHAPE = (12, 15)
SUMS = {
    "two ranges": [Matern(range=3.0), Matern(range=12.0)],
    "smooth": [Matern(range=3.0, nu=2.0), Matern(range=9.0, nu=2.0)],
    "interactions": [CAR(0.24), Matern(range=5.0)],
}
IMAGE = 1.0 + np.random.default_rng(0).normal(size=SHAPE).cumsum(0).cumsum(1) / 5.0
NOISE = (1e-2, 1e-6, 1e-8, 1e-12, 1e-15, 1e-17, 1e-18, 1e-25)
LOST = 1e-12
REFUSED = "noise_variance must not be so small beside the fields of a sum|a precision that rounding makes singular"


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("name", SUMS)
def test_likelihood_is_the_dense_one_or_its_digits_are_said_to_be_lost(name, noise):
    model = Sum(SUMS[name])
    options = {"noise_variance": noise, "covariates": None, "fixed": list(model.parameters)}
    covariance = sum(np.linalg.inv(each.gmrf(SHAPE).precision.tocsr().toarray()) for each in SUMS[name])
    n = IMAGE.size
    expected = multivariate_normal(np.zeros(n), covariance + noise * np.eye(n)).logpdf(IMAGE.ravel())
    if noise <= LOST:
        with pytest.raises((LostDigitsError, ArgumentError), match=REFUSED):
            fit(model, IMAGE, **options)
    else:
        assert fit(model, IMAGE, **options).loglik == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("noise", NOISE)
def test_map_of_noise_that_is_small_in_places_makes_no_nan(noise):
    variances = np.full(SHAPE, 1e-3)
    variances[:4] = noise
    options = {"model": Sum(SUMS["two ranges"]), "noise_variance": variances, "n_samples": 1, "rng": 0}
    if noise < LOST:
        with pytest.raises((LostDigitsError, ArgumentError), match=REFUSED):
            fill(IMAGE, **options)
        return
    found = fill(IMAGE, **options)
    assert np.isfinite(found.std).all()
    assert np.isfinite(found.samples).all()
    assert (found.std[:4] <= 1.01 * np.sqrt(noise)).all()
