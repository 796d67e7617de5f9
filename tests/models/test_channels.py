"""Channels: the separable field against its blocks written out, for proper and intrinsic spatial models."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, GMRF, SAR, Channels, Intrinsic, Matern, TensionSpline
from sparsegmrf.errors import ArgumentError, StencilError
from tests import reference

S = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])
SHAPE = (5, 4)
MODELS = {
    "CAR": CAR(0.2),
    "SAR": SAR(0.1, tau=2.0),
    "Matern": Matern(4.0, 2.0, 2),
    "Matern torus": Matern(4.0, 2.0, 1, boundary="torus"),
}


@pytest.mark.parametrize("name", MODELS)
def test_field_is_that_of_the_kronecker_product(name):
    model = Channels(MODELS[name], S)
    Q = np.kron(MODELS[name].stencil(SHAPE).tocsr().toarray(), np.linalg.inv(S))
    assert_allclose(model.stencil(SHAPE).tocsr().toarray(), Q, rtol=1e-9, atol=1e-9)
    mean = np.arange(60.0).reshape(*SHAPE, 3)
    field = model.gmrf(SHAPE, mean)
    x = np.random.default_rng(0).standard_normal((*SHAPE, 3)) + mean
    assert field.factor.method == "separable"
    assert field.factor.spatial.lattice.channels == 1
    assert_allclose(field.logpdf(x), reference.log_density(x, mean, Q), rtol=1e-9)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(np.linalg.inv(Q)), rtol=1e-9)
    assert_allclose(field.precision.tocsr().toarray(), Q, rtol=1e-9, atol=1e-9)
    assert field.sample((2,), rng=0).shape == (2, *SHAPE, 3)
    by_blocks = GMRF.from_precision(model.stencil(SHAPE), mean=mean, method="dense")
    assert_allclose(field.logpdf(x), by_blocks.logpdf(x), rtol=1e-9)


def test_derivatives_are_those_of_the_blocks():
    model, step = Channels(CAR(0.2), S), 1e-5
    derivatives = model.derivatives(SHAPE)
    assert set(derivatives) == set(model.parameters)
    for name, value in model.parameters.items():
        low, high = (model.replace(**{name: value + sign * step}).stencil(SHAPE).tocsr() for sign in (-1, 1))
        difference = (high - low).toarray() / (2 * step)
        assert_allclose(derivatives[name].tocsr().toarray(), difference, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("model", [Intrinsic(), Intrinsic(order=2), TensionSpline(0.5)])
def test_intrinsic_spatial_fields_have_the_generalized_density(model):
    field = Channels(model, S).gmrf(SHAPE)
    Q = np.kron(model.stencil(SHAPE).tocsr().toarray(), np.linalg.inv(S))
    values = np.linalg.eigvalsh(Q)
    deficiency = 3 * model.gmrf(SHAPE).rank_deficiency
    x = np.random.default_rng(0).standard_normal((*SHAPE, 3))
    rank = 60 - deficiency
    expected = 0.5 * (np.log(values[deficiency:]).sum() - rank * np.log(2 * np.pi) - x.ravel() @ Q @ x.ravel())
    assert_allclose(field.logpdf(x), expected, rtol=1e-9)
    assert_allclose(field.sample(rng=0).sum(axis=(0, 1)), 0.0, atol=1e-9)


def test_estimated_covariance_is_the_most_likely_one():
    model = Channels(CAR(0.2), S)
    x = model.gmrf((40, 40)).sample(3, rng=0) + np.array([1.0, 2.0, 3.0])
    estimate = model.estimate_covariance(x, [1.0, 2.0, 3.0])
    # 4800 pixels: a relative error of 0.15 in a variance is seven standard errors; false alarm below 1e-11.
    assert_allclose(np.diagonal(estimate), np.diagonal(S), rtol=0.15)

    def likelihood(covariance):
        return Channels(CAR(0.2), covariance).gmrf((40, 40), [1.0, 2.0, 3.0]).logpdf(x).sum()

    best = likelihood(estimate)
    for i, j in [(0, 0), (0, 1), (2, 2)]:
        moved = estimate.copy()
        moved[i, j] = moved[j, i] = estimate[i, j] + 0.01
        assert likelihood(moved) < best


def test_one_channel_is_the_spatial_field_with_its_variance_scaled():
    x = np.random.default_rng(0).standard_normal(SHAPE)
    scaled = Channels(CAR(0.2, tau=2.0), [[2.0]]).gmrf(SHAPE)
    assert_allclose(scaled.logpdf(x), CAR(0.2).gmrf(SHAPE).logpdf(x), rtol=1e-12)


def test_parameters_and_limits_are_the_spatial_models():
    model = Channels(CAR(0.2), S)
    assert model.parameters == CAR(0.2).parameters
    assert model.limits(SHAPE) == CAR(0.2).limits(SHAPE)
    with pytest.raises(ArgumentError, match=r"^rho must lie in"):
        Channels(CAR(0.4), S).stencil((40, 40))


def test_bad_arguments_are_refused():
    with pytest.raises(ArgumentError, match=r"^model must be a Model"):
        Channels("CAR", S)
    with pytest.raises(ArgumentError, match=r"^covariance must be positive definite"):
        Channels(CAR(0.2), np.ones((2, 2)))
    with pytest.raises(ArgumentError, match=r"^spatial must have one unknown per pixel"):
        Channels(Channels(CAR(0.2), S), S).gmrf(SHAPE)
    with pytest.raises(ArgumentError, match=r"^x must have shape \(..., H, W, 3\)"):
        Channels(CAR(0.2), S).estimate_covariance(np.ones((4, 5, 2)))
    with pytest.raises(StencilError, match=r"^Channels has no field without borders"):
        Channels(CAR(0.2), S).gmrf(SHAPE, edge="stationary")
