"""Every field and its factor say the same of their domain, null space and rank, and it is that of the precision."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, _memory, condition, constrain
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.fields import IntrinsicGMRF, StationaryEdgeField
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import Channels, Intrinsic, Matern, Sum

SHAPE = (5, 6)
FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], SHAPE)
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], SHAPE, boundary="neumann")
Y = np.arange(30.0).reshape(SHAPE) / 10.0
EXACT = np.where(Y > 2.0, 0.0, 1.0)
HALVES = np.where(np.arange(6) < 3, 0.0, 1.0) * np.ones((5, 1))
WALL = np.zeros(SHAPE, bool)
WALL[:, 2] = True

# The field, its number of null vectors, and its number of unknowns in the domain.
FIELDS = {
    "proper": (GMRF(FIVE), 0, 30),
    "level": (IntrinsicGMRF(MEMBRANE), 1, 30),
    "level pinned": (IntrinsicGMRF(MEMBRANE, method="dissection"), 1, 30),
    "planes": (Intrinsic(order=2).gmrf(SHAPE), 3, 30),
    "wall": (Intrinsic(mask=WALL).gmrf(SHAPE), 2, 25),
    "known pixels": (condition(GMRF(FIVE), Y, noise_variance=EXACT), 0, 21),
    "level with known pixels": (condition(IntrinsicGMRF(MEMBRANE), Y, noise_variance=EXACT), 0, 21),
    "domain": (GMRF(5.0 * SymmetricStencil([(0, 0)], [1.0], SHAPE), domain=~WALL), 0, 25),
    "counts": (condition(GMRF(FIVE), np.round(Y), likelihood=Poisson()), 0, 30),
    "channels": (Channels(Intrinsic(), [[1.0, 0.5], [0.5, 1.0]]).gmrf(SHAPE), 2, 60),
    "channels with a wall": (Channels(Intrinsic(mask=WALL), [[1.0, 0.5], [0.5, 1.0]]).gmrf(SHAPE), 4, 50),
    "sum": (Sum([Matern(range=3.0), Intrinsic()]).gmrf(SHAPE), 1, 60),
}


@pytest.mark.parametrize("name", FIELDS)
def test_null_space_rank_and_domain_are_those_of_the_precision(name):
    field, deficiency, free = FIELDS[name]
    image = field.lattice.image_shape
    assert field.null_space.shape == (deficiency, *image)
    assert (field.rank_deficiency, field.rank) == (deficiency, free - deficiency)
    assert (field.domain.shape, np.count_nonzero(field.domain)) == (image, free)
    V = field.null_space.reshape(deficiency, field.lattice.size)
    assert_allclose(V @ V.T, np.eye(deficiency), atol=1e-12)
    assert_allclose(field.precision @ field.null_space, 0.0, atol=1e-11)
    assert_allclose(field.null_vectors.toarray().T, V)
    assert not field.null_space[:, ~field.domain].any()
    covariance = field.factor.solve(np.eye(field.lattice.size).reshape(-1, *image)).reshape(field.lattice.size, -1)
    assert np.linalg.matrix_rank(covariance, hermitian=True) == field.rank


@pytest.mark.parametrize("name", FIELDS)
def test_projection_takes_off_the_null_space_and_what_is_outside_the_domain(name):
    field, _, _ = FIELDS[name]
    x = np.random.default_rng(0).standard_normal((2, *field.lattice.image_shape))
    before = x.copy()
    projected = field.project(x)
    V = field.null_vectors.toarray()
    P = np.diag(field.domain.ravel().astype(float)) - V @ V.T
    assert_allclose(projected.reshape(2, -1), x.reshape(2, -1) @ P, rtol=1e-12, atol=1e-12)
    assert_allclose(field.factor.project(projected), projected, rtol=1e-12, atol=1e-12)
    assert np.array_equal(x, before)
    assert not np.shares_memory(x, projected)
    with pytest.raises(ArgumentError, match=r"^x must have shape"):
        field.project(np.zeros((2, 2)))


@pytest.mark.parametrize("name", FIELDS)
def test_the_factor_says_what_the_field_says(name):
    field, _, _ = FIELDS[name]
    factor = field.factor
    assert factor.lattice == field.lattice
    assert (factor.rank, factor.rank_deficiency) == (field.rank, field.rank_deficiency)
    assert np.array_equal(factor.null_space, field.null_space)
    assert np.array_equal(factor.domain, field.domain)
    assert factor.shape == field.shape == SHAPE


def test_constraints_take_directions_and_leave_no_null_space():
    for field, free in ((GMRF(FIVE), 30), (IntrinsicGMRF(MEMBRANE), 30), (FIELDS["known pixels"][0], 21)):
        constrained = constrain(field, [HALVES, 1.0 - HALVES], 0.0)
        assert (constrained.rank, constrained.rank_deficiency) == (free - 2, 0)
        assert constrained.null_space.shape == (0, *SHAPE)
        assert np.array_equal(constrained.domain, field.domain)
        assert constrained.factor.rank == free - 2


def test_a_stationary_field_is_proper_and_complete():
    field = StationaryEdgeField(FIVE)
    assert (field.rank, field.rank_deficiency, field.null_space.shape) == (30, 0, (0, *SHAPE))
    assert field.domain.all()


@pytest.mark.parametrize("name", ["level", "planes", "wall", "known pixels", "domain"])
def test_scipy_is_not_given_a_singular_covariance(name):
    field, _, _ = FIELDS[name]
    with pytest.raises(ArgumentError, match=rf"^covariance_object is for proper fields.* of rank {field.rank} for 30"):
        field.covariance_object()


def test_images_of_a_null_space_that_would_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100)
    with pytest.raises(TooLargeError, match=r"^3 null vectors as images .* use null_vectors"):
        _ = Intrinsic(order=2).gmrf(SHAPE).null_space


def test_constraints_fix_the_null_space_of_every_channel():
    field, _, _ = FIELDS["channels"]
    C = np.zeros((2, *SHAPE, 2))
    C[0, ..., 0] = C[1, ..., 1] = 1.0
    constrained = constrain(field, C, [3.0, -6.0])
    assert_allclose(constrained.mean.sum(axis=(0, 1)), [3.0, -6.0], rtol=1e-12)
    draws = constrained.sample(3, rng=0)
    assert_allclose(draws.sum(axis=(1, 2)), [[3.0, -6.0]] * 3, rtol=1e-10)
    # A sum to zero is what the pseudo-inverse has already.
    assert_allclose(constrained.marginal_variance(), field.marginal_variance(), rtol=1e-9)
