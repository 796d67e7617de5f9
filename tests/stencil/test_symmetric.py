"""SymmetricStencil: product, planes, arithmetic and refusals, against dense matrices."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, TriangularStencil
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import stencil_product
from tests import reference, strategies
from tests.stencil.test_assembly import short_tasks

BOUNDARIES = ("dirichlet", "neumann", "torus")
CASES = strategies.symmetric_stencils(boundaries=BOUNDARIES)
UNCUT = strategies.symmetric_stencils()


@given(CASES, st.integers(1, 4))
def test_product_is_the_dense_and_the_sparse_product(case, rows):
    x = case.images(2)
    with short_tasks(rows):
        y = case.stencil @ x
    flat = x.reshape(2, -1)
    assert y.shape == x.shape
    assert_allclose(y.reshape(2, -1), flat @ case.Q, rtol=1e-12, atol=1e-12)
    assert_allclose(y.reshape(2, -1), (case.stencil.tocsr() @ flat.T).T, rtol=1e-12, atol=1e-12)


@given(CASES)
def test_product_is_self_adjoint(case):
    u, v = case.images(2)
    assert_allclose(np.sum(u * (case.stencil @ v)), np.sum((case.stencil @ u) * v), rtol=1e-11, atol=1e-11)


@given(CASES)
def test_batch_axes_lead_and_may_be_empty(case):
    x = case.images(2, 3)
    y = case.stencil @ x
    for item in np.ndindex(2, 3):
        assert np.array_equal(y[item], case.stencil @ x[item])
    assert (case.stencil @ case.images(0)).shape == (0, *case.image_shape)


@given(UNCUT, st.sampled_from([0, 1]))
def test_product_with_a_flipped_image_is_the_flipped_product(case, axis):
    x = case.images()
    flipped = case.flipped(axis).stencil @ np.flip(x, axis)
    assert_allclose(flipped, np.flip(case.stencil @ x, axis), rtol=1e-12, atol=1e-12)


@given(UNCUT)
def test_product_with_a_transposed_image_is_the_transposed_product(case):
    x = case.images()
    transposed = case.transposed().stencil @ np.swapaxes(x, 0, 1)
    assert_allclose(transposed, np.swapaxes(case.stencil @ x, 0, 1), rtol=1e-12, atol=1e-12)


@given(CASES, st.data())
def test_a_nan_reaches_the_neighbours_of_its_pixel_only(case, data):
    p = data.draw(st.integers(0, case.shape[0] * case.shape[1] - 1))
    x = case.images()
    x.reshape(-1, case.channels)[p] = np.nan
    touched = np.isnan(case.stencil @ x).reshape(-1, case.channels).any(axis=1)
    blocks = case.stencil.tocsr().toarray().reshape(len(touched), case.channels, len(touched), case.channels)
    assert np.array_equal(touched, (blocks[:, :, p, :] != 0.0).any(axis=(1, 2)))


@pytest.mark.parametrize("shape", [(3, 2100), (130, 33), (2049, 2), (1, 5000)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_product_on_long_images_is_the_sparse_product(shape, boundary):
    rng = np.random.default_rng(6)
    offsets = [(0, 0), (0, 1), (1, -2), (2, 1)]
    neighbours = [-0.5, 0.25, 0.125] if boundary == "neumann" else list(rng.standard_normal((3, *shape)))
    stencil = SymmetricStencil(offsets, [rng.standard_normal(shape), *neighbours], shape, boundary=boundary)
    x = rng.standard_normal((2, *shape))
    expected = (stencil.tocsr() @ x.reshape(2, -1).T).T.reshape(x.shape)
    assert_allclose(stencil @ x, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 2])
def test_product_is_bitwise_the_same_for_any_number_of_threads(threads, channels):
    rng = np.random.default_rng(4)
    planes = [rng.standard_normal((40, 9, *(() if channels == 1 else (2, 2)))) for _ in range(3)]
    if channels == 2:
        planes[0] = planes[0] + np.swapaxes(planes[0], -1, -2)
    stencil = SymmetricStencil([(0, 0), (0, 1), (2, -1)], planes, (40, 9), channels=channels)
    x = rng.standard_normal((5, *stencil.lattice.image_shape))
    threads(1)
    expected = stencil @ x
    threads(3)
    with short_tasks(3):
        assert np.array_equal(stencil @ x, expected)


def test_a_batch_of_many_small_images_is_cut_over_the_batch():
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (3, 4))
    x = np.random.default_rng(2).standard_normal((12_000, 3, 4))
    assert_allclose((stencil @ x).reshape(12_000, -1), (stencil.tocsr() @ x.reshape(12_000, -1).T).T, atol=1e-13)


@given(CASES)
def test_layout_and_type_of_the_image_do_not_matter(case):
    x = np.round(case.images(2) * 100)
    y = case.stencil @ x
    frozen = x.copy()
    frozen.flags.writeable = False
    before = x.copy()
    unaligned = np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(x.shape)
    for form in (np.asfortranarray(x), frozen, x.astype(np.int32), x.astype(">f8"), x.tolist(), unaligned):
        assert np.array_equal(case.stencil @ form, y)
    assert np.array_equal(x, before)


@pytest.mark.skipif(not hasattr(stencil_product.multiply_rows, "signatures"), reason="kernels are not compiled")
def test_product_kernels_have_one_specialization():
    x = np.ones((3, 4))
    frozen = x.copy()
    frozen.flags.writeable = False
    for coefficient in (1.0, x, frozen):
        for boundary in ("dirichlet", "torus"):
            stencil = SymmetricStencil([(0, 0), (0, 1)], [coefficient, coefficient], (3, 4), boundary=boundary)
            for image in (x, frozen, np.asfortranarray(x), np.ones((2, 1, 3, 4))):
                stencil @ image
    assert len(stencil_product.multiply_rows.signatures) == 1
    assert len(stencil_product.multiply_torus_rows.signatures) == 1


@given(CASES)
def test_planes_are_the_entries_of_the_dense_matrix(case):
    stencil = case.stencil
    if case.boundary == "torus" and folds(case):
        return
    expected = reference.planes(case.Q, stencil.offsets.tolist(), case.shape, case.channels, case.boundary)
    for k in range(len(stencil.offsets)):
        assert_allclose(stencil.plane(k).reshape(expected[k].shape), expected[k], rtol=1e-14, atol=1e-14)
    assert_allclose(stencil.diagonal().ravel(), np.diagonal(case.Q), rtol=1e-14)
    assert stencil.diagonal().shape == case.image_shape


@given(CASES)
def test_properties_say_what_was_given(case):
    stencil = case.stencil
    assert stencil.shape == case.shape == stencil.lattice.shape
    assert stencil.channels == case.channels
    assert stencil.boundary == case.boundary
    assert stencil.offsets.tolist() == sorted(map(list, case.offsets))
    assert stencil.reach == tuple(np.abs(case.offsets).max(axis=0))
    for k, offset in enumerate(stencil.offsets.tolist()):
        original = np.asarray(case.coefficients[case.offsets.index(tuple(offset))])
        assert stencil.coefficient(k).shape == original.shape
    assert stencil.is_homogeneous == all(
        np.ndim(coefficient) == (0 if case.channels == 1 else 2) for coefficient in case.coefficients
    )


@given(CASES, st.floats(-3.0, 3.0))
def test_adding_a_number_to_the_diagonal_keeps_shared_coefficients(case, value):
    result = case.stencil.plus_diagonal(value)
    assert_allclose(result.tocsr().toarray(), case.Q + value * np.eye(len(case.Q)), rtol=1e-13, atol=1e-13)
    assert result.is_homogeneous == case.stencil.is_homogeneous
    assert result.boundary == case.boundary


@given(CASES)
def test_adding_an_image_to_the_diagonal_changes_the_diagonal_only(case):
    stencil, image = case.stencil, case.images()
    result = stencil.plus_diagonal(image)
    assert_allclose(result.tocsr().toarray(), case.Q + np.diag(image.ravel()), rtol=1e-13, atol=1e-13)
    for k in range(1, len(stencil.offsets)):
        assert np.array_equal(result.coefficient(k), stencil.coefficient(k))


@given(CASES, st.floats(-3.0, 3.0))
def test_multiple_is_that_of_the_matrix_from_either_side(case, factor):
    for product in (factor * case.stencil, case.stencil * factor, np.float64(factor) * case.stencil):
        assert_allclose(product.tocsr().toarray(), factor * case.Q, rtol=1e-13, atol=1e-13)
        assert product.is_homogeneous == case.stencil.is_homogeneous


@given(CASES)
def test_sum_and_difference_are_those_of_the_matrices_for_every_boundary_and_any_channels(case):
    Q = case.stencil
    D = SymmetricStencil([(0, 0), (2, 1)], [3.0, 0.5], case.shape, channels=case.channels, boundary=case.boundary)
    scale = 1e-12 * np.abs(case.Q).max()
    assert_allclose((Q + D).tocsr().toarray(), case.Q + D.tocsr().toarray(), rtol=1e-12, atol=scale)
    assert_allclose((Q - D).tocsr().toarray(), case.Q - D.tocsr().toarray(), rtol=1e-12, atol=scale)
    assert np.array_equal((-Q).tocsr().toarray(), -Q.tocsr().toarray())
    assert (Q + D).is_homogeneous == Q.is_homogeneous
    assert not (Q - Q).tocsr().toarray().any()


def test_sum_of_a_stencil_cut_off_and_one_without_flux_has_the_rule_of_each_in_its_planes():
    cut, no_flux = (SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (2, 3), boundary=b) for b in BOUNDARIES[:2])
    assert np.array_equal((cut + no_flux).tocsr().toarray(), cut.tocsr().toarray() + no_flux.tocsr().toarray())


@given(CASES)
def test_stencil_of_its_own_planes_is_the_same_matrix(case):
    Q = case.stencil
    planes = np.stack([Q.plane(k) for k in range(len(Q.offsets))])
    made = SymmetricStencil.from_planes(Q.offsets, planes, boundary="torus" if Q.boundary == "torus" else "dirichlet")
    planes[:] = 9.0
    assert np.array_equal(made.tocsr().toarray(), Q.tocsr().toarray())
    assert made.lattice == Q.lattice


@pytest.mark.parametrize(
    ("planes", "boundary", "error", "match"),
    [
        (np.ones((1, 3)), "dirichlet", ArgumentError, r"^planes must have shape \(K, H, W\) or .* got \(1, 3\)"),
        (np.ones((1, 3, 4, 2, 1)), "dirichlet", ArgumentError, r"^planes must have shape .*, got \(1, 3, 4, 2, 1\)"),
        (np.ones((2, 3, 4)), "dirichlet", StencilError, r"^coefficients must have one entry per offset \(1\), got 2"),
        (np.full((1, 3, 4), np.nan), "dirichlet", ArgumentError, r"must be finite"),
        (
            np.ones((1, 3, 4)),
            "neumann",
            ArgumentError,
            r"^boundary must be one of 'dirichlet', 'torus', or .* 'neumann'",
        ),
    ],
)
def test_planes_that_make_no_stencil_are_refused(planes, boundary, error, match):
    with pytest.raises(error, match=match):
        SymmetricStencil.from_planes([(0, 0)], planes, boundary=boundary)


@given(UNCUT)
def test_inner_product_is_the_trace_of_the_product(case):
    rng = np.random.default_rng(case.seed + 1)
    block = () if case.channels == 1 else (case.channels, case.channels)
    S = [rng.standard_normal((*case.shape, *block)) for _ in case.offsets]
    centre = case.offsets.index((0, 0))
    if case.channels > 1:
        S[centre] = S[centre] + np.swapaxes(S[centre], -1, -2)
    other = SymmetricStencil(case.offsets, S, case.shape, channels=case.channels)
    dense = reference.symmetric_matrix(case.offsets, S, case.shape, case.channels)
    scale = np.abs(case.Q).sum()
    assert_allclose(case.stencil.inner(other), np.trace(case.Q @ dense), rtol=1e-12, atol=1e-13 * scale)
    assert_allclose(other.inner(case.stencil), np.trace(case.Q @ dense), rtol=1e-12, atol=1e-13 * scale)
    assert_allclose(case.stencil.inner(case.stencil), np.sum(case.Q**2), rtol=1e-12)


@given(strategies.symmetric_stencils(boundaries=BOUNDARIES, kinds=("homogeneous",)))
def test_inner_product_with_the_selected_covariance_is_the_trace_for_every_boundary(case):
    covariance = reference.covariance(case.Q)
    stencil = case.stencil
    planes = reference.planes(covariance, stencil.offsets.tolist(), case.shape, case.channels, case.boundary)
    planes = planes.reshape(len(planes), *case.shape, *(() if case.channels == 1 else planes.shape[-2:]))
    boundary = "torus" if case.boundary == "torus" else "dirichlet"
    S = SymmetricStencil(stencil.offsets, planes, case.shape, channels=case.channels, boundary=boundary)
    assert_allclose(stencil.inner(S), len(case.Q), rtol=1e-10)


def test_inner_product_needs_every_offset_of_the_first():
    narrow = SymmetricStencil([(0, 0)], [1.0], (2, 3))
    wide = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (2, 3))
    assert narrow.inner(wide) == 12.0
    with pytest.raises(StencilError, match=r"other must have every offset of this stencil, got none at \(0, 1\)"):
        wide.inner(narrow)


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (SymmetricStencil([(0, 0)], [1.0], (3, 2)), "lattice"),
        (SymmetricStencil([(0, 0)], [1.0], (2, 3), channels=2), "channels=2"),
        (SymmetricStencil([(0, 0)], [1.0], (2, 3), boundary="torus"), "boundary"),
        (TriangularStencil([], 1.0, [], (2, 3)), "SymmetricStencil, got TriangularStencil"),
        (np.eye(6), "SymmetricStencil, got ndarray"),
    ],
)
def test_inner_product_with_something_else_is_refused(other, match):
    with pytest.raises(ArgumentError, match=match):
        SymmetricStencil([(0, 0)], [1.0], (2, 3)).inner(other)


def test_what_was_given_is_copied_and_read_only():
    centre, offsets = np.full((2, 3), 2.0), np.array([(0, 0), (0, 1)])
    stencil = SymmetricStencil(offsets, [centre, -0.5], (2, 3))
    centre[...] = 7.0
    offsets[...] = 0
    assert np.array_equal(stencil.diagonal(), np.full((2, 3), 2.0))
    assert stencil.offsets.tolist() == [[0, 0], [0, 1]]
    for array in (stencil.coefficient(0), stencil.offsets, stencil.pool.values, stencil.pool.start, stencil.pool.step):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    stencil.plane(0)[...] = 0.0
    stencil.diagonal()[...] = 0.0
    assert np.array_equal(stencil.diagonal(), np.full((2, 3), 2.0))


def test_a_coefficient_that_points_off_the_image_is_ignored_even_if_nan():
    plane = np.full((2, 3), -0.5)
    plane[:, -1] = np.nan
    before = plane.copy()
    stencil = SymmetricStencil([(0, 0), (0, 1)], [2.0, plane], (2, 3))
    assert np.isfinite(stencil.tocsr().data).all()
    assert np.array_equal(plane, before, equal_nan=True)
    with pytest.raises(ArgumentError, match=r"coefficients\[1\] must be finite"):
        SymmetricStencil([(0, 0), (0, 1)], [2.0, plane], (2, 3), boundary="torus")


def test_no_flux_takes_missing_neighbours_off_the_diagonal():
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (3, 4), boundary="neumann")
    assert stencil.diagonal().tolist() == [[2, 3, 3, 2], [3, 4, 4, 3], [2, 3, 3, 2]]
    assert np.all(stencil.tocsr().sum(axis=1) == 0.0)
    assert np.all(stencil @ np.ones((3, 4)) == 0.0)


def test_no_flux_eigenvalues_are_those_of_the_cosine_basis():
    height, width = 5, 4
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (height, width), boundary="neumann")
    rows = 4.0 * np.sin(np.pi * np.arange(height) / (2 * height)) ** 2
    columns = 4.0 * np.sin(np.pi * np.arange(width) / (2 * width)) ** 2
    expected = np.sort(np.add.outer(rows, columns).ravel())
    assert_allclose(np.linalg.eigvalsh(stencil.tocsr().toarray()), expected, atol=1e-12)


def test_centre_blocks_off_by_rounding_are_made_symmetric():
    block = np.array([[2.0, 0.3], [0.3 + 1e-16, 1.0]])
    matrix = SymmetricStencil([(0, 0)], [block], (1, 2), channels=2).tocsr().toarray()
    assert np.array_equal(matrix, matrix.T)
    assert_allclose(matrix[:2, :2], block, rtol=1e-15)


def test_repr_says_what_it_is():
    stencil = SymmetricStencil([(0, 0), (0, 1)], [2.0, -0.5], (2, 3), boundary="torus")
    assert repr(stencil) == ("SymmetricStencil(2 offsets, shape=(2, 3), channels=1, boundary='torus', homogeneous)")


PLANE = np.ones((2, 3))
BLOCK = np.array([[1.0, 0.5], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("offsets", "coefficients", "keywords", "error", "match"),
    [
        ([(0, 1)], [1.0], {}, StencilError, r"must contain the centre \(0, 0\)"),
        ([], [], {}, StencilError, "must contain the centre"),
        ([(0, 0), (0, -1)], [1.0, 1.0], {}, StencilError, r"got \(0, -1\), which is earlier; pass its mirror image"),
        ([(0, 0), (-1, 1)], [1.0, 1.0], {}, StencilError, r"got \(-1, 1\)"),
        ([(0, 0), (0, 0)], [1.0, 1.0], {}, StencilError, r"distinct, got \(0, 0\)"),
        ([(0, 0), (0.0, 1.0)], [1.0, 1.0], {}, StencilError, "integer pairs"),
        ([0, 1], [1.0, 1.0], {}, StencilError, "integer pairs"),
        ([(0, 0)], [1.0, 2.0], {}, StencilError, r"one entry per offset \(1\), got 2"),
        ([(0, 0)], [np.nan], {}, ArgumentError, r"coefficients\[0\] must be finite"),
        ([(0, 1), (0, 0)], [np.inf, 1.0], {}, ArgumentError, r"coefficients\[0\] must be finite"),
        ([(0, 0)], [np.ones((3, 2))], {}, StencilError, r"coefficients\[0\] must be a number or a \(2, 3\) plane"),
        ([(0, 0)], [PLANE.astype(object)], {}, ArgumentError, "dtype object"),
        ([(0, 0)], [np.ma.masked_less(PLANE, 2.0)], {}, ArgumentError, "masked"),
        ([(0, 0)], [[[1.0, 2.0], [3.0]]], {}, ArgumentError, "rectangular"),
        (
            [(0, 0)],
            [BLOCK],
            {"channels": 2},
            StencilError,
            r"coefficients\[0\], the centre, must have symmetric blocks",
        ),
        ([(0, 0)], [PLANE], {"channels": 2}, StencilError, r"\(2, 2\) block or a \(2, 3, 2, 2\) plane"),
        ([(0, 0)], [1.0], {"boundary": "periodic"}, ArgumentError, "boundary must be one of 'dirichlet'"),
        ([(0, 0), (0, 1)], [1.0, PLANE], {"boundary": "neumann"}, StencilError, r"coefficients\[1\] must be shared"),
        (
            [(0, 0), (0, 1)],
            [1.0, BLOCK],
            {"boundary": "neumann", "channels": 2},
            StencilError,
            r"coefficients\[1\], with boundary='neumann', must have symmetric blocks",
        ),
    ],
)
def test_what_is_no_symmetric_stencil_is_refused(offsets, coefficients, keywords, error, match):
    with pytest.raises(error, match=match):
        SymmetricStencil(offsets, coefficients, (2, 3), **keywords)


@pytest.mark.parametrize("value", [np.nan, np.ones(3), np.ones((3, 2)), np.ones((2, 3, 1)), "a"])
def test_what_cannot_be_added_to_the_diagonal_is_refused(value):
    with pytest.raises(ArgumentError, match="value"):
        SymmetricStencil([(0, 0)], [1.0], (2, 3)).plus_diagonal(value)


@pytest.mark.parametrize("factor", [np.nan, np.inf, np.ones(2), "a"])
def test_only_a_finite_number_multiplies(factor):
    with pytest.raises(ArgumentError, match="factor"):
        SymmetricStencil([(0, 0)], [1.0], (2, 3)) * factor


@pytest.mark.parametrize("x", [np.zeros((3, 2)), np.zeros(6), np.zeros((2, 3, 1)), 1.0, np.zeros((2, 3), complex)])
def test_images_of_another_shape_or_type_are_refused(x):
    with pytest.raises(ArgumentError, match=r"^x must"):
        SymmetricStencil([(0, 0)], [1.0], (2, 3)) @ x


def folds(case):
    """Whether two offsets, or an offset and a mirrored one, meet at one pixel of the torus."""
    height, width = case.shape
    both = {o for di, dj in case.offsets for o in ((di, dj), (-di, -dj))}
    return len({(di % height, dj % width) for di, dj in both}) < len(both)


@given(strategies.symmetric_stencils(boundaries=("dirichlet", "neumann", "torus")))
def test_copies_and_pickles_are_as_read_only_as_the_original(case):
    stencil = case.stencil
    for other in (copy.deepcopy(stencil), pickle.loads(pickle.dumps(stencil))):
        assert not any(array.flags.writeable for array in (other.offsets, *vars(other.pool).values()))
        assert np.array_equal(other @ case.images(), stencil @ case.images())
