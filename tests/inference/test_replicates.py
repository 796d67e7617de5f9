"""Several images of one field's law: sums of their densities, shared coefficients, and each its own prediction."""

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import Problem, diagnose, fill, fit
from sparsegmrf.likelihoods import Binomial, Gaussian, Poisson
from sparsegmrf.models import CAR, Intrinsic, Matern, Sum, TensionSpline
from tests.inference import dense
from tests.inference.problems import Searched, read
from tests.inference.test_fit import design

SHAPE = (8, 9)
MODELS = {
    "car": CAR(rho=0.2, tau=2.0),
    "matern": Matern(range=4.0, sigma=1.3),
    "random walk": Intrinsic(tau=2.0),
    "spline": TensionSpline(kappa=0.5, tau=2.0),
    "sum": Sum([Matern(range=2.0, sigma=0.5), CAR(rho=0.2, tau=3.0)], labels=["fine", "coarse"]),
}


def images(seed, count=3, shape=SHAPE):
    """Draws with one trend, noise, and gaps each; two of them are observed alike."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    field = np.stack([Matern(range=4.0, sigma=1.5).gmrf(shape).sample(rng=rng) for _ in range(count)])
    y = 4.0 + field + 0.1 * rows - 0.05 * columns + 0.3 * rng.standard_normal((count, *shape))
    missing = rng.random((count, *shape)) < 0.25
    missing[-1] = missing[0]
    return y, missing


def dense_loglik(model, variance, y, missing, covariates, method):
    """Log-density of all images stacked, their fields independent and the coefficients common."""
    covariance = dense_covariance(model, y.shape[1:])
    seen = [~each.ravel() for each in missing]
    C = scipy.linalg.block_diag(*(covariance[np.ix_(o, o)] for o in seen))
    C += variance * np.eye(len(C))
    values = np.concatenate([each.ravel()[o] for each, o in zip(y, seen, strict=True)])
    X = np.concatenate([design(covariates, y.shape[1:])[o] for o in seen])
    if isinstance(model, Intrinsic | TensionSpline):
        N = scipy.linalg.block_diag(*(np.ones((o.sum(), 1)) for o in seen))
        K = dense.contrasts(N)
        X, values, C = K.T @ X[:, 1:], K.T @ values, K.T @ C @ K
    if method == "reml":
        return dense.restricted(values, C, X)
    beta = dense.generalized_least_squares(values, C, X)[0] if X.shape[1] else np.zeros(0)
    return dense.log_density(values - X @ beta, C)


def dense_covariance(model, shape):
    if isinstance(model, Sum):
        return sum(dense_covariance(each, shape) for each in model.models)
    Q = model.stencil(shape).tocsr().toarray()
    if isinstance(model, Intrinsic | TensionSpline):
        return np.linalg.pinv(Q, hermitian=True, rcond=1e-12)
    return np.linalg.inv(Q)


@pytest.mark.parametrize(("covariates", "method"), [("constant", "ml"), ("linear", "ml"), ("linear", "reml")])
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_is_that_of_all_images_together_and_its_gradient_that_of_differences(name, covariates, method):
    y, missing = images(1)
    objective = read(MODELS[name], y, missing, "estimate", covariates, method).objective
    memo = Searched(objective.with_scale())
    at = memo.start(MODELS[name], 0.2)
    found = memo(at)
    assert found.value == pytest.approx(dense_loglik(MODELS[name], 0.2, y, missing, covariates, method), rel=1e-8)
    for k in range(len(at)):
        step = 1e-4 * (np.arange(len(at)) == k)
        sides = [memo(at + j * step).value for j in (1, -1, 2, -2)]
        slope = (8.0 * (sides[0] - sides[1]) - (sides[2] - sides[3])) / 12e-4
        assert found.gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("noise", [0.2, None])
def test_without_a_trend_the_likelihood_is_the_sum_of_those_of_the_images(noise):
    y, missing = images(2)
    options = {"covariates": None, "noise_variance": noise, "fixed": ["range", "sigma"]}
    together = fit(MODELS["matern"], y, mask=missing, **options)
    alone = [fit(MODELS["matern"], each, mask=gaps, **options) for each, gaps in zip(y, missing, strict=True)]
    assert together.loglik == pytest.approx(sum(each.loglik for each in alone), rel=1e-12)
    assert together.n_observed == sum(each.n_observed for each in alone)


@pytest.mark.parametrize("name", MODELS)
def test_one_image_in_a_stack_is_that_image(name):
    y, missing = images(3, 1)
    alone = fit(MODELS[name], y[0], mask=missing[0], covariates="linear")
    stack = fit(MODELS[name], y, mask=missing, covariates="linear")
    assert stack.parameters == alone.parameters
    assert stack.coefficients == alone.coefficients
    assert stack.loglik == alone.loglik
    assert_array_equal(stack.predict().mean, alone.predict().mean[np.newaxis])


def test_estimates_and_errors_are_better_with_more_images_and_near_the_truth():
    rng = np.random.default_rng(5)
    truth = Matern(range=6.0, sigma=1.5)
    y = 2.0 + truth.gmrf((24, 26)).sample(12, rng=rng) + 0.3 * rng.standard_normal((12, 24, 26))
    one, all_of_them = fit(Matern(), y[0]), fit(Matern(), y)
    assert all_of_them.converged
    assert all_of_them.problem.n_observed == y.size
    for key, value in {"range": 6.0, "sigma": 1.5, "noise_variance": 0.09}.items():
        # Beyond 5.5 standard errors with probability 4e-8 each; the seed is fixed.
        assert abs(all_of_them.parameters[key] - value) < 5.5 * all_of_them.standard_errors[key]
        assert all_of_them.standard_errors[key] < 0.5 * one.standard_errors[key]
    assert all_of_them.coefficient_errors["constant"] < 0.5 * one.coefficient_errors["constant"]


def test_order_of_the_images_does_not_matter_and_a_mask_may_be_common():
    y, missing = images(6)
    plain = fit(MODELS["spline"], y, mask=missing)
    turned = fit(MODELS["spline"], y[::-1], mask=missing[::-1])
    assert_allclose(list(turned.parameters.values()), list(plain.parameters.values()), rtol=1e-6)
    assert_allclose(turned.predict().std, plain.predict().std[::-1], rtol=1e-6)
    common = fit(MODELS["spline"], y, mask=missing[0])
    each = fit(MODELS["spline"], y, mask=np.repeat(missing[:1], 3, axis=0))
    assert common.parameters == each.parameters


def test_every_image_of_an_intrinsic_field_has_a_level_of_its_own():
    y, missing = images(7)
    levels = np.array([0.0, 1e6, -3e4])[:, np.newaxis, np.newaxis]
    plain, moved = (fit(MODELS["random walk"], each, mask=missing, covariates=None) for each in (y, y + levels))
    assert moved.loglik == pytest.approx(plain.loglik, abs=1e-5)
    assert_allclose(moved.predict().mean - levels, plain.predict().mean, atol=1e-6)


@pytest.mark.parametrize("covariates", ["constant", "linear"])
@pytest.mark.parametrize("name", ["matern", "car", "sum"])
def test_predictions_are_those_of_dense_kriging_of_all_images_together(name, covariates):
    y, missing = images(8)
    model = MODELS[name]
    fixed = list(model.parameters)
    found = fit(model, y, mask=missing, covariates=covariates, noise_variance=0.2, fixed=fixed).predict()
    C, X = dense_covariance(model, SHAPE), design(covariates, SHAPE)
    seen = [~each.ravel() for each in missing]
    S = [np.linalg.inv(C[np.ix_(o, o)] + 0.2 * np.eye(o.sum())) for o in seen]
    values = [each.ravel()[o] for each, o in zip(y, seen, strict=True)]
    gram = sum(X[o].T @ s @ X[o] for s, o in zip(S, seen, strict=True))
    of_beta = np.linalg.inv(gram)
    beta = of_beta @ sum(X[o].T @ s @ v for s, o, v in zip(S, seen, values, strict=True))
    for k, (s, o, v) in enumerate(zip(S, seen, values, strict=True)):
        mean = X @ beta + C[:, o] @ s @ (v - X[o] @ beta)
        left = X - C[:, o] @ s @ X[o]
        variance = np.diagonal(C - C[:, o] @ s @ C[o]) + np.einsum("nk,kl,nl->n", left, of_beta, left)
        assert_allclose(found.mean[k].ravel(), mean, rtol=1e-8)
        assert_allclose(found.variance[k].ravel(), variance, rtol=1e-8)
        assert_allclose(found.predictive_std[k].ravel() ** 2, variance + 0.2, rtol=1e-8)


@pytest.mark.parametrize("name", ["matern", "spline", "sum"])
def test_observations_that_are_left_out_are_predicted_from_the_others(name):
    y, missing = images(9)
    held = np.zeros_like(missing)
    held[1, 2:5, 3:7] = True
    model = MODELS[name]
    options = {"covariates": "linear", "noise_variance": 0.2, "fixed": list(model.parameters)}
    result = fit(model, y, mask=missing, **options)
    found = result.predict(held, n_samples=2, rng=1)
    expected = fit(model, y, mask=missing | held, **options).predict(n_samples=2, rng=1)
    assert_array_equal(found.mean, expected.mean)
    assert_array_equal(found.variance, expected.variance)
    assert_array_equal(found.samples, expected.samples)
    assert found.samples.shape == (2, 3, *SHAPE)


def test_a_fit_by_estimated_noise_predicts_what_is_left_out_with_that_noise():
    y, missing = images(10, 1)
    held = np.zeros(SHAPE, dtype=bool)
    held[2:5, 3:7] = True
    result = fit(Matern(), y[0], mask=missing[0], priors=None)
    given = {"noise_variance": result.noise_variance, "fixed": ["range", "sigma"]}
    expected = fit(result.model, y[0], mask=missing[0] | held, **given).predict()
    found = result.predict(held)
    assert_allclose(found.mean, expected.mean, rtol=1e-12)
    assert_allclose(found.predictive_std, expected.predictive_std, rtol=1e-12)


def test_draws_of_every_image_have_the_moments_of_its_prediction():
    y, missing = images(11, 2)
    found = fit(MODELS["matern"], y, mask=missing, covariates="linear").predict(n_samples=20_000, rng=3)
    # Means and variances of 20,000 draws at 144 pixels within 6 standard errors: false alarm below 1e-6.
    z = (found.samples.mean(axis=0) - found.mean) / (found.std / np.sqrt(20_000))
    assert np.abs(z).max() < 6.0
    ratio = found.samples.var(axis=0) / found.variance
    assert np.abs(ratio - 1.0).max() < 6.0 * np.sqrt(2.0 / 20_000)


@pytest.mark.parametrize("kind", ["poisson", "binomial"])
def test_counts_of_several_images_have_the_sum_of_their_likelihoods(kind):
    rng = np.random.default_rng(12)
    eta = 0.3 + Matern(range=4.0, sigma=0.9).gmrf(SHAPE).sample(3, rng=rng)
    size = rng.uniform(1.0, 4.0, eta.shape) if kind == "poisson" else rng.integers(3, 9, eta.shape)
    y = rng.poisson(size * np.exp(eta)) if kind == "poisson" else rng.binomial(size, 1.0 / (1.0 + np.exp(-eta)))
    missing = rng.random(eta.shape) < 0.2
    likelihood = {"poisson": Poisson, "binomial": Binomial}[kind]
    model, options = Matern(range=4.0, sigma=0.9), {"covariates": None, "fixed": ["range", "sigma"]}
    together = fit(model, y, mask=missing, likelihood=likelihood(size), **options)
    alone = [fit(model, y[k], mask=missing[k], likelihood=likelihood(size[k]), **options).loglik for k in range(len(y))]
    assert together.loglik == pytest.approx(sum(alone), rel=1e-10)
    memo = Searched(Problem.read(model, y, missing, likelihood(size)).objective)
    at = memo.origin + 0.1
    found = memo(at)
    for k in range(len(at)):
        step = 1e-3 * (np.arange(len(at)) == k)
        slope = (memo(at + step).value - memo(at - step).value) / 2e-3
        assert found.gradient[k] == pytest.approx(slope, rel=1e-4, abs=1e-4)
    result = fit(model, y, mask=missing, likelihood=likelihood(size))
    assert result.converged
    assert result.predict(n_samples=2, rng=0).samples.shape == (2, *y.shape)


def test_cross_validation_takes_several_images():
    y, missing = images(13, 2, (20, 22))
    result = fit(Matern(range=4.0), y, mask=missing, method="cv", fixed="range", rng=0)
    assert result.cross_validation is not None
    assert result.cv_score == pytest.approx(result.cross_validation.score)
    assert np.isnan(list(result.standard_errors.values())).all()


def test_what_does_not_fit_several_images_is_refused():
    y, missing = images(14)
    with pytest.raises(ArgumentError, match=r"^mask must have an image for each one of image, got 2"):
        fit(Matern(), y, mask=missing[:2])
    with pytest.raises(ArgumentError, match=r"^image must have at least one image"):
        fit(Matern(), np.zeros((0, 3, 4)))
    with pytest.raises(ArgumentError, match=r"^image must have shape \(H, W\), got \(3, 8, 9\); fill one slice"):
        fill(y)
    result = fit(Matern(), y, mask=missing, noise_variance=0.1, fixed=["range", "sigma"])
    with pytest.raises(ArgumentError, match=r"^result must be a fit to one image, got one to 3"):
        diagnose(result)
    with pytest.raises(ArgumentError, match=r"^replicate must be below 3, the number of images, got 3"):
        result.posterior(3)
    with pytest.raises(ArgumentError, match=r"^mask must have the shape of the image \(3, 8, 9\)"):
        result.predict(missing[0])
    with pytest.raises(ArgumentError, match=r"^mask must leave an observed pixel"):
        result.predict(np.ones_like(missing))


def test_a_problem_is_a_value():
    y, missing = images(15, 1)
    problem = Problem.read(Matern(), y[0], missing[0], Gaussian(), "linear", priors=None)
    assert problem.shape == SHAPE
    assert problem.free == ("range", "sigma")
    assert problem.estimated
    held = problem.with_noise_variance(0.5)
    assert not held.estimated
    assert problem.estimated  # the one before is as it was
    assert_allclose(held.images[0].noise_variance[~missing[0]], 0.5)
    other = problem.with_model(CAR(rho=0.1), fixed=["rho"])
    assert other.free == ("tau",)
    out = np.zeros(SHAPE, dtype=bool)
    out[:3] = True
    assert problem.without([out]).n_observed == problem.n_observed - np.count_nonzero(~missing[0][:3])
    window = problem.on_window(slice(2, 6), slice(1, 8))
    assert window.shape == (4, 7)
    assert window.covariates.names == ("constant",)
    assert_array_equal(window.images[0].observed, ~missing[0][2:6, 1:8])
    with pytest.raises(AttributeError):
        problem.method = "reml"
