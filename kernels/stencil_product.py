"""Product of a symmetric stencil with images.

Offset 0 is the centre, offsets ``k >= 1`` are later in raster order; the block ``Q[p, p + o_k]`` starts at
``values[start[k] + step[k]*p]``. ``(Q x)_p = sum_k Q[p, p + o_k] x_{p + o_k} + sum_{k >= 1} Q[p - o_k, p]^T x_{p - o_k}``.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    torus: bool,
    offsets: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    x: Floats,
    y: Floats,
) -> None:
    """``y = Q x`` on image rows ``first <= i < last``; one unknown per pixel; x, y are (batch, n)."""
    for item in range(x.shape[0]):
        for i in range(first, last):
            y_row = y[item, i * width : (i + 1) * width]
            y_row[:] = 0.0
            for k in range(len(offsets)):
                for side in range(2 if k else 1):
                    di = -offsets[k, 0] if side else offsets[k, 0]
                    dj = -offsets[k, 1] if side else offsets[k, 1]
                    source = i + di
                    if torus:
                        source %= height
                        dj %= width
                    elif source < 0 or source >= height:
                        continue
                    x_row = x[item, source * width : (source + 1) * width]
                    at = start[k] + step[k] * (source if side else i) * width
                    coefficients = values[at : at + (width if step[k] else 1)]
                    low = max(0, -dj)
                    high = min(width, width - dj)
                    if low < high:
                        _add_products(coefficients, step[k] == 0, dj if side else 0, x_row, dj, low, high, y_row)
                    if torus and high < width:
                        moved = dj - width
                        _add_products(
                            coefficients, step[k] == 0, moved if side else 0, x_row, moved, high, width, y_row
                        )


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_products(
    coefficients: Floats, shared: bool, shift: int, x_row: Floats, dj: int, low: int, high: int, y_row: Floats
) -> None:
    """``y_j += a_{j + shift} x_{j + dj}`` for ``low <= j < high``, or with one coefficient for all."""
    target = y_row[low:high]
    source = x_row[low + dj : high + dj]
    if shared:
        a = coefficients[0]
        for j in range(len(target)):
            target[j] += a * source[j]
    else:
        plane = coefficients[low + shift : high + shift]
        for j in range(len(target)):
            target[j] += plane[j] * source[j]


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply_block_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    channels: int,
    torus: bool,
    offsets: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    x: Floats,
    y: Floats,
) -> None:
    """``y = Q x`` on image rows ``first <= i < last``; ``channels`` unknowns per pixel; x, y are (batch, n)."""
    for item in range(x.shape[0]):
        for i in range(first, last):
            y_row = y[item, i * width * channels : (i + 1) * width * channels]
            y_row[:] = 0.0
            for k in range(len(offsets)):
                for side in range(2 if k else 1):
                    di = -offsets[k, 0] if side else offsets[k, 0]
                    dj = -offsets[k, 1] if side else offsets[k, 1]
                    source = i + di
                    if torus:
                        source %= height
                        dj %= width
                    elif source < 0 or source >= height:
                        continue
                    x_row = x[item, source * width * channels : (source + 1) * width * channels]
                    at = start[k] + step[k] * (source if side else i) * width
                    blocks = values[at : at + (step[k] * width if step[k] else channels * channels)]
                    low = max(0, -dj)
                    high = min(width, width - dj)
                    if low < high:
                        _add_block_products(blocks, step[k], channels, side, x_row, dj, low, high, y_row)
                    if torus and high < width:
                        _add_block_products(blocks, step[k], channels, side, x_row, dj - width, high, width, y_row)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_block_products(
    blocks: Floats, step: int, channels: int, side: int, x_row: Floats, dj: int, low: int, high: int, y_row: Floats
) -> None:
    """``y_j += B_j x_{j + dj}``, or ``B_{j + dj}^T x_{j + dj}`` on the earlier side, for ``low <= j < high``."""
    along_c = 1 if side else channels
    along_d = channels if side else 1
    for j in range(low, high):
        block = blocks[step * (j + dj if side else j) :]
        source = x_row[(j + dj) * channels : (j + dj + 1) * channels]
        target = y_row[j * channels : (j + 1) * channels]
        for c in range(channels):
            total = target[c]
            for d in range(channels):
                total += block[c * along_c + d * along_d] * source[d]
            target[c] = total
