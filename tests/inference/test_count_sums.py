"""Counts of a sum of fields against the dense Laplace formulas of the stacked unknowns."""

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from sparsegmrf import condition, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import diagnose
from sparsegmrf.inference._problem import Problem
from sparsegmrf.likelihoods import Binomial, Poisson
from sparsegmrf.models import BYM, SAR, Independent, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.priors import PCSigma
from tests.inference import dense_counts
from tests.inference.problems import Searched
from tests.inference.test_fit_counts import KINDS, LIKELIHOOD, central, design, differences, problem

MODELS = {
    "bym": BYM(0.7, 0.6),
    "two scales": Sum([Matern(5.0, 0.8), Matern(2.0, 0.5, 2)], labels=["coarse", "fine"]),
    "weighted": Sum([Intrinsic(1, 2.0), Independent(0.4)], observation=[1.5, -0.5]),
    "fractional": Matern(4.0, 1.0, nu=0.5),
    "fractional and independent": Sum([Matern(4.0, 1.0, nu=1.5), Independent(0.3)]),
    "spline": Sum([TensionSpline(0.5, 2.0), Independent(0.3)]),
    "bym torus": BYM(0.7, 0.6, boundary="torus"),
}
HOLDS_LEVEL = ("bym", "weighted", "spline", "bym torus")


@pytest.fixture(autouse=True)
def one_blas_thread():
    """Small dense oracles lose more to spinning threads than they take."""
    with threadpool_limits(1):
        yield


def sum_of(model, shape):
    """The matrix of the sum of the stacked unknowns."""
    return np.kron(np.eye(shape[0] * shape[1]), model.combination[np.newaxis])


def dense_arguments(model, beta, kind, y, size, missing):
    Q, A = model.stencil(y.shape).tocsr().toarray(), sum_of(model, y.shape)
    return Q, A, design(y.shape, len(beta)) @ beta, kind, y.ravel(), size.ravel(), ~missing.ravel()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_and_mode_are_those_of_the_dense_formula_and_the_gradient_that_of_differences(name, kind):
    y, size, missing = problem(kind, 1)
    objective = Searched(Problem.read(MODELS[name], y, missing, LIKELIHOOD[kind](size), "linear").objective)
    at = objective.origin + np.random.default_rng(2).uniform(-0.3, 0.3, len(objective.origin))
    value, gradient, *_ = objective(at)
    assert_allclose(gradient, differences(lambda u: objective(u)[0], at, 1e-3), rtol=1e-6, atol=1e-6)
    model, beta, images, *_ = objective.solution(at)
    if name in HOLDS_LEVEL:
        beta = np.concatenate([[0.0], beta])
    arguments = dense_arguments(model, beta, kind, y, size, missing)
    assert value == pytest.approx(dense_counts.log_marginal_of_sum(*arguments), rel=1e-10)
    mode, _ = dense_counts.mode_of_sum(*arguments)
    assert_allclose(images[0].mode.deviation.ravel(), mode, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["bym", "two scales", "fractional"])
def test_predictions_and_functionals_are_those_of_the_dense_covariance(name, kind):
    y, size, missing = problem(kind, 5)
    result = fit(MODELS[name], y, mask=missing, likelihood=LIKELIHOOD[kind](size), covariates="linear", tolerance=1e-2)
    beta = np.array([*([0.0] if name in HOLDS_LEVEL else []), *result.coefficients.values()])
    Q, A, mean, *rest = dense_arguments(result.model, beta, kind, y, size, missing)
    mode, P = dense_counts.mode_of_sum(Q, A, mean, *rest)
    X = design(y.shape, 3)[:, 3 - len(result.coefficients) :]
    moved = A @ np.linalg.solve(P, Q @ np.linalg.pinv(A) @ X)
    covariance = A @ np.linalg.solve(P, A.T) + moved @ result.coefficient_covariance @ moved.T
    found = result.predict()
    assert_allclose(found.mean.ravel(), mean + A @ mode, rtol=1e-8, atol=1e-10)
    assert_allclose(found.variance.ravel(), np.diagonal(covariance), rtol=1e-8)
    weights = np.random.default_rng(0).uniform(0.0, 1.0, (2, *y.shape))
    flat = weights.reshape(2, -1)
    sums = result.functional(weights)
    assert_allclose(sums.estimate, flat @ (mean + A @ mode), rtol=1e-8)
    assert_allclose(sums.covariance, flat @ covariance @ flat.T, rtol=1e-8)
    assert result.loglik == pytest.approx(dense_counts.log_marginal_of_sum(Q, A, mean, *rest), rel=1e-10)


def test_posterior_has_the_stacked_fields_without_the_trend():
    y, size, missing = problem("poisson", 5)
    result = fit(MODELS["two scales"], y, mask=missing, likelihood=Poisson(size), tolerance=1e-2)
    posterior = result.posterior()
    total = result.model.observe(posterior.mean) + result.trend
    assert posterior.shape == y.shape
    assert posterior.channels == 2
    assert_allclose(total, result.predict().mean, rtol=1e-12)
    Q, A, mean, *rest = dense_arguments(
        result.model, np.array(list(result.coefficients.values())), "poisson", y, size, missing
    )
    _, P = dense_counts.mode_of_sum(Q, A, mean, *rest)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(np.linalg.inv(P)), rtol=1e-8)
    draws = result.predict(n_samples=2000, rng=0)
    z = (draws.samples.mean(axis=0) - draws.mean) / draws.std * np.sqrt(2000)
    assert np.abs(z).max() < 6.0  # of 56 normal numbers: below 1e-6


def test_fractional_field_given_counts_is_that_of_its_unknowns():
    y, size, missing = problem("poisson", 5)
    model = MODELS["fractional"]
    posterior = condition(model.gmrf(y.shape, mean=0.4), y, mask=missing, likelihood=Poisson(size))
    arguments = dense_arguments(model, np.array([0.4]), "poisson", y, size, missing)
    mode, P = dense_counts.mode_of_sum(*arguments)
    A = arguments[1]
    assert_allclose(posterior.mean.ravel(), 0.4 + A @ mode, rtol=1e-8, atol=1e-10)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(A @ np.linalg.solve(P, A.T)), rtol=1e-8)
    assert posterior.log_marginal_likelihood == pytest.approx(dense_counts.log_marginal_of_sum(*arguments), rel=1e-10)
    assert posterior.sample(2, rng=0).shape == (2, *y.shape)
    logdet = -np.linalg.slogdet(A @ np.linalg.solve(P, A.T))[1]
    assert posterior.logdet == pytest.approx(logdet, rel=1e-9)


def test_the_sum_of_a_field_and_nothing_is_the_field():
    y, size, missing = problem("poisson", 6)
    options = {"mask": missing, "likelihood": Poisson(size), "fixed": ["range_0", "sigma_0", "sigma_1"]}
    both = fit(Sum([Matern(4.0, 0.9), Independent(1e-9)]), y, **options)
    alone = fit(Matern(4.0, 0.9), y, **{**options, "fixed": ["range", "sigma"]})
    assert both.loglik == pytest.approx(alone.loglik, rel=1e-9)
    assert_allclose(both.predict().mean, alone.predict().mean, rtol=1e-6, atol=1e-8)
    assert_allclose(both.predict().variance, alone.predict().variance, rtol=1e-6)


@pytest.mark.parametrize("level", [1e6, 1e12])
def test_large_counts_of_a_sum_keep_their_digits(level):
    # What is counted is the sum to the last digit: the likelihood is that of the sum without noise, and its Jacobian.
    field = Matern(range=6.0).gmrf((20, 25)).sample(rng=2)
    y = np.rint(level * np.exp(field))
    model = Sum([Matern(6.0, 0.8), Independent(0.6)])
    held = ["range_0", "sigma_0", "sigma_1"]
    found = fit(model, y, likelihood=Poisson(), covariates=None, fixed=held)
    logarithms = np.log(y)
    exact = fit(model, logarithms, noise_variance=None, covariates=None, fixed=held).loglik - logarithms.sum()
    assert found.loglik == pytest.approx(exact, rel=1e-4 if level == 1e6 else 1e-9)


def test_results_of_large_counts_are_those_of_the_field():
    truth = BYM(1.0, 0.6)
    field = truth.observe(truth.gmrf((20, 25)).sample(rng=2))
    found = [fit(BYM(), np.rint(level * np.exp(field)), likelihood=Poisson()) for level in (1e9, 1e12)]
    for result in found:
        assert result.converged, result.reason
    assert_allclose(list(found[1].parameters.values()), list(found[0].parameters.values()), rtol=1e-7)
    assert_allclose(found[1].predict().mean - found[0].predict().mean, np.log(1e3), rtol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_and_errors_are_those_of_the_dense_likelihood(kind):
    y, size, missing = problem(kind, 12, (8, 9))
    start, priors = BYM(), {"sigma": PCSigma(1.0, 0.05)}
    result = fit(start, y, mask=missing, likelihood=LIKELIHOOD[kind](size), fixed="phi", tolerance=1e-7, priors=priors)
    assert result.converged

    def negative(log_sigma):
        model = start.replace(sigma=float(np.exp(log_sigma)))
        loglik = dense_counts.log_marginal_of_sum(*dense_arguments(model, np.zeros(1), kind, y, size, missing))
        return -loglik - priors["sigma"].log_density(model.sigma) - log_sigma

    best = scipy.optimize.minimize_scalar(negative, bounds=(-2.0, 1.0), method="bounded", options={"xatol": 1e-9})
    assert result.parameters["sigma"] == pytest.approx(np.exp(best.x), rel=1e-5)
    h = 1e-3
    curved = (negative(best.x + h) + negative(best.x - h) - 2.0 * negative(best.x)) / h**2
    assert result.standard_errors["sigma"] / result.parameters["sigma"] == pytest.approx(curved**-0.5, rel=1e-3)


def test_two_parameters_and_a_coefficient_are_at_the_top_of_the_dense_likelihood():
    y, size, missing = problem("poisson", 12, (8, 9))
    start = Sum([Matern(4.0, 0.8), Independent(0.3)], labels=["spatial", "iid"])
    result = fit(start, y, mask=missing, likelihood=Poisson(size), fixed="range_spatial", tolerance=1e-8)
    found = np.array([*np.log(list(result.parameters.values())), *result.coefficients.values()])

    def loglik(values):
        model = start.replace(**dict(zip(result.parameters, np.exp(values[:2]).tolist(), strict=True)))
        arguments = dense_arguments(model, values[2:], "poisson", y, size, missing)
        return dense_counts.log_marginal_of_sum(*arguments)

    assert np.abs(central(loglik, found)).max() < 1e-4


def test_flipped_and_transposed_counts_and_other_units_of_exposure_give_the_same_field():
    y, size, missing = problem("poisson", 6, (10, 9))
    options = {"tolerance": 1e-8, "fixed": "range_spatial"}
    start = Sum([Matern(4.0), Independent(0.5)], labels=["spatial", "iid"])
    plain = fit(start, y, mask=missing, likelihood=Poisson(size), **options)
    risk = plain.relative_risk()
    for turn in (np.flipud, np.fliplr, np.transpose):
        turned = fit(start, turn(y), mask=turn(missing), likelihood=Poisson(turn(size)), **options)
        assert_allclose(list(turned.parameters.values()), list(plain.parameters.values()), rtol=1e-5)
        assert turned.loglik == pytest.approx(plain.loglik, rel=1e-9)
        assert_allclose(turned.relative_risk().upper, turn(risk.upper), rtol=1e-5)
    scaled = fit(start, y, mask=missing, likelihood=Poisson(1000.0 * size), **options)
    assert_allclose(list(scaled.parameters.values()), list(plain.parameters.values()), rtol=1e-5)
    assert scaled.coefficients["constant"] + np.log(1000.0) == pytest.approx(plain.coefficients["constant"], abs=1e-5)
    assert_allclose(1000.0 * scaled.relative_risk().mean, risk.mean, rtol=1e-5)
    assert_allclose(scaled.exceedance(1.2e-3), plain.exceedance(1.2), atol=1e-5)


def test_several_images_have_the_sum_of_their_likelihoods():
    images = [problem("poisson", seed)[0] for seed in (1, 2)]
    together = fit(BYM(0.7, 0.6), np.stack(images), likelihood=Poisson(), fixed=["sigma", "phi"])
    alone = [fit(BYM(0.7, 0.6), each, likelihood=Poisson(), fixed=["sigma", "phi"]) for each in images]
    assert together.loglik == pytest.approx(sum(each.loglik for each in alone), rel=1e-10)
    assert together.relative_risk().mean.shape == (2, *images[0].shape)
    assert_allclose(together.relative_risk().mean[1], alone[1].relative_risk().mean, rtol=1e-8)


def test_a_right_model_is_diagnosed_as_white_and_a_field_without_its_independent_part_is_not():
    rng = np.random.default_rng(3)
    truth = Sum([Matern(8.0, 0.6), Independent(0.6)], labels=["spatial", "iid"])
    eta = truth.observe(truth.gmrf((32, 32)).sample(rng=rng)) + 4.0
    y = rng.poisson(np.exp(eta))
    right = fit(truth, y, likelihood=Poisson())
    found = diagnose(right, rng=1)
    assert found.residual < 1e-10
    assert found.noise.p_value > 1e-4
    assert found.innovations.p_value > 1e-4
    assert abs(found.variance_ratio_z) < 5.0
    wrong = fit(Matern(8.0, 0.6, nu=2), y, likelihood=Poisson(), fixed=["range"])
    assert diagnose(wrong, rng=1).innovations.p_value < 1e-6


def test_what_leaves_a_level_without_an_end_is_refused_in_a_sum():
    y = np.zeros((4, 5))
    y[0, 0] = 1.0
    middle = np.arange(20).reshape(4, 5) % 5 == 2
    split = Sum([Intrinsic(mask=middle), Independent()])
    with pytest.raises(ArgumentError, match=r"^image must be missing where the model has no value .* got 4 values"):
        fit(split, y, likelihood=Poisson())
    with pytest.raises(
        ArgumentError, match=r"^image must fix the level of an intrinsic field, but every count on a co"
    ):
        fit(split, y, mask=middle, likelihood=Poisson())
    with pytest.raises(ArgumentError, match=r"^image must hold other counts, too"):
        fit(BYM(), np.zeros((4, 5)), likelihood=Poisson())
    with pytest.raises(ArgumentError, match=r"^gmrf must have one channel here, got 2"):
        condition(BYM().gmrf((4, 5)), y, likelihood=Poisson())


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_of_bym_are_near_the_truth_within_their_errors(kind):
    rng, shape, truth = np.random.default_rng(11), (32, 33), BYM(0.6, 0.7)
    eta = truth.observe(truth.gmrf(shape).sample(rng=rng)) + 0.2
    y = rng.poisson(8.0 * np.exp(eta)) if kind == "poisson" else rng.binomial(30, 1 / (1 + np.exp(-eta)))
    result = fit(BYM(), y, likelihood=Binomial(30) if kind == "binomial" else Poisson(8.0))
    assert result.converged
    # Beyond 5.5 standard errors with probability 4e-8 each; the seed is fixed.
    for name, value in truth.parameters.items():
        assert abs(result.parameters[name] - value) < 5.5 * result.standard_errors[name]
    risk, true = result.relative_risk(), np.exp(eta) if kind == "poisson" else 1 / (1 + np.exp(-eta))
    inside = (risk.lower < true) & (true < risk.upper)
    assert 0.92 < inside.mean() < 0.98  # 0.95, within four standard errors of 1056 pixels if these were independent


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_risk_hold_the_truth_as_often_as_they_say(kind):
    shares, truth, shape = [], BYM(0.6, 0.6), (20, 24)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        eta = truth.observe(truth.gmrf(shape).sample(rng=rng)) + 0.2
        size = np.exp(rng.normal(1.0, 0.7, shape)) if kind == "poisson" else rng.integers(3, 20, shape)
        true = np.exp(eta) if kind == "poisson" else 1.0 / (1.0 + np.exp(-eta))
        y = rng.poisson(size * true) if kind == "poisson" else rng.binomial(size, true)
        risk = fit(BYM(), y, mask=rng.random(shape) < 0.1, likelihood=LIKELIHOOD[kind](size)).relative_risk()
        shares.append(np.mean((risk.lower < true) & (true < risk.upper)))
    # Of images whose parameters are estimated a little less than 0.95; the standard error is about 0.004.
    assert 0.92 < np.mean(shares) < 0.96


@pytest.mark.parametrize("name", ["fractional", "fractional and independent", "bym torus", "weighted"])
def test_every_sum_is_diagnosed(name):
    model = MODELS[name]
    rng, stacked = np.random.default_rng(5), model.gmrf((24, 24)).sample(rng=7)
    eta = (model.observe(stacked) if stacked.ndim == 3 else stacked) + 2.0
    result = fit(model, rng.poisson(np.exp(eta)), likelihood=Poisson(), fixed=list(model.parameters))
    found = diagnose(result, rng=2)
    assert found.residual < 1e-9
    assert found.noise.p_value > 1e-6
    assert found.innovations.p_value > 1e-6
    assert abs(found.variance_ratio_z) < 5.5


def test_fits_of_one_field_are_not_moved_by_the_way_they_stand_in_a_sum():
    y, size, missing = problem("poisson", 9)
    alone = fit(SAR(0.2), y, mask=missing, likelihood=Poisson(size), tolerance=1e-7)
    within = fit(Sum([SAR(0.2)], labels=["a"]), y, mask=missing, likelihood=Poisson(size), tolerance=1e-7)
    assert within.loglik == pytest.approx(alone.loglik, rel=1e-12)
