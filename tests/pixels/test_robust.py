"""Reweighted fits: the objective never increases, the answer is its stationary point, outliers do not matter."""

import numpy as np
import pytest
import scipy.stats

from sparsegmrf.errors import ArgumentError, ConvergenceError, SingularCovarianceError
from sparsegmrf.pixels import PixelGaussian


@pytest.fixture(scope="module")
def spoilt():
    rng = np.random.default_rng(0)
    image = rng.multivariate_normal([1.0, 2.0, 3.0], [[2.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]], (60, 50))
    image[:2] += [30.0, -20.0, 0.0]
    return image


def cauchy_like(s):
    return 6.0 / (2.0 + s)


@pytest.mark.parametrize("weight", ["student", "huber", cauchy_like])
def test_the_objective_never_increases_and_the_end_is_stationary(spoilt, weight):
    model = PixelGaussian.fit_robust(spoilt, weight, tolerance=1e-14)
    assert len(model.objective_) > 3
    assert np.diff(model.objective_).max() <= 0.0
    rows = spoilt.reshape(-1, 3)
    s = model.mahalanobis_image(spoilt).ravel()
    k = scipy.stats.chi2(3).isf(0.05) ** 0.5
    w = {"student": 7.0 / (4.0 + s), "huber": np.minimum(1.0, k / np.sqrt(s))}.get(weight, 6.0 / (2.0 + s))
    np.testing.assert_allclose(model.mean, (w[:, None] * rows).sum(0) / w.sum(), rtol=1e-5)
    centred = rows - model.mean
    np.testing.assert_allclose(model.covariance, (w * centred.T) @ centred / len(rows), rtol=1e-5)


def test_student_weights_maximize_the_student_likelihood(spoilt):
    model = PixelGaussian.fit_robust(spoilt, "student", dof=3.0)
    density = scipy.stats.multivariate_t(model.mean, model.covariance, 3.0).logpdf(spoilt).mean()
    plain = PixelGaussian.fit(spoilt)
    at_start = scipy.stats.multivariate_t(plain.mean, plain.covariance, 3.0).logpdf(spoilt).mean()
    assert model.objective_[0] - model.objective_[-1] == pytest.approx(density - at_start, rel=1e-10)
    for scale in (0.97, 1.03):
        assert scipy.stats.multivariate_t(model.mean, scale * model.covariance, 3.0).logpdf(spoilt).mean() < density


def test_a_callable_is_treated_as_the_built_in_weights_are(spoilt):
    built_in = PixelGaussian.fit_robust(spoilt, "student", dof=3.0, tolerance=1e-13)
    own = PixelGaussian.fit_robust(spoilt, lambda s: 6.0 / (3.0 + s), tolerance=1e-13)
    np.testing.assert_allclose(own.covariance, built_in.covariance, rtol=1e-5)
    assert own.objective_[0] == pytest.approx(built_in.objective_[0], rel=1e-10)
    assert own.objective_[-1] == pytest.approx(built_in.objective_[-1], rel=1e-10)


def test_outliers_move_the_plain_fit_and_not_the_robust_ones(spoilt):
    clean = PixelGaussian.fit(spoilt[2:])
    assert np.abs(PixelGaussian.fit(spoilt).mean - clean.mean).max() > 0.5
    for weight in ("student", "huber"):
        assert np.abs(PixelGaussian.fit_robust(spoilt, weight).mean - clean.mean).max() < 0.3


def test_constant_weights_are_the_plain_fit(spoilt):
    robust, plain = PixelGaussian.fit_robust(spoilt, np.ones_like), PixelGaussian.fit(spoilt)
    np.testing.assert_allclose(robust.covariance, plain.covariance, rtol=1e-12)
    assert robust.objective_[0] == pytest.approx(0.5 * plain.logdet + 1.5, rel=1e-9)


def test_layout_mask_and_threads_change_nothing(spoilt, threads):
    reference = PixelGaussian.fit_robust(spoilt)
    threads(3)
    moved = PixelGaussian.fit_robust(np.moveaxis(spoilt, -1, 0), channel_axis=0)
    np.testing.assert_array_equal(moved.covariance, reference.covariance)
    assert moved.density_image(np.moveaxis(spoilt, -1, 0)).shape == (1, 60, 50)
    mask = np.zeros((60, 50), bool)
    mask[:2] = True
    np.testing.assert_allclose(
        PixelGaussian.fit_robust(spoilt, mask=mask).covariance,
        PixelGaussian.fit_robust(spoilt[2:]).covariance,
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": "tukey"}, "'student', 'huber' or a callable"),
        ({"weight": lambda s: s}, "must not increase"),
        ({"weight": lambda s: 1.0 / (1.0 + s)}, "must decrease slower"),
        ({"weight": lambda s: -np.ones_like(s)}, "not negative"),
        ({"weight": lambda s: 1.0}, "one number per squared distance"),
        ({"dof": 0.0}, "dof must be positive"),
        ({"weight": "huber", "threshold": -1.0}, "threshold must be positive"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"tolerance": np.nan}, "tolerance must be"),
        ({"mask": np.ones((60, 50), bool)}, "observed pixel"),
    ],
)
def test_bad_input_is_named(spoilt, options, message):
    with pytest.raises(ArgumentError, match=message):
        PixelGaussian.fit_robust(spoilt, **options)


def test_an_iterator_and_a_fit_without_end_are_refused(spoilt):
    with pytest.raises(ArgumentError, match="got an iterator"):
        PixelGaussian.fit_robust(iter([spoilt]))
    with pytest.raises(ConvergenceError, match="not converged in 2 steps"):
        PixelGaussian.fit_robust(spoilt, max_steps=2)


def test_weight_on_too_few_dimensions_is_named():
    image = np.random.default_rng(0).normal(size=(30, 30, 3))
    image[2:] = image[0, 0]
    with pytest.raises(SingularCovarianceError, match="shrinks without end"):
        PixelGaussian.fit_robust(image, "student", dof=0.5)
