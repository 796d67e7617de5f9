"""CSR arrays of a stencil, row by row in column order, and the planes of a CSR matrix.

Terms of a matrix row come in raster order of their offset ``(di, dj)``; term ``t`` of pixel ``p`` towards ``q`` has the
coefficient at ``values[start[t] + step[t]*p]``, or at ``... *q`` if ``mirrored[t]`` (the block is then transposed).
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int32 | np.int64]
Numbers = npt.NDArray[np.int32 | np.int64 | np.float64]


@njit(cache=True, nogil=True)
def fill_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    di: Ints,
    dj: Ints,
    start: Ints,
    step: Ints,
    mirrored: Bools,
    values: Floats,
    row_start: Ints,
    indptr: Indices,
    indices: Indices,
    data: Floats,
) -> None:
    """Fill the matrix rows of image rows ``first <= i < last``; one unknown per pixel, no wrap.

    An image row whose terms are those of the row above repeats its pattern, moved by `width`, and its shared numbers.
    """
    low = 0
    high = 0
    for i in range(first, last):
        low_above = low
        high_above = high
        low = 0
        while low < len(di) and i + di[low] < 0:
            low += 1
        high = len(di)
        while high > low and i + di[high - 1] >= height:
            high -= 1
        here = slice(row_start[i], row_start[i + 1])
        starts = indptr[i * width : (i + 1) * width]
        if i > first and low == low_above and high == high_above:
            above = slice(row_start[i - 1], row_start[i])
            _add(indptr[(i - 1) * width : i * width], row_start[i] - row_start[i - 1], starts)
            _add(indices[above], width, indices[here])
            if step[low:high].any():
                _fill_numbers(i, width, low, high, di, dj, start, step, mirrored, values, data[here])
            else:
                _add(data[above], 0.0, data[here])
        else:
            _fill_pattern(i, width, low, high, di, dj, row_start[i], starts, indices[here])
            _fill_numbers(i, width, low, high, di, dj, start, step, mirrored, values, data[here])


@njit(cache=True, nogil=True)
def _add(source: Numbers, increment: float, target: Numbers) -> None:
    for e in range(len(target)):
        target[e] = source[e] + increment


@njit(cache=True, nogil=True)
def _fill_pattern(
    i: int, width: int, low: int, high: int, di: Ints, dj: Ints, before: int, starts: Indices, row: Indices
) -> None:
    """Fill the entry counts and columns of image row `i`, whose terms are ``low <= t < high``."""
    entry = 0
    for j in range(width):
        starts[j] = before + entry
        for t in range(low, high):
            if 0 <= j + dj[t] < width:
                row[entry] = (i + di[t]) * width + j + dj[t]
                entry += 1


@njit(cache=True, nogil=True)
def _fill_numbers(
    i: int,
    width: int,
    low: int,
    high: int,
    di: Ints,
    dj: Ints,
    start: Ints,
    step: Ints,
    mirrored: Bools,
    values: Floats,
    numbers: Floats,
) -> None:
    """Fill the numbers of image row `i`, whose terms are ``low <= t < high``."""
    columns = dj[low:high]
    stride = step[low:high]
    at = start[low:high] + stride * (i * width + mirrored[low:high] * (di[low:high] * width + columns))
    inner = max(0, -dj.min())
    count = width - max(0, dj.max()) - inner
    entry = 0
    j = 0
    while j < width:
        if j == inner and count > 0:
            pixels = numbers[entry : entry + count * len(at)].reshape(count, len(at))
            for k in range(count):
                for t in range(len(at)):
                    pixels[k, t] = values[at[t] + stride[t] * (j + k)]
            entry += count * len(at)
            j += count
        else:
            for t in range(len(at)):
                if 0 <= j + columns[t] < width:
                    numbers[entry] = values[at[t] + stride[t] * j]
                    entry += 1
            j += 1


@njit(cache=True, nogil=True)
def fill_block_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    channels: int,
    di: Ints,
    dj: Ints,
    start: Ints,
    step: Ints,
    mirrored: Bools,
    values: Floats,
    row_start: Ints,
    indptr: Indices,
    indices: Indices,
    data: Floats,
) -> None:
    """Fill the matrix rows of image rows ``first <= i < last``; ``channels`` unknowns per pixel, no wrap."""
    terms = len(di)
    for i in range(first, last):
        entry = row_start[i]
        for j in range(width):
            p = i * width + j
            for c in range(channels):
                indptr[p * channels + c] = entry
                for t in range(terms):
                    if 0 <= i + di[t] < height and 0 <= j + dj[t] < width:
                        q = p + di[t] * width + dj[t]
                        base = start[t] + step[t] * (q if mirrored[t] else p)
                        for d in range(channels):
                            indices[entry] = q * channels + d
                            data[entry] = values[base + (d * channels + c if mirrored[t] else c * channels + d)]
                            entry += 1


@njit(cache=True, nogil=True)
def fill_torus_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    channels: int,
    distinct: int,
    di: Ints,
    dj: Ints,
    start: Ints,
    step: Ints,
    mirrored: Bools,
    values: Floats,
    indptr: Indices,
    indices: Indices,
    data: Floats,
) -> None:
    """Fill the matrix rows of image rows ``first <= i < last`` on the torus.

    Every pixel has `distinct` different neighbours; offsets that wrap onto the same pixel add up.
    """
    terms = len(di)
    neighbour = np.empty(terms, np.int64)
    order = np.empty(terms, np.int64)
    for i in range(first, last):
        for j in range(width):
            p = i * width + j
            for t in range(terms):
                q = ((i + di[t]) % height) * width + (j + dj[t]) % width
                place = t
                while place > 0 and neighbour[place - 1] > q:
                    neighbour[place] = neighbour[place - 1]
                    order[place] = order[place - 1]
                    place -= 1
                neighbour[place] = q
                order[place] = t
            for c in range(channels):
                row = p * channels + c
                entry = row * distinct * channels
                indptr[row] = entry
                previous = -1
                for place in range(terms):
                    q = neighbour[place]
                    t = order[place]
                    if q != previous:
                        if previous >= 0:
                            entry += channels
                        previous = q
                        for d in range(channels):
                            indices[entry + d] = q * channels + d
                            data[entry + d] = 0.0
                    base = start[t] + step[t] * (q if mirrored[t] else p)
                    for d in range(channels):
                        data[entry + d] += values[base + (d * channels + c if mirrored[t] else c * channels + d)]


@njit(cache=True, nogil=True)
def find_asymmetry(indptr: Indices, indices: Indices, data: Floats, tolerance: float) -> int:
    """Return the first entry of a canonical CSR matrix that differs from its mirror image by more, or -1."""
    for row in range(len(indptr) - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            column = indices[entry]
            low, high = indptr[column], indptr[column + 1]
            while low < high:
                middle = (low + high) // 2
                if indices[middle] < row:
                    low = middle + 1
                else:
                    high = middle
            mirror = data[low] if low < indptr[column + 1] and indices[low] == row else 0.0
            if abs(data[entry] - mirror) > tolerance:
                return entry
    return -1


@njit(cache=True, nogil=True)
def find_offsets(
    width: int, channels: int, reach: int, indptr: Indices, indices: Indices, data: Floats, seen: Bools
) -> int:
    """Mark in `seen` ``(2*reach + 1)^2`` where a matrix is not zero; return -1, or the first entry beyond `reach`."""
    for row in range(len(indptr) - 1):
        p = row // channels
        i = p // width
        j = p % width
        for entry in range(indptr[row], indptr[row + 1]):
            q = indices[entry] // channels
            di = q // width - i
            dj = q % width - j
            if data[entry] != 0.0:
                if abs(di) > reach or abs(dj) > reach:
                    return entry
                seen[di + reach, dj + reach] = True
    return -1


@njit(cache=True, nogil=True)
def copy_to_planes(
    width: int,
    channels: int,
    reach: int,
    indptr: Indices,
    indices: Indices,
    data: Floats,
    plane_of: Ints,
    planes: Floats,
) -> None:
    """Copy the upper triangle to ``planes[plane_of[offset], p, c, d]``; centre blocks get both of their triangles."""
    for row in range(len(indptr) - 1):
        p = row // channels
        c = row % channels
        i = p // width
        j = p % width
        for entry in range(indptr[row], indptr[row + 1]):
            if data[entry] != 0.0 and indices[entry] >= p * channels:
                q = indices[entry] // channels
                d = indices[entry] % channels
                k = plane_of[q // width - i + reach, q % width - j + reach]
                if q > p:
                    planes[k, p, c, d] = data[entry]
                elif d >= c:
                    planes[k, p, c, d] = data[entry]
                    planes[k, p, d, c] = data[entry]
