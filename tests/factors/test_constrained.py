"""ConstrainedFactor: the contract of factors, with the covariance under constraints in the place of the inverse."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, factorize
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import ConstrainedFactor, DenseFactor, DissectionFactor, IndependentFactor, IntrinsicFactor
from tests import reference, strategies
from tests.contracts import columns, factor_contract
from tests.inference import dense

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (3, 4), boundary="neumann")
CASES = strategies.symmetric_stencils(largest=4, channels=(1, 2), boundaries=("dirichlet", "neumann")).filter(
    lambda case: np.prod(case.image_shape) > 1
)


def rows_of(lattice):
    """Up to three constraints: a sum, a random one, a single unknown; fewer than there are unknowns."""
    rng = np.random.default_rng(lattice.size)
    rows = [np.ones(lattice.size), 1e3 * rng.standard_normal(lattice.size), np.eye(lattice.size)[-1]]
    return np.array(rows[: min(3, lattice.size - 1)])


def constrained(stencil):
    return ConstrainedFactor(
        DissectionFactor(stencil), rows_of(stencil.lattice).reshape(-1, *stencil.lattice.image_shape)
    )


def oracle(case):
    C = rows_of(case.stencil.lattice)
    return dense.constrained(case.Q, C)[0], C


class TestContract(factor_contract(constrained, CASES)):
    @given(CASES)
    def test_logdet_is_that_of_the_dense_precision(self, case):
        N = dense.contrasts(oracle(case)[1].T)
        assert_allclose(constrained(case.stencil).logdet, reference.logdet(N.T @ case.Q @ N), **CLOSE)
        assert constrained(case.stencil).rank == N.shape[1]

    @given(CASES)
    def test_whitening_matrix_squared_is_the_precision(self, case):
        # On the images that fulfil the constraints.
        N = dense.contrasts(oracle(case)[1].T)
        A = columns(constrained(case.stencil).whiten, case)
        assert_allclose((A @ N).T @ (A @ N), N.T @ case.Q @ N, rtol=1e-9, atol=1e-9 * np.abs(case.Q).max())

    @given(CASES)
    def test_whitened_field_has_identity_covariance(self, case):
        factor = constrained(case.stencil)
        A = columns(factor.whiten, case)
        free = np.where(factor.pinned.ravel(), 0.0, 1.0)
        assert_allclose(A @ oracle(case)[0] @ A.T, np.diag(free), **CLOSE)

    @given(CASES)
    def test_unwhiten_inverts_whiten_on_either_side(self, case):
        factor = constrained(case.stencil)
        e = np.where(factor.pinned, 0.0, case.images(2))
        x = factor.unwhiten(e)
        assert_allclose(factor.whiten(x), e, **CLOSE)
        assert_allclose(factor.unwhiten(factor.whiten(x)), x, **CLOSE)

    @given(CASES)
    def test_unwhitened_white_field_has_covariance_inverse_of_precision(self, case):
        B = columns(constrained(case.stencil).unwhiten, case)
        covariance, C = oracle(case)
        assert_allclose(B @ B.T, covariance, **CLOSE)
        assert_allclose((C / np.linalg.norm(C, axis=1, keepdims=True)) @ B, 0.0, atol=1e-12)

    @given(CASES)
    def test_solve_is_the_dense_inverse(self, case):
        assert_allclose(columns(constrained(case.stencil).solve, case), oracle(case)[0], **CLOSE)

    @given(CASES)
    def test_selected_inverse_is_the_dense_inverse_on_every_offset(self, case):
        selected = constrained(case.stencil).selected_inverse()
        expected = reference.planes(oracle(case)[0], selected.offsets.tolist(), case.shape, case.channels)
        for k in range(len(selected.offsets)):
            assert_allclose(selected.plane(k).reshape(expected[k].shape), expected[k], **CLOSE)

    @given(CASES)
    def test_marginal_variance_is_the_dense_diagonal(self, case):
        variance = constrained(case.stencil).marginal_variance().ravel()
        assert_allclose(variance, np.diagonal(oracle(case)[0]), **CLOSE)
        assert variance.min() >= 0.0
        assert case.stencil.lattice.size < 4 or variance[-1] == 0.0  # a pixel that is a constraint

    @given(CASES)
    def test_covariance_with_is_a_column_of_the_dense_inverse(self, case):
        column = constrained(case.stencil).covariance_with((0, 0), case.channels - 1)
        assert_allclose(column.ravel(), oracle(case)[0][:, case.channels - 1], **CLOSE)

    @given(CASES)
    def test_mean_given_values_is_the_dense_one(self, case):
        C = oracle(case)[1]
        values = np.random.default_rng(case.seed).standard_normal(len(C))
        expected = dense.constrained(case.Q, C)[1] @ values
        assert_allclose(constrained(case.stencil).mean_given(values).ravel(), expected, **CLOSE)


def test_independent_intrinsic_fields_have_their_levels_fixed_together():
    factor = IndependentFactor([IntrinsicFactor(MEMBRANE), IntrinsicFactor(2.0 * MEMBRANE)])
    C = np.random.default_rng(0).standard_normal((3, 3, 4, 2))
    Q = np.kron(MEMBRANE.tocsr().toarray(), np.diag([1.0, 2.0]))
    expected, _ = dense.constrained(Q, C.reshape(3, -1))
    both = ConstrainedFactor(factor, C)
    assert_allclose(both.solve(np.eye(24).reshape(24, 3, 4, 2)).reshape(24, 24), expected, **CLOSE)
    assert_allclose(both.marginal_variance().ravel(), np.diagonal(expected), **CLOSE)
    assert both.rank == 21


def test_a_torus_has_its_covariances_corrected_across_the_border():
    torus = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.5, -1.0, -1.0], (4, 5), boundary="torus")
    factor = ConstrainedFactor(DenseFactor(torus), np.ones((1, 4, 5)))
    expected, _ = dense.constrained(torus.tocsr().toarray(), np.ones((1, 20)))
    selected = factor.selected_inverse()
    planes = reference.planes(expected, selected.offsets.tolist(), (4, 5), boundary="torus")
    for k in range(len(planes)):
        assert_allclose(selected.plane(k), planes[k, ..., 0, 0], **CLOSE)


def test_a_constrained_factor_is_no_base():
    factor = ConstrainedFactor(factorize(4.0 * MEMBRANE.plus_diagonal(1.0)), np.ones((1, 3, 4)))
    with pytest.raises(ArgumentError, match=r"^base must be a factor whose null space is known, got ConstrainedFactor"):
        ConstrainedFactor(factor, np.eye(3, 4)[np.newaxis])


def test_constraints_far_from_one_in_size_keep_their_digits():
    case = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.001, -1.0, -1.0], (8, 9))
    rng = np.random.default_rng(1)
    C = rng.standard_normal((6, 72))
    sizes = 10.0 ** np.arange(-12, 12, 4)
    expected = ConstrainedFactor(factorize(case), C.reshape(6, 8, 9))
    scaled = ConstrainedFactor(factorize(case), (C * sizes[:, np.newaxis]).reshape(6, 8, 9))
    assert_allclose(scaled.logdet, expected.logdet, rtol=1e-12)
    assert_allclose(scaled.marginal_variance(), expected.marginal_variance(), rtol=1e-9)
    assert_allclose(scaled.mean_given(sizes), expected.mean_given(np.ones(6)), rtol=1e-9, atol=1e-12)
