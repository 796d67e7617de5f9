"""Likelihoods as values: derivatives against differences, densities against scipy's, and one of a user's own."""

import math
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose
from scipy.special import gammaln

from sparsegmrf import Matern, condition, diagnose, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.likelihoods import Binomial, Derivatives, Gaussian, Likelihood, Poisson

SHAPE = (9, 10)


@dataclass(frozen=True, eq=False)
class Gamma(Likelihood):
    """Intensities with the shape ``k`` and the mean ``exp(eta)``: multiplicative noise."""

    k: float = 4.0

    name = "gamma"

    def log_density(self, y, eta):
        return (
            self.k * (np.log(self.k) - eta) + (self.k - 1.0) * np.log(y) - self.k * y * np.exp(-eta) - gammaln(self.k)
        )

    def derivatives(self, y, eta):
        scaled = self.k * y * np.exp(-eta)
        return Derivatives(scaled - self.k, scaled, -scaled)

    def first_guess(self, y):
        return np.log(y)

    def on(self, y, observed, name):
        if (observed & (y <= 0.0)).any():
            raise ArgumentError(f"{name} must be positive.")
        return self


CASES = {
    "poisson": (Poisson(np.linspace(0.5, 3.0, 90).reshape(SHAPE)), lambda rng: rng.poisson(2.0, SHAPE).astype(float)),
    "binomial": (Binomial(np.full(SHAPE, 5)), lambda rng: rng.binomial(5, 0.4, SHAPE).astype(float)),
    "gamma": (Gamma(), lambda rng: rng.gamma(4.0, 0.5, SHAPE)),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_differences(name):
    likelihood, draw = CASES[name]
    rng = np.random.default_rng(0)
    y, eta, h = draw(rng), rng.normal(size=SHAPE), 1e-3
    at = likelihood.derivatives(y, eta)
    near = [likelihood.log_density(y, eta + j * h) for j in (1, -1, 2, -2)]
    assert_allclose(at.slope, (8.0 * (near[0] - near[1]) - (near[2] - near[3])) / (12.0 * h), rtol=1e-8, atol=1e-8)
    sides = [likelihood.derivatives(y, eta + j * h) for j in (1, -1)]
    assert_allclose(at.curvature, -(sides[0].slope - sides[1].slope) / (2.0 * h), rtol=1e-5, atol=1e-6)
    assert_allclose(at.rate, (sides[0].curvature - sides[1].curvature) / (2.0 * h), rtol=1e-5, atol=1e-6)
    step = rng.normal(size=SHAPE)
    lost = likelihood.log_density(y, eta) + at.slope * step - likelihood.log_density(y, eta + step)
    assert_allclose(likelihood.divergence(y, eta, step), lost, atol=1e-12)
    assert np.isfinite(likelihood.first_guess(y)).all()


def test_densities_and_tails_are_those_of_scipy():
    rng = np.random.default_rng(1)
    eta, y = rng.normal(size=SHAPE), rng.integers(0, 5, SHAPE).astype(float)
    for likelihood, law in (
        (Poisson(2.5), scipy.stats.poisson(2.5 * np.exp(eta))),
        (Binomial(6), scipy.stats.binom(6, 1.0 / (1.0 + np.exp(-eta)))),
    ):
        assert_allclose(likelihood.log_density(y, eta), law.logpmf(y), rtol=1e-10)
        less, more = likelihood.tails(y, eta)
        assert_allclose(less, law.cdf(y - 1.0), rtol=1e-9, atol=1e-15)
        assert_allclose(more, law.sf(y), rtol=1e-9, atol=1e-15)


def test_a_likelihood_of_ones_own_is_fitted_and_conditioned_on():
    rng = np.random.default_rng(2)
    truth = Matern(range=6.0, sigma=0.8)
    eta = 1.0 + truth.gmrf((24, 26)).sample(rng=rng)
    y = rng.gamma(4.0, np.exp(eta) / 4.0)
    y[5:9, 6:12] = np.nan
    result = fit(Matern(), y, likelihood=Gamma())
    assert result.converged
    assert result.likelihood == "gamma"
    # Beyond 5.5 standard errors with probability 4e-8 each; the seed is fixed.
    for key, value in {"range": 6.0, "sigma": 0.8}.items():
        assert abs(result.parameters[key] - value) < 5.5 * result.standard_errors[key]
    posterior = condition(result.gmrf(), y, mask="nan", likelihood=Gamma())
    assert_allclose(posterior.mean, result.predict().mean, rtol=1e-9)
    with pytest.raises(ArgumentError, match=r"does not implement tails"):
        diagnose(result)
    with pytest.raises(ArgumentError, match=r"^image must be positive"):
        fit(Matern(), -y, likelihood=Gamma())


def test_gaussian_noise_may_be_given_as_a_likelihood():
    image = Matern(range=5.0).gmrf((20, 22)).sample(rng=3)
    for noise in ("estimate", 0.1, None):
        by_value = fit(Matern(), image, likelihood=Gaussian(noise_variance=noise))
        assert by_value.parameters == fit(Matern(), image, noise_variance=noise).parameters
    field = Matern(range=5.0).gmrf((20, 22))
    given = condition(field, image, likelihood=Gaussian(0.2)).mean
    assert np.array_equal(given, condition(field, image, noise_variance=0.2).mean)


def test_likelihoods_are_not_changed_by_what_they_are_used_for():
    likelihood, y = Poisson(2.0), np.random.default_rng(4).poisson(3.0, SHAPE)
    fit(Matern(), y, likelihood=likelihood, fixed=["range", "sigma"])
    assert likelihood.exposure == 2.0


def test_results_hold_no_factor_and_predict_after_pickling():
    image = Matern(range=5.0).gmrf((64, 64)).sample(rng=5)
    image[20:30, 20:40] = np.nan
    counts = np.random.default_rng(6).poisson(2.0, (64, 64))
    for result in (
        fit(Matern(), image, covariates="linear"),
        fit(Matern(), counts, likelihood=Poisson(), fixed="range"),
    ):
        stored = pickle.dumps(result)
        assert len(stored) < 60 * image.nbytes  # a factor has some 30 numbers a pixel by itself, and its tables
        again = pickle.loads(stored)
        assert np.array_equal(again.predict().mean, result.predict().mean)
        for key, error in result.standard_errors.items():
            assert np.array_equal(again.standard_errors[key], error, equal_nan=True)


def test_log_probability_of_large_counts_has_all_digits():
    y = np.array([100.0, 101.0, 150.0, 1000.0])
    direct = [-math.lgamma(each + 1.0) + each * math.log(each) - each for each in y]
    assert_allclose(Poisson().log_density(y, np.log(y)), direct, rtol=1e-12)
    y = np.array([1e6, 1e9, 1e12, 1e15])
    assert_allclose(Poisson(y).log_density(y, 0.0 * y), -0.5 * np.log(2.0 * np.pi * y) - 1.0 / (12.0 * y), rtol=1e-14)
    moved = Poisson(y).log_density(y, 1.0 / np.sqrt(y)) - Poisson(y).log_density(y, 0.0 * y)
    assert_allclose(moved, -0.5, atol=1e-3)
