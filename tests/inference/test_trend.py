"""Trends whose covariates have a level of their own, far above their variation, such as years or coordinates."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import CAR, Intrinsic, Matern, Sum, TensionSpline

SHAPE = (20, 25)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
ONE = np.ones(SHAPE)
SLOPE = ROWS - 9.5
IMAGE = 3.0 + 0.1 * ROWS + Matern(range=5.0).gmrf(SHAPE).sample(rng=1)
MODELS = {
    "Matern": Matern(),
    "CAR": CAR(),
    "random walk": Intrinsic(),
    "spline": TensionSpline(),
    "sum": Sum([Matern(range=3.0), Intrinsic()]),
}
LEVELS = (1e3, 2.0**20, 1e9)


def with_gaps(image):
    seen = np.random.default_rng(2).random(SHAPE) > 0.2
    return np.where(seen, image, np.nan)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("name", MODELS)
def test_level_of_a_covariate_moves_the_constant_alone(name, method):
    options = {"method": method, "noise_variance": 0.1, "mask": "nan"}
    image = with_gaps(IMAGE)
    plain = fit(MODELS[name], image, covariates=[ONE, SLOPE], **options)
    for level in LEVELS:
        found = fit(MODELS[name], image, covariates=[ONE, SLOPE + level], **options)
        assert found.loglik == pytest.approx(plain.loglik, abs=1e-6)
        assert found.restricted_loglik == pytest.approx(plain.restricted_loglik, abs=1e-6)
        slope, error = found.coefficients["covariate 1"], found.coefficient_errors["covariate 1"]
        assert slope == pytest.approx(plain.coefficients["covariate 1"], rel=1e-6)
        assert error == pytest.approx(plain.coefficient_errors["covariate 1"], rel=1e-6)
        assert_allclose(found.predict().mean, plain.predict().mean, atol=1e-6)
        assert_allclose(found.predict().std, plain.predict().std, rtol=1e-6)
        if "covariate 0" in plain.coefficients:
            moved = plain.coefficients["covariate 0"] - level * slope
            assert found.coefficients["covariate 0"] == pytest.approx(moved, rel=1e-6)
            a, b = np.array([1.0, -level]), plain.coefficient_covariance
            assert found.coefficient_covariance[0, 0] == pytest.approx(a @ b @ a, rel=1e-6)
            assert found.coefficient_covariance[0, 1] == pytest.approx(a @ b[:, 1], rel=1e-6)
            assert_allclose(found.trend, plain.trend, rtol=1e-6)
        else:  # the field holds the level
            assert_allclose(found.trend, slope * (SLOPE + level), rtol=1e-9)


def test_coefficients_times_covariates_are_the_trend():
    rng = np.random.default_rng(3)
    X = np.array([SLOPE + 50.0, 2.0 * ONE, rng.normal(size=SHAPE), COLUMNS + 7.0])
    for model in (Matern(), Intrinsic()):
        found = fit(model, with_gaps(IMAGE), covariates=X, noise_variance=0.1)
        used = [int(name.split()[-1]) for name in found.coefficients]
        assert used == ([0, 1, 2, 3] if isinstance(model, Matern) else [0, 2, 3])
        assert_allclose(found.trend, np.tensordot(list(found.coefficients.values()), X[used], 1), rtol=1e-9, atol=1e-9)


def test_powers_of_a_year_are_told_apart():
    years = 1e5 + SLOPE
    found = fit(Matern(), IMAGE, covariates=[ONE, years, years**2], noise_variance=0.1)
    plain = fit(Matern(), IMAGE, covariates=[ONE, SLOPE, SLOPE**2], noise_variance=0.1)
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-4)
    assert found.coefficients["covariate 2"] == pytest.approx(plain.coefficients["covariate 2"], rel=1e-3)


def test_counts_take_covariates_with_a_level():
    y = np.random.default_rng(4).poisson(np.exp(1.0 + 0.05 * SLOPE + 0.3 * (IMAGE - 3.0 - 0.1 * ROWS)))
    for model in (Matern(), TensionSpline()):
        plain = fit(model, y, covariates=[ONE, SLOPE], likelihood=Poisson())
        found = fit(model, y, covariates=[ONE, SLOPE + 1e6], likelihood=Poisson())
        assert found.loglik == pytest.approx(plain.loglik, abs=1e-5)
        for part in ("coefficients", "coefficient_errors"):
            value, expected = getattr(found, part)["covariate 1"], getattr(plain, part)["covariate 1"]
            assert value == pytest.approx(expected, rel=1e-3)
        assert_allclose(found.trend - found.trend.mean(), plain.trend - plain.trend.mean(), atol=1e-3)


@pytest.mark.parametrize("level", [0.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("model", [Matern(), Intrinsic()])
def test_covariates_that_are_combinations_of_others_are_refused(model, level):
    years = SLOPE + level
    for X in (
        [ONE, years, 2.0 * years + 3.0],
        [ONE, years, COLUMNS, 0.1 * years - COLUMNS],
        [ONE, years, np.where(ROWS > 9.0, years, years)],
    ):
        with pytest.raises(ArgumentError, match="covariates must be linearly independent"):
            fit(model, IMAGE, covariates=X)


def test_constant_up_to_rounding_is_no_covariate_beside_a_constant():
    rounded = 0.1 + 1e-17 * ROWS + np.where(COLUMNS > 3.0, 0.0, 2e-17)
    with pytest.raises(ArgumentError, match="covariates must be linearly independent"):
        fit(Matern(), IMAGE, covariates=[ONE, rounded])


def test_draws_of_a_trend_go_continuously_with_the_data():
    image = with_gaps(IMAGE)
    found = [
        fit(Matern(), each, covariates="linear", noise_variance=0.1).predict(n_samples=4, rng=0)
        for each in (image, image * (1.0 + 1e-9))
    ]
    assert_allclose(found[1].samples, found[0].samples, atol=1e-5)


def test_spread_of_a_trend_is_a_root_of_its_covariance():
    found = fit(Matern(), with_gaps(IMAGE), covariates="linear", noise_variance=0.1)
    spread, left = found._trend_spread(0), found._estimate.left[0]
    covariance = found._objective.frame.unit**2 * found._estimate.covariance
    expected = np.einsum("pij,pq,qkl->ijkl", left, covariance, left)[3, 4]
    assert_allclose(np.einsum("p,pkl->kl", spread[:, 3, 4], spread), expected, rtol=1e-8, atol=1e-12)
