"""Products of fronts agree with NumPy's for all sizes, read only the triangle kept, and write only the lower one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf.kernels import dense_products

SIZES = st.integers(1, 60)
LARGE = [(1, 300), (300, 1), (257, 241), (513, 130), (100, 520)]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def flat(matrix):
    return matrix.ravel(order="F").copy()


def workspace(columns):
    return np.full(dense_products.workspace(columns), np.nan)


def lower_only(matrix):
    return np.where(np.tri(*matrix.shape, dtype=bool), matrix, np.nan)


def check_triangular(s, b):
    m = s + b
    L, T = numbers(m, s), np.tril(numbers(s, s, seed=1))
    held = np.full((m, s), np.nan)
    held[:s] = T
    C = np.full(b * s, np.nan)
    dense_products.multiply_triangular(s, m, flat(L), flat(held), C, workspace(s))
    assert_allclose(C.reshape(s, b).T, L[s:] @ T, rtol=0, atol=1e-13 * (s + 10))


def check_symmetric(order, columns):
    A, B, C = numbers(order + 2, order + 3), numbers(order, columns, seed=1), numbers(order + 5, columns, seed=2)
    A[1:-1, 1:-2] = lower_only(A[1:-1, 1:-2])
    symmetric = np.tril(A[1:-1, 1:-2])
    symmetric += np.tril(symmetric, -1).T
    expected = C.copy()
    expected[3:-2] -= symmetric @ B
    result = flat(C)
    dense_products.subtract_symmetric(
        order, columns, flat(A), order + 3, order + 2, flat(B), result, 3, order + 5, workspace(columns)
    )
    assert_allclose(result.reshape(C.T.shape).T, expected, rtol=0, atol=1e-13 * (order + 10))


def check_gram(order, length):
    S = numbers(length, length)
    A = numbers(length, order, seed=1)
    B = np.vstack([np.full((2, order), np.nan), (S + S.T) @ A])
    C = numbers(order + 1, order, seed=2)
    result = flat(C)
    dense_products.subtract_gram(order, length, flat(A), flat(B), 2, length + 2, result, order + 1, workspace(order))
    expected = C.copy()
    expected[:order] -= np.tril(A.T @ B[2:])
    result = result.reshape(C.T.shape).T
    assert_allclose(result, expected, rtol=0, atol=1e-12 * (length + 10))
    assert_array_equal(np.triu(result, 1), np.triu(C, 1))


def check_outer(width, rank):
    rank_first, first = 3, rank + 7
    m = first + width + 40
    L, T = numbers(m, rank_first + rank), numbers(m, width, seed=1)
    expected = T.copy()
    part = L[first:, rank_first:] @ L[first : first + width, rank_first:].T
    expected[first:] -= np.tril(part)
    result = flat(T)
    dense_products.subtract_outer(m, first, width, rank_first, rank, flat(L), result, first, m, workspace(width))
    result = result.reshape(T.T.shape).T
    assert_allclose(result, expected, rtol=0, atol=1e-13 * (rank + 10))
    assert_array_equal(result[first:][np.triu_indices(width, 1)], T[first:][np.triu_indices(width, 1)])


CHECKS = [check_triangular, check_symmetric, check_gram, check_outer]


@pytest.mark.parametrize("check", CHECKS)
@given(first=SIZES, second=SIZES)
def test_product_agrees_with_the_matrix_product(check, first, second):
    check(first, second)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("sizes", LARGE)
def test_product_longer_than_a_block_agrees_with_the_matrix_product(check, sizes):
    check(*sizes)


def test_triangle_above_the_diagonal_is_not_read():
    order = 130
    A = lower_only(numbers(order, order))
    C = np.zeros(order * 4)
    dense_products.subtract_symmetric(order, 4, flat(A), 0, order, numbers(4 * order), C, 0, order, workspace(4))
    assert np.isfinite(C).all()
