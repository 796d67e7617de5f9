"""Lane solves on one node and through images: every lane is a triangular problem of its own."""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf._validate import read_only
from sparsegmrf.kernels import dissection_lane_solve

# Parts of kernels, compiled by themselves.
transpose_node = njit(dissection_lane_solve._transpose_node)
factor_node = njit(dissection_lane_solve._factor_node)
gather = njit(dissection_lane_solve._gather)
scatter = njit(dissection_lane_solve._scatter)

SIZES = [(1, 0), (2, 3), (3, 1), (4, 4), (5, 0), (6, 9), (7, 2), (8, 5), (13, 20)]


def packed(s, m, rng):
    """Return eight lower trapezoids ``(8, m, s)`` and their packed lane form."""
    L = rng.uniform(-0.3, 0.3, (8, m, s))
    L[:, np.arange(s), np.arange(s)] = rng.uniform(1.0, 2.0, (8, s))
    for j in range(s):
        L[:, :j, j] = 0.0
    return L, read_only(np.concatenate([L[:, j:, j].T.ravel() for j in range(s)]))


def vectors(m, width, rng):
    """Return ``(m, width, 8)`` numbers and room for them as the kernels read them."""
    f = rng.standard_normal((m, width, 8))
    return f, f.ravel().copy(), np.empty(4 * width * 8)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(("s", "b"), SIZES)
def test_transposed_node_multiplies_and_solves_in_each_lane(s, b, width):
    rng = np.random.default_rng(s * 100 + b)
    L, factor = packed(s, s + b, rng)
    f, product, T = vectors(s + b, width, rng)
    transpose_node(False, width, factor, 0, s, s + b, product, T)
    assert_allclose(product.reshape(f.shape)[:s], np.einsum("lij,ivl->jvl", L, f), rtol=1e-12, atol=1e-12)
    assert_array_equal(product.reshape(f.shape)[s:], f[s:])
    transpose_node(True, width, factor, 0, s, s + b, product, T)
    assert_allclose(product.reshape(f.shape), f, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(("s", "b"), SIZES)
def test_node_multiplies_and_solves_in_each_lane(s, b, width):
    rng = np.random.default_rng(s * 100 + b)
    L, factor = packed(s, s + b, rng)
    f, product, T = vectors(s + b, width, rng)
    factor_node(False, width, factor, 0, s, s + b, product, T)
    expected = np.einsum("lij,jvl->ivl", L, f[:s])
    expected[s:] += f[s:]
    assert_allclose(product.reshape(f.shape), expected, rtol=1e-12, atol=1e-12)
    factor_node(True, width, factor, 0, s, s + b, product, T)
    assert_allclose(product.reshape(f.shape), f, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("lanes", [1, 5, 8])
@pytest.mark.parametrize("shifts", [np.arange(19), np.arange(30).reshape(3, 10)[:, :9].ravel(), np.arange(0, 22, 2)])
def test_images_are_read_and_written_at_the_places_of_their_lanes_only(shifts, lanes, width):
    rng = np.random.default_rng(lanes)
    used = (width - 1) * 8 + lanes
    source = read_only(rng.standard_normal(40 * (used + 1)))
    places = np.full(width * 8, -1)
    places[:used] = rng.permutation(used + 1)[:used] * 40
    count, lead = len(shifts), 2
    shifts = shifts.astype(np.int64)
    w = np.full((count + lead) * width * 8, np.nan)
    gather(width, count, True, shifts, 0, source, places, w, lead)
    table = w.reshape(-1, width * 8)
    assert np.isnan(table[:lead]).all()
    assert_array_equal(table[lead:, :used], source[places[:used] + shifts[:, np.newaxis]])
    assert np.isfinite(table[lead:]).all()
    again = np.full_like(table, np.nan).ravel()
    gather(width, count, False, shifts, 0, source, places, again, lead)
    assert_array_equal(again, w)
    target = np.zeros(len(source))
    scatter(width, count, shifts, 0, target, places, w, lead)
    expected = np.zeros(len(source))
    reached = (places[:used] + shifts[:, np.newaxis]).ravel()
    expected[reached] = source[reached]
    assert_array_equal(target, expected)
