"""CSR assembly and its reverse, against dense matrices, on every offset and on the smallest images."""

from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf import SymmetricStencil, TriangularStencil, _threads
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import assembly
from sparsegmrf.stencil import _assembly
from tests import reference, strategies

SHAPES = [(1, 1), (1, 5), (5, 1), (2, 3), (3, 2), (4, 5)]
WINDOW = [(di, dj) for di in range(4) for dj in range(-5, 6) if (di, dj) > (0, 0)]


def short_tasks(rows=1):
    """Cut work into tasks of a few rows, as only large images are otherwise."""
    return patch.object(_threads, "rows_per_task", lambda width: rows)


def check_csr(matrix, dense):
    """Equal to the dense matrix entry by entry, canonical, with int32 indices."""
    assert isinstance(matrix, sp.csr_array)
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    rebuilt = sp.csr_array((matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
    rebuilt.check_format(full_check=True)
    assert rebuilt.has_canonical_format
    assert matrix.has_canonical_format
    np.testing.assert_allclose(matrix.toarray(), dense, rtol=1e-14, atol=1e-14)


@given(strategies.symmetric_stencils(boundaries=("dirichlet", "neumann", "torus")), st.integers(1, 4))
def test_symmetric_stencil_assembles_to_its_dense_matrix(case, rows):
    with short_tasks(rows):
        check_csr(case.stencil.tocsr(), case.Q)


@given(strategies.triangular_stencils(), st.integers(1, 4))
def test_triangular_stencil_assembles_to_its_dense_matrix(case, rows):
    with short_tasks(rows):
        check_csr(case.stencil.tocsr(), case.A)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 2])
def test_no_offset_couples_the_end_of_a_row_to_the_start_of_the_next(shape, channels):
    for di, dj in WINDOW:
        stencil = SymmetricStencil([(0, 0), (di, dj)], [0.0, 1.0], shape, channels=channels)
        rows, columns = np.nonzero(stencil.tocsr().toarray())
        for p, q in zip(rows // channels, columns // channels, strict=True):
            (i, j), (a, b) = divmod(p, shape[1]), divmod(q, shape[1])
            assert (a - i, b - j) in ((di, dj), (-di, -dj))
        expected = 2 * channels * max(0, shape[0] - di) * max(0, shape[1] - abs(dj))
        assert len(rows) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_no_triangular_weight_couples_the_end_of_a_row_to_the_start_of_the_next(shape):
    for later in WINDOW:
        for di, dj in (later, (-later[0], -later[1])):
            A = TriangularStencil([(di, dj)], 1.0, [0.5], shape).tocsr().toarray()
            rows, columns = np.nonzero(A == 0.5)
            assert len(rows) == max(0, shape[0] - abs(di)) * max(0, shape[1] - abs(dj))
            for p, q in zip(rows, columns, strict=True):
                assert (q // shape[1] - p // shape[1], q % shape[1] - p % shape[1]) == (di, dj)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_torus_couples_every_pixel_at_every_offset(shape):
    for offset in WINDOW:
        stencil = SymmetricStencil([(0, 0), offset], [3.0, 1.0], shape, boundary="torus")
        dense = reference.symmetric_matrix([(0, 0), offset], [3.0, 1.0], shape, boundary="torus")
        check_csr(stencil.tocsr(), dense)
        assert np.all(stencil.tocsr().sum(axis=1) == 5.0)


@given(strategies.symmetric_stencils(), st.sampled_from([0, 1]))
def test_flipped_image_gives_the_flipped_matrix(case, axis):
    order = reference.flip_permutation(case.shape, axis, case.channels)
    Q = case.stencil.tocsr().toarray()
    assert np.array_equal(case.flipped(axis).stencil.tocsr().toarray(), Q[np.ix_(order, order)])


@given(strategies.symmetric_stencils(boundaries=("dirichlet", "torus")))
def test_transposed_image_gives_the_transposed_order(case):
    order = reference.transpose_permutation(case.shape, case.channels)
    Q = case.stencil.tocsr().toarray()
    np.testing.assert_allclose(
        case.transposed().stencil.tocsr().toarray(), Q[np.ix_(order, order)], rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_matrix_is_bitwise_the_same_for_any_number_of_threads(threads, count):
    rng = np.random.default_rng(3)
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, -1)], [rng.random((70, 9)), rng.random((70, 9)), -0.3], (70, 9))
    threads(1)
    expected = stencil.tocsr()
    threads(count)
    with short_tasks(3):
        matrix = stencil.tocsr()
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(matrix, name), getattr(expected, name))


def test_zero_coefficients_keep_their_place_in_the_pattern():
    assert SymmetricStencil([(0, 0), (0, 1)], [1.0, 0.0], (1, 3)).tocsr().nnz == 7


def test_index_type_is_int32_up_to_its_largest_value_and_int64_beyond():
    assert _assembly.index_dtype(2**31 - 1) is np.int32
    assert _assembly.index_dtype(2**31) is np.int64


@given(strategies.symmetric_stencils(boundaries=("dirichlet", "torus")))
def test_int64_assembly_gives_the_same_matrix(case):
    with patch.object(_assembly, "_INT32", 0):
        wide = case.stencil.tocsr()
    assert wide.indices.dtype == wide.indptr.dtype == np.int64
    narrow = case.stencil.tocsr()
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(wide, name), getattr(narrow, name))


@pytest.mark.skipif(not hasattr(assembly.fill_rows, "signatures"), reason="kernels are not compiled")
def test_kernels_have_one_specialization_per_index_type():
    for shape in SHAPES:
        for coefficient in (1.0, np.ones(shape), np.ones(shape, np.float32), np.asfortranarray(np.ones(shape))):
            SymmetricStencil([(0, 0), (0, 1)], [coefficient, coefficient], shape).tocsr()
            TriangularStencil([(0, -1)], coefficient, [coefficient], shape).tocsr()
    assert 1 <= len(assembly.fill_rows.signatures) <= 2


@given(strategies.symmetric_stencils(), st.sampled_from(["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]))
def test_reading_a_matrix_back_gives_the_same_matrix(case, form):
    Q = case.stencil.tocsr()
    read = SymmetricStencil.from_csr(Q.asformat(form), case.shape, channels=case.channels)
    assert np.array_equal(read.tocsr().toarray(), Q.toarray())


@given(strategies.symmetric_stencils(kinds=("homogeneous",)))
def test_equal_coefficients_are_read_as_shared(case):
    assert SymmetricStencil.from_csr(case.stencil.tocsr(), case.shape, channels=case.channels).is_homogeneous


@given(strategies.symmetric_stencils(kinds=("homogeneous",), boundaries=("neumann",)))
def test_a_no_flux_matrix_is_read_with_shared_neighbours(case):
    read = SymmetricStencil.from_csr(case.stencil.tocsr(), case.shape, channels=case.channels)
    np.testing.assert_allclose(read.tocsr().toarray(), case.Q, rtol=1e-13, atol=1e-13)
    assert all(read.coefficient(k).ndim <= 2 * (case.channels > 1) for k in range(1, len(read.offsets)))


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, bool])
def test_any_index_and_real_number_type_is_read(index, dtype):
    Q = SymmetricStencil([(0, 0), (1, 0)], [1.0, 1.0], (3, 2)).tocsr()
    given_matrix = sp.csr_array((Q.data.astype(dtype), Q.indices.astype(index), Q.indptr.astype(index)), shape=Q.shape)
    assert np.array_equal(SymmetricStencil.from_csr(given_matrix, (3, 2)).tocsr().toarray(), Q.toarray())


def test_repeated_entries_are_summed_and_the_matrix_is_left_alone():
    row, column = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 0, 0, 1, 0, 1])
    values = np.array([-1.0, 1.0, 1.5, 2.0, -1.0, 0.5])
    coo = sp.coo_array((values, (row, column)), shape=(2, 2))
    csr = sp.csr_array((values.copy(), column.copy(), np.array([0, 3, 6])), shape=(2, 2))
    for matrix in (coo, csr):
        stencil = SymmetricStencil.from_csr(matrix, (1, 2))
        assert np.array_equal(stencil.tocsr().toarray(), [[2.5, -1.0], [-1.0, 2.5]])
    assert np.array_equal(csr.data, values)
    assert np.array_equal(csr.indices, column)
    assert not csr.has_sorted_indices


def test_entries_stored_as_zero_do_not_couple_pixels():
    side = np.full(39, -1.0)
    side[19] = 0.0
    p = np.arange(39)
    row, column = np.r_[np.arange(40), p, p + 1], np.r_[np.arange(40), p + 1, p]
    Q = sp.coo_array((np.r_[np.full(40, 2.0), side, side], (row, column)), shape=(40, 40)).tocsr()
    assert Q.nnz == 40 + 2 * 39
    assert SymmetricStencil.from_csr(Q, (2, 20)).offsets.tolist() == [[0, 0], [0, 1]]


def test_a_wrapped_row_is_refused_naming_the_pair_of_pixels():
    side = -np.ones(23)
    Q = sp.diags_array([np.full(24, 4.1), side, side], offsets=[0, 1, -1]).tocsr()
    with pytest.raises(StencilError, match=r"Q couples pixels \(0, 11\) and \(1, 0\).*1 rows and 11 columns.*reach=5"):
        SymmetricStencil.from_csr(Q, (2, 12))


def test_the_first_offending_pair_is_that_of_the_earliest_row():
    Q = sp.lil_array(sp.eye_array(30))
    Q[3, 29] = Q[29, 3] = Q[2, 20] = Q[20, 2] = 0.1
    with pytest.raises(StencilError, match=r"pixels \(0, 2\) and \(6, 2\)"):
        SymmetricStencil.from_csr(Q, (10, 3))
    assert SymmetricStencil.from_csr(Q, (10, 3), reach=9).reach == (8, 2)


def test_an_asymmetric_matrix_is_refused_with_both_entries():
    Q = sp.csr_array([[2.0, 1.0], [0.5, 2.0]])
    with pytest.raises(StencilError, match=r"Q\[0, 1\] = 1\.0 and Q\[1, 0\] = 0\.5; pass \(Q \+ Q\.T\) / 2"):
        SymmetricStencil.from_csr(Q, (1, 2))


def test_an_entry_without_its_mirror_image_is_refused():
    with pytest.raises(StencilError, match=r"Q\[1, 0\] = 3\.0 and Q\[0, 1\] = 0\.0"):
        SymmetricStencil.from_csr(sp.csr_array([[2.0, 0.0], [3.0, 2.0]]), (1, 2))


def test_rounding_differences_across_the_diagonal_are_no_asymmetry():
    B = np.array([[2.0, 0.3, 0.1], [0.3, 2.0, 0.2], [0.1 + 1e-16, 0.2, 2.0]])
    read = SymmetricStencil.from_csr(sp.csr_array(B), (1, 1), channels=3).tocsr().toarray()
    assert np.array_equal(read, read.T)
    assert np.array_equal(np.triu(read), np.triu(B))


@pytest.mark.parametrize(
    ("Q", "keywords", "error", "match"),
    [
        (np.eye(6), {}, StencilError, "scipy sparse"),
        (sp.eye_array(5), {}, StencilError, "6 x 6"),
        (sp.eye_array(6), {"channels": 2}, StencilError, "12 x 12"),
        (sp.eye_array(6, dtype=complex), {}, StencilError, "complex"),
        (sp.eye_array(6) * np.nan, {}, ArgumentError, r"Q\.data must be finite"),
        (sp.eye_array(6), {"reach": -1}, ArgumentError, "reach must be"),
        (sp.eye_array(6), {"reach": 1.5}, ArgumentError, "reach must be"),
    ],
)
def test_what_cannot_be_read_is_named(Q, keywords, error, match):
    with pytest.raises(error, match=match):
        SymmetricStencil.from_csr(Q, (2, 3), **keywords)
