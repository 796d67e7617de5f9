"""Selected inverse above the tiles: one front at a time by BLAS, from the whole image down.

The covariance ``Z`` of a front of ``m = S + B`` unknowns is column-major ``m x m``, the eliminated unknowns first; only
its lower triangle is read. ``L`` is the front's panel of the factor (m x S, leading dimension m, lower).
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.blas import dgemm, dpotri, dsymm, dtrsm

BUILT_ON = {"blas": "6f3272805bc6"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Letters = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]


@njit(cache=True, nogil=True)
def invert_front(
    s: int, m: int, letters: Letters, numbers: Floats, L: Floats, Z: Floats, G: Floats, sizes: Sizes
) -> None:
    """Work out the eliminated columns of Z from the covariance of the boundary.

    With ``G = L_BS L_SS^-1``: ``Z_BS = -Z_BB G`` and ``Z_SS = L_SS^-T L_SS^-1 - G^T Z_BS``. `G` (B x S) and `sizes`
    (six int32) are workspace; `numbers` holds 1, -1 and 0.
    """
    b = m - s
    sizes[0] = s
    sizes[1] = m
    sizes[2] = b
    n_s = sizes.ctypes.data
    n_m = n_s + 4
    n_b = n_s + 8
    info = n_s + 12
    rows = n_s + 16
    columns = n_s + 20
    lower = letters.ctypes.data
    right = lower + 1
    transposed = lower + 2
    plain = lower + 3
    one = numbers.ctypes.data
    minus = one + 8
    zero = one + 16
    panel = L.ctypes.data
    front = Z.ctypes.data
    gain = G.ctypes.data
    for c in range(s):
        Z[c * m + c : c * m + s] = L[c * m + c : c * m + s]
    dpotri(lower, n_s, front, n_m, info)
    if b == 0:
        return
    for c in range(s):
        G[c * b : c * b + b] = L[c * m + s : c * m + m]
    dtrsm(right, lower, plain, plain, n_b, n_s, one, panel, n_m, gain, n_b)
    dsymm(lower, lower, n_b, n_s, minus, front + 8 * (s * m + s), n_m, gain, n_b, zero, front + 8 * s, n_m)
    # The lower triangle of G^T Z_BS, in strips of columns.
    for c in range(0, s, 96):
        sizes[4] = s - c
        sizes[5] = min(96, s - c)
        dgemm(
            transposed,
            plain,
            rows,
            columns,
            n_b,
            minus,
            gain + 8 * c * b,
            n_b,
            front + 8 * (c * m + s),
            n_m,
            one,
            front + 8 * (c * m + c),
            n_m,
        )


@njit(cache=True, nogil=True)
def gather_boundary(Z: Floats, m: int, positions: Ints, target: Floats, first: int, leading: int) -> None:
    """Copy a half's boundary covariance out of its parent's front, the lower triangle.

    It goes to ``target[first:]``, column-major with the leading dimension `leading`, or packed if that is 0.
    """
    order = positions.shape[0]
    diagonal = first
    for a in range(order):
        column = positions[a]
        place = diagonal
        r = a
        while r < order:
            # Rows that follow one another in the half mostly do so in the parent.
            row = positions[r]
            length = 1
            while r + length < order and positions[r + length] == row + length:
                length += 1
            if row >= column:
                source = Z[column * m + row : column * m + row + length]
                for t in range(length):
                    target[place + t] = source[t]
            else:
                for t in range(length):
                    target[place + t] = Z[(row + t) * m + column]
            place += length
            r += length
        diagonal += leading + 1 if leading > 0 else order - a


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
