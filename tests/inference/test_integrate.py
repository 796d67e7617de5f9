"""Integrated parameters against quadrature of dense densities, and what is refused."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import IntegratedFit, Mixture
from sparsegmrf.models import CAR, Channels, Intrinsic, Matern
from sparsegmrf.priors import LogNormal, PCRange, PCSigma
from tests.inference import dense

SHAPE = (6, 8)
PRIORS = {"sigma": LogNormal(1.0, 0.5), "noise_variance": LogNormal(0.1, 0.8)}
PRIOR_OF_THEM = {"sigma": (0.0, 0.5), "noise_variance": (np.log(0.1), 0.8)}


def image(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    field = Matern(range=4.0).gmrf(shape, mean=7.0).sample(rng=rng) + 0.3 * rng.standard_normal(shape)
    return np.where(rng.random(shape) < 0.2, np.nan, field)


@cache
def fitted(method="reml"):
    """Scale and noise of a Matern field of known range."""
    return fit(Matern(range=4.0), image(), fixed="range", priors=PRIORS, method=method)


@cache
def integrated(strategy="grid"):
    return fitted().integrate(strategy=strategy)


class Oracle:
    """Restricted log-density times prior on a grid of ``log sigma`` and ``log noise_variance``, densely."""

    nodes = np.linspace(-2.5, 2.0, 70), np.linspace(-6.5, 1.5, 70)

    def __init__(self):
        y = image().ravel()
        o = np.flatnonzero(np.isfinite(y))
        C = np.linalg.inv(Matern(range=4.0).stencil(SHAPE).tocsr().toarray())
        ones = np.ones((len(o), 1))
        logs, means, variances = [], [], []
        for u in self.nodes[0]:
            for v in self.nodes[1]:
                S = np.exp(2.0 * u) * C[np.ix_(o, o)] + np.exp(v) * np.eye(len(o))
                prior = norm.logpdf(u, *PRIOR_OF_THEM["sigma"]) + norm.logpdf(v, *PRIOR_OF_THEM["noise_variance"])
                logs.append(dense.restricted(y[o], S, ones) + prior)
                beta, of_beta = dense.generalized_least_squares(y[o], S, ones)
                gain = np.linalg.solve(S, np.exp(2.0 * u) * C[o]).T
                means.append(beta[0] + gain @ (y[o] - beta[0]))
                left = 1.0 - gain.sum(axis=1)
                own = np.exp(2.0 * u) * np.diagonal(C) - np.einsum("ij,ji->i", gain, np.exp(2.0 * u) * C[o])
                variances.append(own + left**2 * of_beta[0, 0])
        size = (len(self.nodes[0]), len(self.nodes[1]))
        self.logs = np.reshape(logs, size)
        self.cell = np.prod([each[1] - each[0] for each in self.nodes])
        self.weights = np.exp(self.logs - self.logs.max())
        self.log_integral = self.logs.max() + np.log(self.weights.sum() * self.cell)
        self.weights /= self.weights.sum()
        self.means, self.variances = np.array(means), np.array(variances)

    def marginal(self, k):
        return self.weights.sum(axis=1 - k) / (self.nodes[k][1] - self.nodes[k][0])


oracle = cache(Oracle)


def distance(found, name, k):
    """Total variation distance of a parameter's density from the oracle's, on the scale of the logarithm."""
    values = np.exp(oracle().nodes[k])
    own = found.densities[name].pdf(values) * values
    return 0.5 * np.sum(np.abs(own - oracle().marginal(k))) * (oracle().nodes[k][1] - oracle().nodes[k][0])


@pytest.mark.parametrize(("k", "name"), list(enumerate(PRIORS)))
def test_densities_of_parameters_on_a_grid_are_those_of_dense_quadrature_within_one_percent(k, name):
    assert distance(integrated(), name, k) < 0.01


@pytest.mark.parametrize(("k", "name"), list(enumerate(PRIORS)))
def test_densities_of_parameters_by_the_design_are_near_those_of_dense_quadrature(k, name):
    assert distance(integrated("ccd"), name, k) < 0.1


@pytest.mark.parametrize(("strategy", "nats"), [("grid", 0.01), ("ccd", 0.1)])
def test_log_evidence_is_the_integral_of_restricted_likelihood_and_priors(strategy, nats):
    assert integrated(strategy).log_evidence == pytest.approx(oracle().log_integral, abs=nats)


@pytest.mark.parametrize(("strategy", "share"), [("grid", 0.01), ("ccd", 0.03)])
def test_pixels_have_the_moments_of_dense_quadrature(strategy, share):
    w = oracle().weights.ravel()
    mean = w @ oracle().means
    std = np.sqrt(w @ (oracle().variances + (oracle().means - mean) ** 2))
    found = integrated(strategy).predict()
    assert (np.abs(found.mean.ravel() - mean) < 2.0 * share * std).all()
    assert_allclose(found.std.ravel(), std, rtol=share)


def test_pixels_are_distributed_as_by_dense_quadrature():
    w, pixel = oracle().weights.ravel(), int(np.flatnonzero(np.isnan(image().ravel()))[0])
    m, s = oracle().means[:, pixel], np.sqrt(oracle().variances[:, pixel])
    for probability in (0.025, 0.5, 0.975):
        at = integrated().predict().mixture.quantile(probability).ravel()[pixel]
        assert w @ norm.cdf((at - m) / s) == pytest.approx(probability, abs=2e-3)


def test_the_mode_is_the_fit_by_restricted_likelihood():
    for method in ("ml", "reml"):
        mode = fitted(method).integrate(strategy="ccd").mode
        assert mode == pytest.approx(fitted().parameters, rel=2e-2)
    assert fitted("ml").parameters["sigma"] < 0.99 * fitted().parameters["sigma"]


def test_intervals_are_wider_than_with_parameters_taken_as_known():
    plug_in, found = fitted().predict(), integrated().predict()
    assert (found.std > 0.99 * plug_in.std).all()
    assert found.std.mean() > 1.005 * plug_in.std.mean()


def test_new_measurements_have_the_noise_of_each_point():
    found = integrated().predict()
    weights, noise = integrated().weights, integrated().points["noise_variance"]
    assert_allclose(found.predictive_variance, found.variance + weights @ noise, rtol=1e-12)
    assert_allclose(found.predictive_mixture.stds**2 - found.mixture.stds**2, noise[:, None, None] * np.ones(SHAPE))


def test_a_functional_of_single_pixels_is_what_is_predicted_of_them():
    weights = np.zeros((2, *SHAPE))
    weights[0, 0, 1] = weights[1, 3, 4] = 1.0
    own, found = integrated("ccd").functional(weights), integrated("ccd").predict()
    assert_allclose(own.estimate, [found.mean[0, 1], found.mean[3, 4]], rtol=1e-9)
    assert_allclose(own.standard_error, [found.std[0, 1], found.std[3, 4]], rtol=1e-6)


def test_a_functional_of_an_area_has_the_variance_of_its_draws():
    weights = np.full(SHAPE, 1.0 / 48.0)
    own, draws = integrated("ccd").functional(weights), integrated("ccd").predict(n_samples=4000, rng=3).samples
    assert own.standard_error == pytest.approx(draws.mean(axis=(1, 2)).std(), rel=0.1)


def test_draws_have_the_moments_of_the_mixture():
    found = integrated("ccd").predict(n_samples=4000, rng=3)
    error = found.std / np.sqrt(4000)
    assert found.samples.shape == (4000, *SHAPE)
    assert (np.abs(found.samples.mean(axis=0) - found.mean) < 6.0 * error).all()  # 48 pixels: one in 1e7
    assert_allclose(found.samples.std(axis=0), found.std, rtol=0.1)


def test_the_same_seed_gives_the_same_draws():
    one, other = (integrated("ccd").predict(n_samples=2, rng=5).samples for _ in range(2))
    assert_allclose(one, other, rtol=0.0)


def test_points_are_those_of_parameters_with_weights_of_sum_one():
    for strategy in ("grid", "ccd"):
        found = integrated(strategy)
        assert found.strategy == strategy
        assert found.weights.sum() == pytest.approx(1.0)
        assert {name: len(each) for name, each in found.points.items()} == dict.fromkeys(PRIORS, len(found.weights))
        assert all((each > 0.0).all() for each in found.points.values())


def test_the_design_needs_nine_points_for_two_parameters():
    assert len(integrated("ccd").weights) == 9


def test_auto_takes_the_grid_for_few_parameters_and_the_design_for_more():
    assert fitted().integrate().strategy == "grid"
    priors = {**PRIORS, "range": PCRange(3.0, 0.05)}
    large = fit(Matern(), image(1, (33, 34)), priors=priors)
    assert large.integrate().strategy == "ccd"


def test_posterior_parameters_are_the_densities_to_plot():
    densities = fitted().posterior_parameters
    assert set(densities) == set(PRIORS)
    own = densities["sigma"]
    assert np.sum(own.density * np.gradient(own.values)) == pytest.approx(1.0, abs=2e-2)
    assert (np.diff(own.values) > 0.0).all()


def test_unit_and_level_of_the_image_do_not_matter():
    priors = {"sigma": LogNormal(1e5, 0.5), "noise_variance": LogNormal(1e9, 0.8)}
    found = fit(Matern(range=4.0), 1e5 * image() + 1e9, fixed="range", priors=priors).integrate(strategy="ccd")
    own = integrated("ccd")
    assert found.densities["sigma"].median == pytest.approx(1e5 * own.densities["sigma"].median, rel=2e-3)
    assert_allclose(found.predict().std, 1e5 * own.predict().std, rtol=2e-3)


def test_what_has_no_prior_is_flat_on_its_working_number():
    found = fit(Intrinsic(), image(), noise_variance=0.09).integrate()
    assert found.without_prior == ("tau",)
    grid = np.linspace(-4.0, 4.0, 400)
    logs = [fit(Intrinsic(tau=np.exp(u)), image(), noise_variance=0.09, fixed="tau").loglik for u in grid[::8]]
    weights = np.exp(np.array(logs) - max(logs))
    own = found.densities["tau"].pdf(np.exp(grid[::8])) * np.exp(grid[::8])
    exact = weights / (weights.sum() * (grid[8] - grid[0]))
    assert 0.5 * np.sum(np.abs(own - exact)) * (grid[8] - grid[0]) < 0.01


def test_several_images_are_mixtures_each():
    both = np.array([image(0), image(1)])
    found = fit(Matern(range=4.0), both, fixed="range", priors=PRIORS).integrate(strategy="ccd").predict(n_samples=2)
    assert found.mean.shape == (2, *SHAPE)
    assert found.mixture.means.shape == (9, 2, *SHAPE)
    assert found.samples.shape == (2, 2, *SHAPE)


def test_parameters_of_a_joint_region_have_densities_within_it():
    truth = CAR((0.3, 0.1)).gmrf((9, 10)).sample(rng=0)
    found = fit(CAR((0.2, 0.2)), truth, noise_variance=None, fixed="tau").integrate()
    for name, own in found.densities.items():
        assert np.sum(own.density * np.gradient(own.values)) == pytest.approx(1.0, abs=1e-2), name
        low, high = own.interval(0.999)
        assert -0.52 < low < high < 0.52


def test_a_range_that_the_image_does_not_bound_is_refused_without_a_prior():
    flat = np.add.outer(np.arange(8.0), np.arange(9.0)) + 0.1 * np.random.default_rng(0).standard_normal((8, 9))
    with pytest.raises(ArgumentError, match="priors"):
        fit(Matern(range=4.0), flat, noise_variance=0.01).integrate()


def test_a_fit_without_anything_estimated_is_refused():
    result = fit(Matern(), image(), noise_variance=0.1, fixed=["range", "sigma"])
    with pytest.raises(ArgumentError, match="fixed"):
        result.integrate()


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ArgumentError, match="strategy"):
        fitted().integrate(strategy="eb")


class TestFill:
    def test_integrated_parameters_are_those_of_the_fit(self):
        found = fill(
            image(),
            model=Matern(range=4.0),
            fixed="range",
            covariates="constant",
            priors=PRIORS,
            parameters="integrate",
            n_samples=2,
            rng=1,
        )
        own = fitted("ml").integrate().predict(n_samples=2, rng=1)
        assert_allclose(found.mean, own.mean, rtol=1e-3)
        assert_allclose(found.std, own.std, rtol=1e-2)
        assert isinstance(found.integrated, IntegratedFit)
        assert isinstance(found.mixture, Mixture)
        assert_allclose(found.std, found.mixture.std, rtol=1e-12)
        one = np.zeros(SHAPE)
        one[2, 3] = 1.0
        assert found.functional(one).standard_error == pytest.approx(found.std[2, 3], rel=1e-6)
        assert found.samples.shape == (2, *SHAPE)

    def test_weak_priors_are_there_by_default(self):
        found = fill(image(), model=Matern(range=4.0), fixed="range", parameters="integrate")
        assert set(found.fit.priors) == {"sigma", "noise_variance"}
        assert found.integrated.without_prior == ()

    def test_plug_in_has_no_priors_and_no_mixture_by_default(self):
        found = fill(image())
        assert (found.fit.priors, found.integrated, found.mixture) == ({}, None, None)

    def test_priors_also_hold_estimates_that_are_taken_as_known(self):
        held = fill(image(), model=Matern(range=4.0), fixed="range", priors={"sigma": PCSigma(0.01, 0.05)})
        assert (
            held.fit.parameters["sigma"] < 0.5 * fill(image(), model=Matern(4.0), fixed="range").fit.parameters["sigma"]
        )

    @pytest.mark.parametrize(
        "options",
        [
            {"model": "best"},
            {"model": Channels(Matern(), np.eye(2))},
            {"noise_variance": 0.1, "model": Matern(), "fixed": ["range", "sigma"]},
        ],
    )
    def test_what_cannot_be_integrated_is_refused(self, options):
        data = np.stack([image(), image()], axis=-1) if isinstance(options.get("model"), Channels) else image()
        with pytest.raises(ArgumentError, match=r"parameters|fixed"):
            fill(data, parameters="integrate", **options)

    def test_an_unknown_way_is_refused(self):
        with pytest.raises(ArgumentError, match="parameters"):
            fill(image(), parameters="empirical")

    def test_priors_with_a_comparison_are_refused(self):
        with pytest.raises(ArgumentError, match="priors"):
            fill(image(), model="best", priors=PRIORS)
