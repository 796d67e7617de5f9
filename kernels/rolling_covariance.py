"""Covariances of a triangular field by a rolling window of image rows.

Row ``i`` of the field (in the order of elimination, ``m = width*channels`` unknowns) obeys
``A_0 x_i + sum_a A_a x_{i-a} = e_i``. The window `state` holds ``Cov(x_s, x_t)`` of the last `slots` rows, row ``i``
in slot ``i % slots``. Pixel ``(i, j)`` is number ``origin + i*row_stride + j*column_stride`` of the image; term ``t``
couples it to ``(i - back[t], j + on[t])``; term 0 is the diagonal block. Channels run backwards with `backward`.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@subroutine(fastmath={"contract"})
def _combine(
    scale: float, count: int, factor: Floats, source: Ints, first: int, last: int, target: int, state: Floats
) -> None:
    """``target = scale*target + sum_k factor_k state[source_k]`` on columns ``first <= v < last``."""
    y = state[target, first:last]
    columns = last - first
    k = 0
    if scale == 0.0 and count > 0:
        x0 = state[source[0], first:last]
        a0 = factor[0]
        for v in range(columns):
            y[v] = a0 * x0[v]
        k = 1
    elif scale == 0.0:
        for v in range(columns):
            y[v] = 0.0
    else:
        for v in range(columns):
            y[v] *= scale
    while k < count:
        x0 = state[source[k], first:last]
        a0 = factor[k]
        if count - k >= 3:
            x1 = state[source[k + 1], first:last]
            x2 = state[source[k + 2], first:last]
            a1 = factor[k + 1]
            a2 = factor[k + 2]
            for v in range(columns):
                y[v] += a0 * x0[v] + a1 * x1[v] + a2 * x2[v]
            k += 3
        else:
            for v in range(columns):
                y[v] += a0 * x0[v]
            k += 1


@njit(cache=True, nogil=True, error_model="numpy")
def innovation_columns(
    i: int,
    first: int,
    last: int,
    width: int,
    channels: int,
    origin: int,
    row_stride: int,
    column_stride: int,
    backward: bool,
    slots: int,
    back: Ints,
    on: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    state: Floats,
) -> None:
    """``Cov(e_i, x_i) = A_0^-T`` on columns ``first <= v < last`` of the window, within the slot of row `i`."""
    m = width * channels
    top = i % slots * m
    factor = np.empty(len(back) * channels)
    source = np.empty(len(back) * channels, np.int64)
    for u in range(last - top, m):
        _combine(0.0, 0, factor, source, first, last, top + u, state)
    for u in range(last - top - 1, -1, -1):
        j = u // channels
        c = channels - 1 - u % channels if backward else u % channels
        pixel = origin + i * row_stride + j * column_stride
        scale = 1.0 / values[start[0] + step[0] * pixel + c * channels + c]
        count = 0
        for t in range(len(back)):
            later = j - on[t]
            if back[t] == 0 and later < width:
                block = start[t] + step[t] * (origin + i * row_stride + later * column_stride)
                for position in range(u % channels + 1 if t == 0 else 0, channels):
                    d = channels - 1 - position if backward else position
                    if later * channels + position < last - top:
                        factor[count] = -values[block + d * channels + c] * scale
                        source[count] = top + later * channels + position
                        count += 1
        _combine(0.0, count, factor, source, first, last, top + u, state)
        if top + u >= first:
            state[top + u, top + u] += scale


@njit(cache=True, nogil=True, error_model="numpy")
def advance_columns(
    i: int,
    first: int,
    last: int,
    own: bool,
    width: int,
    channels: int,
    origin: int,
    row_stride: int,
    column_stride: int,
    backward: bool,
    slots: int,
    back: Ints,
    on: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    state: Floats,
) -> None:
    """``Cov(x_i, x) = A_0^-1 (Cov(e_i, x) - sum_a A_a Cov(x_{i-a}, x))`` on columns ``first <= v < last``.

    For the slot of row `i` itself (`own`) they hold ``Cov(e_i, x_i)``; in others it is zero. They are overwritten.
    """
    m = width * channels
    top = i % slots * m
    factor = np.empty(len(back) * channels)
    source = np.empty(len(back) * channels, np.int64)
    for u in range(m):
        j = u // channels
        c = channels - 1 - u % channels if backward else u % channels
        pixel = origin + i * row_stride + j * column_stride
        scale = 1.0 / values[start[0] + step[0] * pixel + c * channels + c]
        count = 0
        for t in range(len(back)):
            neighbour = j + on[t]
            if back[t] <= i and 0 <= neighbour < width:
                block = start[t] + step[t] * pixel + c * channels
                place = (i - back[t]) % slots * m + neighbour * channels
                for position in range(u % channels if t == 0 else channels):
                    d = channels - 1 - position if backward else position
                    factor[count] = -values[block + d] * scale
                    source[count] = place + position
                    count += 1
        _combine(scale if own else 0.0, count, factor, source, first, last, top + u, state)


@njit(cache=True, nogil=True)
def mirror_rows(first: int, last: int, top: int, m: int, state: Floats) -> None:
    """Set ``Cov(x_s, x_i) = Cov(x_i, x_s)^T`` for window rows ``first <= s < last``; row `i` has its slot at `top`."""
    for low in range(first, last, 64):
        high = min(last, low + 64)
        for left in range(0, m, 64):
            for u in range(left, min(m, left + 64)):
                line = state[top + u, low:high]
                for s in range(high - low):
                    state[low + s, top + u] = line[s]


@njit(cache=True, nogil=True)
def extract_row(
    i: int,
    width: int,
    channels: int,
    origin: int,
    row_stride: int,
    column_stride: int,
    backward: bool,
    slots: int,
    lag_back: Ints,
    lag_on: Ints,
    lag_mirrored: Flags,
    lag_start: Ints,
    state: Floats,
    planes: Floats,
) -> None:
    """Write ``Cov(x_{i,j}, x_{i-back, j+on})`` of row `i` to planes, at the other pixel and transposed if mirrored."""
    m = width * channels
    top = i % slots * m
    for lag in range(len(lag_back)):
        if lag_back[lag] > i:
            continue
        other = (i - lag_back[lag]) % slots * m
        for j in range(max(0, -lag_on[lag]), min(width, width - lag_on[lag])):
            near = origin + i * row_stride + j * column_stride
            far = near - lag_back[lag] * row_stride + lag_on[lag] * column_stride
            block = lag_start[lag] + (far if lag_mirrored[lag] else near) * channels * channels
            for row in range(channels):
                c = channels - 1 - row if backward else row
                for column in range(channels):
                    d = channels - 1 - column if backward else column
                    place = d * channels + c if lag_mirrored[lag] else c * channels + d
                    planes[block + place] = state[
                        top + j * channels + row, other + (j + lag_on[lag]) * channels + column
                    ]
