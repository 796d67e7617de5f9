"""Risks of counts against integrals of their normal linear predictor, and what a missing exposure means."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import expit, logit

from sparsegmrf import condition, fit
from sparsegmrf._logit_normal import logit_normal_moments
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import Risk
from sparsegmrf.likelihoods import Binomial, Likelihood, Poisson
from sparsegmrf.models import BYM, Matern
from tests.inference.test_fit_counts import KINDS, LIKELIHOOD, problem

INVERSE = {"poisson": np.exp, "binomial": expit}


def fitted(kind, **options):
    y, size, missing = problem(kind, 5)
    likelihood = LIKELIHOOD[kind](size)
    return fit(Matern(4.0, 0.9), y, mask=missing, likelihood=likelihood, fixed=["range", "sigma"], **options)


@pytest.mark.parametrize("variance", [1e-3, 0.5, 4.0, 100.0])
@pytest.mark.parametrize("mean", [-30.0, -3.0, 0.0, 1.0, 7.0])
def test_moments_of_a_logit_normal_probability_are_its_integrals(mean, variance):
    s = np.sqrt(variance)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    ends = np.linspace(-12.0, 12.0 + s, 401)  # also where the tail of a small probability has its weight
    z = (ends[:-1, np.newaxis] + np.diff(ends)[:, np.newaxis] * (nodes + 1.0) / 2.0).ravel()
    w = np.repeat(np.diff(ends) / 2.0, 40) * np.tile(weights, 400) * stats.norm.pdf(z)
    first = w @ expit(mean + s * z)
    found, square = logit_normal_moments(np.array([[mean]]), np.array([[variance]]))
    assert found[0, 0] == pytest.approx(first, rel=1e-12)
    assert square[0, 0] == pytest.approx(w @ (expit(mean + s * z) - first) ** 2, rel=1e-10)


def test_a_probability_that_is_nearly_known_has_the_variance_of_its_slope():
    mean = np.array([-30.0, -3.0, 0.0, 7.0])
    found, square = logit_normal_moments(mean, np.full(4, 1e-12))
    assert_allclose(found, expit(mean), rtol=1e-11)
    assert_allclose(square, 1e-12 * (expit(mean) * expit(-mean)) ** 2, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_risk_is_that_of_the_normal_linear_predictor(kind):
    result = fitted(kind)
    found, predictor = result.relative_risk(0.9), result.predict()
    rng = np.random.default_rng(0)
    draws = INVERSE[kind](predictor.mean + predictor.std * rng.standard_normal((20000, *predictor.mean.shape)))
    assert isinstance(found, Risk)
    for values, of_draws, error in (
        (found.mean, draws.mean(axis=0), draws.std(axis=0)),
        (found.std, draws.std(axis=0), 4.0 * draws.std(axis=0)),
    ):
        assert (np.abs(values - of_draws) < 5.5 * error / np.sqrt(20000)).all()
    assert_allclose(found.median, INVERSE[kind](predictor.mean), rtol=1e-12)
    for end, z in ((found.lower, -1.6448536269514722), (found.upper, 1.6448536269514722)):
        assert_allclose(end, INVERSE[kind](predictor.mean + z * predictor.std), rtol=1e-12)
    assert found.level == 0.9
    assert "level=0.9" in repr(found)


@pytest.mark.parametrize("kind", KINDS)
def test_exceedance_is_the_share_of_the_distribution_above(kind):
    result, threshold = fitted(kind), 0.7
    predictor = result.predict()
    expected = stats.norm.sf({"poisson": np.log, "binomial": logit}[kind](threshold), predictor.mean, predictor.std)
    assert_allclose(result.exceedance(threshold), expected, rtol=1e-12)
    risk = result.relative_risk(0.9)
    assert_allclose(result.exceedance(risk.lower), 0.95, rtol=1e-10)
    assert_allclose(result.exceedance(risk.upper), 0.05, rtol=1e-10)


def test_risk_has_the_uncertainty_of_the_trend_in():
    result = fitted("poisson", covariates="linear")
    known = np.sqrt(result.posterior().marginal_variance())
    risk = result.relative_risk()
    half = (np.log(risk.upper) - np.log(risk.lower)) / (2.0 * 1.959963984540054)
    assert (half > known).all()
    assert (half > 1.01 * known).any()
    assert_allclose(half, result.predict().std, rtol=1e-10)


def test_risk_is_unknown_where_the_trend_is():
    y, size, missing = problem("poisson", 5)
    missing[2, 3] = True
    covariate = np.random.default_rng(0).random(y.shape)
    covariate[2, 3] = np.nan
    options = {"mask": missing, "likelihood": Poisson(size), "fixed": ["range", "sigma"]}
    result = fit(Matern(4.0, 0.9), y, covariates={"z": covariate}, **options)
    for values in (result.relative_risk().mean, result.relative_risk().upper, result.exceedance(1.0)):
        assert np.isnan(values[2, 3])
        assert np.count_nonzero(np.isnan(values)) == 1
    assert np.isfinite(fit(Matern(4.0, 0.9), y, **options).relative_risk().mean).all()


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_at_which_nothing_could_be_counted_are_missing(kind):
    y, size, missing = problem(kind, 3)
    empty = ~missing & (np.random.default_rng(1).random(y.shape) < 0.3)
    y[empty], nothing = 0, np.where(empty, 0.0, size)
    options = {"fixed": ["range", "sigma"]}
    found = fit(Matern(4.0, 0.9), y, mask=missing, likelihood=LIKELIHOOD[kind](nothing), **options)
    masked = fit(Matern(4.0, 0.9), y, mask=missing | empty, likelihood=LIKELIHOOD[kind](size), **options)
    assert found.n_observed == masked.n_observed < np.count_nonzero(~missing)
    assert found.loglik == masked.loglik
    assert np.array_equal(found.relative_risk().mean, masked.relative_risk().mean)
    field = Matern(4.0, 0.9).gmrf(y.shape)
    posterior = condition(field, y, mask=missing, likelihood=LIKELIHOOD[kind](nothing))
    assert (posterior.curvature[empty] == 0.0).all()


def test_counts_where_nothing_could_be_counted_are_refused_with_their_number():
    y, size, missing = problem("poisson", 3)
    y[~missing] += 1
    size[:, 2] = 0.0
    count = np.count_nonzero(~missing[:, 2])
    first = int(np.argmax(~missing[:, 2]))
    message = rf"^image must be zero where exposure is zero, .* but {count} counts are not, .* pixel \({first}, 2\)"
    with pytest.raises(ArgumentError, match=message):
        fit(BYM(), y, mask=missing, likelihood=Poisson(size))
    with pytest.raises(ArgumentError, match=r"^image must be zero where trials is zero"):
        fit(BYM(), y, mask=missing, likelihood=Binomial(np.where(size > 0.0, 100.0, 0.0)))


class Bare(Likelihood):
    """Poisson counts without a link."""

    name = "bare"

    def log_density(self, y, eta):
        return Poisson().log_density(y, eta)

    def derivatives(self, y, eta):
        return Poisson().derivatives(y, eta)

    def first_guess(self, y):
        return Poisson().first_guess(y)


@pytest.mark.parametrize(
    ("kind", "ask", "message"),
    [
        ("poisson", lambda result: result.relative_risk(1.0), r"^level must lie between 0 and 1"),
        ("poisson", lambda result: result.exceedance(0.0), r"^threshold must be a positive rate, got 0"),
        ("poisson", lambda result: result.exceedance(np.nan), r"^threshold must be finite"),
        ("poisson", lambda result: result.exceedance(np.ones((2, 3))), r"^threshold must be a number or an image"),
        ("binomial", lambda result: result.exceedance(1.0), r"^threshold must be a probability between 0 and 1, got 1"),
    ],
)
def test_bad_questions_are_refused_by_name(kind, ask, message):
    with pytest.raises(ArgumentError, match=message):
        ask(fitted(kind))


def test_a_likelihood_without_a_link_says_what_to_implement():
    y, _, missing = problem("poisson", 5)
    result = fit(Matern(4.0, 0.9), y, mask=missing, likelihood=Bare(), fixed=["range", "sigma"])
    for ask in (result.relative_risk, lambda: result.exceedance(1.0)):
        with pytest.raises(ArgumentError, match=r"Bare does not implement inverse_link\(eta\), link\(risk\)"):
            ask()
