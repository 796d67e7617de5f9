"""Variances by frequency, and their derivatives, are those of the dense precision in the basis."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors import SpectralDensity, _transforms
from sparsegmrf.models import CAR, Channels, Matern, Sum, TensionSpline
from tests.models.catalogue import COMPOSED, FRACTIONAL, INTRINSIC, PROPER, SHAPE

MODELS = {**PROPER, **FRACTIONAL, **INTRINSIC, **COMPOSED}
KNOWN = [name for name, model in MODELS.items() if model.spectral_density(SHAPE) is not None]
ALL = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))


def transform(basis):
    """The orthonormal transform as a matrix."""
    n = SHAPE[0] * SHAPE[1]
    return _transforms.forward(basis, np.eye(n).reshape(n, *SHAPE)).reshape(n, n).T


@pytest.mark.parametrize("name", [name for name in KNOWN if MODELS[name].combination is None])
def test_variances_and_derivatives_are_those_of_the_dense_precision(name):
    model = MODELS[name]
    weight = float(model.observation[0]) ** 2 if isinstance(model, Sum) else 1.0
    density = model.spectral_density(SHAPE)
    F = transform(density.basis)
    v, by_parameter = density.values(ALL)
    v, free = v.ravel() / weight, np.isinf(v.ravel())
    assert density.is_intrinsic == free[0]
    assert not free[1:].any()
    Q = F @ model.stencil(SHAPE).tocsr().toarray() @ F.T
    assert_allclose(np.diag(np.where(free, 0.0, 1.0 / v)), Q, rtol=0.0, atol=1e-13 * np.abs(Q).max())
    finite = np.where(free, 0.0, v)
    assert set(density.names) == set(by_parameter)
    for parameter, dQ in model.derivatives(SHAPE).items():
        moved = -finite[:, np.newaxis] * (F @ dQ.tocsr().toarray() @ F.T) * finite
        if parameter not in density.names:
            assert np.abs(moved - np.diag(np.diagonal(moved))).max() > 1e-6
            continue
        own = np.where(free, 0.0, by_parameter[parameter].ravel() / weight)
        assert_allclose(np.diag(own), moved, rtol=0.0, atol=1e-10 * np.abs(moved).max())


@pytest.mark.parametrize("name", [name for name in KNOWN if name in FRACTIONAL])
def test_variances_and_derivatives_of_a_sum_are_those_of_its_dense_covariance(name):
    model = MODELS[name].replace(nu_is_free=True)
    density = model.spectral_density(SHAPE)
    F, n = transform(density.basis), SHAPE[0] * SHAPE[1]
    B = F @ np.kron(np.eye(n), model.combination)
    v, by_parameter = density.values(ALL)
    assert density.names == tuple(model.parameters)
    S = np.linalg.inv(model.stencil(SHAPE).tocsr().toarray())
    assert_allclose(np.diag(v.ravel()), B @ S @ B.T, rtol=0.0, atol=1e-12 * v.max())
    for parameter, dQ in model.derivatives(SHAPE).items():
        moved = -B @ S @ dQ.tocsr().toarray() @ S @ B.T
        own = by_parameter[parameter].ravel()
        assert_allclose(np.diag(own), moved, rtol=0.0, atol=1e-10 * np.abs(moved).max())


@pytest.mark.parametrize("name", ["BYM", "BYM torus"])
def test_variances_and_derivatives_of_bym_are_those_of_its_dense_parts(name):
    model = MODELS[name]
    density = model.spectral_density(SHAPE)
    F, structured = transform(density.basis), model.stencil(SHAPE).tocsr().toarray()[::2, ::2]
    v, by_parameter = density.values(ALL)
    assert density.is_intrinsic
    assert np.isinf(v[0, 0])
    of_structured = np.diagonal(F @ np.linalg.pinv(structured, hermitian=True, rcond=1e-12) @ F.T)
    of_unstructured = model.sigma**2 * (1.0 - model.phi)
    assert_allclose(v.ravel()[1:], (of_structured + of_unstructured)[1:], rtol=1e-12)
    by_sigma = 2.0 * v.ravel() / model.sigma
    assert_allclose(by_parameter["sigma"].ravel()[1:], by_sigma[1:], rtol=1e-12)
    by_phi = of_structured / model.phi - model.sigma**2
    assert_allclose(by_parameter["phi"].ravel()[1:], by_phi[1:], rtol=1e-10)


@pytest.mark.parametrize("name", KNOWN)
def test_single_frequencies_are_those_of_the_block(name):
    density = MODELS[name].spectral_density(SHAPE)
    v, by_parameter = density.values(ALL)
    i, j = np.array([0, 3, 5, 0]), np.array([0, 2, 6, 4])
    own, moved = density.values((i, j))
    assert_allclose(own, v[i, j], rtol=1e-15)
    for parameter, values in moved.items():
        assert_allclose(values, by_parameter[parameter][i, j], rtol=1e-13, atol=1e-300)
    some, _ = density.values((slice(2, 5), slice(0, SHAPE[1])))
    assert_allclose(some, v[2:5], rtol=1e-15)


def test_sum_has_the_variances_of_what_is_observed():
    members = CAR(0.2, boundary="torus"), Matern(4.0, boundary="torus")
    found = Sum(members, labels=["a", "b"], observation=[2.0, -3.0]).spectral_density(SHAPE)
    (a, by_a), (b, by_b) = (each.spectral_density(SHAPE).values(ALL) for each in members)
    v, by_parameter = found.values(ALL)
    assert_allclose(v, 4.0 * a + 9.0 * b, rtol=1e-14)
    assert set(found.names) == {"rho_a", "tau_a", "range_b", "sigma_b"}
    assert_allclose(by_parameter["rho_a"], 4.0 * by_a["rho"], rtol=1e-14)
    assert_allclose(by_parameter["range_b"], 9.0 * by_b["range"], rtol=1e-14)


def test_there_is_none_where_no_basis_makes_frequencies_independent():
    other = Sum([CAR(0.2), Matern(4.0)])  # cut off, and without flux
    for model in (other, Channels(CAR(0.2), np.eye(2)), Matern(np.full(SHAPE, 4.0)), CAR(0.1, neighbourhood=[(0, 2)])):
        assert model.spectral_density(SHAPE) is None


def test_parameters_are_compared_with_their_limits():
    with pytest.raises(ArgumentError, match="rho must lie in"):
        CAR(0.3).spectral_density(SHAPE)


def test_eigenvalue_that_is_not_positive_is_refused_with_its_value():
    density = SpectralDensity.of_symbol("dct", (2, 2), (), lambda i, j: (i + j - 1.0, {}))
    with pytest.raises(NotPositiveDefiniteError, match="eigenvalue -1 at a frequency"):
        density.values((slice(0, 2), slice(0, 2)))
    free = TensionSpline(0.3).spectral_density((2, 2))
    assert np.isinf(free.values((slice(0, 2), slice(0, 2)))[0][0, 0])
