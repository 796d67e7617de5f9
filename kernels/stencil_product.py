"""Product of a symmetric stencil with images.

Offset 0 is the centre, offsets ``k >= 1`` are later in raster order; the block ``Q[p, p + o_k]`` starts at
``values[start[k] + step[k]*p]``.
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
    offsets: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    x: Floats,
    y: Floats,
) -> None:
    """``y = Q x`` on image rows ``first <= i < last``; one unknown per pixel, no wrap; x, y are (batch, n)."""
    for item in range(x.shape[0]):
        for i in range(first, last):
            row = i * width
            y_row = y[item, row : row + width]
            x_row = x[item, row : row + width]
            if step[0]:
                centre = values[start[0] + row : start[0] + row + width]
                for j in range(width):
                    y_row[j] = centre[j] * x_row[j]
            else:
                for j in range(width):
                    y_row[j] = values[start[0]] * x_row[j]
            for k in range(1, len(offsets)):
                shift = offsets[k, 0] * width + offsets[k, 1]
                if i + offsets[k, 0] < height:
                    low = max(0, -offsets[k, 1])
                    high = min(width, width - offsets[k, 1])
                    if high > low:
                        later = x[item, row + low + shift : row + high + shift]
                        target = y_row[low:high]
                        if step[k]:
                            plane = values[start[k] + row + low : start[k] + row + high]
                            for j in range(high - low):
                                target[j] += plane[j] * later[j]
                        else:
                            shared = values[start[k]]
                            for j in range(high - low):
                                target[j] += shared * later[j]
                if i - offsets[k, 0] >= 0:
                    low = max(0, offsets[k, 1])
                    high = min(width, width + offsets[k, 1])
                    if high > low:
                        earlier = x[item, row + low - shift : row + high - shift]
                        target = y_row[low:high]
                        if step[k]:
                            plane = values[start[k] + row + low - shift : start[k] + row + high - shift]
                            for j in range(high - low):
                                target[j] += plane[j] * earlier[j]
                        else:
                            shared = values[start[k]]
                            for j in range(high - low):
                                target[j] += shared * earlier[j]


@njit(cache=True, nogil=True)
def multiply_blocks(
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
    """``y = Q x`` on image rows ``first <= i < last`` for any number of channels, wrapped if `torus`."""
    total = np.empty(channels)
    for item in range(x.shape[0]):
        for i in range(first, last):
            for j in range(width):
                p = i * width + j
                total[:] = 0.0
                for k in range(len(offsets)):
                    for side in range(1 if k == 0 else 2):
                        sign = 1 - 2 * side
                        a = i + sign * offsets[k, 0]
                        b = j + sign * offsets[k, 1]
                        if torus:
                            a %= height
                            b %= width
                        elif a < 0 or a >= height or b < 0 or b >= width:
                            continue
                        q = a * width + b
                        base = start[k] + step[k] * (q if side else p)
                        for c in range(channels):
                            for d in range(channels):
                                place = d * channels + c if side else c * channels + d
                                total[c] += values[base + place] * x[item, q * channels + d]
                for c in range(channels):
                    y[item, p * channels + c] = total[c]
