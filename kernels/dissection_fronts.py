"""Dissection above the tiles: one front at a time, factorized by LAPACK and BLAS.

A front of ``m = S + B`` unknowns keeps its eliminated columns in a column-major panel ``L`` (m x S, leading dimension m)
and its update matrix in a column-major ``U`` (B x B, leading dimension B); only lower triangles are read.
"""

from numba import njit

from sparsegmrf.kernels.blas import dpotrf, dsyrk, dtrsm

BUILT_ON = {"blas": "4f1bf99871ab"}


@njit(cache=True, nogil=True)
def assemble_front(assembly, first, last, channels, m, start, step, values, origin, L):
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


@njit(cache=True, nogil=True)
def extend_add(source, packed, order, positions, s, m, L, U):
    """Add a half's update matrix, packed lower or square, to L (columns below `s`) and U of its parent."""
    b = m - s
    place = 0
    for a in range(order):
        column = positions[a]
        if not packed:
            place = a * order + a
        r = a
        while r < order:
            # Rows that follow one another in the half mostly do so in the parent.
            row = positions[r]
            length = 1
            while r + length < order and positions[r + length] == row + length:
                length += 1
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
            r += length


@njit(cache=True, nogil=True)
def factor_front(s, m, letters, numbers, L, U, sizes):
    """Factorize a front: -1, or the column whose pivot is not positive; `sizes` is workspace for four int32."""
    b = m - s
    sizes[0] = s
    sizes[1] = m
    sizes[2] = b
    sizes[3] = 0
    n_s = sizes.ctypes.data
    n_m = n_s + 4
    n_b = n_s + 8
    info = n_s + 12
    lower = letters.ctypes.data
    right = lower + 1
    transposed = lower + 2
    plain = lower + 3
    one = numbers.ctypes.data
    minus = one + 8
    panel = L.ctypes.data
    dpotrf(lower, n_s, panel, n_m, info)
    if sizes[3] > 0:
        return sizes[3] - 1
    if b > 0:
        dtrsm(right, lower, transposed, plain, n_b, n_s, one, panel, n_m, panel + 8 * s, n_m)
        dsyrk(lower, plain, n_b, n_s, minus, panel + 8 * s, n_m, one, U.ctypes.data, n_b)
    return -1


@njit(cache=True, nogil=True)
def factor_node(
    assembly,
    first,
    last,
    channels,
    start,
    step,
    values,
    origin,
    source0,
    packed0,
    order0,
    map0,
    source1,
    packed1,
    order1,
    map1,
    maps,
    s,
    m,
    letters,
    numbers,
    L,
    U,
    sizes,
):
    """Assemble and factorize one front from its own matrix entries and its halves' update matrices."""
    L[:] = 0.0
    U[:] = 0.0
    assemble_front(assembly, first, last, channels, m, start, step, values, origin, L)
    extend_add(source0, packed0, order0, maps[map0 : map0 + order0], s, m, L, U)
    extend_add(source1, packed1, order1, maps[map1 : map1 + order1], s, m, L, U)
    return factor_front(s, m, letters, numbers, L, U, sizes)
