"""CSR arrays of a stencil, row by row in column order, and the planes of a CSR matrix.

Terms of a matrix row come in raster order of their offset ``(di, dj)``; term ``t`` of pixel ``p`` towards ``q`` has the
coefficient at ``values[start[t] + step[t]*p]``, or at ``... *q`` if ``mirrored[t]`` (the block is then transposed).
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, boundscheck=False)
def fill_rows(first, last, height, width, di, dj, start, step, mirrored, values, row_start, indptr, indices, data):
    """Fill the matrix rows of image rows ``first <= i < last``; one unknown per pixel, no wrap."""
    terms = len(di)
    left = 0
    right = 0
    for t in range(terms):
        left = max(left, -dj[t])
        right = max(right, dj[t])
    shift = np.empty(terms, np.int64)
    base = np.empty(terms, np.int64)
    stride = np.empty(terms, np.int64)
    columns = np.empty(terms, np.int64)
    for i in range(first, last):
        count = 0
        for t in range(terms):
            if 0 <= i + di[t] < height:
                shift[count] = di[t] * width + dj[t]
                base[count] = start[t] + (step[t] * shift[count] if mirrored[t] else 0)
                stride[count] = step[t]
                columns[count] = dj[t]
                count += 1
        entry = row_start[i]
        inner_first = min(left, width)
        inner_last = max(inner_first, width - right)
        for j in range(width):
            p = i * width + j
            indptr[p] = entry
            if inner_first <= j < inner_last:
                for t in range(count):
                    indices[entry + t] = p + shift[t]
                    data[entry + t] = values[base[t] + stride[t] * p]
                entry += count
            else:
                for t in range(count):
                    if 0 <= j + columns[t] < width:
                        indices[entry] = p + shift[t]
                        data[entry] = values[base[t] + stride[t] * p]
                        entry += 1


@njit(cache=True, nogil=True)
def fill_block_rows(
    first, last, height, width, channels, di, dj, start, step, mirrored, values, row_start, indptr, indices, data
):
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
    first, last, height, width, channels, distinct, di, dj, start, step, mirrored, values, indptr, indices, data
):
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
def find_offsets(width, channels, reach, indptr, indices, seen):
    """Mark in `seen` ``(2*reach + 1)^2`` which offsets a CSR matrix has; -1, or the first entry beyond `reach`."""
    for row in range(len(indptr) - 1):
        p = row // channels
        i = p // width
        j = p % width
        for entry in range(indptr[row], indptr[row + 1]):
            q = indices[entry] // channels
            di = q // width - i
            dj = q % width - j
            if abs(di) > reach or abs(dj) > reach:
                return entry
            seen[di + reach, dj + reach] = True
    return -1


@njit(cache=True, nogil=True)
def add_to_planes(width, channels, reach, indptr, indices, data, plane_of, pixels, planes):
    """Add the entries of a CSR matrix to the blocks ``planes[k, p, c, d]``, where ``plane_of[di, dj]`` is not -1."""
    for row in range(len(indptr) - 1):
        p = row // channels
        c = row % channels
        i = p // width
        j = p % width
        for entry in range(indptr[row], indptr[row + 1]):
            q = indices[entry] // channels
            k = plane_of[q // width - i + reach, q % width - j + reach]
            if k >= 0:
                planes[((k * pixels + p) * channels + c) * channels + indices[entry] % channels] += data[entry]
