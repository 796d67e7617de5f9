"""Dissection of eight congruent tiles in lockstep: one tile per lane, the lane is the last axis of every array.

All offsets count vectors of eight numbers. A front of ``S + B`` unknowns keeps its eliminated columns as a packed lower
trapezoid ``L`` (column ``j`` holds rows ``j ...``) and its update matrix ``U`` as a packed lower triangle. A program is
a table of nodes in elimination order, with the columns of ``dissection_columns`` (see
``sparsegmrf.factors.dissection._programs``).
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.dissection_columns import (
    NODE_ASSEMBLY,
    NODE_ASSEMBLY_END,
    NODE_ELIMINATED,
    NODE_FACTOR,
    NODE_HALF_MAP,
    NODE_HALF_UPDATE,
    NODE_HALF_UPDATED,
    NODE_PER_HALF,
    NODE_PIXEL,
    NODE_UPDATE,
    NODE_UPDATED,
)
from sparsegmrf.kernels.lane_vector import (
    add,
    divide,
    load,
    load_2,
    load_3,
    load_4,
    load_4_from_4,
    load_from_4,
    multiply,
    spread,
    square_root,
    store,
    store_to_4,
    subtract_outer,
    subtract_product,
)
from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"dissection_columns": "d106c3886927", "lane_vector": "dbc0f453368d", "subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]
Stored = Floats | npt.NDArray[np.float32]
"""A factor, in either width."""
Ints = npt.NDArray[np.int64]


@subroutine()
def _block_4x4(
    L: Floats, base: int, m: int, last: int, r: int, c: int, T: Floats, t0: int, t1: int, t2: int, t3: int
) -> None:
    """``T[r:r+4, c:c+4] -= L[r:r+4, :last] L[c:c+4, :last]^T``; ``t`` are the targets' first rows, column by column."""
    a = load_4_from_4(T, t0, t1, t2, t3)
    column = base
    for k in range(last):
        a = subtract_outer(load_4(L, column + r), load_4(L, column + c), a)
        column += m - 1 - k
    store_to_4(T, t0, t1, t2, t3, a)


@subroutine()
def _triangle_4(L: Floats, base: int, m: int, last: int, c: int, T: Floats, t0: int, t1: int, t2: int, t3: int) -> None:
    """``T[c:c+4, c:c+4] -= L[c:c+4, :last] L[c:c+4, :last]^T``, lower triangle; ``t`` are the diagonal's places."""
    a0 = load_4(T, t0)
    a1 = load_3(T, t1)
    a2 = load_2(T, t2)
    a3 = load(T, t3)
    column = base
    for k in range(last):
        x3 = load(L, column + c + 3)
        a0 = subtract_product(load_4(L, column + c), load(L, column + c), a0)
        a1 = subtract_product(load_3(L, column + c + 1), load(L, column + c + 1), a1)
        a2 = subtract_product(load_2(L, column + c + 2), load(L, column + c + 2), a2)
        a3 = subtract_product(x3, x3, a3)
        column += m - 1 - k
    store(T, t0, a0)
    store(T, t1, a1)
    store(T, t2, a2)
    store(T, t3, a3)


@subroutine()
def _row_of_4(
    L: Floats, base: int, m: int, last: int, r: int, c: int, T: Floats, t0: int, t1: int, t2: int, t3: int
) -> None:
    """``T[r, c:c+4] -= L[r, :last] L[c:c+4, :last]^T``."""
    a = load_from_4(T, t0, t1, t2, t3)
    column = base
    for k in range(last):
        a = subtract_product(load_4(L, column + c), load(L, column + r), a)
        column += m - 1 - k
    store_to_4(T, t0, t1, t2, t3, a)


@subroutine()
def _column(L: Floats, base: int, m: int, last: int, c: int, T: Floats, t: int) -> None:
    """``T[c:, c] -= L[c:, :last] L[c, :last]^T`` for all rows from the diagonal at ``t``."""
    for r in range(c, m):
        a = load(T, t + r - c)
        column = base
        for k in range(last):
            a = subtract_product(load(L, column + r), load(L, column + c), a)
            column += m - 1 - k
        store(T, t + r - c, a)


@subroutine()
def _update_columns(
    L: Floats, base: int, m: int, last: int, first: int, T: Floats, target: int, order: int, origin: int
) -> None:
    """Subtract the outer product of the first `last` columns of L from columns ``first ...`` of a packed lower matrix.

    The matrix has rows and columns ``origin ... origin + order`` of the front and starts at `target`.
    """
    c = first
    end = origin + order
    while c + 4 <= end:
        j = c - origin
        t0 = target + j * order - j * (j - 1) // 2
        t1 = t0 + order - j
        t2 = t1 + order - j - 1
        t3 = t2 + order - j - 2
        _triangle_4(L, base, m, last, c, T, t0, t1, t2, t3)
        r = c + 4
        while r + 4 <= m:
            d = r - c
            _block_4x4(L, base, m, last, r, c, T, t0 + d, t1 + d - 1, t2 + d - 2, t3 + d - 3)
            r += 4
        while r < m:
            d = r - c
            _row_of_4(L, base, m, last, r, c, T, t0 + d, t1 + d - 1, t2 + d - 2, t3 + d - 3)
            r += 1
        c += 4
    while c < end:
        j = c - origin
        _column(L, base, m, last, c, T, target + j * order - j * (j - 1) // 2)
        c += 1


@subroutine()
def _factor_panel(L: Floats, base: int, m: int, s: int) -> int:
    """Factorize the eliminated columns in place, four at a time: -1, or ``column*8 + lane`` of a bad pivot."""
    first = 0
    while first < s:
        width = min(4, s - first)
        t0 = base + first * m - first * (first - 1) // 2
        if width == 4:
            t1 = t0 + m - first
            t2 = t1 + m - first - 1
            t3 = t2 + m - first - 2
            _triangle_4(L, base, m, first, first, L, t0, t1, t2, t3)
            r = first + 4
            while r + 4 <= m:
                d = r - first
                _block_4x4(L, base, m, first, r, first, L, t0 + d, t1 + d - 1, t2 + d - 2, t3 + d - 3)
                r += 4
            while r < m:
                d = r - first
                _row_of_4(L, base, m, first, r, first, L, t0 + d, t1 + d - 1, t2 + d - 2, t3 + d - 3)
                r += 1
        else:
            t = t0
            for c in range(first, first + width):
                _column(L, base, m, first, c, L, t)
                t += m - c
        t = t0
        for c in range(first, first + width):
            for lane in range(8):
                if not L[t * 8 + lane] > 0.0:
                    return c * 8 + lane
            pivot = square_root(load(L, t))
            inverse = divide(spread(1.0), pivot)
            store(L, t, pivot)
            for r in range(1, m - c):
                store(L, t + r, multiply(load(L, t + r), inverse))
            following = t + m - c
            for d in range(c + 1, first + width):
                y = load(L, t + d - c)
                for r in range(d, m):
                    place = following + r - d
                    store(L, place, subtract_product(load(L, t + r - c), y, load(L, place)))
                following += m - d
            t += m - c
        first += width
    return -1


@subroutine()
def _assemble(
    nodes: Ints,
    node: int,
    assembly: Ints,
    channels: int,
    start: Ints,
    step: Ints,
    values: Floats,
    origins: Ints,
    L: Floats,
    base: int,
) -> None:
    """Add the matrix entries of the eliminated columns to L."""
    m = nodes[node, NODE_ELIMINATED] + nodes[node, NODE_UPDATED]
    shift = nodes[node, NODE_PIXEL]
    for entry in range(nodes[node, NODE_ASSEMBLY], nodes[node, NODE_ASSEMBLY_END]):
        row = assembly[entry, 0] * channels
        column = assembly[entry, 1] * channels
        k = assembly[entry, 2]
        owner = assembly[entry, 3] + shift
        for d in range(channels):
            j = column + d
            top = base + j * m - j * (j + 1) // 2
            for c in range(channels):
                if row + c >= j:
                    place = start[k] + (d * channels + c if assembly[entry, 4] else c * channels + d)
                    target = (top + row + c) * 8
                    for lane in range(8):
                        L[target + lane] += values[place + step[k] * (origins[lane] + owner)]


@subroutine()
def _extend_add(
    slots: Floats, source: int, order: int, maps: Ints, first: int, s: int, m: int, L: Floats, base: int, target: int
) -> None:
    """Add a half's update matrix to L (columns below `s`) and U of its parent."""
    b = m - s
    place = source
    for a in range(order):
        column = maps[first + a]
        for r in range(a, order):
            row = maps[first + r]
            low = min(row, column)
            high = max(row, column)
            value = load(slots, place + r - a)
            if low < s:
                t = base + low * m - low * (low + 1) // 2 + high
                store(L, t, add(load(L, t), value))
            else:
                j = low - s
                t = target + j * b - j * (j + 1) // 2 + high - s
                store(slots, t, add(load(slots, t), value))
        place += order - a


@njit(cache=True, nogil=True)
def factor_tile(
    nodes: Ints,
    maps: Ints,
    assembly: Ints,
    channels: int,
    start: Ints,
    step: Ints,
    values: Floats,
    origins: Ints,
    block: int,
    factor: Floats,
    slots: Floats,
) -> int:
    """Factorize eight tiles.

    `origins` are the flat indices of the tiles' first pixels, `block` the offset of their factor. The update matrix of
    the last node is left at its place in `slots`. Returns -1, or ``node*2^32 + column*8 + lane`` of a pivot that is not
    positive.
    """
    for node in range(nodes.shape[0]):
        s = nodes[node, NODE_ELIMINATED]
        b = nodes[node, NODE_UPDATED]
        m = s + b
        base = block + nodes[node, NODE_FACTOR]
        target = nodes[node, NODE_UPDATE]
        factor[base * 8 : (base + m * s - s * (s - 1) // 2) * 8] = 0.0
        slots[target * 8 : (target + b * (b + 1) // 2) * 8] = 0.0
        _assemble(nodes, node, assembly, channels, start, step, values, origins, factor, base)
        for half in range(2):
            source = nodes[node, NODE_HALF_UPDATE + NODE_PER_HALF * half]
            if source >= 0:
                _extend_add(
                    slots,
                    source,
                    nodes[node, NODE_HALF_UPDATED + NODE_PER_HALF * half],
                    maps,
                    nodes[node, NODE_HALF_MAP + NODE_PER_HALF * half],
                    s,
                    m,
                    factor,
                    base,
                    target,
                )
        failed = _factor_panel(factor, base, m, s)
        if failed >= 0:
            return node * 2**32 + failed
        _update_columns(factor, base, m, s, s, slots, target, b, s)
    return -1


@njit(cache=True, nogil=True)
def unpack_updates(slots: Floats, first: int, size: int, starts: Ints, updates: Floats) -> None:
    """Copy a packed update matrix out of the lanes: lane ``l`` to ``updates[starts[l]:]``, or nowhere if that is -1."""
    for lane in range(8):
        if starts[lane] >= 0:
            for t in range(size):
                updates[starts[lane] + t] = slots[(first + t) * 8 + lane]


@njit(cache=True, nogil=True)
def log_pivots(nodes: Ints, block: int, factor: Stored, logs: Floats) -> None:
    """Sum the logarithms of the pivots of each lane into `logs`: of products that stay far within the range."""
    logs[:] = 0.0
    product = np.ones(8)
    for node in range(nodes.shape[0]):
        s = nodes[node, NODE_ELIMINATED]
        m = s + nodes[node, NODE_UPDATED]
        place = block + nodes[node, NODE_FACTOR]
        for j in range(s):
            for lane in range(8):
                product[lane] *= factor[place * 8 + lane]  # a square root: below 1e155, and above its inverse
                if not 1e-100 < product[lane] < 1e100:
                    logs[lane] += math.log(product[lane])
                    product[lane] = 1.0
            place += m - j
    for lane in range(8):
        logs[lane] += math.log(product[lane])
