"""Priors against their definitions, posterior modes against the dense posterior."""

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from numpy.testing import assert_allclose

from sparsegmrf._interval import Interval
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import fit
from sparsegmrf.models import CAR, Matern
from sparsegmrf.priors import LogNormal, Normal, PCPrecision, PCRange, PCSigma, PCVariance, Prior
from tests.inference.problems import searched
from tests.inference.test_fit import dense_loglik, problem

PRIORS = [
    PCRange(5.0, 0.05),
    PCSigma(2.0, 0.1),
    PCVariance(2.0, 0.1),
    PCPrecision(2.0, 0.1),
    LogNormal(3.0, 0.6),
    Normal(1.0, 0.8),
]
INTERVALS = {
    "real": Interval(-np.inf, np.inf),
    "positive": Interval(0.0, np.inf),
    "below": Interval(-np.inf, 4.0),
    "bounded": Interval(0.5, 4.0),
}
by_name = pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)


def probability(prior, low, high):
    """Integral of the density by the logarithm of the parameter, or by the parameter where that may be negative."""
    if prior.support[0] == 0.0:
        with np.errstate(divide="ignore"):
            ends = np.clip(np.log([low, high]), -60.0, 60.0)
        return scipy.integrate.quad(lambda u: np.exp(prior.log_density(np.exp(u)) + u), *ends, limit=200)[0]
    return scipy.integrate.quad(lambda v: np.exp(prior.log_density(v)), low, high)[0]


@by_name
def test_density_integrates_to_one(prior):
    assert probability(prior, *prior.support) == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize(
    ("prior", "low", "high", "expected"),
    [
        (PCRange(5.0, 0.05), 0.0, 5.0, 0.05),
        (PCSigma(2.0, 0.1), 2.0, np.inf, 0.1),
        (PCVariance(2.0, 0.1), 4.0, np.inf, 0.1),
        (PCPrecision(2.0, 0.1), 0.0, 0.25, 0.1),
        (LogNormal(3.0, 0.6), 0.0, 3.0, 0.5),
        (Normal(1.0, 0.8), -np.inf, 1.0, 0.5),
    ],
)
def test_probability_beyond_the_value_is_the_one_given(prior, low, high, expected):
    assert probability(prior, low, high) == pytest.approx(expected, abs=1e-7)


@by_name
@pytest.mark.parametrize("value", [0.6, 2.5, 3.9])
def test_derivatives_are_those_of_finite_differences(prior, value):
    h = 1e-5
    slope = (prior.log_density(value + h) - prior.log_density(value - h)) / (2 * h)
    assert prior.derivative(value) == pytest.approx(slope, rel=1e-6)
    for interval in INTERVALS.values():
        u = interval.outward(value)
        density, slope = prior.on_real_line(value, interval)
        by_u = (interval.inward(u + h) - interval.inward(u - h)) / (2 * h)
        assert density == pytest.approx(prior.log_density(value) + np.log(by_u), rel=1e-6)
        sides = [prior.on_real_line(interval.inward(u + s * h), interval)[0] for s in (1, -1)]
        assert slope == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=1e-6, abs=1e-9)


CASES = {
    "all": {"range": PCRange(6.0, 0.05), "sigma": PCSigma(1.0, 0.05), "noise_variance": PCSigma(0.2, 0.05)},
    "range": {"range": PCRange(20.0, 0.05)},
    "plain": {"range": LogNormal(3.0, 0.3), "noise_variance": Normal(0.1, 0.05)},
}


@pytest.mark.parametrize("priors", CASES.values(), ids=CASES)
def test_mode_and_errors_are_those_of_the_dense_posterior(priors):
    image, missing = problem(2)
    result = fit(Matern(), image, mask=missing, priors=priors, tolerance=1e-7)
    assert result.converged
    densities = {**priors}
    if isinstance(priors.get("noise_variance"), PCSigma):
        densities["noise_variance"] = PCVariance(priors["noise_variance"].s0, priors["noise_variance"].probability)
    assert result.priors == densities

    def parts(u):
        values = dict(zip(("range", "sigma", "noise_variance"), np.exp(u), strict=True))
        model = Matern(range=values["range"], sigma=values["sigma"])
        log_prior = sum(p.log_density(values[name]) + np.log(values[name]) for name, p in densities.items())
        return dense_loglik(model, values["noise_variance"], image, missing, "constant"), log_prior

    at = np.log(list(result.parameters.values()))
    assert result.loglik == pytest.approx(parts(at)[0], rel=1e-9)
    assert result.log_prior == pytest.approx(parts(at)[1], rel=1e-9)
    assert result.log_posterior == result.loglik + result.log_prior
    h, unit = 1e-3, np.eye(3)
    value = {  # on a cross of points around the mode
        (i, j, a, b): sum(parts(at + h * (a * unit[i] + b * unit[j])))
        for i in range(3)
        for j in range(i + 1)
        for a in (1, -1)
        for b in (1, -1)
    }
    slope = np.array([(value[k, k, 1, 1] - value[k, k, -1, -1]) / (4 * h) for k in range(3)])
    hessian = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):
        k, m = max(i, j), min(i, j)
        hessian[i, j] = sum(a * b * value[k, m, a, b] for a in (1, -1) for b in (1, -1)) / (4 * h * h)
    # Differences of third order remain in the slope: a thousandth of a step of a thousandth.
    assert np.abs(np.linalg.solve(hessian, slope)).max() < 1e-5
    errors = np.sqrt(np.diagonal(np.linalg.inv(-hessian))) * np.exp(at)
    assert_allclose(list(result.standard_errors.values()), errors, rtol=1e-3)


def test_gradient_of_the_posterior_is_that_of_finite_differences():
    image, missing = problem(2)
    car = {"rho": Normal(0.1, 0.05), "tau": PCPrecision(1.0, 0.1), "noise_variance": PCVariance(0.5, 0.1)}
    for model, priors in ((Matern(range=4.0), CASES["all"]), (CAR(rho=0.2), car)):
        objective = searched(model, image, missing, "estimate", "linear", "reml", (), priors)
        at = objective.start(model, 0.2)
        gradient = objective(at).gradient
        for k in range(len(at)):
            step = 1e-4 * (np.arange(len(at)) == k)
            sides = [objective(at + j * step)[0] for j in (1, -1, 2, -2)]
            slope = (8.0 * (sides[0] - sides[1]) - (sides[2] - sides[3])) / 12e-4
            assert gradient[k] == pytest.approx(slope, rel=1e-6)


def test_scale_is_profiled_only_without_a_prior_on_it_or_on_the_noise():
    image, missing = problem(2)
    for priors, profiled in (
        ({}, True),
        ({"range": PCRange(5.0, 0.05)}, True),
        ({"sigma": PCSigma(5.0, 0.05)}, False),
        ({"noise_variance": PCSigma(5.0, 0.05)}, False),
    ):
        objective = searched(Matern(), image, missing, "estimate", "constant", "ml", (), priors)
        assert (objective.scale is not None) == profiled


def test_narrow_priors_hold_a_parameter_and_wide_ones_leave_the_maximum_of_the_likelihood():
    image, missing = problem(7, (13, 14))
    plain = fit(Matern(), image, mask=missing, tolerance=1e-6)
    narrow = fit(Matern(), image, mask=missing, priors={"range": LogNormal(9.0, 1e-3)})
    assert narrow.parameters["range"] == pytest.approx(9.0, rel=1e-4)
    wide = {name: LogNormal(1.0, 1e4) for name in plain.parameters}
    result = fit(Matern(), image, mask=missing, priors=wide, tolerance=1e-6)
    assert_allclose(list(result.parameters.values()), list(plain.parameters.values()), rtol=1e-5)
    assert result.loglik == pytest.approx(plain.loglik, abs=1e-8)


def test_noise_that_the_likelihood_would_drop_stays_with_a_prior():
    image = Matern(range=8.0).gmrf((24, 24)).sample(rng=0)
    result = fit(Matern(), image, priors={"noise_variance": LogNormal(0.01, 0.5)})
    assert result.converged
    assert 0.0 < result.noise_variance < 0.01


def test_result_says_that_there_are_priors_and_refuses_criteria():
    image, missing = problem(2)
    result = fit(Matern(), image, mask=missing, priors=CASES["all"])
    assert "posterior mode, priors on range, sigma, noise_variance" in result.summary()
    assert "AIC" not in result.summary()
    for name in ("aic", "bic"):
        with pytest.raises(ArgumentError, match=rf"^{name} compares maxima of the likelihood"):
            getattr(result, name)
    plain = fit(Matern(), image, mask=missing)
    assert plain.priors == {}
    assert plain.log_prior == 0.0


class _Odd(Prior):
    """A prior of one's own: the contract is two methods."""

    def log_density(self, value):
        return -value

    def derivative(self, value):
        return -1.0


def test_priors_of_ones_own_work():
    image, missing = problem(7, (13, 14))
    own = fit(Matern(), image, mask=missing, priors={"sigma": _Odd()}, tolerance=1e-6)
    same = fit(Matern(), image, mask=missing, priors={"sigma": PCSigma(1.0, np.exp(-1.0))}, tolerance=1e-6)
    assert_allclose(list(own.parameters.values()), list(same.parameters.values()), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"priors": {"kappa": PCRange(5.0, 0.05)}}, r"^priors must name .* range, sigma, noise_variance, got 'kappa'"),
        (
            {"priors": {"range": PCRange(5.0, 0.05)}, "fixed": "range"},
            r"^priors must name .* got 'range'",
        ),
        (
            {"priors": {"noise_variance": PCSigma(1.0, 0.1)}, "noise_variance": None},
            r"^priors must name .* got 'noise",
        ),
        ({"priors": {"range": 5.0}}, r"^priors must hold Prior objects, got 5.0 for 'range'"),
        ({"priors": PCRange(5.0, 0.05)}, r"^priors must be a mapping of names to priors, got PCRange"),
    ],
)
def test_bad_priors_are_named_with_the_remedy(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        fit(Matern(), problem(0)[0], **arguments)


def test_prior_on_positive_numbers_for_a_parameter_that_may_be_negative_is_refused():
    with pytest.raises(ArgumentError, match=r"^priors must be positive wherever rho may lie, .* got a PCSigma"):
        fit(CAR(), problem(0)[0], priors={"rho": PCSigma(1.0, 0.1)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PCRange(0.0, 0.1), r"^r0 must be positive"),
        (lambda: PCRange(5.0, 1.0), r"^probability must lie in \(0, 1\), got 1"),
        (lambda: PCSigma(-1.0, 0.1), r"^s0 must be positive"),
        (lambda: PCPrecision(1.0, 0.0), r"^probability must be positive"),
        (lambda: LogNormal(1.0, 0.0), r"^sigma must be positive"),
        (lambda: Normal(np.inf, 1.0), r"^mean must be"),
    ],
)
def test_bad_numbers_of_priors_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
