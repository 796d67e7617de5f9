"""Sums and products of stencils are those of their matrices, up to the border, and keep what is shared."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.stencil.product import power, product, rescaled
from tests import strategies

SIDES = ("dirichlet", "neumann")


@st.composite
def pairs(draw):
    """Two stencils on one lattice: both on a torus, or neither."""
    boundaries = draw(st.sampled_from([SIDES, ("torus",)]))
    first = draw(strategies.symmetric_stencils(channels=(1,), boundaries=boundaries))
    second = draw(strategies.symmetric_stencils(channels=(1,), boundaries=boundaries))
    rng = np.random.default_rng(second.seed)
    coefficients = [
        rng.uniform(-1.0, 1.0, first.shape) if np.ndim(coefficient) else coefficient
        for coefficient in second.coefficients
    ]
    return first, SymmetricStencil(second.offsets, coefficients, first.shape, boundary=second.boundary)


@given(pairs())
def test_product_is_the_symmetric_part_of_the_matrix_product(pair):
    case, other = pair
    A, B = case.stencil.tocsr(), other.tocsr()
    expected = ((A @ B + B @ A) / 2.0).toarray()
    assert_allclose(product(case.stencil, other).tocsr().toarray(), expected, rtol=1e-12, atol=1e-12)
    assert_allclose(product(other, case.stencil).tocsr().toarray(), expected, rtol=1e-12, atol=1e-12)


@given(strategies.symmetric_stencils(channels=(1,), boundaries=(*SIDES, "torus")), st.integers(1, 5))
def test_power_is_the_matrix_power(case, exponent):
    matrix = power(case.stencil, exponent).tocsr().toarray()
    expected = np.linalg.matrix_power(case.Q, exponent)
    assert_allclose(matrix, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


@given(pairs())
def test_formula_of_stencils_is_that_of_their_matrices(pair):
    case, other = pair
    Q, R = case.stencil, other
    found = 2.0 * Q - 0.5 * R + product(Q, R)
    QR = case.Q @ other.tocsr().toarray()
    expected = 2.0 * case.Q - 0.5 * other.tocsr().toarray() + (QR + QR.T) / 2.0
    assert_allclose(found.tocsr().toarray(), expected, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(expected).max()))


@given(strategies.symmetric_stencils(channels=(1,), boundaries=(*SIDES, "torus")))
def test_rescaled_multiplies_rows_and_columns(case):
    scale = np.random.default_rng(case.seed).uniform(0.5, 2.0, case.shape)
    T = sp.diags_array(scale.ravel())
    assert_allclose(rescaled(case.stencil, scale).tocsr().toarray(), (T @ case.Q @ T), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", SIDES)
def test_pixels_that_do_not_feel_the_border_have_equal_numbers(boundary):
    K = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.1, -0.9], (20, 17), boundary=boundary)
    Q = power(K, 3)
    for k in range(len(Q.offsets)):
        assert len(np.unique(Q.plane(k)[3:-3, 3:-3])) == 1


def test_what_is_shared_stays_shared():
    K = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.1, -0.9], (9, 8), boundary="torus")
    assert product(K, K).is_homogeneous
    G = SymmetricStencil([(0, 0), (1, 0)], [2.0, -1.0], (9, 8), boundary="neumann")
    assert (0.1 * SymmetricStencil([(0, 0)], [1.0], (9, 8), boundary="neumann") + G).is_homogeneous


def test_product_does_not_depend_on_the_number_of_threads(threads):
    K = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.1, -0.9], (200, 170), boundary="neumann")
    E = SymmetricStencil([(0, 0), (1, 1)], [np.random.default_rng(0).uniform(1, 2, (200, 170)), 0.3], (200, 170))
    found = []
    for count in (1, 3):
        threads(count)
        Q = product(K, E)
        found.append([Q.plane(k) for k in range(len(Q.offsets))])
    assert np.array_equal(found[0], found[1])


def test_partners_that_do_not_fit_are_refused():
    one = SymmetricStencil([(0, 0)], [1.0], (2, 3))
    with pytest.raises(ArgumentError, match="lattice"):
        product(one, SymmetricStencil([(0, 0)], [1.0], (3, 2)))
    with pytest.raises(ArgumentError, match="boundary"):
        one + SymmetricStencil([(0, 0)], [1.0], (2, 3), boundary="torus")
    with pytest.raises(ArgumentError, match=r"^other must be a SymmetricStencil, got int; plus_diagonal"):
        one - 1
    two = SymmetricStencil([(0, 0)], [1.0], (2, 3), channels=2)
    with pytest.raises(StencilError, match="one unknown"):
        product(two, two)
    with pytest.raises(ArgumentError, match="exponent"):
        power(one, 0)
