"""Ensembles with missing pixels: the likelihood of what is observed, and that it is the largest."""

from functools import partial

import numpy as np
import pytest
import scipy.stats

from sparsegmrf.ensembles import CholeskyField, SymmetricField
from sparsegmrf.errors import ArgumentError
from tests.ensembles.test_ensemble_regression import ensemble

SHAPE = (4, 5)
FITS = {
    "Cholesky": partial(CholeskyField.fit, shrinkage=None),
    "symmetric": partial(SymmetricField.fit, offsets=[(0, 1), (1, 0)], tolerance=1e-9),
    "shared": partial(SymmetricField.fit, offsets=[(0, 1), (1, 0)], homogeneous=True, tolerance=1e-9),
}


def gappy(count=60, share=0.2, seed=0):
    """Images of which a share of the pixels is missing, and some of which nothing or nothing else is."""
    images = ensemble(SHAPE, count, seed)
    missing = np.random.default_rng(seed + 1).random(images.shape) < share
    missing[0], missing[1:4], missing[4:6] = False, missing[1], True
    missing[5, 2, 2] = False
    return np.where(missing, np.nan, images)


def dense_loglik(images, precision, mean):
    """Log-density of the observed values by the dense covariance."""
    covariance, total = np.linalg.inv(precision), 0.0
    for x in images.reshape(len(images), -1):
        seen = ~np.isnan(x)
        if seen.any():
            law = scipy.stats.multivariate_normal(mean.ravel()[seen], covariance[np.ix_(seen, seen)])
            total += law.logpdf(x[seen])
    return total


def around(model, step):
    """The model with each of some coefficients moved by a step, relative to the diagonal's size."""
    diagonal, weights = np.asarray(model.diagonal), np.asarray(model.weights)
    size = step * float(np.mean(diagonal))
    if diagonal.ndim == 0:
        yield type(model)(float(diagonal) + size, model.weights, model.offsets)
        yield type(model)(float(diagonal), (weights[0] + size, weights[1]), model.offsets)
        return
    for pixel in [(0, 0), (1, 2), (2, 3)]:
        moved = diagonal.copy()
        moved[pixel] += size
        yield type(model)(moved, weights, model.offsets)
        moved = weights.copy()
        moved[0][pixel] += size
        yield type(model)(diagonal, moved, model.offsets)


@pytest.fixture(params=FITS)
def fit(request):
    return FITS[request.param]


def test_likelihood_is_that_of_the_observed_values_by_the_dense_law(fit):
    images = gappy()
    result = fit(images)
    assert result.converged, result.reason
    precision = result.gmrf().tocsr().toarray()
    assert result.loglik == pytest.approx(dense_loglik(images, precision, result.mean), rel=1e-9)


def test_no_model_or_mean_nearby_is_likelier(fit):
    images = gappy()
    result = fit(images)
    own = dense_loglik(images, result.gmrf().tocsr().toarray(), result.mean)
    for step in (-1e-2, 1e-2):
        for other in around(result.model, step):
            assert dense_loglik(images, other.gmrf(SHAPE).tocsr().toarray(), result.mean) < own
        mean = result.mean.copy()
        mean[1, 1] += 10.0 * step
        assert dense_loglik(images, result.gmrf().tocsr().toarray(), mean) < own


def test_nothing_missing_is_the_fit_to_images_and_nothing_is_changed():
    images = ensemble(SHAPE, 60)
    given = gappy(60)
    before = given.copy()
    CholeskyField.fit(given, shrinkage=0.3)
    np.testing.assert_array_equal(given, before)
    few = images.copy()
    few[7, 1, 2] = np.nan  # one value among 1200
    whole, almost = CholeskyField.fit(images), CholeskyField.fit(few)
    assert whole.shrinkage == pytest.approx(almost.shrinkage, abs=0.1)
    np.testing.assert_allclose(almost.model.diagonal, whole.model.diagonal, rtol=0.2)


def test_shrinkage_is_chosen_and_predicts_better_than_little():
    images, others = gappy(24), ensemble(SHAPE, 400)[24:]
    chosen, none = CholeskyField.fit(images), CholeskyField.fit(images, shrinkage=0.02)
    assert 0.02 < chosen.shrinkage < 1.0
    assert np.isfinite(chosen.loo)
    assert chosen.gmrf().logpdf(others).mean() > none.gmrf().logpdf(others).mean()


def test_few_missing_pixels_and_many_are_done_alike(fit, monkeypatch):
    images = gappy(20, share=0.1)
    by_matrices = fit(images, mean=0.0)
    monkeypatch.setattr("sparsegmrf.ensembles._missing._FEW", -1)
    by_factors = fit(images, mean=0.0)
    assert by_factors.loglik == pytest.approx(by_matrices.loglik, rel=1e-10)
    np.testing.assert_allclose(by_factors.model.diagonal, by_matrices.model.diagonal, rtol=1e-7)


def test_known_mean_stays(fit):
    images = gappy()
    result = fit(images, mean=1.5)
    assert (result.mean == 1.5).all()
    assert not result.mean_estimated


def test_units_scale_the_fit(fit):
    images = gappy()
    plain, scaled = fit(images), fit(images / 8.0)
    seen = int((~np.isnan(images)).sum())
    assert scaled.loglik == pytest.approx(plain.loglik + seen * np.log(8.0), rel=1e-9)
    np.testing.assert_allclose(8.0 * scaled.mean, plain.mean, rtol=1e-9)


def test_pixel_that_is_hardly_ever_observed_is_refused(fit):
    images = gappy()
    images[1:, 2, 3] = np.nan
    with pytest.raises(ArgumentError, match=r"every pixel at least 2 times, got 1 pixels.*\(2, 3\) with 1; crop"):
        fit(images)


def test_a_fit_that_is_cut_off_says_so(monkeypatch):
    assert "NOT CONVERGED" not in CholeskyField.fit(gappy(20), shrinkage=0.5).summary()
    monkeypatch.setattr("sparsegmrf.ensembles._missing._PASSES", 2)
    result = CholeskyField.fit(gappy(20), shrinkage=0.5)
    assert not result.converged
    assert "NOT CONVERGED: the log-density of an image changes by" in result.summary()
