"""TriangularStencil: what it holds, its Gram matrix, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, TriangularStencil
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import gram
from tests import strategies
from tests.stencil.test_assembly import short_tasks

CASES = strategies.triangular_stencils()


@given(CASES, st.integers(1, 3))
def test_gram_is_the_dense_product_of_the_transpose_with_the_matrix(case, rows):
    with short_tasks(rows):
        Q = case.stencil.gram()
    assert isinstance(Q, SymmetricStencil)
    assert_allclose(Q.tocsr().toarray(), case.Q, rtol=1e-13, atol=1e-13)


@given(CASES)
def test_gram_agrees_with_the_sparse_product(case):
    A = case.stencil.tocsr()
    assert_allclose(case.stencil.gram().tocsr().toarray(), (A.T @ A).toarray(), rtol=1e-13, atol=1e-13)


@given(CASES)
def test_gram_planes_are_zero_where_they_point_off_the_image(case):
    Q = case.stencil.gram()
    for k in range(len(Q.offsets)):
        assert np.array_equal(Q.coefficient(k), Q.plane(k))


@pytest.mark.parametrize("channels", [1, 2])
def test_gram_is_bitwise_the_same_for_any_number_of_threads(threads, channels):
    rng = np.random.default_rng(5)
    block = () if channels == 1 else (2, 2)
    weights = list(rng.standard_normal((2, 40, 7, *block)))
    A = TriangularStencil([(0, 1), (2, -1)], 1.0, weights, (40, 7), channels=channels)
    threads(1)
    expected = A.gram().pool.values
    threads(3)
    with short_tasks(3):
        assert np.array_equal(A.gram().pool.values, expected)


@pytest.mark.skipif(not hasattr(gram.fill_planes, "signatures"), reason="kernels are not compiled")
def test_gram_kernels_have_one_specialization():
    for channels in (1, 2):
        for diagonal in (1.0, 2 * np.ones((3, 4)) if channels == 1 else np.eye(2)):
            TriangularStencil([(0, 1)], diagonal, [0.5], (3, 4), channels=channels).gram()
    assert len(gram.fill_planes.signatures) == 1
    assert len(gram.fill_block_planes.signatures) == 1


@given(CASES)
def test_planes_are_the_rows_of_the_dense_matrix(case):
    A, stencil = case.A, case.stencil
    height, width = case.shape
    for k, (di, dj) in enumerate(stencil.offsets.tolist()):
        plane = stencil.plane(k).reshape(height, width, case.channels, case.channels)
        for i in range(height):
            for j in range(width):
                p, a, b = i * width + j, i + di, j + dj
                inside = 0 <= a < height and 0 <= b < width
                q = a * width + b
                C = case.channels
                expected = A[p * C : (p + 1) * C, q * C : (q + 1) * C] if inside else 0.0
                assert np.array_equal(plane[i, j], np.broadcast_to(expected, (C, C)))


@given(CASES)
def test_properties_say_what_was_given(case):
    stencil = case.stencil
    assert stencil.shape == case.shape == stencil.lattice.shape
    assert stencil.channels == case.channels
    assert sorted(map(tuple, stencil.offsets.tolist())) == sorted(case.offsets)
    assert stencil.offsets.tolist() == sorted(stencil.offsets.tolist())
    assert stencil.is_homogeneous == (not stencil.pool.step.any())
    if case.offsets:
        assert stencil.is_causal == (case.offsets[0] < (0, 0))
        assert stencil.reach == tuple(np.abs(case.offsets).max(axis=0))
    for k, offset in enumerate(stencil.offsets.tolist()):
        given_weight = np.asarray(case.weights[case.offsets.index(tuple(offset))])
        assert stencil.weight(k).shape == given_weight.shape


def test_what_was_given_is_copied_and_not_changed():
    diagonal, weight = np.ones((2, 3)), np.full((2, 3), 0.5)
    stencil = TriangularStencil([(0, 1)], diagonal, [weight], (2, 3))
    assert np.array_equal(weight, np.full((2, 3), 0.5))
    diagonal[...] = weight[...] = 7.0
    assert np.array_equal(stencil.diagonal, np.ones((2, 3)))
    for array in (stencil.diagonal, stencil.weight(0), stencil.offsets):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_weight_that_points_off_the_image_is_ignored_even_if_nan():
    weight = np.full((2, 3), 0.5)
    weight[:, -1] = np.nan
    A = TriangularStencil([(0, 1)], 1.0, [weight], (2, 3)).tocsr().toarray()
    assert np.isfinite(A).all()


@pytest.mark.parametrize("lower", [True, False])
def test_without_neighbours_either_triangle_is_taken(lower):
    block = np.array([[1.0, 0.0], [0.5, 2.0]])
    stencil = TriangularStencil([], block if lower else block.T, [], (2, 2), channels=2)
    assert stencil.is_causal == lower
    assert_allclose(stencil.gram().tocsr().toarray(), stencil.tocsr().T @ stencil.tocsr().toarray())


def test_repr_says_what_it_is():
    A = TriangularStencil([(0, -1)], 1.0, [0.5], (2, 3))
    assert repr(A) == "TriangularStencil(1 offsets, shape=(2, 3), channels=1, causal, homogeneous)"
    later = TriangularStencil([(0, 1)], np.ones((2, 3)), [0.5], (2, 3))
    assert "anticausal, per pixel" in repr(later)


NAN = np.full((2, 3), np.nan)
BLOCK = np.eye(2)


@pytest.mark.parametrize(
    ("offsets", "diagonal", "weights", "keywords", "error", "match"),
    [
        ([(0, 0)], 1.0, [1.0], {}, StencilError, "all earlier or all later"),
        ([(0, 1), (0, -1)], 1.0, [1.0, 1.0], {}, StencilError, "all earlier or all later"),
        ([(0, 1), (0, 1)], 1.0, [1.0, 1.0], {}, StencilError, "distinct"),
        ([(0, 1.5)], 1.0, [1.0], {}, StencilError, "integer pairs"),
        ([(0, 1, 2)], 1.0, [1.0], {}, StencilError, "integer pairs"),
        ([(0, 1), (1,)], 1.0, [1.0, 1.0], {}, StencilError, "integer pairs"),
        ([(0, 2**40)], 1.0, [1.0], {}, StencilError, "2147483647 pixels"),
        ([(0, 1)], 1.0, [], {}, StencilError, r"weights must have one entry per offset \(1\), got 0"),
        ([(0, 1)], 0.0, [1.0], {}, ArgumentError, r"diagonal must be positive, got 0\.0"),
        ([(0, 1)], -1.0, [1.0], {}, ArgumentError, r"diagonal must be positive, got -1\.0"),
        ([(0, 1)], NAN, [1.0], {}, ArgumentError, "diagonal must be finite, got 6 NaN"),
        ([(0, 1)], 1.0, [NAN], {}, ArgumentError, r"weights\[0\] must be finite"),
        ([(0, 1)], 1.0, [np.inf], {}, ArgumentError, r"weights\[0\] must be finite"),
        ([(0, 1)], 1.0, [np.ones((3, 2))], {}, StencilError, r"weights\[0\] must be a number or a \(2, 3\) plane"),
        ([(0, 1)], 1.0, ["a"], {}, ArgumentError, r"weights\[0\] must hold real numbers"),
        ([(0, 1)], 1.0, [1j], {}, ArgumentError, r"weights\[0\] must hold real numbers"),
        ([(0, 1)], 1.0, [None], {}, ArgumentError, r"weights\[0\] must hold real numbers, got dtype object"),
        ([(0, 1)], BLOCK + 1.0, [1.0], {"channels": 2}, StencilError, "upper triangular"),
        ([(0, -1)], BLOCK + 1.0, [1.0], {"channels": 2}, StencilError, "lower triangular"),
        ([], BLOCK + 1.0, [], {"channels": 2}, StencilError, "triangular"),
        ([(0, 1)], -BLOCK, [1.0], {"channels": 2}, ArgumentError, "diagonal must be positive"),
        ([(0, 1)], 1.0, [np.ones(3)], {"channels": 2}, StencilError, r"\(2, 2\) block"),
        ([(0, 1)], 1.0, [1.0], {"channels": 0}, ArgumentError, "channels must be at least 1"),
    ],
)
def test_what_is_no_triangular_stencil_is_refused(offsets, diagonal, weights, keywords, error, match):
    with pytest.raises(error, match=match):
        TriangularStencil(offsets, diagonal, weights, (2, 3), **keywords)
