"""Front solves on one panel: for one and for sixteen right-hand sides, with garbage above the diagonal."""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf._validate import read_only
from sparsegmrf.kernels import dissection_front_solve

# Parts of kernels, compiled by themselves.
transpose_front = njit(dissection_front_solve._transpose_front)
factor_front = njit(dissection_front_solve._factor_front)

SIZES = [(1, 0), (2, 3), (3, 1), (4, 4), (5, 0), (6, 9), (7, 2), (8, 5), (37, 20)]


def panel(s, m, rng):
    """Return a lower trapezoid and its column-major panel, whose strict upper triangle is not a number."""
    L = np.tril(rng.uniform(-0.3, 0.3, (m, s)))
    L[np.arange(s), np.arange(s)] = rng.uniform(1.0, 2.0, s)
    stored = L.copy()
    stored[np.triu_indices(s, 1)] = np.nan
    return L, read_only(np.concatenate([rng.standard_normal(3), stored.ravel(order="F")]))


@pytest.mark.parametrize("width", [1, 16])
@pytest.mark.parametrize(("s", "b"), SIZES)
def test_transposed_front_multiplies_and_solves(s, b, width):
    rng = np.random.default_rng(s * 100 + b)
    L, panels = panel(s, s + b, rng)
    f, T = rng.standard_normal((s + b, width)), np.empty(4 * width)
    product = f.ravel().copy()
    transpose_front(False, width, panels, 3, s, s + b, product, T)
    assert_allclose(product.reshape(f.shape)[:s], L.T @ f, rtol=1e-12, atol=1e-12)
    assert_array_equal(product.reshape(f.shape)[s:], f[s:])
    transpose_front(True, width, panels, 3, s, s + b, product, T)
    assert_allclose(product.reshape(f.shape), f, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("width", [1, 16])
@pytest.mark.parametrize(("s", "b"), SIZES)
def test_front_multiplies_and_solves(s, b, width):
    rng = np.random.default_rng(s * 100 + b)
    L, panels = panel(s, s + b, rng)
    f, T = rng.standard_normal((s + b, width)), np.empty(4 * width)
    product = f.ravel().copy()
    factor_front(False, width, panels, 3, s, s + b, product, T)
    expected = L @ f[:s]
    expected[s:] += f[s:]
    assert_allclose(product.reshape(f.shape), expected, rtol=1e-12, atol=1e-12)
    factor_front(True, width, panels, 3, s, s + b, product, T)
    assert_allclose(product.reshape(f.shape), f, rtol=1e-11, atol=1e-11)
