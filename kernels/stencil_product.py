"""Product of a symmetric stencil with images.

Offset 0 is the centre, offsets ``k >= 1`` are later in raster order; the block ``Q[p, p + o_k]`` starts at
``values[start[k] + step[k]*p]``. With ``q = p + o_k`` and ``r = p - o_k``,
``(Q x)_p = sum_k Q[p, q] x_q + sum_{k > 0} Q[r, p]^T x_r``.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    offsets: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    x: Floats,
    y: Floats,
) -> None:
    """``y = Q x`` on image rows ``first <= i < last``; one unknown per pixel, no wrap; x, y are (batch, n).

    Some 2000 pixels at a time are taken as one long row, which is right except near the ends of image rows; there each
    pixel is computed again by itself.
    """
    edge = 0
    for k in range(len(offsets)):
        edge = min(width, max(edge, abs(offsets[k, 1])))
    rows = max(1, 2048 // width)
    for item in range(x.shape[0]):
        image = x[item]
        product = y[item]
        for top in range(first, last, rows):
            bottom = min(top + rows, last)
            product[top * width : bottom * width] = 0.0
            for k in range(len(offsets)):
                for side in range(2 if k else 1):
                    di = -offsets[k, 0] if side else offsets[k, 0]
                    shift = di * width + (-offsets[k, 1] if side else offsets[k, 1])
                    low = max(max(top, -di) * width, -shift)
                    high = min(min(bottom, height - di) * width, height * width - shift)
                    if low < high:
                        at = low + shift if side else low
                        coefficients = values[start[k] + step[k] * at :]
                        _add_products(coefficients, step[k] == 0, image[low + shift : high + shift], product[low:high])
            for i in range(top, bottom):
                for near in range(min(2 * edge, width)):
                    j = near if near < edge else width - 1 - (near - edge)
                    product[i * width + j] = _pixel(i, j, height, width, offsets, start, step, values, image)


@subroutine(fastmath={"contract"})
def _pixel(
    i: int, j: int, height: int, width: int, offsets: Ints, start: Ints, step: Ints, values: Floats, x: Floats
) -> float:
    """``(Q x)_p`` at one pixel, no wrap."""
    p = i * width + j
    total = 0.0
    for k in range(len(offsets)):
        di = offsets[k, 0]
        dj = offsets[k, 1]
        shift = di * width + dj
        if i + di < height and 0 <= j + dj < width:
            total += values[start[k] + step[k] * p] * x[p + shift]
        if k and i - di >= 0 and 0 <= j - dj < width:
            total += values[start[k] + step[k] * (p - shift)] * x[p - shift]
    return total


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply_torus_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    offsets: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    x: Floats,
    y: Floats,
) -> None:
    """``y = Q x`` on image rows ``first <= i < last`` of a torus; one unknown per pixel; x, y are (batch, n)."""
    for item in range(x.shape[0]):
        for i in range(first, last):
            y_row = y[item, i * width : (i + 1) * width]
            y_row[:] = 0.0
            for k in range(len(offsets)):
                for side in range(2 if k else 1):
                    source = (i - offsets[k, 0] if side else i + offsets[k, 0]) % height
                    dj = (-offsets[k, 1] if side else offsets[k, 1]) % width
                    inside = width - dj
                    x_row = x[item, source * width : (source + 1) * width]
                    coefficients = values[start[k] + step[k] * (source if side else i) * width :]
                    shared = step[k] == 0
                    moved = 0 if shared or not side else dj
                    _add_products(coefficients[moved:], shared, x_row[dj:], y_row[:inside])
                    moved = 0 if shared or side else inside
                    _add_products(coefficients[moved:], shared, x_row[:dj], y_row[inside:])


@subroutine(fastmath={"contract"})
def _add_products(coefficients: Floats, shared: bool, source: Floats, target: Floats) -> None:
    """``y_j += a_j x_j``, or with ``a_0`` for all."""
    if shared:
        a = coefficients[0]
        for j in range(len(target)):
            target[j] += a * source[j]
    else:
        for j in range(len(target)):
            target[j] += coefficients[j] * source[j]


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


@subroutine(fastmath={"contract"})
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
