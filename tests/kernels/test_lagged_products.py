"""The summed products are those of the explicit design, block by block."""

from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf._validate import read_only
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.kernels import lagged_products
from tests.autoregression.explicit import HALF_PLANE, QUARTER_PLANE, design

SUPPORTS = [[], [(0, -1)], [(-1, 0)], [(-3, 2)], QUARTER_PLANE, HALF_PLANE[1], HALF_PLANE[2]]


def summed(image, offsets, missing, cuts):
    points = read_only(np.array([(0, 0), *offsets], dtype=np.int64))
    terms, above = len(points), -int(points[:, 0].min())
    moments = np.zeros((terms + 1, terms + 1))
    window, usable = np.empty((terms, lagged_products.CHUNK)), np.empty(lagged_products.CHUNK)
    for first, last in pairwise(cuts):
        top = max(0, first - above)
        block = read_only(np.where(missing, 0.0, image)[top:last])
        gone = read_only(missing[top:last])
        lagged_products.add_moments(first - top, points, bool(missing.any()), block, gone, moments, window, usable)
    return moments


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    offsets=st.sampled_from(SUPPORTS),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_moments_are_those_of_the_explicit_design_however_the_rows_are_cut(shape, offsets, share, seed, data):
    rng = np.random.default_rng(seed)
    image, missing = rng.standard_normal(shape), rng.random(shape) < share
    inner = data.draw(st.lists(st.integers(0, shape[0]), max_size=3))
    Z, y = design(image, offsets, missing)
    table = np.column_stack([np.ones(len(y)), y, Z])
    found = summed(image, offsets, missing, sorted({0, shape[0], *inner}))
    np.testing.assert_allclose(found, np.tril(table.T @ table), atol=1e-12)


def test_moments_are_right_over_several_chunks_of_a_row():
    rng = np.random.default_rng(3)
    shape = (3, 2 * lagged_products.CHUNK + 7)
    image, missing = rng.standard_normal(shape), rng.random(shape) < 0.02
    for gone in (np.zeros(shape, dtype=bool), missing):
        Z, y = design(image, HALF_PLANE[2], gone)
        table = np.column_stack([np.ones(len(y)), y, Z])
        np.testing.assert_allclose(
            summed(image, HALF_PLANE[2], gone, [0, 2, 3]), np.tril(table.T @ table), rtol=1e-12, atol=1e-11
        )


@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    cut=st.integers(1, 7),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_pairs_are_summed_once_each(shape, cut, share, seed):
    rng = np.random.default_rng(seed)
    missing = rng.random(shape) < share
    image = np.where(missing, 0.0, rng.standard_normal(shape))
    lags = [(-2, 3), (-2, -9), (-1, 0), (0, -2), (0, 0)]
    sums = np.zeros((4, len(lags)))
    for first in range(0, shape[0], cut):
        top = max(0, first - 2)
        rows = slice(top, min(first + cut, shape[0]))
        observed = read_only(1.0 - missing[rows])
        lagged_products.add_pairs(first - top, read_only(np.array(lags)), read_only(image[rows]), observed, sums)
    for k, (a, b) in enumerate(lags):
        pairs = [
            (image[i, j], image[i + a, j + b])
            for i in range(shape[0])
            for j in range(shape[1])
            if i + a >= 0 and 0 <= j + b < shape[1] and not missing[i, j] and not missing[i + a, j + b]
        ]
        x, y = np.array(pairs).reshape(-1, 2).T
        np.testing.assert_allclose(sums[:, k], [x @ y, x.sum(), y.sum(), len(pairs)], atol=1e-12)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT=1")
def test_each_kernel_has_one_specialization():
    image, mask = np.random.default_rng(0).standard_normal((20, 20)), np.zeros((20, 20), dtype=bool)
    mask[3, 4] = True
    frozen = image.copy()
    frozen.flags.writeable = False
    for given_image in (image, frozen, image.astype(np.float32), np.asfortranarray(image)):
        for given_mask in (None, mask):
            CausalAR.fit(given_image, method="yule_walker", mask=given_mask)
    for kernel in (lagged_products.add_moments, lagged_products.add_pairs):
        assert len(kernel.signatures) == 1
