"""Eight tiles in lanes: each lane is the dense inverse of its own matrix, and only the filled ones are written."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.kernels import dissection_lane_inverse

LANES = 8


def positive(order, seed):
    root = np.random.default_rng(seed).standard_normal((order, order + 3))
    return root @ root.T


def packed(matrix, columns):
    """Rows from the diagonal on of the first columns, one column after another."""
    return np.concatenate([matrix[j:, j] for j in range(columns)] or [np.zeros(0)])


@pytest.mark.parametrize("filled", [1, 8])
@pytest.mark.parametrize(("s", "b"), [(1, 0), (3, 0), (4, 1), (5, 3), (6, 4), (7, 9), (8, 2), (20, 17)])
def test_eliminated_columns_are_those_of_the_dense_inverse(s, b, filled):
    m = s + b
    matrices = [positive(m, seed) for seed in range(LANES)]
    inverses = [np.linalg.inv(Q) for Q in matrices]
    factor = np.stack([packed(np.linalg.cholesky(Q), s) for Q in matrices], axis=-1)
    boundary = np.concatenate([packed(inverse[s:, s:], b) for inverse in inverses])
    # One leaf whose table asks for every entry of the eliminated columns, each as a coefficient of its own.
    rows, columns = np.nonzero(np.tri(m, s, dtype=bool))
    table = np.column_stack([rows, columns, np.arange(len(rows)), np.full(len(rows), 2), np.zeros(len(rows))])
    nodes = np.array([[s, b, 1, 0, -1, -1, -1, -1, -1, -1, 0, len(rows), 1, 0]])
    pixels, origins = 40, np.arange(LANES) * 4
    planes = np.full((len(rows), pixels), -7.0)
    dissection_lane_inverse.invert_tiles(
        nodes,
        np.array([[0, -1, -1]]),
        np.zeros(0, dtype=np.int64),
        table.astype(np.int64),
        1,
        np.concatenate([np.full(3 * LANES, np.nan), factor.ravel()]),
        2,
        boundary,
        origins,
        filled,
        pixels,
        planes.reshape(-1),
        np.full(m * (m + 1) // 2 * LANES, np.nan),
        np.full(4 * m * LANES, np.nan),
        np.full(10 * LANES, np.nan),
    )
    for lane in range(filled):
        expected = inverses[lane][rows, columns]
        assert_allclose(planes[:, 3 + 4 * lane], expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    assert (planes == -7.0).sum() == len(rows) * (pixels - filled)
