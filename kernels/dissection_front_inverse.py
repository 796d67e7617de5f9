"""Selected inverse above the tiles: one front at a time by BLAS, from the whole image down.

The covariance ``Z`` of a front of ``m = S + B`` unknowns is column-major ``m x m``, the eliminated unknowns first; only
its lower triangle is read. ``L`` is the front's panel of the factor (m x S, leading dimension m, lower). In order, with
``G = L_BS L_SS^-1``: `invert_corner`, `gain`, `square_corner`, `subtract_boundary` leave
``Z_SS = L_SS^-T L_SS^-1 - G^T Z_BS`` and ``Z_BS = -Z_BB G``.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.blas import dgemm, dlauum, dsymm, dtrmm, dtrtri

BUILT_ON = {"blas": "ec93f68f2077"}

Floats = npt.NDArray[np.float64]
Stored = Floats | npt.NDArray[np.float32]
"""A factor, in either width."""
Ints = npt.NDArray[np.int64]
Letters = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]


@njit(cache=True, nogil=True)
def invert_corner(s: int, m: int, letters: Letters, L: Stored, Z: Floats, sizes: Sizes) -> None:
    """``Z_SS = L_SS^-1``, zero above the diagonal, and ``Z_BS = 0``; `sizes` is workspace for int32."""
    sizes[0] = s
    sizes[1] = m
    address = sizes.ctypes.data
    lower = letters.ctypes.data
    for c in range(s):
        for r in range(m):
            Z[c * m + r] = L[c * m + r] if c <= r < s else 0.0
    dtrtri(lower, lower + 3, address, Z.ctypes.data, address + 4, address + 8)


@njit(cache=True, nogil=True)
def gain(s: int, m: int, letters: Letters, numbers: Floats, L: Stored, Z: Floats, G: Floats, sizes: Sizes) -> None:
    """``G = L_BS Z_SS`` by BLAS for a lower triangular ``Z_SS``; `sizes` is workspace for int32."""
    b = m - s
    for c in range(s):
        for r in range(b):
            G[c * b + r] = L[c * m + s + r]
    sizes[0] = s
    sizes[1] = m
    sizes[2] = b
    address = sizes.ctypes.data
    lower = letters.ctypes.data
    one = numbers.ctypes.data
    front = Z.ctypes.data
    dtrmm(
        lower + 1,
        lower,
        lower + 3,
        lower + 3,
        address + 8,
        address,
        one,
        front,
        address + 4,
        G.ctypes.data,
        address + 8,
    )


@njit(cache=True, nogil=True)
def square_corner(s: int, m: int, letters: Letters, Z: Floats, sizes: Sizes) -> None:
    """``Z_SS = Z_SS^T Z_SS`` (lower) for a lower triangular ``Z_SS``; `sizes` is workspace for int32."""
    sizes[0] = s
    sizes[1] = m
    address = sizes.ctypes.data
    dlauum(letters.ctypes.data, address, Z.ctypes.data, address + 4, address + 8)


@njit(cache=True, nogil=True)
def subtract_boundary(s: int, m: int, letters: Letters, numbers: Floats, Z: Floats, G: Floats, sizes: Sizes) -> None:
    """``Z_BS -= Z_BB G`` and then ``Z_SS -= G^T Z_BS`` (lower) by BLAS; `sizes` is workspace for int32."""
    b = m - s
    sizes[0] = s
    sizes[1] = m
    sizes[2] = b
    address = sizes.ctypes.data
    rows = address + 12
    columns = address + 16
    lower = letters.ctypes.data
    transposed = lower + 2
    one = numbers.ctypes.data
    minus = one + 8
    front = Z.ctypes.data
    right = G.ctypes.data
    boundary = front + 8 * (s * m + s)
    dsymm(
        lower,
        lower,
        address + 8,
        address,
        minus,
        boundary,
        address + 4,
        right,
        address + 8,
        one,
        front + 8 * s,
        address + 4,
    )
    # The lower triangle of G^T Z_BS, in strips of columns.
    for c in range(0, s, 96):
        sizes[3] = s - c
        sizes[4] = min(96, s - c)
        dgemm(
            transposed,
            lower + 3,
            rows,
            columns,
            address + 8,
            minus,
            right + 8 * c * b,
            address + 8,
            front + 8 * (c * m + s),
            address + 4,
            one,
            front + 8 * (c * m + c),
            address + 4,
        )


@njit(cache=True, nogil=True)
def gather_boundary(Z: Floats, m: int, positions: Ints, packed: Floats, first: int, runs: Ints) -> None:
    """Copy a half's boundary covariance out of its parent's front, packed lower by columns, to ``packed[first:]``.

    Rows that follow one another in the half mostly do so in the parent: `runs` (workspace, one more than `positions`)
    takes the ends of such runs.
    """
    order = len(positions)
    count = 0
    for r in range(1, order + 1):
        if r == order or positions[r] != positions[r - 1] + 1:
            runs[count] = r
            count += 1
    place = first
    own = 0
    for a in range(order):
        column = positions[a]
        if a == runs[own]:
            own += 1
        begin = a
        for run in range(own, count):
            row = positions[begin]
            length = runs[run] - begin
            target = packed[place : place + length]
            if row >= column:
                source = Z[column * m + row : column * m + row + length]
                for t in range(length):
                    target[t] = source[t]
            else:
                for t in range(length):
                    target[t] = Z[(row + t) * m + column]
            place += length
            begin = runs[run]


@njit(cache=True, nogil=True)
def unpack_boundary(s: int, m: int, packed: Floats, Z: Floats) -> None:
    """Copy a packed lower matrix into the lower triangle of ``Z_BB``."""
    place = 0
    for c in range(s, m):
        for r in range(c, m):
            Z[c * m + r] = packed[place]
            place += 1


@njit(cache=True, nogil=True)
def scatter_front(
    assembly: Ints, first: int, last: int, channels: int, m: int, origin: int, pixels: int, Z: Floats, planes: Floats
) -> None:
    """Write the covariances that have a place on the stencil; a plane holds `pixels` blocks."""
    block = channels * channels
    for entry in range(first, last):
        row = assembly[entry, 0] * channels
        column = assembly[entry, 1] * channels
        place = (assembly[entry, 2] * pixels + origin + assembly[entry, 3]) * block
        for d in range(channels):
            for c in range(channels):
                low = min(row + c, column + d)
                planes[place + (d * channels + c if assembly[entry, 4] else c * channels + d)] = Z[
                    low * m + max(row + c, column + d)
                ]
