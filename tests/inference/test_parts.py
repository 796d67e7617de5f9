"""Operations on the parts of an image, against dense block matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf.inference._parts import Parts, by_part
from sparsegmrf.models import Intrinsic
from tests.models.catalogue import PARTS, SHAPE

LABELS = np.array([1, 0, 2, 1, 1, 0, 2, 1, 2, 2])
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("labels", [np.zeros(10, dtype=int), LABELS])
def test_products_and_combinations_are_those_on_each_part(labels):
    parts, a, b = Parts(labels, labels.max() + 1), RNG.standard_normal((2, 10)), RNG.standard_normal((3, 10))
    weights = RNG.standard_normal((parts.count, 4, 2))
    found, combined = parts.products(a, b), parts.combined(weights, a)
    for k, pixels in enumerate(parts.members()):
        assert_array_equal(pixels, np.flatnonzero(labels == k))
        assert_allclose(found[k], a[:, pixels] @ b[:, pixels].T)
        assert_allclose(combined[:, pixels], weights[k] @ a[:, pixels])


def test_basis_is_orthonormal_on_each_part_and_its_triangles_give_the_vectors_back():
    parts, vectors, rank = Parts(LABELS, 3), RNG.standard_normal((3, 10)), np.array([1, 3, 2])
    basis, triangles = parts.orthonormal(vectors, rank)
    for k, pixels in enumerate(parts.members()):
        own = basis[: rank[k], pixels]
        assert_allclose(own @ own.T, np.eye(rank[k]), atol=1e-14)
        assert_allclose(triangles[k, : rank[k], : rank[k]].T @ own, vectors[: rank[k], pixels])
        assert not basis[rank[k] :, pixels].any()
        assert_array_equal(triangles[k, rank[k] :], np.eye(3)[rank[k] :])
    left = parts.without(basis, vectors)
    assert_allclose(left[0], 0.0, atol=1e-14)
    assert np.abs(parts.products(basis, left)).max() < 1e-14


def test_part_with_fewer_pixels_than_vectors_has_a_zero_on_the_diagonal():
    triangles = Parts(LABELS, 3).orthonormal(RNG.standard_normal((3, 10)), np.array([3, 3, 3]))[1]
    assert not np.diagonal(triangles[0]).any()
    assert np.abs(np.diagonal(triangles[1:], axis1=1, axis2=2)).min() > 0.0


@pytest.mark.parametrize("order", [1, 2])
def test_null_vectors_stand_in_as_few_images_as_a_part_has_at_most(order):
    V = Intrinsic(order, mask=PARTS).gmrf(SHAPE).null_vectors
    images, parts, rank = by_part(V)
    assert_array_equal(np.sort(rank), [1, 1, 1] if order == 1 else [1, 3, 3])
    assert images.shape == (2 * order - 1, PARTS.size)
    spanned = np.concatenate([np.where(parts.labels == k, images, 0.0) for k in range(parts.count)])
    assert_allclose(spanned.T @ spanned, (V @ V.T).toarray(), atol=1e-13)
    assert by_part(sp.csr_array((6, 0)))[0].shape == (0, 6)
