"""Sums of fields with little noise: the likelihood of the dense covariance, or an error that says what was lost.

By frequency no digits are lost, whatever the noise; the others have a gap, or fields of different borders.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
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
GAP, IMAGE = np.full(SHAPE, np.nan), 1.0 + np.random.default_rng(0).normal(size=SHAPE).cumsum(0).cumsum(1) / 5.0
GAP[1:] = IMAGE[1:]
NOISE = (1e-2, 1e-6, 1e-8, 1e-12, 1e-15, 1e-17, 1e-18, 1e-25)
LOST = 1e-12
REFUSED = "noise_variance must not be so small beside the fields of a sum|a precision that rounding makes singular"


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("name", SUMS)
def test_likelihood_is_the_dense_one_or_its_digits_are_said_to_be_lost(name, noise):
    model = Sum(SUMS[name])
    options = {"noise_variance": noise, "covariates": None, "fixed": list(model.parameters)}
    covariance = sum(np.linalg.inv(each.gmrf(SHAPE).precision.tocsr().toarray()) for each in SUMS[name])
    covariance += noise * np.eye(IMAGE.size)
    for image in (IMAGE, GAP):
        seen = np.isfinite(image.ravel())
        if noise <= LOST and (image is GAP or name == "interactions"):
            with pytest.raises((LostDigitsError, ArgumentError), match=REFUSED):
                fit(model, image, **options)
            continue
        law = multivariate_normal(np.zeros(seen.sum()), covariance[np.ix_(seen, seen)])
        assert fit(model, image, **options).loglik == pytest.approx(law.logpdf(image.ravel()[seen]), abs=1e-4)


@pytest.mark.parametrize("noise", NOISE)
def test_sum_of_a_complete_image_is_predicted_by_frequency_whatever_the_noise(noise):
    model = Sum(SUMS["two ranges"])
    found = fit(model, IMAGE, noise_variance=noise, covariates=None, fixed=list(model.parameters))
    K = sum(np.linalg.inv(each.stencil(SHAPE).tocsr().toarray()) for each in model.models)
    share = np.linalg.solve(K + noise * np.eye(IMAGE.size), K)  # K (K + s)^-1, of the data; times s the covariance
    predicted = found.predict(n_samples=2, rng=0)
    assert_allclose(predicted.mean.ravel(), IMAGE.ravel() @ share, rtol=1e-9, atol=1e-9)
    assert_allclose(predicted.variance.ravel(), noise * np.diagonal(share), rtol=1e-9)
    assert (np.abs(predicted.samples - predicted.mean) < 6.5 * predicted.std).all()  # a false alarm below 1e-6
    if noise <= LOST:
        with pytest.raises(LostDigitsError, match="noise_variance must not be so small beside the fields of a sum"):
            found.posterior()
    else:
        fields = found.posterior()
        assert_allclose(model.observe(fields.mean), predicted.mean, rtol=1e-7, atol=1e-7)


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
