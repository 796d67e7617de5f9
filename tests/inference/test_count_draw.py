"""Draws given counts have the moments of the posterior, not those of its Laplace approximation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import expit, ndtri

from sparsegmrf import GMRF, SymmetricStencil, condition
from sparsegmrf.errors import ConvergenceError
from sparsegmrf.inference import _count_draw as module
from sparsegmrf.inference._counts import Counts
from sparsegmrf.likelihoods import Binomial, Poisson
from tests.inference import dense_counts

SHAPE = (50, 60)
LIKELIHOOD = {"poisson": Poisson, "binomial": Binomial}
MEAN, PRECISION = -0.5, 0.8


def given(kind, y, size, mask=None):
    """Pixels that know nothing of each other, given counts; and the likelihood."""
    field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [PRECISION, 0.0], y.shape), mean=MEAN)
    likelihood = LIKELIHOOD[kind](size)
    return condition(field, y, mask=mask, likelihood=likelihood), Counts.of(likelihood, y, mask, y.shape, "y")


def exact_moments(kind, y, size):
    """Mean, variance and third central moment of one pixel, by sums on a fine grid."""
    eta = np.linspace(-14.0, 10.0, 24001)
    log_density = dense_counts.log_likelihood(kind, y, size, eta) - 0.5 * PRECISION * (eta - MEAN) ** 2
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    mean = weight @ eta
    return mean, weight @ (eta - mean) ** 2, weight @ (eta - mean) ** 3


@pytest.mark.parametrize(("kind", "y", "size"), [("poisson", 0, 2.0), ("poisson", 3, 1.0), ("binomial", 5, 5)])
def test_draws_have_the_moments_of_the_posterior(kind, y, size):
    posterior, counts = given(kind, np.full(SHAPE, y), size)
    draw = module.draw_given_counts(posterior, counts, np.random.default_rng(0))
    mean, variance, third = exact_moments(kind, y, size)
    z, root = (draw - mean) / np.sqrt(variance), np.sqrt(draw.size)
    # Three means of 3000 independent numbers within 5.5 of their standard errors: false alarm below 2e-7 each.
    assert abs(z.mean()) * root < 5.5
    assert abs((z**2).mean() - 1.0) * root < 5.5 * (z**2).std()
    assert abs((z**3).mean() - third / variance**1.5) * root < 5.5 * (z**3).std()
    # The approximation is further off.
    assert abs(posterior.mean[0, 0] - mean) / np.sqrt(variance) * root > max(4.5, 3.0 * abs(z.mean()) * root)


def test_missing_pixels_have_their_prior():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, 20:] = True
    posterior, counts = given("poisson", np.full(SHAPE, 2), 1.0, mask)
    draw = module.draw_given_counts(posterior, counts, np.random.default_rng(1))
    # Kolmogorov and Smirnov's test of 2000 numbers, at 1e-6.
    assert stats.kstest((draw[mask] - MEAN) * np.sqrt(PRECISION), "norm").pvalue > 1e-6


def test_the_same_seed_draws_the_same_field():
    posterior, counts = given("poisson", np.arange(30).reshape(5, 6) % 4, 1.0)
    first, second = (module.draw_given_counts(posterior, counts, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)


def nearly_all_zero(precision):
    y = np.zeros((20, 25))
    y[3, 4] = 1.0
    coupling = -0.22 * precision
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [precision, coupling, coupling], y.shape)
    posterior = condition(GMRF.from_precision(Q, mean=-8.0), y, likelihood=Poisson())
    return posterior, Counts.of(Poisson(), y, None, y.shape, "y")


def test_counts_that_are_nearly_all_zero_under_a_wide_field_are_drawn_given():
    posterior, counts = nearly_all_zero(0.045)
    draw = module.draw_given_counts(posterior, counts, np.random.default_rng(0))
    assert draw[3, 4] > draw.mean()
    assert np.exp(draw).max() < 20.0


def test_a_draw_that_is_not_found_is_refused_with_the_remedy():
    posterior, counts = nearly_all_zero(1e-6)  # rates that vary by a factor of e^1000
    with pytest.raises(ConvergenceError, match=r"^no draw of the field given the counts.* 1024 steps .*posterior\(\)"):
        module.draw_given_counts(posterior, counts, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["poisson", "binomial"])
def test_residuals_are_quantiles_between_the_cumulative_probabilities(kind):
    rng = np.random.default_rng(2)
    eta, v = rng.normal(0.0, 1.5, (30, 30)), rng.random((30, 30))
    size = rng.uniform(0.5, 4.0, (30, 30)) if kind == "poisson" else rng.integers(1, 9, (30, 30)).astype(float)
    law = stats.poisson(size * np.exp(eta)) if kind == "poisson" else stats.binom(size.astype(int), expit(eta))
    y, missing = law.rvs(random_state=rng).astype(float), rng.random((30, 30)) < 0.2
    counts = Counts.of(LIKELIHOOD[kind](size), np.where(missing, 0.0, y), missing, (30, 30), "y")
    found = counts.quantile_residuals(np.where(missing, 1e4, eta), v)
    expected = ndtri(law.cdf(y - 1.0) + v * law.pmf(y))
    assert_allclose(found[~missing], expected[~missing], rtol=1e-9, atol=1e-9)
    assert not found[missing].any()
    # Uniform v makes them standard normal, whatever the counts: Kolmogorov and Smirnov at 1e-6.
    assert stats.kstest(found[~missing], "norm").pvalue > 1e-6


def test_residuals_are_finite_and_right_far_out_in_either_tail():
    y = np.array([[0.0, 0.0, 30.0, 400.0, 1e6]])
    eta = np.log(np.array([[50.0, 2000.0, 0.5, 1.0, 1e3]]))
    counts = Counts.of(Poisson(), y, None, (1, 5), "y")
    found = counts.quantile_residuals(eta, np.full((1, 5), 0.5))[0]
    # Logarithms of the tails, by the first of their terms where the rest does not count.
    assert found[0] == pytest.approx(ndtri(0.5 * np.exp(-50.0)), rel=1e-12)
    assert found[2] == pytest.approx(stats.norm.isf(stats.poisson.sf(30, 0.5) + 0.5 * stats.poisson.pmf(30, 0.5)))
    logs = np.array([-2000.0, stats.poisson.logpmf(400, 1.0), stats.poisson.logpmf(1e6, 1e3)]) + np.log(0.5)
    assert_allclose(stats.norm.logcdf(-np.abs(found[[1, 3, 4]])), logs, rtol=1e-9)
    assert (np.sign(found) == [-1.0, -1.0, 1.0, 1.0, 1.0]).all()
    binomial = Counts.of(Binomial(900), np.array([[0.0, 900.0]]), None, (1, 2), "y")
    tails = binomial.quantile_residuals(np.array([[5.0, -5.0]]), np.full((1, 2), 0.5))[0]
    assert tails[0] == -tails[1]
    assert np.isfinite(tails).all()
    assert stats.norm.logcdf(tails[0]) == pytest.approx(900.0 * np.log(expit(-5.0)) + np.log(0.5), rel=1e-9)
