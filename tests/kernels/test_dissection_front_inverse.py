"""A front's covariance from its panel and its boundary's covariance, and the copies down the tree."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

from sparsegmrf.kernels import blas, dense_products, dissection_front_inverse


def invert_front(s, m, L, Z, wide):
    """The order in which the kernels are called, by BLAS or by the products for wide registers."""
    sizes = np.empty(6, dtype=np.int32)
    gain = np.full((m - s) * s, np.nan)
    workspace = np.full(dense_products.workspace(s), np.nan)
    dissection_front_inverse.invert_corner(s, m, blas.LETTERS, L, Z, sizes)
    if wide:
        dense_products.multiply_triangular(s, m, L, Z, gain, workspace)
        dissection_front_inverse.square_corner(s, m, blas.LETTERS, Z, sizes)
        dense_products.subtract_symmetric(m - s, s, Z, s * m + s, m, gain, Z, s, m, workspace)
        dense_products.subtract_gram(s, m - s, gain, Z, s, m, Z, m, workspace)
    else:
        dissection_front_inverse.gain(s, m, blas.LETTERS, blas.NUMBERS, L, Z, gain, sizes)
        dissection_front_inverse.square_corner(s, m, blas.LETTERS, Z, sizes)
        dissection_front_inverse.subtract_boundary(s, m, blas.LETTERS, blas.NUMBERS, Z, gain, sizes)


def positive(order, seed=0):
    root = np.random.default_rng(seed).standard_normal((order, order + 3))
    return root @ root.T


def covariance(order):
    """A covariance that is symmetric to the last bit."""
    inverse = np.linalg.inv(positive(order))
    return inverse + inverse.T


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(("s", "m"), [(1, 2), (5, 6), (3, 11), (40, 47), (230, 250)])
def test_eliminated_columns_are_those_of_the_dense_inverse(s, m, wide):
    Q = positive(m)
    lower = np.tril_indices(m)
    inverse = np.linalg.inv(Q)
    # What is not to be read is NaN: the panel's upper triangle, and all of Z but the boundary's lower triangle.
    L = np.full((m, m), np.nan)
    L[lower] = np.linalg.cholesky(Q)[lower]
    Z = np.full((m, m), np.nan)
    Z[lower] = inverse[lower]
    Z[:, :s] = np.nan
    panel, front = L[:, :s].ravel(order="F"), Z.ravel(order="F")
    with threadpool_limits(1, "blas"):
        invert_front(s, m, panel, front, wide)
    assert_allclose(front.reshape(m, m).T[lower], inverse[lower], rtol=0, atol=1e-10 * np.abs(inverse).max())
    assert_array_equal(panel, L[:, :s].ravel(order="F"))


@pytest.mark.parametrize("positions", [[], [4], [0, 1, 2, 6, 7], [5, 6, 2, 3, 8, 0]])
def test_boundary_of_a_half_is_gathered_packed_and_unpacked_into_its_front(positions):
    m, own, order = 9, 3, len(positions)
    inverse = covariance(m)
    Z = np.where(np.tri(m, dtype=bool), inverse, np.nan).ravel(order="F")
    where = np.array(positions, dtype=np.int64)
    expected = inverse[np.ix_(where, where)]
    lower = np.tril_indices(order)
    packed = np.full(2 + len(lower[0]), -7.0)
    dissection_front_inverse.gather_boundary(Z, m, where, packed, 2, np.empty(order + 1, dtype=np.int64))
    assert_array_equal(packed, [-7.0, -7.0, *expected.T[np.triu_indices(order)]])
    size = own + order
    square = np.full(size * size, -7.0)
    dissection_front_inverse.unpack_boundary(own, size, packed[2:], square)
    front = square.reshape(size, size).T
    assert_array_equal(front[own:, own:][lower], expected[lower])
    assert (front == -7.0).sum() == size * size - len(lower[0])


def test_covariances_go_to_their_coefficient_transposed_where_the_table_says_so():
    channels, m, pixels, origin = 2, 6, 10, 3
    inverse = covariance(m)
    Z = np.where(np.tri(m, dtype=bool), inverse, np.nan).ravel(order="F")
    # front row, front column, coefficient, owner, transposed
    table = np.array([[9, 9, 9, 9, 9], [0, 0, 0, 0, 0], [1, 0, 1, 1, 0], [2, 0, 1, 4, 1]])
    planes = np.full(2 * pixels * 4, -7.0)
    dissection_front_inverse.scatter_front(table, 1, 4, channels, m, origin, pixels, Z, planes)
    blocks = planes.reshape(2, pixels, 2, 2)
    assert_array_equal(blocks[0, 3], inverse[:2, :2].T)
    assert_array_equal(blocks[1, 4], inverse[2:4, :2])
    assert_array_equal(blocks[1, 7], inverse[4:6, :2].T)
    assert (blocks == -7.0).all(axis=(2, 3)).sum() == 2 * pixels - 3
