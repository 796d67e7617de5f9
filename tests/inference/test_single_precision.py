"""Factors in single precision: fits, fillings and fields given data are those of double precision, with their error."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, condition, factorize, fill, fit, plan
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.factors import SingleFactor
from sparsegmrf.inference import _plan, constrain
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import CAR, Channels, Intrinsic, Matern, Sum
from tests import reference

SHAPE = (30, 26)
FIELD = Matern(range=6.0, sigma=2.0)


def image(seed=1):
    """A field with noise and gaps."""
    rng = np.random.default_rng(seed)
    found = FIELD.gmrf(SHAPE, mean=5.0).sample(rng=seed) + 0.3 * rng.standard_normal(SHAPE)
    found[rng.uniform(size=SHAPE) < 0.2] = np.nan
    found[8:14, 10:20] = np.nan
    return found


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_estimates_are_those_of_double_precision(method):
    double, single = (fit(Matern(), image(), method=method, precision=each) for each in ("double", "single"))
    assert_allclose(single.loglik, double.loglik, rtol=0, atol=1e-8)
    for name, error in double.standard_errors.items():
        assert abs(single.parameters[name] - double.parameters[name]) < 1e-5 * error
        assert_allclose(single.standard_errors[name], error, rtol=1e-3)  # differences of gradients


def test_likelihood_at_given_parameters_is_the_dense_one():
    y = image()
    seen = np.isfinite(y).ravel()
    result = fit(FIELD, y, noise_variance=0.09, covariates=None, fixed=("range", "sigma"), precision="single")
    S = reference.covariance(FIELD.stencil(SHAPE).tocsr().toarray())[np.ix_(seen, seen)] + 0.09 * np.eye(seen.sum())
    values = y.ravel()[seen]
    expected = -0.5 * (np.linalg.slogdet(S)[1] + values @ np.linalg.solve(S, values) + seen.sum() * np.log(2.0 * np.pi))
    assert_allclose(result.loglik, expected, rtol=1e-11)


@pytest.mark.parametrize("model", [None, Matern(range=6.0, sigma=2.0), Intrinsic(), Sum((Matern(range=4.0), CAR(0.2)))])
def test_filling_is_that_of_double_precision_and_states_its_error(model):
    held = {} if model is None else {"model": model, "fixed": tuple(model.parameters), "noise_variance": 0.1}
    double, single = (fill(image(), n_samples=2, rng=3, precision=each, **held) for each in ("double", "single"))
    assert double.relative_error == 0.0
    assert 0.0 < single.relative_error < 1e-4
    assert_allclose(single.mean, double.mean, rtol=0, atol=1e-9 if held else 1e-4)
    for name in ("std", "predictive_std"):
        assert_allclose(getattr(single, name), getattr(double, name), rtol=single.relative_error if held else 1e-3)
    assert_allclose(single.samples, double.samples, rtol=0, atol=1e-3)


def test_prediction_without_pixels_states_its_error():
    held = np.zeros(SHAPE, dtype=bool)
    held[2:6, 3:8] = True
    double, single = (
        fit(FIELD, image(), noise_variance=0.09, fixed=("range", "sigma"), precision=each).predict(held)
        for each in ("double", "single")
    )
    assert 0.0 < single.relative_error < 1e-5
    assert_allclose(single.mean, double.mean, rtol=0, atol=1e-10)
    assert_allclose(single.variance, double.variance, rtol=single.relative_error)


@pytest.mark.parametrize(
    "options",
    [
        {"noise_variance": 0.09},
        {"noise_variance": 0.0},
        {"noise_variance": 0.09, "operator": np.full((3, 3), 1.0 / 9.0)},
    ],
    ids=["noise", "exact", "operator"],
)
def test_conditioned_field_is_that_of_double_precision(options):
    prior, y = FIELD.gmrf(SHAPE, mean=5.0), image()
    double, single = (condition(prior, y, mask="nan", precision=each, **options) for each in ("double", "single"))
    assert double.factor.relative_error == 0.0
    error = single.factor.relative_error
    assert 0.0 < error < 1e-5
    assert_allclose(single.mean, double.mean, rtol=0, atol=1e-10)
    assert_allclose(single.marginal_variance(), double.marginal_variance(), rtol=error, atol=1e-15)
    assert_allclose(single.logdet, double.logdet, rtol=1e-12)
    x = double.sample(rng=0)
    assert_allclose(single.logpdf(x), double.logpdf(x), rtol=1e-10)
    assert_allclose(single.sample(rng=0), x, rtol=0, atol=1e-4)


def test_few_unknown_pixels_are_moved_together_in_single_precision():
    y = FIELD.gmrf(SHAPE).sample(rng=0)
    y[3:6, 4:7], y[20:24, 15:20] = np.nan, np.nan
    double, single = (
        condition(FIELD.gmrf(SHAPE), y, mask="nan", noise_variance=0.0, precision=each) for each in ("double", "single")
    )
    assert single.factor.method == double.factor.method == "packed"
    assert 0.0 < single.factor.relative_error < 1e-5
    assert_allclose(single.mean, double.mean, rtol=0, atol=1e-11)
    variances = single.marginal_variance(), double.marginal_variance()
    assert_allclose(*variances, rtol=single.factor.relative_error, atol=1e-15)


def test_constrained_field_states_the_error_of_what_variance_is_left():
    posterior = condition(FIELD.gmrf(SHAPE), image() - 5.0, mask="nan", noise_variance=0.09, precision="single")
    rows = np.zeros((2, *SHAPE))
    rows[0, 9:12, 12:15], rows[1, 10, 13] = 1.0, 1.0 + 1e-3
    rows[1, 10, 14] = 1e-3
    found = constrain(posterior, rows, [1.0, 0.2])
    inner = posterior.factor.relative_error
    S = reference.covariance(posterior.precision.tocsr().toarray())
    C = rows.reshape(2, -1)
    exact = S - S @ C.T @ np.linalg.solve(C @ S @ C.T, C @ S)
    off = np.abs(found.marginal_variance().ravel() / np.diagonal(exact) - 1.0)
    assert off.max() <= found.factor.relative_error
    assert found.factor.relative_error > 10.0 * inner


def test_channels_are_conditioned_in_single_precision_and_not_fitted():
    model = Channels(Matern(range=6.0), [[1.0, 0.5], [0.5, 2.0]])
    y = model.gmrf(SHAPE).sample(rng=0)
    y[4:8, 5:9, 0] = np.nan
    double, single = (
        condition(model.gmrf(SHAPE), y, mask="nan", noise_variance=0.1, precision=each) for each in ("double", "single")
    )
    assert 0.0 < single.factor.relative_error < 1e-5
    assert_allclose(single.mean, double.mean, rtol=0, atol=1e-10)
    for refused in (partial(fit, model), partial(fill, model=model)):
        with pytest.raises(ArgumentError, match=r'precision must be "double" with Channels'):
            refused(image=y, precision="single")


def test_counts_have_the_same_mode_and_likelihood():
    rng = np.random.default_rng(0)
    model = CAR(0.2)
    y = rng.poisson(np.exp(1.0 + model.gmrf(SHAPE).sample(rng=rng)))
    double, single = (
        condition(model.gmrf(SHAPE, mean=1.0), y, likelihood=Poisson(), precision=each) for each in ("double", "single")
    )
    assert_allclose(single.mean, double.mean, rtol=0, atol=1e-10)
    assert_allclose(single.log_marginal_likelihood, double.log_marginal_likelihood, rtol=1e-12)
    assert isinstance(single.factor, SingleFactor)
    fits = [fit(model, y, likelihood=Poisson(), precision=each) for each in ("double", "single")]
    assert_allclose(fits[1].loglik, fits[0].loglik, rtol=0, atol=1e-7)
    assert 0.0 < fits[1].predict().relative_error < 1e-5


def test_transforms_are_the_same_in_either_precision():
    field = FIELD.gmrf(SHAPE)
    complete = field.sample(rng=1)
    found = condition(field, complete, noise_variance=0.5, precision="single")
    assert found.factor.method == "spectral"
    assert found.factor.relative_error == 0.0
    ring = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], SHAPE, boundary="torus")
    alone = GMRF(ring, method=partial(factorize, precision="single"))
    assert alone.factor.method == "spectral"


def test_plan_of_single_precision_is_that_of_half_the_factor(monkeypatch):
    double, single = (plan((2048, 2048), Matern(), precision=each) for each in ("double", "single"))
    assert 2 * single.factor.factor_bytes == double.factor.factor_bytes
    assert single.fit_bytes < 0.7 * double.fit_bytes
    weight = np.random.default_rng(0).uniform(size=(16, 16))
    shape, P = (1024, 1024), Matern().stencil((16, 16)).plus_diagonal(weight)
    between = plan(shape, P).peak_bytes - 1
    monkeypatch.setattr("sparsegmrf._memory.available_bytes", lambda: between)
    with pytest.raises(TooLargeError, match='keep factors in half the memory by precision="single"'):
        _plan.refuse_factor(shape, P, "the factor")
    _plan.refuse_factor(shape, P, "the factor", "single")


@pytest.mark.parametrize("call", [fit, fill])
def test_precision_that_is_none_is_refused(call):
    arguments = (Matern(), image()) if call is fit else (image(),)
    with pytest.raises(ArgumentError, match=r"precision must be one of 'double', 'single', got 'half'"):
        call(*arguments, precision="half")
