"""Exact covariances of a triangular field at short lags, by the rolling-window recursion."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsegmrf import _memory, _threads
from sparsegmrf._validate import read_only
from sparsegmrf.kernels import rolling_covariance
from sparsegmrf.stencil import TriangularStencil
from sparsegmrf.typing import FloatArray, IntArray

_TASK = 2**17
_LEAST_BLOCK = 256
_PADDING = 8
"""Keeps rows of a window whose side is a power of two from meeting in the same cache sets."""


@dataclass(frozen=True)
class _Sweep:
    """Orientation of the recursion: which pixel comes first, and along which image axis its rows lie."""

    rows: int
    width: int
    origin: int
    row_stride: int
    column_stride: int
    axes: IntArray
    """``(2, 2)``: an image offset ``o`` is ``axes @ o`` in sweep coordinates."""


def covariances(A: TriangularStencil, offsets: IntArray) -> FloatArray:
    """Return ``(A^T A)^-1[p, p + o_k]`` as planes ``(K, H, W)`` or ``(K, H, W, C, C)``, zero off the image.

    `offsets` are the centre and later ones. The window takes ``((r + 1) m)^2`` numbers and the time grows as
    ``n (r + 1) m K``, where ``m`` is the number of unknowns in one image row and ``r`` the reach in rows. Unless one
    weight points to the left and another to the right, columns can take the part of rows; the cheaper axis is taken.
    """
    (height, width), channels = A.shape, A.channels
    pool = A.pool
    on_image = (np.abs(A.offsets) < A.shape).all(axis=1)
    terms = np.vstack([np.zeros((1, 2), dtype=np.int64), A.offsets[on_image]])
    kept = np.concatenate([[0], 1 + np.flatnonzero(on_image)])
    reported = np.flatnonzero((np.abs(offsets) < A.shape).all(axis=1))
    lags = offsets[reported]
    sweep = min(_sweeps(A, terms), key=lambda sweep: _slots(sweep, terms, lags) * sweep.width)
    slots = _slots(sweep, terms, lags)
    m = sweep.width * channels
    _memory.refuse_if_too_large(
        8 * (slots * m) ** 2,
        f"the window for the covariances of a {height} x {width} field",
        "use covariance_with for single columns",
    )
    planes = np.zeros((len(offsets), height, width, *(() if channels == 1 else (channels, channels))))
    state = np.zeros((slots * m, slots * m + _PADDING))

    back, on = _back_and_on(terms @ sweep.axes.T)
    grid = (sweep.width, channels, sweep.origin, sweep.row_stride, sweep.column_stride, not A.is_causal, slots)
    stencil = (back, on, pool.start[kept], pool.step[kept], read_only(pool.values))
    lag = lags @ sweep.axes.T
    later = (lag[:, 0] > 0) | ((lag[:, 0] == 0) & (lag[:, 1] > 0))
    lag_back, lag_on = _back_and_on(np.where(later[:, np.newaxis], -lag, lag))
    lag_start = reported.astype(np.int64) * (height * width * channels**2)
    flat = planes.reshape(-1)
    block = max(_LEAST_BLOCK, _TASK // m)

    def cross(i: int, first: int, last: int) -> None:
        rolling_covariance.advance_columns(i, first, last, False, *grid, *stencil, state)

    def own(i: int, first: int, last: int) -> None:
        rolling_covariance.innovation_columns(i, first, last, *grid, *stencil, state)
        rolling_covariance.advance_columns(i, first, last, True, *grid, *stencil, state)

    for i in range(sweep.rows):
        top = i % slots * m
        columns = [(top + first, top + last) for first, last in _threads.ranges(m, block)]
        others = [
            (slot * m + first, slot * m + last)
            for slot in range(slots)
            if slot * m != top
            for first, last in _threads.ranges(m, block)
        ]
        _threads.run([partial(cross, i, *range_) for range_ in others])
        _threads.run([partial(rolling_covariance.mirror_rows, *range_, top, m, state) for range_ in others])
        _threads.run([partial(own, i, *range_) for range_ in columns])
        rolling_covariance.extract_row(i, *grid, lag_back, lag_on, later, lag_start, state, flat)
    return planes


def _sweeps(A: TriangularStencil, terms: IntArray) -> list[_Sweep]:
    """Return the sweeps that meet every neighbour before its pixel: by rows, and by columns where that is possible."""
    height, width = A.shape
    sign = 1 if A.is_causal else -1
    first = 0 if A.is_causal else height * width - 1
    along = np.array([[1, 0], [0, 1]], dtype=np.int64)
    sweeps = [_Sweep(height, width, first, sign * width, sign, sign * along)]
    columns_on = sign * terms[:, 1]
    for side in (1, -1):
        if (side * columns_on <= 0).all():
            # Sweep row 0 is the image's first or last column.
            start_row = 0 if sign > 0 else height - 1
            start_column = 0 if side * sign > 0 else width - 1
            axes = np.array([[0, side * sign], [sign, 0]], dtype=np.int64)
            origin = start_row * width + start_column
            sweeps.append(_Sweep(width, height, origin, side * sign, sign * width, axes))
            break
    return sweeps


def _slots(sweep: _Sweep, terms: IntArray, lags: IntArray) -> int:
    return 1 + int(np.abs(np.vstack([terms, lags]) @ sweep.axes[0]).max())


def _back_and_on(offsets: IntArray) -> tuple[IntArray, IntArray]:
    return np.ascontiguousarray(-offsets[:, 0]), np.ascontiguousarray(offsets[:, 1])
