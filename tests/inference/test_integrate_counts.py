"""Counts with integrated parameters against dense Laplace approximations, and means against importance sampling."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import IntegratedCountFit
from sparsegmrf.inference._count_marginal import CountMarginal
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._problem import Problem
from sparsegmrf.likelihoods import Binomial, Poisson
from sparsegmrf.models import BYM, SAR, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.priors import LogNormal
from tests.inference import dense_counts

SHAPE = (6, 7)
LIKELIHOOD = {"poisson": Poisson, "binomial": Binomial}
PRIORS = {"range": LogNormal(4.0, 0.4), "sigma": LogNormal(0.8, 0.5)}
ENDS, NODES = {"range": (-0.8, 3.8), "sigma": (-2.6, 1.6)}, {1: 200, 2: 45}
"""Of the logarithms of parameters, and how many each has where there are one or two."""
FREE = {"poisson": ("range", "sigma"), "binomial": ("sigma",)}


@cache
def data(kind, shape=SHAPE):
    """Counts of a few, their exposures or trials, and where they are observed."""
    rng = np.random.default_rng(5)
    eta = Matern(range=4.0, sigma=0.8).gmrf(shape).sample(rng=rng) + 0.3
    size = rng.uniform(1.0, 3.0, shape) if kind == "poisson" else rng.integers(2, 6, shape).astype(float)
    y = rng.poisson(size * np.exp(eta)) if kind == "poisson" else rng.binomial(size.astype(int), 1 / (1 + np.exp(-eta)))
    return y.astype(float), size, rng.random(shape) > 0.2


@cache
def fitted(kind):
    y, size, observed = data(kind)
    held = [name for name in PRIORS if name not in FREE[kind]]
    priors = {name: PRIORS[name] for name in FREE[kind]}
    likelihood = LIKELIHOOD[kind](size)
    return fit(Matern(4.0), y, mask=~observed, covariates="constant", likelihood=likelihood, fixed=held, priors=priors)


@cache
def integrated(kind, strategy="grid"):
    return fitted(kind).integrate(strategy=strategy)


def joint(Q, X, kind, y, size, observed):
    """Dense Laplace approximation of field and coefficients: log-density, modes, inverse curvature and its map."""
    n, p = X.shape
    A, whole = np.hstack([np.eye(n), X]), np.zeros((n + p, n + p))
    whole[:n, :n] = Q
    u, H = dense_counts.mode_of_sum(whole, A, np.zeros(n), kind, y, size, observed)
    value = (
        dense_counts.log_likelihood(kind, y[observed], size[observed], (A @ u)[observed]).sum() - 0.5 * u @ whole @ u
    )
    value += 0.5 * (np.linalg.slogdet(Q)[1] - np.linalg.slogdet(H)[1] + p * np.log(2.0 * np.pi))
    gram = X[observed].T @ X[observed]
    return value + 0.5 * np.linalg.slogdet(gram)[1], u, np.linalg.inv(H), A


def rates(kind, size, observed, eta):
    """Derivatives of the curvature by the linear predictor, by differences."""
    h, found = 1e-5, np.zeros(len(eta))
    up, down = (dense_counts.weights(kind, size[observed], eta[observed] + each)[1] for each in (h, -h))
    found[observed] = (up - down) / (2.0 * h)
    return found


class Oracle:
    """The Laplace approximation times priors at the nodes of a grid of logarithms, densely."""

    def __init__(self, kind):
        y, size, observed = (each.ravel() for each in data(kind))
        self.names = FREE[kind]
        axes = [np.linspace(*ENDS[name], NODES[len(self.names)]) for name in self.names]
        self.steps = [each[1] - each[0] for each in axes]
        X, logs, means, variances = np.ones((len(y), 1)), [], [], []
        for at in product(*axes):
            values = dict(zip(self.names, np.exp(at).tolist(), strict=True))
            Q = Matern(4.0).replace(**values).stencil(SHAPE).tocsr().toarray()
            value, u, V, A = joint(Q, X, kind, y, size, observed)
            prior = [norm.logpdf(t, np.log(PRIORS[n].median), PRIORS[n].sigma) for n, t in zip(values, at, strict=True)]
            logs.append(value + sum(prior))
            covariance = A @ V @ A.T
            variances.append(np.diagonal(covariance))
            means.append(A @ u - 0.5 * covariance @ (variances[-1] * rates(kind, size, observed, A @ u)))
        logs = np.array(logs)
        self.log_integral = logs.max() + np.log(np.exp(logs - logs.max()).sum() * np.prod(self.steps))
        self.weights = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
        self.axes, self.means, self.variances = axes, np.array(means), np.array(variances)

    def marginal(self, k):
        box = self.weights.reshape([len(each) for each in self.axes])
        return box.sum(axis=tuple(j for j in range(box.ndim) if j != k)) / self.steps[k]


oracle = cache(Oracle)


@pytest.mark.parametrize(("strategy", "limit"), [("grid", 0.01), ("ccd", 0.12)])
@pytest.mark.parametrize("kind", LIKELIHOOD)
def test_densities_of_parameters_are_those_of_dense_laplace_approximations(kind, strategy, limit):
    for k, name in enumerate(FREE[kind]):
        u = oracle(kind).axes[k]
        own = integrated(kind, strategy).densities[name].pdf(np.exp(u)) * np.exp(u)
        assert 0.5 * np.sum(np.abs(own - oracle(kind).marginal(k))) * oracle(kind).steps[k] < limit, name


@pytest.mark.parametrize(("strategy", "nats"), [("grid", 0.01), ("ccd", 0.1)])
@pytest.mark.parametrize("kind", LIKELIHOOD)
def test_log_evidence_is_the_integral_of_the_laplace_approximations(kind, strategy, nats):
    assert integrated(kind, strategy).log_evidence == pytest.approx(oracle(kind).log_integral, abs=nats)


@pytest.mark.parametrize("kind", LIKELIHOOD)
def test_linear_predictors_have_the_moments_of_the_dense_mixture(kind):
    w, own = oracle(kind).weights, integrated(kind).predict()
    mean = w @ oracle(kind).means
    std = np.sqrt(w @ (oracle(kind).variances + (oracle(kind).means - mean) ** 2))
    assert (np.abs(own.mean.ravel() - mean) < 0.01 * std).all()
    assert_allclose(own.std.ravel(), std, rtol=0.01)


def test_risks_are_those_of_the_dense_mixture():
    w, means, stds = oracle("poisson").weights, oracle("poisson").means, np.sqrt(oracle("poisson").variances)
    found = integrated("poisson").relative_risk(0.9)
    assert_allclose(found.mean.ravel(), w @ np.exp(means + 0.5 * stds**2), rtol=0.01)
    seen = data("poisson")[2].ravel()  # elsewhere the tail of sigma has most of the square
    square = w @ np.exp(2.0 * (means + stds**2)) - (w @ np.exp(means + 0.5 * stds**2)) ** 2
    assert_allclose(found.std.ravel()[seen], np.sqrt(square)[seen], rtol=0.05)
    for probability, at in ((0.05, found.lower), (0.5, found.median), (0.95, found.upper)):
        reached = np.sum(w[:, None] * norm.cdf((np.log(at.ravel()) - means) / stds), axis=0)
        assert_allclose(reached, probability, atol=4e-3)
    above = np.sum(w[:, None] * norm.sf((np.log(1.5) - means) / stds), axis=0)
    assert_allclose(integrated("poisson").exceedance(1.5).ravel(), above, atol=4e-3)


def test_probabilities_of_binomial_counts_have_moments_between_their_ends():
    found = integrated("binomial").relative_risk(0.95)
    assert ((found.lower > 0.0) & (found.lower < found.median) & (found.median < found.upper)).all()
    assert (found.upper < 1.0).all()
    assert ((found.lower < found.mean) & (found.mean < found.upper)).all()


def test_means_of_linear_predictors_are_those_of_importance_sampling_and_modes_are_not():
    kind, (y, size, observed) = "poisson", data("poisson")
    result, (y, size, observed) = fitted(kind), (y.ravel(), size.ravel(), observed.ravel())
    posterior = result._log_posterior()
    own = posterior.predict(posterior.mode, 0, np.random.default_rng(0))
    Q = Matern(**dict(zip(FREE[kind], posterior.values_at(posterior.mode), strict=True)))
    Q = Q.stencil(SHAPE).tocsr().toarray()
    _, u, V, A = joint(Q, np.ones((len(y), 1)), kind, y, size, observed)
    rng, freedom, count = np.random.default_rng(0), 30.0, 100_000
    z, stretch = rng.standard_normal((count, len(u))), np.sqrt(freedom / rng.chisquare(freedom, count))
    center = u - 0.5 * V @ A.T @ (np.diagonal(A @ V @ A.T) * rates(kind, size, observed, A @ u))
    draws = center + (z * stretch[:, None]) @ np.linalg.cholesky(V).T
    square = np.sum(z * z, axis=1) * stretch**2
    log_proposal = -0.5 * (freedom + len(u)) * np.log1p(square / freedom)
    eta = draws @ A.T
    log = dense_counts.log_likelihood(kind, y[observed], size[observed], eta[:, observed]).sum(axis=1)
    log += -0.5 * np.einsum("ki,ij,kj->k", draws[:, :-1], Q, draws[:, :-1]) - log_proposal
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    mean = weights @ eta
    std = np.sqrt(weights @ (eta - mean) ** 2)
    assert 1.0 / np.sum(weights**2) > 20_000  # errors of means are below 1% of a deviation
    assert np.abs((own.mean.ravel() - mean) / std).max() < 0.05
    assert np.mean((A @ u - mean) / std) > 0.1
    assert_allclose(np.exp(own.mean + 0.5 * own.variance).ravel(), weights @ np.exp(eta), rtol=0.06)


MODELS = {
    "matern": (Matern(4.0), "linear"),
    "fractional": (Matern(3.0, nu=1.4), "constant"),
    "sar": (SAR(0.15), None),
    "intrinsic": (Intrinsic(), "constant"),
    "spline": (TensionSpline(0.5), "linear"),
    "bym": (BYM(), "linear"),
    "sum": (Sum([Matern(3.0), TensionSpline(0.4)]), "linear"),
}


def make(model, covariates, kind, images=1):
    y, size, observed = data(kind)
    turned = y[::-1, ::-1] if kind == "poisson" else np.minimum(y[::-1, ::-1], size)
    stack = np.array([y, turned]) if images == 2 else y
    return Memo(CountMarginal(Problem.read(model, stack, ~observed, LIKELIHOOD[kind](size), covariates).objective))


@pytest.mark.parametrize("kind", LIKELIHOOD)
@pytest.mark.parametrize(("name", "images"), [*((name, 1) for name in MODELS), ("matern", 2), ("bym", 2)])
def test_gradient_is_that_of_differences(name, images, kind):
    memo = make(*MODELS[name], kind, images)
    at = memo.objective.gaussian.start(memo.objective.model, None)
    at = at + np.random.default_rng(2).uniform(-0.3, 0.3, len(at))
    found, h = memo(at), 1e-3
    slopes = []
    for e in np.eye(len(at)) * h:
        near, far = memo.value(at + e) - memo.value(at - e), memo.value(at + 2.0 * e) - memo.value(at - 2.0 * e)
        slopes.append((8.0 * near - far) / (12.0 * h))
    assert found.value == pytest.approx(memo.value(at), rel=1e-12)
    assert_allclose(found.gradient, slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", LIKELIHOOD)
def test_the_likelihood_of_parameters_is_the_dense_one_of_field_and_trend(kind):
    memo = make(Matern(4.0), "linear", kind)
    at = np.log([3.0, 0.7])
    y, size, observed = (each.ravel() for each in data(kind))
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    X = np.stack([np.ones(len(y)), rows.ravel() + 5.0, columns.ravel()], axis=1)
    Q = Matern(3.0, 0.7).stencil(SHAPE).tocsr().toarray()
    assert memo.value(at) == pytest.approx(joint(Q, X, kind, y, size, observed)[0], rel=1e-10)


def test_without_a_trend_of_its_own_the_mode_is_that_of_the_fit():
    y, size, observed = data("poisson")
    result = fit(Intrinsic(), y, mask=~observed, likelihood=Poisson(size), priors={"tau": LogNormal(2.0, 1.0)})
    found = result.integrate()
    assert found.mode["tau"] == pytest.approx(result.parameters["tau"], rel=2e-2)
    assert (found.predict().std > 0.98 * result.predict().std).all()


def test_a_functional_of_single_pixels_is_what_is_predicted_of_them():
    weights = np.zeros((2, *SHAPE))
    weights[0, 0, 1] = weights[1, 3, 4] = 1.0
    own, found = integrated("poisson", "ccd").functional(weights), integrated("poisson", "ccd").predict()
    assert_allclose(own.estimate, [found.mean[0, 1], found.mean[3, 4]], rtol=1e-9)
    assert_allclose(own.standard_error, [found.std[0, 1], found.std[3, 4]], rtol=1e-6)


def test_draws_have_the_moments_of_the_mixture():
    found = integrated("binomial", "ccd").predict(n_samples=4000, rng=3)
    error = found.std / np.sqrt(4000)
    assert (np.abs(found.samples.mean(axis=0) - found.mean) < 6.0 * error).all()  # 42 pixels: one in 1e7
    assert_allclose(found.samples.std(axis=0), found.std, rtol=0.1)
    assert np.isnan(found.predictive_std).all()


def test_several_images_and_sums_are_integrated_too():
    y, size, observed = data("poisson")
    priors = {"sigma": LogNormal(0.8, 0.5)}
    result = fit(BYM(), np.array([y, y[::-1]]), mask=~observed, likelihood=Poisson(size), fixed="phi", priors=priors)
    found = result.integrate()
    assert found.predict().mean.shape == (2, *SHAPE)
    assert found.relative_risk().mean.shape == (2, *SHAPE)
    assert found.exceedance(1.0).shape == (2, *SHAPE)


def test_pixels_outside_the_domain_of_the_field_have_no_value():
    y, size, observed = data("poisson")
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, 3] = True
    given = {"likelihood": Poisson(size), "mask": ~observed | mask, "fixed": "phi"}
    found = fit(BYM(mask=mask), y, priors={"sigma": LogNormal(0.8, 0.5)}, **given).integrate()
    pixels, risk = found.predict(n_samples=1, rng=0), found.relative_risk()
    for each in (pixels.mean, pixels.std, pixels.samples[0], risk.mean, risk.upper, found.exceedance(1.0)):
        np.testing.assert_array_equal(np.isnan(each), mask)


def test_a_variance_that_the_counts_do_not_keep_from_zero_is_refused_without_a_prior():
    rng = np.random.default_rng(0)
    result = fit(Matern(3.0), rng.poisson(3.0, SHAPE), likelihood=Poisson(), fixed="range")
    with pytest.raises(ArgumentError, match=r"priors"):
        result.integrate()


def test_a_fit_without_anything_estimated_is_refused():
    y, size, observed = data("poisson")
    result = fit(Matern(), y, mask=~observed, likelihood=Poisson(size), fixed=["range", "sigma"])
    with pytest.raises(ArgumentError, match="fixed"):
        result.integrate()


@pytest.mark.parametrize(("threshold", "match"), [(-1.0, "positive"), (np.ones((2, 2)), "shape")])
def test_thresholds_that_are_no_risks_are_refused(threshold, match):
    with pytest.raises(ArgumentError, match=match):
        integrated("poisson", "ccd").exceedance(threshold)


class TestFill:
    def test_risks_and_new_counts_are_those_of_the_mixture(self):
        y, size, observed = data("poisson")
        given = {"likelihood": Poisson(size), "covariates": "constant", "fixed": "range", "mask": ~observed}
        priors = {"sigma": LogNormal(0.8, 0.5)}
        own = fill(y, model=Matern(4.0), priors=priors, parameters="integrate", n_samples=2, rng=1, **given)
        assert isinstance(own.integrated, IntegratedCountFit)
        found = own.integrated.relative_risk(0.9)
        assert_allclose(own.mean, found.mean, rtol=1e-9)
        assert_allclose(own.std, found.std, rtol=1e-9)
        assert_allclose(own.relative_risk(0.9).upper, found.upper, rtol=1e-9)
        assert_allclose(own.exceedance(1.2), own.integrated.exceedance(1.2), rtol=1e-9)
        assert_allclose(own.predictive_mean, size * own.mean, rtol=1e-12)
        assert_allclose(own.predictive_std, np.sqrt(size * own.mean + (size * own.std) ** 2), rtol=1e-9)
        assert_allclose(own.filled, np.where(observed, y, own.predictive_mean))
        assert own.samples.shape == (2, *SHAPE)
        one = np.zeros(SHAPE)
        one[2, 3] = 1.0
        assert own.functional(one).standard_error == pytest.approx(own.mixture.std[2, 3], rel=1e-6)

    def test_weak_priors_are_there_by_default(self):
        y, size, observed = data("poisson")
        found = fill(y, model=BYM(), mask=~observed, likelihood=Poisson(size), parameters="integrate")
        assert set(found.fit.priors) == {"sigma", "phi"}
        assert found.integrated.without_prior == ()
        assert found.plot() is not None

    def test_known_parameters_leave_no_mixture(self):
        y, size, observed = data("poisson")
        found = fill(y, model=Matern(4.0), mask=~observed, likelihood=Poisson(size), fixed="range")
        assert (found.integrated, found.mixture, found.fit.priors) == (None, None, {})
