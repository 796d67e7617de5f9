"""Fits to counts against the dense Laplace likelihood, its optimum by scipy and its numerical Hessian."""

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from sparsegmrf import condition, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import LaplacePosterior
from sparsegmrf.inference import CountFitResult, FitResult
from sparsegmrf.inference import _count_fit_result as module
from sparsegmrf.inference._problem import Problem
from sparsegmrf.likelihoods import Binomial, Gaussian, Poisson
from sparsegmrf.models import CAR, SAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.priors import PCRange, PCSigma
from tests.inference import dense_counts
from tests.inference.problems import Searched

SHAPE = (7, 8)
KINDS = ("poisson", "binomial")
LIKELIHOOD = {"poisson": Poisson, "binomial": Binomial}
MODELS = {
    "car": CAR(rho=0.2, tau=2.0),
    "sar": SAR(rho=0.15, tau=1.5),
    "matern": Matern(range=4.0, sigma=1.3),
    "anisotropic": Matern(range=4.0, sigma=1.3, anisotropy=(1.5, 0.4)),
    "spline": TensionSpline(kappa=0.5, tau=2.0),
}


@pytest.fixture(autouse=True)
def one_blas_thread():
    """Small dense oracles lose more to spinning threads than they take."""
    with threadpool_limits(1):
        yield


def problem(kind, seed, shape=SHAPE, range=4.0, sigma=0.9):
    """Counts with a trend, their exposures or trials, and gaps."""
    rng = np.random.default_rng(seed)
    rows = np.mgrid[: shape[0], : shape[1]][0] - (shape[0] - 1) / 2.0
    eta = Matern(range=range, sigma=sigma).gmrf(shape).sample(rng=rng) + 0.4 + 0.05 * rows
    size = rng.uniform(1.0, 5.0, shape) if kind == "poisson" else rng.integers(3, 12, shape).astype(float)
    y = rng.poisson(size * np.exp(eta)) if kind == "poisson" else rng.binomial(size.astype(int), 1 / (1 + np.exp(-eta)))
    return y, size, rng.random(shape) < 0.2


def make_objective(model, kind, y, size, missing, covariates, **options):
    return Searched(Problem.read(model, y, missing, LIKELIHOOD[kind](size), covariates, **options).objective)


def design(shape, count):
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    images = [np.ones(shape), rows - (shape[0] - 1) / 2, columns - (shape[1] - 1) / 2]
    return np.array(images[:count]).reshape(count, -1).T


def dense_loglik(model, beta, kind, y, size, missing):
    """Laplace log-likelihood with coefficients of the constant, rows and columns."""
    Q = model.stencil(y.shape).tocsr().toarray()
    mean = design(y.shape, len(beta)) @ beta
    return dense_counts.log_marginal(Q, mean, kind, y.ravel(), size.ravel(), ~missing.ravel())


def differences(function, at, h):
    """Gradient by central differences of fourth order."""
    slopes = []
    for e in np.eye(len(at)) * h:
        near, far = function(at + e) - function(at - e), function(at + 2 * e) - function(at - 2 * e)
        slopes.append((8.0 * near - far) / (12.0 * h))
    return np.array(slopes)


def central(function, at, h=1e-3):
    """Gradient by central differences."""
    return np.array([(function(at + e) - function(at - e)) / (2.0 * h) for e in np.eye(len(at)) * h])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_is_that_of_the_dense_formula_and_its_gradient_that_of_differences(name, kind):
    y, size, missing = problem(kind, 1)
    objective = make_objective(MODELS[name], kind, y, size, missing, "linear")
    at = objective.origin
    at = at + np.random.default_rng(2).uniform(-0.3, 0.3, len(at))
    value, gradient, *_ = objective(at)
    assert len(gradient) == len(objective.names) == len(at)
    assert_allclose(gradient, differences(lambda u: objective(u)[0], at, 1e-3), rtol=1e-6, atol=1e-6)
    model, beta, *_ = objective.solution(at)
    if name == "spline":  # its level is its own
        beta = np.concatenate([[0.0], beta])
    assert value == pytest.approx(dense_loglik(model, beta, kind, y, size, missing), rel=1e-9)


def test_gradient_with_priors_and_covariates_of_ones_own_is_that_of_differences():
    y, size, missing = problem("poisson", 3)
    rng = np.random.default_rng(4)
    columns = np.stack([np.ones(SHAPE), 50.0 * rng.random(SHAPE)])
    priors = {"range": PCRange(3.0, 0.1), "sigma": PCSigma(1.0, 0.05)}
    objective = make_objective(Matern(), "poisson", y, size, missing, columns, priors=priors)
    at = objective.origin + 0.1
    assert_allclose(objective(at)[1], differences(lambda u: objective(u)[0], at, 1e-3), rtol=1e-6, atol=1e-6)
    plain = make_objective(Matern(), "poisson", y, size, missing, columns)
    prior = sum(priors[name].on_real_line(*each)[0] for name, each in zip(priors, priors_at(plain, at), strict=True))
    assert objective(at)[0] - plain(at)[0] == pytest.approx(prior, rel=1e-9)


def priors_at(objective, at):
    return zip(objective.solution(at)[0].parameters.values(), objective.gaussian._intervals, strict=True)


@pytest.mark.parametrize(
    ("kind", "start"), [("poisson", Matern()), ("binomial", Matern()), ("poisson", SAR(rho=0.2))], ids=["p", "b", "sar"]
)
def test_estimates_and_errors_are_those_of_the_dense_likelihood_by_scipy(kind, start):
    y, size, missing = problem(kind, 12, (12, 13))
    result = fit(start, y, mask=missing, likelihood=LIKELIHOOD[kind](size), tolerance=1e-7)
    assert result.converged
    assert isinstance(result, CountFitResult)
    assert not isinstance(result, FitResult)
    names = list(result.parameters)
    found = np.array([*result.parameters.values(), *result.coefficients.values()])

    def negative(values):
        model = start.replace(**dict(zip(names, values[:2].tolist(), strict=True)))
        return -dense_loglik(model, values[2:], kind, y, size, missing)

    assert result.loglik == pytest.approx(-negative(found), rel=1e-9)
    # From a point of its own, in units of the standard errors, where the likelihood is about round.
    unit = np.array([*result.standard_errors.values(), *result.coefficient_errors.values()])
    first = found + 0.3 * unit * [1.0, -1.0, 1.0]
    best = scipy.optimize.minimize(
        lambda v: negative(first + unit * v),
        np.zeros(3),
        jac=lambda v: central(lambda w: negative(first + unit * w), v),
        method="BFGS",
        options={"gtol": 1e-6},
    )
    assert_allclose(found, first + unit * best.x, rtol=1e-5)
    hessian = central(lambda v: central(lambda w: negative(found + unit * w), v), np.zeros(3))
    numerical = unit * np.sqrt(np.diagonal(np.linalg.inv(hessian)))
    assert_allclose(unit, numerical, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_are_those_of_the_dense_likelihood_of_the_counts(kind):
    y, size, missing = problem(kind, 12, (12, 13))
    result = fit(Matern(), y, mask=missing, likelihood=LIKELIHOOD[kind](size), tolerance=1e-7)
    found = np.array([*np.log(list(result.parameters.values())), *result.coefficients.values()])

    def negative(values):
        model = Matern(*np.exp(values[:2]).tolist())
        return -dense_loglik(model, values[2:], kind, y, size, missing)

    hessian = central(lambda v: central(negative, v), found)
    half = 1.6448536269514722 * np.sqrt(np.diagonal(np.linalg.inv(hessian)))
    low, high = found - half, found + half
    low[:2], high[:2] = np.exp(low[:2]), np.exp(high[:2])
    intervals = result.confidence_intervals(0.9)
    assert list(intervals) == ["range", "sigma", "constant"]
    assert_allclose(list(intervals.values()), np.transpose([low, high]), rtol=1e-3)
    # The coefficient alone, the parameters known.
    assert_allclose(result.coefficient_covariance, [[1.0 / hessian[2, 2]]], rtol=1e-3)


def test_intervals_and_standard_errors_are_of_one_information():
    y, size, missing = problem("poisson", 13, (12, 13))
    priors = {"sigma": PCSigma(1.0, 0.05)}
    options = {"mask": missing, "likelihood": Poisson(size), "covariates": "linear", "priors": priors}
    result = fit(Matern(), y, **options)
    z = 1.959963984540054
    for name, (low, high) in result.confidence_intervals().items():
        if name in result.parameters:
            error = result.standard_errors[name] / result.parameters[name]  # of the logarithm
            assert np.log(high / low) == pytest.approx(2.0 * z * error, rel=1e-9)
            assert np.sqrt(low * high) == pytest.approx(result.parameters[name], rel=1e-9)
        else:
            assert high - low == pytest.approx(2.0 * z * result.coefficient_errors[name], rel=1e-9)
            assert (low + high) / 2.0 == pytest.approx(result.coefficients[name], rel=1e-9)
    # What is known of the parameters too makes a coefficient no less certain.
    assert (np.sqrt(np.diagonal(result.coefficient_covariance)) <= list(result.coefficient_errors.values())).all()
    with pytest.raises(ArgumentError, match=r"^level must"):
        result.confidence_intervals(1.0)


def test_intervals_of_coefficients_alone_are_those_of_their_covariance():
    y, size, missing = problem("poisson", 7)
    options = {"mask": missing, "likelihood": Poisson(size)}
    held = fit(Matern(range=5.0, sigma=0.9), y, fixed=["range", "sigma"], **options)
    assert list(held.confidence_intervals()) == ["constant"]
    assert held.coefficient_covariance[0, 0] == pytest.approx(held.coefficient_errors["constant"] ** 2, rel=1e-9)
    nothing = fit(Matern(range=5.0, sigma=0.9), y, fixed=["range", "sigma"], covariates=None, **options)
    assert nothing.confidence_intervals() == {}
    assert nothing.coefficient_covariance.shape == (0, 0)


def test_errors_are_nan_next_to_an_end_of_the_likelihood(monkeypatch):
    def beyond(_, at):  # a neighbour of the end cannot be evaluated
        return np.full((len(at), len(at)), np.nan)

    monkeypatch.setattr(module, "observed_information", beyond)
    y, size, missing = problem("poisson", 7)
    result = fit(Matern(range=5.0), y, mask=missing, likelihood=Poisson(size), fixed="range", tolerance=1e-2)
    assert np.isfinite([*result.parameters.values(), *result.coefficients.values()]).all()
    errors = [*result.standard_errors.values(), *result.coefficient_errors.values(), *result.coefficient_covariance[0]]
    assert np.isnan(errors).all()
    assert np.isnan(list(result.confidence_intervals().values())).all()


@pytest.mark.parametrize("kind", KINDS)
def test_posterior_of_a_fit_is_that_of_its_field(kind):
    y, size, missing = problem(kind, 5)
    result = fit(Matern(), y, mask=missing, likelihood=LIKELIHOOD[kind](size), covariates="linear")
    posterior = result.posterior()
    assert isinstance(posterior, LaplacePosterior)
    field = result.model.gmrf(SHAPE, mean=result.trend)
    expected = condition(field, y, mask=missing, likelihood=LIKELIHOOD[kind](size))
    assert np.array_equal(posterior.mean, expected.mean)
    assert result.loglik == pytest.approx(expected.log_marginal_likelihood, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_are_near_the_truth_within_their_errors(kind):
    rng = np.random.default_rng(11)
    shape = (32, 33)
    eta = Matern(range=6.0, sigma=0.8).gmrf(shape, mean=0.7).sample(rng=rng)
    y = rng.poisson(np.exp(eta)) if kind == "poisson" else rng.binomial(10, 1 / (1 + np.exp(-eta)))
    result = fit(Matern(), y, likelihood=Binomial(10) if kind == "binomial" else Poisson())
    assert result.converged
    # Beyond 5.5 standard errors with probability 4e-8 each; the seed is fixed.
    for name, value in {"range": 6.0, "sigma": 0.8}.items():
        assert abs(result.parameters[name] - value) < 5.5 * result.standard_errors[name]
    assert abs(result.coefficients["constant"] - 0.7) < 5.5 * result.coefficient_errors["constant"]
    assert result.standard_errors["sigma"] < 0.2
    posterior = result.posterior()
    inside = np.abs(eta - posterior.mean) < 1.96 * np.sqrt(posterior.marginal_variance())
    assert 0.90 < inside.mean() < 0.99


def test_fit_does_not_depend_on_where_it_starts_nor_on_orientation():
    y, size, missing = problem("poisson", 6, (10, 9))
    options = {"tolerance": 1e-7}
    plain = fit(SAR(rho=0.2), y, mask=missing, likelihood=Poisson(size), **options)
    far = fit(SAR(rho=0.05, tau=0.1), y, mask=missing, likelihood=Poisson(1000.0 * size), **options)
    assert_allclose(list(far.parameters.values()), list(plain.parameters.values()), rtol=1e-5)
    assert far.coefficients["constant"] + np.log(1000.0) == pytest.approx(plain.coefficients["constant"], abs=1e-5)
    for turn in (np.flipud, np.transpose):
        turned = fit(SAR(rho=0.2), turn(y), mask=turn(missing), likelihood=Poisson(turn(size)), **options)
        assert_allclose(list(turned.parameters.values()), list(plain.parameters.values()), rtol=1e-5)


def test_rare_counts_start_near_their_level():
    # The logarithm of a count and a half is far from the level of counts that are nearly all zero.
    rng = np.random.default_rng(0)
    y = rng.poisson(0.02, (30, 30))
    objective = make_objective(Matern(range=3.0, sigma=0.3), "poisson", y, None, None, "constant")
    assert objective.first[0] == pytest.approx(np.log(y.mean()), abs=0.3)


def test_fixed_parameters_stay_and_a_field_of_mean_zero_may_have_nothing_to_search():
    y, size, missing = problem("poisson", 7)
    options = {"mask": missing, "likelihood": Poisson(size)}
    held = fit(Matern(range=5.0), y, fixed="range", **options)
    assert list(held.parameters) == ["sigma"]
    assert held.model.range == 5.0
    nothing = fit(Matern(range=5.0, sigma=0.9), y, fixed=["range", "sigma"], covariates=None, **options)
    assert nothing.converged
    assert nothing.standard_errors == {}
    assert nothing.n_parameters == 0


def test_priors_draw_the_estimates_to_themselves():
    y, size, missing = problem("poisson", 8)
    options = {"mask": missing, "likelihood": Poisson(size), "fixed": "range"}
    plain = fit(Matern(range=4.0), y, **options)
    drawn = fit(Matern(range=4.0), y, priors={"sigma": PCSigma(0.05, 0.01)}, **options)
    assert drawn.parameters["sigma"] < plain.parameters["sigma"]
    assert list(drawn.priors) == ["sigma"]
    assert drawn.loglik < plain.loglik
    with pytest.raises(ArgumentError, match=r"^aic compares maxima"):
        _ = drawn.aic


def test_summary_and_criteria_count_parameters_and_coefficients():
    y, size, missing = problem("poisson", 9)
    result = fit(Matern(), y, mask=missing, likelihood=Poisson(size), covariates="linear")
    for word in ("poisson likelihood", "Matern, laplace", "range", "sigma", "constant", "row", "column", "converged"):
        assert word in result.summary()
    assert result.n_parameters == 5
    assert result.aic == pytest.approx(10.0 - 2.0 * result.loglik)
    assert result.bic == pytest.approx(5.0 * np.log(np.count_nonzero(~missing)) - 2.0 * result.loglik)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.full(SHAPE, -1)}, r"^image must be counts, whole numbers of zero or more, got -1"),
        ({"image": np.full(SHAPE, 1.5)}, r"^image must be counts"),
        ({"image": np.zeros(SHAPE)}, r"^image must hold other counts, too, but all 56 observed ones are zero"),
        ({"image": np.ones(SHAPE), "likelihood": Binomial()}, r"all 56 observed ones are the number of trials"),
        ({"image": np.zeros(5)}, r"^image must have shape \(H, W\)"),
        ({"image": np.full(SHAPE, 2), "likelihood": Binomial()}, r"^image must be at most the trials"),
        ({"mask": np.arange(56).reshape(SHAPE) > 2}, r"^image must have more observed pixels than .*, 3, got 3"),
        ({"likelihood": Poisson(exposure=-1.0)}, r"^exposure must be positive"),
        (
            {"noise_variance": 0.1},
            r"^noise_variance must be left out with likelihood=, got 0.1; a poisson likelihood has",
        ),
        ({"noise_variance": None}, r"^noise_variance must be left out with likelihood="),
        ({"likelihood": Gaussian(0.1), "noise_variance": 0.1}, r"give it to Gaussian\(noise_variance=...\)"),
        ({"method": "reml"}, r'^method must be "ml" with a poisson likelihood'),
        ({"likelihood": "poisson"}, r"^likelihood must be a value such as .*Poisson\(\).* got 'poisson'"),
        ({"likelihood": Poisson}, r"^likelihood must be a value such as"),
        ({"covariates": np.ones((2, *SHAPE))}, r"^covariates must be linearly independent"),
        ({"fixed": ["nugget"]}, r"^fixed must name parameters of the model"),
        ({"tolerance": 0.0}, r"^tolerance must be positive"),
        ({"priors": {"noise_variance": PCSigma(1.0, 0.1)}}, r"^priors must"),
        ({"model": Matern}, r"^model must be a model of a field, .* got the class Matern"),
        ({"model": Sum([Intrinsic(), Intrinsic(2)])}, r"in a sum of fields no two that are intrinsic"),
        ({"model": Channels(Matern(), np.eye(3))}, r"^likelihood must be Gaussian with Channels, got poisson"),
    ],
)
def test_bad_input_is_named_with_the_remedy(changes, message):
    arguments = {"model": Matern(), "image": problem("poisson", 0)[0], "likelihood": Poisson(), **changes}
    with pytest.raises(ArgumentError, match=message):
        fit(arguments.pop("model"), arguments.pop("image"), **arguments)


@pytest.mark.parametrize("level", [1e5, 1e9, 1e12])
def test_large_counts_without_a_field_end_at_independent_counts(level):
    y = np.random.default_rng(3).poisson(level, (20, 25)).astype(float)
    of_mean = y * np.log(y.mean() / y) - (y.mean() - y)  # the deviance, less half the logarithm of 2 pi y
    # The level of the flat field is integrated: + log(2 pi / sum(y)) / 2 + logdet(1^T 1) / 2.
    alone = float(np.sum(of_mean - 0.5 * np.log(2.0 * np.pi * y) - 1.0 / (12.0 * y)))
    matern = fit(Matern(), y, likelihood=Poisson())
    assert not matern.converged
    assert "sigma ran to zero: the field vanishes" in matern.reason
    assert alone - 1e-3 < matern.loglik < alone + 1.0
    walk = fit(Intrinsic(), y, likelihood=Poisson())
    assert not walk.converged
    assert "tau ran to infinity: the field is constant" in walk.reason
    assert walk.loglik == pytest.approx(alone + 0.5 * np.log(2.0 * np.pi * y.size / y.sum()), abs=0.02)


@pytest.mark.parametrize("model", [Matern(), TensionSpline(), CAR()])
def test_results_of_large_counts_are_those_of_the_field(model):
    field = Matern(range=6.0).gmrf((20, 25)).sample(rng=2)
    found = [fit(model, np.rint(level * np.exp(3.0 * field)), likelihood=Poisson()) for level in (1e9, 1e12)]
    for result in found:
        assert result.converged, result.reason
    assert_allclose(list(found[1].parameters.values()), list(found[0].parameters.values()), rtol=1e-3)
    assert found[1].coefficients.get("constant", 0.0) - found[0].coefficients.get("constant", 0.0) == pytest.approx(
        np.log(1e3) if "constant" in found[0].coefficients else 0.0, abs=1e-3
    )


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_counts_start_at_their_scale_wherever_the_model_starts(scale):
    y = np.random.default_rng(3).poisson(1e6 * np.exp(Matern(range=6.0).gmrf((20, 25)).sample(rng=2)))
    plain = fit(Matern(), y, likelihood=Poisson(), tolerance=1e-6)
    found = fit(Matern(sigma=scale), y, likelihood=Poisson(), tolerance=1e-6)
    assert found.converged
    assert_allclose(list(found.parameters.values()), list(plain.parameters.values()), rtol=1e-5)
