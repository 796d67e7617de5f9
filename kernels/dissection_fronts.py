"""Dissection above the tiles: one front at a time, factorized by LAPACK and BLAS.

A front of ``m = S + B`` unknowns keeps its eliminated columns in a column-major panel ``L`` (m x S, leading dimension
m) and its update matrix in a column-major ``U`` (B x B, leading dimension B); only lower triangles are read.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.blas import dgemm, dpotrf, dsyrk, dtrsm
from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"blas": "ec93f68f2077", "subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Stored = Floats | Singles
"""A factor, in either width."""
Ints = npt.NDArray[np.int64]
Letters = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]


@subroutine()
def _assemble_front(
    assembly: Ints,
    first: int,
    last: int,
    channels: int,
    m: int,
    start: Ints,
    step: Ints,
    values: Floats,
    origin: int,
    L: Floats,
) -> None:
    """Add the matrix entries of the eliminated columns; `origin` is the flat index of the node's first pixel."""
    for entry in range(first, last):
        row = assembly[entry, 0] * channels
        column = assembly[entry, 1] * channels
        k = assembly[entry, 2]
        place = start[k] + step[k] * (origin + assembly[entry, 3])
        for d in range(channels):
            for c in range(channels):
                if row + c >= column + d:
                    L[(column + d) * m + row + c] += values[
                        place + (d * channels + c if assembly[entry, 4] else c * channels + d)
                    ]


@subroutine()
def _extend_add(
    source: Floats, packed: bool, positions: Ints, s: int, m: int, L: Floats, U: Floats, runs: Ints
) -> None:
    """Add a half's update matrix, packed lower or square, to L (columns below `s`) and U of its parent.

    Rows that follow one another in the half mostly do so in the parent: `runs` (workspace, one more than `positions`)
    takes the ends of such runs.
    """
    b = m - s
    order = len(positions)
    count = 0
    for r in range(1, order + 1):
        if r == order or positions[r] != positions[r - 1] + 1:
            runs[count] = r
            count += 1
    place = 0
    own = 0
    for a in range(order):
        column = positions[a]
        if not packed:
            place = a * order + a
        if a == runs[own]:
            own += 1
        first = a
        for run in range(own, count):
            last = runs[run]
            row = positions[first]
            length = last - first
            if row >= column:
                if column < s:
                    target = L[column * m + row : column * m + row + length]
                else:
                    target = U[(column - s) * b + row - s : (column - s) * b + row - s + length]
                piece = source[place : place + length]
                for t in range(length):
                    target[t] += piece[t]
            else:
                for t in range(length):
                    if row + t < s:
                        L[(row + t) * m + column] += source[place + t]
                    else:
                        U[(row + t - s) * b + column - s] += source[place + t]
            place += length
            first = last


@njit(cache=True, nogil=True)
def assemble_node(
    assembly: Ints,
    first: int,
    last: int,
    channels: int,
    start: Ints,
    step: Ints,
    values: Floats,
    origin: int,
    source0: Floats,
    packed0: bool,
    order0: int,
    map0: int,
    source1: Floats,
    packed1: bool,
    order1: int,
    map1: int,
    maps: Ints,
    s: int,
    m: int,
    L: Floats,
    U: Floats,
    runs: Ints,
) -> None:
    """Assemble one front from its own matrix entries and its halves' update matrices."""
    b = m - s
    for j in range(s):
        L[j * m + j : (j + 1) * m] = 0.0
    for j in range(b):
        U[j * b + j : (j + 1) * b] = 0.0
    _assemble_front(assembly, first, last, channels, m, start, step, values, origin, L)
    _extend_add(source0, packed0, maps[map0 : map0 + order0], s, m, L, U, runs)
    _extend_add(source1, packed1, maps[map1 : map1 + order1], s, m, L, U, runs)


@njit(cache=True, nogil=True)
def factor_panel(m: int, first: int, width: int, letters: Letters, numbers: Floats, L: Floats, sizes: Sizes) -> int:
    """Factorize columns ``first ... first + width``, updated already: -1, or the column whose pivot is not positive.

    ``L_11 = chol(L_11)``, ``L_21 = L_21 L_11^-T``; `sizes` is workspace for int32.
    """
    below = m - first - width
    sizes[0] = width
    sizes[1] = m
    sizes[2] = below
    sizes[3] = 0
    address = sizes.ctypes.data
    lower = letters.ctypes.data
    corner = L.ctypes.data + 8 * (first * m + first)
    dpotrf(lower, address, corner, address + 4, address + 12)
    if sizes[3] > 0:
        return first + int(sizes[3]) - 1
    if below > 0:
        one = numbers.ctypes.data
        dtrsm(
            lower + 1,
            lower,
            lower + 2,
            lower + 3,
            address + 8,
            address,
            one,
            corner,
            address + 4,
            corner + 8 * width,
            address + 4,
        )
    return -1


@njit(cache=True, nogil=True)
def update_columns(
    m: int,
    first: int,
    width: int,
    rank_first: int,
    rank: int,
    letters: Letters,
    numbers: Floats,
    L: Floats,
    T: Floats,
    corner: int,
    leading: int,
    sizes: Sizes,
) -> None:
    """``T_1 -= L_1 L_1^T`` (lower), ``T_2 -= L_2 L_1^T`` for `width` columns of a target T.

    ``L_1`` are rows ``first ... first + width`` of the panel L and ``L_2`` those below, in its columns
    ``rank_first ... rank_first + rank``; the target's corner is at index `corner` of T, `leading` numbers a column.
    """
    below = m - first - width
    sizes[0] = width
    sizes[1] = m
    sizes[2] = below
    sizes[3] = rank
    sizes[4] = leading
    address = sizes.ctypes.data
    lower = letters.ctypes.data
    one = numbers.ctypes.data
    upper_rows = L.ctypes.data + 8 * (rank_first * m + first)
    target = T.ctypes.data + 8 * corner
    dsyrk(lower, lower + 3, address, address + 12, one + 8, upper_rows, address + 4, one, target, address + 16)
    if below > 0:
        dgemm(
            lower + 3,
            lower + 2,
            address + 8,
            address,
            address + 12,
            one + 8,
            upper_rows + 8 * width,
            address + 4,
            upper_rows,
            address + 4,
            one,
            target + 8 * width,
            address + 16,
        )


@njit(cache=True, nogil=True)
def log_pivots(s: int, m: int, L: Stored) -> float:
    """Return the sum of the logarithms of a panel's pivots."""
    total = 0.0
    for j in range(s):
        total += math.log(np.float64(L[j * m + j]))
    return total


@njit(cache=True, nogil=True)
def round_panel(s: int, m: int, L: Floats, rounded: Singles) -> None:
    """Copy a panel to single precision, zero above the diagonal, where L has never been written."""
    for j in range(s):
        for r in range(j):
            rounded[j * m + r] = 0.0
        for r in range(j, m):
            rounded[j * m + r] = L[j * m + r]
