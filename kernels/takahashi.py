"""Selected inverse on the pattern of a sparse Cholesky factor ``L L^T``, by Takahashi's recursion.

``L`` is stored by columns with sorted rows, the diagonal first; ``Z = (L L^T)^-1`` takes the same pattern.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32 | np.int64]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def invert_on_pattern(indptr: Indices, indices: Indices, data: Floats, Z: Floats, front: Floats, column: Floats) -> int:
    """Fill `Z` on the pattern of ``L``; -1, or the column whose pattern is not that of a Cholesky factor.

    ``Z_jj = 1/L_jj^2 - (1/L_jj) sum_k L_kj Z_kj`` and ``Z_ij = -(1/L_jj) sum_k L_kj Z_ik``, last column first, over the
    rows ``k > j`` of column ``j``. Consecutive columns of the same structure share the dense matrix ``Z_ik`` in `front`
    (m, m), rows below them first, then the columns backwards; m is the largest number of entries in a column, and
    `column` (m) holds ``L_kj`` in that order.
    """
    last = len(indptr) - 2
    while last >= 0:
        first = last
        while first > 0 and (
            indptr[first] - indptr[first - 1] == indptr[first + 1] - indptr[first] + 1
            and indices[indptr[first - 1] + 1] == first
        ):
            first -= 1
        below = indptr[last] + 1
        rows = indptr[last + 1] - below
        for a in range(rows):
            k = indices[below + a]
            entry = indptr[k]
            for b in range(a, rows):
                target = indices[below + b]
                if entry < indptr[k + 1] and indices[entry] < target:
                    jump = 1
                    while entry + jump < indptr[k + 1] and indices[entry + jump] < target:
                        entry += jump
                        jump *= 2
                    high = min(entry + jump, indptr[k + 1] - 1)
                    while entry < high:
                        middle = (entry + high) // 2
                        if indices[middle] < target:
                            entry = middle + 1
                        else:
                            high = middle
                if entry >= indptr[k + 1] or indices[entry] != target:
                    return last
                front[a, b] = Z[entry]
                front[b, a] = Z[entry]
        for j in range(last, first - 1, -1):
            done = last - j
            order = rows + done
            start = indptr[j]
            for a in range(rows):
                column[a] = data[start + 1 + done + a]
            for a in range(done):
                column[rows + a] = data[start + done - a]
            pivot = data[start]
            total = 0.0
            for a in range(order):
                product = 0.0
                row = front[a]
                for b in range(order):
                    product += row[b] * column[b]
                value = -product / pivot
                front[order, a] = value
                total += value * column[a]
                Z[start + 1 + done + a if a < rows else start + done + rows - a] = value
            for a in range(order):
                front[a, order] = front[order, a]
            front[order, order] = (1.0 / pivot - total) / pivot
            Z[start] = front[order, order]
        last = first - 1
    return -1


@njit(cache=True, nogil=True)
def fill_plane(
    first: int,
    last: int,
    height: int,
    width: int,
    channels: int,
    di: int,
    dj: int,
    torus: bool,
    place: Ints,
    indptr: Indices,
    indices: Indices,
    Z: Floats,
    plane: Floats,
) -> int:
    """Copy the blocks ``Z[place[p], place[p + o]]`` of image rows ``first <= i < last`` to ``plane[p, c, d]``.

    Off the image `plane` is left as it is, unless on a `torus`. -1, or the unknown that lacks an entry.
    """
    for i in range(first, last):
        for j in range(width):
            a = i + di
            b = j + dj
            if torus:
                a %= height
                b %= width
            elif a < 0 or a >= height or b < 0 or b >= width:
                continue
            for c in range(channels):
                u = (i * width + j) * channels + c
                for d in range(channels):
                    row = place[(a * width + b) * channels + d]
                    column = place[u]
                    if row < column:
                        row, column = column, row
                    low = indptr[column]
                    high = indptr[column + 1] - 1
                    while low < high:
                        middle = (low + high) // 2
                        if indices[middle] < row:
                            low = middle + 1
                        else:
                            high = middle
                    if indices[low] != row:
                        return u
                    plane[u * channels + d] = Z[low]
    return -1
