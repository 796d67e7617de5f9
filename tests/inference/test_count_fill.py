"""Filled counts against draws of the posterior and of new counts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import CountFillResult, compare_fits, diagnose
from sparsegmrf.likelihoods import Binomial, Gaussian, Poisson
from sparsegmrf.models import BYM, Matern, TensionSpline
from tests.inference.test_fit_counts import KINDS, LIKELIHOOD, problem

HELD = {"model": Matern(4.0, 0.9), "fixed": ["range", "sigma"]}


def filled(kind, **options):
    y, size, missing = problem(kind, 5)
    return fill(y, mask=missing, likelihood=LIKELIHOOD[kind](size), **{**HELD, **options}), y, size, missing


@pytest.mark.parametrize("kind", KINDS)
def test_risk_new_counts_and_draws_are_those_of_the_fit(kind):
    result, y, size, missing = filled(kind, n_samples=4000, rng=1)
    assert isinstance(result, CountFillResult)
    risk = result.relative_risk()
    assert np.array_equal(result.mean, risk.mean)
    assert np.array_equal(result.std, risk.std)
    assert np.array_equal(result.exceedance(0.6), result.fit.exceedance(0.6))
    assert np.array_equal(result.filled, np.where(missing, result.predictive_mean, y))
    assert_allclose(result.predictive_mean, size * result.mean, rtol=1e-12)
    root, rng = np.sqrt(4000), np.random.default_rng(2)
    # Means of 4000 draws at 56 pixels within 5.5 of their standard errors: false alarm below 3e-6.
    assert (np.abs(result.samples.mean(axis=0) - result.mean) < 5.5 * result.std / root).all()
    new = (
        rng.poisson(size * result.samples)
        if kind == "poisson"
        else rng.binomial(size.astype(int), np.clip(result.samples, 0.0, 1.0))
    ).astype(float)
    assert (np.abs(new.mean(axis=0) - result.predictive_mean) < 5.5 * result.predictive_std / root).all()
    squares = (new - result.predictive_mean) ** 2
    assert (np.abs(squares.mean(axis=0) - result.predictive_std**2) < 6.0 * squares.std(axis=0) / root).all()


def test_by_default_it_is_a_tension_spline_with_a_linear_trend():
    y, size, missing = problem("poisson", 5)
    result = fill(y, mask=missing, likelihood=Poisson(size))
    assert isinstance(result.fit.model, TensionSpline)
    assert list(result.fit.coefficients) == ["row", "column"]


def test_exposure_of_gaps_scales_new_counts_and_nothing_else():
    y, size, missing = problem("poisson", 5)
    y, other = y.astype(float), np.where(missing, 7.0 * size, size)
    first = fill(y, mask=missing, likelihood=Poisson(size), **HELD)
    second = fill(y, mask=missing, likelihood=Poisson(other), **HELD)
    assert np.array_equal(first.mean, second.mean)
    assert_allclose(second.predictive_mean[missing], 7.0 * first.predictive_mean[missing], rtol=1e-12)
    of_rate = (first.std * size) ** 2 * 49.0 + 7.0 * size * first.mean
    assert_allclose(second.predictive_std[missing] ** 2, of_rate[missing], rtol=1e-10)
    unknown = fill(y, mask=missing, likelihood=Poisson(np.where(missing, np.nan, size)), **HELD)
    assert np.isnan(unknown.filled[missing]).all()
    assert np.array_equal(unknown.filled[~missing], y[~missing])
    assert np.array_equal(unknown.mean, first.mean)
    none = fill(y, mask=missing, likelihood=Poisson(np.where(missing, 0.0, size)), **HELD)
    assert (none.filled[missing] == 0.0).all()
    assert (none.predictive_std[missing] == 0.0).all()


def test_gaps_marked_by_nan_and_turned_images_are_filled_alike():
    y, size, missing = problem("poisson", 5)
    marked = np.where(missing, np.nan, y)
    plain = fill(y, mask=missing, likelihood=Poisson(size), **HELD)
    assert np.array_equal(fill(marked, likelihood=Poisson(size), **HELD).filled, plain.filled)
    for turn in (np.flipud, np.transpose):
        turned = fill(turn(marked), likelihood=Poisson(turn(size)), **HELD)
        assert_allclose(turned.filled, turn(plain.filled), rtol=1e-6)
        assert_allclose(turned.predictive_std, turn(plain.predictive_std), rtol=1e-6)


def test_labels_stay_and_exposure_is_brought_to_the_axes_of_the_image():
    xarray = pytest.importorskip("xarray")
    y, size, missing = problem("poisson", 5)
    image = xarray.DataArray(
        np.where(missing, np.nan, y), dims=("y", "x"), coords={"y": np.arange(7), "x": np.arange(8)}, name="cases"
    )
    exposure = image.copy(data=size).transpose("x", "y")
    result = fill(image, likelihood=Poisson(exposure), n_samples=2, rng=0, **HELD)
    plain = fill(np.asarray(image), likelihood=Poisson(size), n_samples=2, rng=0, **HELD)
    assert result.filled.dims == ("y", "x")
    assert np.array_equal(result.filled, plain.filled)
    assert result.predictive_std.name == "cases_predictive_std"
    assert result.samples.dims == ("sample", "y", "x")
    risk = result.relative_risk(0.9)
    assert risk.upper.name == "cases_upper"
    assert np.array_equal(risk.upper, plain.relative_risk(0.9).upper)
    assert result.exceedance(1.0).dims == ("y", "x")


def test_results_are_taken_wherever_fits_are():
    result, y, size, missing = filled("poisson")
    assert result.functional(np.ones(y.shape)).estimate == result.fit.functional(np.ones(y.shape)).estimate
    assert diagnose(result).residual < 1e-10
    other = fit(BYM(), y, mask=missing, likelihood=Poisson(size))
    assert len(compare_fits(result, other).rows) == 2
    assert "CountFillResult(shape=(7, 8)" in repr(result)


def test_a_gaussian_likelihood_is_the_noise():
    y = Matern(4.0).gmrf((12, 13)).sample(rng=0)
    y[3:6, 4:7] = np.nan
    by_likelihood, by_noise = fill(y, likelihood=Gaussian(0.1)), fill(y, noise_variance=0.1)
    assert np.array_equal(by_likelihood.filled, by_noise.filled)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "best"}, r'^model must be a model with a poisson likelihood, got "best"'),
        ({"noise_variance": 0.1}, r"^noise_variance must be left out with likelihood="),
        ({"likelihood": Binomial()}, r"^image must be at most the trials"),
        ({"likelihood": "poisson"}, r"^likelihood must be a value such as"),
    ],
)
def test_bad_input_is_named_with_the_remedy(changes, message):
    y, _, missing = problem("poisson", 5)
    with pytest.raises(ArgumentError, match=message):
        fill(y, **{"mask": missing, "likelihood": Poisson(), **changes})
