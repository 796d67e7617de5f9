"""TriangularFactor: the contract in both orientations, and what it promises beyond."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, TriangularStencil
from sparsegmrf.errors import ArgumentError, StencilError, TooLargeError
from sparsegmrf.factors import DenseFactor, TriangularFactor, _recursion, _rolling, triangular
from sparsegmrf.factors import normals as drawing
from tests import strategies
from tests.contracts import columns, factor_contract

CASES = strategies.triangular_stencils(largest=6)
QUARTER_PLANE = [(-1, -1), (-1, 0), (0, -1)]
HALF_PLANE = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]

TestContract = factor_contract(TriangularFactor, CASES)


@given(CASES)
def test_whitening_matrix_is_the_one_given(case):
    assert_allclose(columns(TriangularFactor(case.stencil).whiten, case), case.A, rtol=1e-12, atol=1e-12)


@given(CASES)
def test_transposed_operations_are_adjoint_to_the_direct_ones(case):
    factor, (u, v) = TriangularFactor(case.stencil), case.images(2)
    assert_allclose(np.sum(u * factor.whiten(v)), np.sum(factor.whiten_transpose(u) * v), rtol=1e-10, atol=1e-10)
    assert_allclose(np.sum(u * factor.unwhiten(v)), np.sum(factor.unwhiten_transpose(u) * v), rtol=1e-10, atol=1e-10)


@given(CASES)
def test_transposed_operations_are_inverse_to_each_other(case):
    factor, x = TriangularFactor(case.stencil), case.images(3)
    assert_allclose(factor.unwhiten_transpose(factor.whiten_transpose(x)), x, rtol=1e-10, atol=1e-10)


@given(CASES)
def test_whitening_there_and_back_is_the_product_with_the_precision(case):
    factor, x = TriangularFactor(case.stencil), case.images()
    assert_allclose(factor.whiten_transpose(factor.whiten(x)), case.stencil.gram() @ x, rtol=1e-10, atol=1e-10)


@given(CASES)
def test_selected_inverse_covers_the_precision(case):
    precision = case.stencil.gram()
    selected = TriangularFactor(case.stencil).selected_inverse()
    assert np.array_equal(selected.offsets, precision.offsets)
    assert_allclose(precision.inner(selected), case.A.shape[0], rtol=1e-9)  # trace(Q Q^-1) = n


@given(CASES)
def test_agrees_with_the_dense_factor(case):
    fast, dense = TriangularFactor(case.stencil), DenseFactor(case.stencil)
    assert_allclose(fast.logdet, dense.logdet, rtol=1e-10, atol=1e-10)
    ours, theirs = fast.selected_inverse(), dense.selected_inverse()
    assert np.array_equal(ours.offsets, theirs.offsets)
    for k in range(len(theirs.offsets)):
        assert_allclose(ours.plane(k), theirs.plane(k), rtol=1e-9, atol=1e-9)


@given(strategies.triangular_stencils(channels=(1,)))
def test_image_turned_by_half_a_turn_gives_the_turned_field(case):
    def turned(value):
        return np.flip(value) if np.ndim(value) == 2 else value

    there = TriangularFactor(case.stencil)
    back = TriangularFactor(
        TriangularStencil(
            [(-di, -dj) for di, dj in case.offsets],
            turned(case.diagonal),
            [turned(weight) for weight in case.weights],
            case.shape,
        )
    )
    x = case.images()
    for name in ("whiten", "unwhiten", "solve", "whiten_transpose", "unwhiten_transpose"):
        assert_allclose(
            getattr(back, name)(turned(x)), turned(getattr(there, name)(x)), rtol=1e-10, atol=1e-10, err_msg=name
        )
    assert_allclose(back.marginal_variance(), turned(there.marginal_variance()), rtol=1e-10)


@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (1, 30), (30, 1), (12, 12)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_transposed_quarter_plane_gives_the_transposed_covariances(shape, sign):
    rng = np.random.default_rng(1)
    diagonal, weights = rng.uniform(1.0, 2.0, shape), rng.uniform(-0.3, 0.3, (3, *shape))
    offsets = [(-sign * di, -sign * dj) for di, dj in QUARTER_PLANE]
    field = TriangularFactor(TriangularStencil(offsets, diagonal, weights, shape))
    transposed = TriangularFactor(
        TriangularStencil([o[::-1] for o in offsets], diagonal.T, [w.T for w in weights], shape[::-1])
    )
    x = rng.standard_normal(shape)
    assert_allclose(transposed.solve(x.T), field.solve(x).T, rtol=1e-10, atol=1e-12)
    assert_allclose(transposed.marginal_variance(), field.marginal_variance().T, rtol=1e-10)


@pytest.mark.parametrize("offsets", [[(-1, 0), (-1, 1)], [(1, 0), (1, -2)], [(-1, -1), (0, -2)], [(0, 1), (2, 1)]])
@pytest.mark.parametrize("shape", [(2, 9), (3, 7)])
def test_window_over_columns_and_over_rows_agree(offsets, shape, monkeypatch):
    rng = np.random.default_rng(2)
    A = TriangularStencil(offsets, rng.uniform(1.0, 2.0, shape), rng.uniform(-0.4, 0.4, (2, *shape)), shape)
    terms = np.vstack([[[0, 0]], A.offsets])
    by_rows, by_columns = _rolling._sweeps(A, terms)
    results = []
    for sweep in (by_rows, by_columns):
        monkeypatch.setattr(_rolling, "_sweeps", lambda A, terms, sweep=sweep: [sweep])
        results.append(_rolling.covariances(A, A.gram_offsets))
    assert_allclose(results[0], results[1], rtol=1e-10, atol=1e-12)


def test_variances_do_not_depend_on_the_number_of_threads(threads):
    rng = np.random.default_rng(3)
    shape = (5, 600)  # wide enough for several blocks of window columns
    A = TriangularStencil(HALF_PLANE, 1.0, rng.uniform(-0.2, 0.2, (4, *shape)), shape)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(TriangularFactor(A).marginal_variance())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_variances_of_a_long_field_match_columns_of_the_covariance():
    factor = TriangularFactor(TriangularStencil(HALF_PLANE, 1.0, [-0.1, -0.3, -0.2, -0.3], (300, 40)))
    variance = factor.marginal_variance()
    for pixel in [(0, 0), (299, 39), (150, 0), (150, 20), (7, 39)]:
        assert_allclose(variance[pixel], factor.covariance_with(pixel)[pixel], rtol=1e-10)


def test_window_that_cannot_fit_is_refused_before_it_is_made():
    wide = TriangularStencil(HALF_PLANE, 1.0, [-0.2] * 4, (2, 3_000_000))
    with pytest.raises(TooLargeError, match=r"window .* 2 x 3000000 field would need about .* GB.*covariance_with"):
        TriangularFactor(wide).marginal_variance()


def test_a_very_wide_quarter_plane_field_has_variances_all_the_same():
    factor = TriangularFactor(TriangularStencil([(0, -1)], 1.0, [-0.5], (1, 20_000)))
    assert_allclose(factor.marginal_variance()[0, -1], 4.0 / 3.0, rtol=1e-12)


def test_logdet_of_a_homogeneous_field_counts_every_unknown():
    blocks = np.array([[2.0, 0.0], [0.3, 3.0]])
    factor = TriangularFactor(TriangularStencil([(-1, 0)], blocks, [0.1 * np.eye(2)], (4, 5), channels=2))
    assert factor.logdet == pytest.approx(2 * 20 * np.log(6.0), rel=1e-14)


@given(CASES)
def test_contraction_is_the_largest_row_sum_of_scaled_weights(case):
    channels, n = case.channels, case.A.shape[0] // case.channels
    A = case.A.reshape(n, channels, n, channels)
    expected = 0.0
    for p in range(n):
        scaled = np.abs(np.linalg.solve(A[p, :, p], A[p].reshape(channels, -1))).reshape(channels, n, channels)
        scaled[:, p] = 0.0
        expected = max(expected, scaled.sum(axis=(1, 2)).max())
    assert TriangularFactor(case.stencil).contraction() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_contraction_bounds_the_field():
    rng = np.random.default_rng(4)
    factor = TriangularFactor(TriangularStencil(HALF_PLANE, 2.0, [-0.5, 0.4, -0.5, 0.5], (60, 70)))
    assert factor.contraction() == pytest.approx(0.95)
    e = rng.standard_normal((60, 70))
    assert np.abs(factor.unwhiten(e)).max() <= np.abs(e / 2.0).max() / (1.0 - factor.contraction())


def test_another_kind_of_stencil_is_refused_with_the_remedy():
    with pytest.raises(StencilError, match=r"A must be a TriangularStencil, got SymmetricStencil; factorize"):
        TriangularFactor(SymmetricStencil([(0, 0)], [1.0], (2, 2)))


@pytest.mark.parametrize("dtype", [np.float32, np.int16, bool])
def test_other_dtypes_are_converted(dtype):
    factor = TriangularFactor(TriangularStencil(QUARTER_PLANE, 1.0, [-0.2] * 3, (4, 5)))
    image = (np.arange(20).reshape(4, 5) % 3).astype(dtype)
    assert factor.whiten(image).dtype == np.float64
    assert np.array_equal(factor.unwhiten(image), factor.unwhiten(image.astype(float)))


@given(CASES)
def test_result_goes_to_the_array_given(case):
    factor, x = TriangularFactor(case.stencil), case.images(2)
    for name in ("whiten", "unwhiten", "whiten_transpose", "unwhiten_transpose"):
        operation, out = getattr(factor, name), np.empty_like(x)
        assert operation(x, out=out) is out
        assert np.array_equal(out, operation(x))
    for name in ("unwhiten", "unwhiten_transpose"):
        operation, over = getattr(factor, name), x.copy()
        operation(over, out=over)
        assert np.array_equal(over, operation(x))


def test_unsuitable_targets_are_refused():
    factor, x = TriangularFactor(TriangularStencil(QUARTER_PLANE, 1.0, [-0.2] * 3, (4, 5))), np.ones((2, 4, 5))
    frozen = np.empty((2, 4, 5))
    frozen.flags.writeable = False
    for out in (
        np.empty((4, 5)),
        np.empty((2, 4, 5), dtype=np.float32),
        np.empty((2, 5, 4)).swapaxes(1, 2),
        frozen,
        [1.0],
    ):
        with pytest.raises(
            ArgumentError, match=r"^out must be a writable C-contiguous float64 array of shape \(2, 4, 5\)"
        ):
            factor.unwhiten(x, out=out)
    memory = np.ones((3, 4, 5))
    for operation, out in ((factor.whiten, memory[:2]), (factor.unwhiten, memory[1:])):
        with pytest.raises(ArgumentError, match=r"^out must not overlap [xe]"):
            operation(memory[:2], out=out)


@pytest.mark.parametrize("shape", [(90, 70), (300, 3), (3, 300), (1, 50)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_draw_made_band_by_band_is_the_unwhitened_array_of_normals(shape, sign, monkeypatch, threads):
    monkeypatch.setattr(_recursion, "_TILE", 64)
    monkeypatch.setattr(_recursion, "_SPAN", 16)
    monkeypatch.setattr(_recursion, "_BAND", 8)
    monkeypatch.setattr(drawing, "BLOCK", 50)
    monkeypatch.setattr(triangular, "BLOCK", 50)
    A = TriangularStencil([(sign, -3 * sign), (0, sign), (2 * sign, sign)], 1.5, [-0.4, 0.5, -0.3], shape)
    factor = TriangularFactor(A)
    normals = np.empty((2, shape[0] * shape[1]))
    drawing.fill_standard_normal(np.random.default_rng(3), normals)
    expected = factor.unwhiten(normals.reshape(2, *shape)).reshape(normals.shape)
    for count in (1, 3):
        threads(count)
        drawn = factor.draw_vectors(np.random.default_rng(3), np.empty_like(normals))
        assert np.array_equal(drawn, expected)
        assert_allclose(factor.whiten(drawn.reshape(2, *shape)).reshape(normals.shape), normals, atol=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("reach", [1, 2])
def test_nothing_is_read_beyond_the_coefficients(sign, reach):
    shape, x = (2, 5), np.random.default_rng(8).standard_normal((2, 5))
    weights = np.random.default_rng(9).uniform(-0.4, 0.4, (reach, *shape))
    A = TriangularStencil([(0, sign * (k + 1)) for k in range(reach)], np.full(shape, 1.5), weights, shape)
    # The same numbers in front of NaN: what is read beyond the end shows.
    padded = np.full(A.pool.values.size + 64, np.nan)
    padded[32:-32] = A.pool.values
    for transposed in (False, True):
        recursion = _recursion.Recursion.of(A, transposed=transposed)
        inside = dataclasses.replace(recursion, values=padded[32:-32])
        result = np.empty((1, 10))
        inside.solve(x.reshape(1, 10), result)
        dense = A.tocsr().toarray()
        assert_allclose(result[0], np.linalg.solve(dense.T if transposed else dense, x.ravel()), rtol=1e-12)
        inside.multiply(x.reshape(1, 10), result)
        assert_allclose(result[0], (dense.T if transposed else dense) @ x.ravel(), rtol=1e-12)
