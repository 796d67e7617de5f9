"""Selected inverse of eight congruent tiles in lockstep: one tile per lane, the lane is the last axis of every array.

All offsets count vectors of eight numbers. The covariance ``Z`` of a front of ``m = S + B`` unknowns is a packed lower
triangle: column ``j`` holds rows ``j ...``, the eliminated unknowns first. The factor and the table of nodes are those
of ``sparsegmrf.kernels.dissection_lanes``; `visits` has three integers per node.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.dissection_columns import (
    NODE_ASSEMBLY,
    NODE_ASSEMBLY_END,
    NODE_ELIMINATED,
    NODE_FACTOR,
    NODE_PIXEL,
    NODE_UPDATED,
)
from sparsegmrf.kernels.lane_vector import (
    add_product,
    below,
    divide,
    join_4,
    load,
    load_2,
    load_3,
    load_4,
    load_from_4,
    multiply,
    quarter_0,
    quarter_1,
    quarter_2,
    quarter_3,
    spread,
    store,
    store_to_4,
    subtract_outer,
    subtract_product,
    top,
    zero_2,
    zero_3,
    zero_4,
    zero_16,
)
from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"dissection_columns": "d106c3886927", "lane_vector": "dbc0f453368d", "subroutine": "1d05a1f775f3"}

VISIT_COVARIANCE = 0  # offset of Z in the slots, one slot per depth of the tree
VISIT_PARENT = 1  # the parent's row in the table, -1 for the tile itself
VISIT_MAP = 2  # first entry of the map from the node's boundary to the parent's front
VISIT_COLUMNS = 3

Floats = npt.NDArray[np.float64]
Stored = Floats | npt.NDArray[np.float32]
"""A factor, in either width."""
Ints = npt.NDArray[np.int64]


@subroutine()
def _invert_corner(L: Stored, base: int, m: int, j: int, width: int, K: Floats) -> None:
    """``K = L_JJ^-1`` for `width` columns, packed lower by columns of a 4 x 4 triangle, zero beyond."""
    for t in range(10):
        store(K, t, spread(0.0))
    for a in range(width):
        t = a * 4 - a * (a + 1) // 2
        c = base + (j + a) * m - (j + a) * (j + a + 1) // 2
        store(K, t + a, divide(spread(1.0), load(L, c + j + a)))
    for b in range(width):
        for a in range(b + 1, width):
            total = spread(0.0)
            for i in range(b, a):
                c = base + (j + i) * m - (j + i) * (j + i + 1) // 2
                total = subtract_product(load(L, c + j + a), load(K, b * 4 - b * (b + 1) // 2 + i), total)
            inverse = load(K, a * 4 - a * (a + 1) // 2 + a)
            store(K, b * 4 - b * (b + 1) // 2 + a, multiply(total, inverse))


@subroutine()
def _gain(L: Stored, base: int, m: int, j: int, width: int, K: Floats, G: Floats) -> None:
    """``G = L_RJ L_JJ^-1`` for the rows R below the columns J, four numbers a row; zero beyond `width`."""
    k00 = load(K, 0)
    k10 = load(K, 1)
    k20 = load(K, 2)
    k30 = load(K, 3)
    k11 = load(K, 4)
    k21 = load(K, 5)
    k31 = load(K, 6)
    k22 = load(K, 7)
    k32 = load(K, 8)
    k33 = load(K, 9)
    j1 = j + min(1, width - 1)
    j2 = j + min(2, width - 1)
    j3 = width - 1 + j
    c0 = base + j * m - j * (j + 1) // 2
    c1 = base + j1 * m - j1 * (j1 + 1) // 2
    c2 = base + j2 * m - j2 * (j2 + 1) // 2
    c3 = base + j3 * m - j3 * (j3 + 1) // 2
    for r in range(j + width, m):
        x1 = load(L, c1 + r)
        x2 = load(L, c2 + r)
        x3 = load(L, c3 + r)
        g0 = add_product(x1, k10, multiply(load(L, c0 + r), k00))
        g0 = add_product(x3, k30, add_product(x2, k20, g0))
        g1 = add_product(x3, k31, add_product(x2, k21, multiply(x1, k11)))
        store(G, 4 * r, g0)
        store(G, 4 * r + 1, g1)
        store(G, 4 * r + 2, add_product(x3, k32, multiply(x2, k22)))
        store(G, 4 * r + 3, multiply(x3, k33))


@subroutine()
def _rows_of_4(Z: Floats, base: int, m: int, first: int, r: int, j: int, width: int, G: Floats) -> None:
    """``Z_rJ = -Z_rR G`` for rows ``r ... r+3`` (the last one again past the end), R being the rows from `first`."""
    r1 = min(r + 1, m - 1)
    r2 = min(r + 2, m - 1)
    r3 = min(r + 3, m - 1)
    a = zero_16()
    p0 = base + r * m - r * (r + 1) // 2
    p1 = base + r1 * m - r1 * (r1 + 1) // 2
    p2 = base + r2 * m - r2 * (r2 + 1) // 2
    p3 = base + r3 * m - r3 * (r3 + 1) // 2
    column = base + first * m - first * (first + 1) // 2
    for c in range(first, r):
        x = load_from_4(Z, column + r, column + r1, column + r2, column + r3)
        a = subtract_outer(x, load_4(G, 4 * c), a)
        column += m - c - 1
    for c in range(r, r3 + 1):
        q1 = p1 + c if c >= r1 else column + r1
        q2 = p2 + c if c >= r2 else column + r2
        q3 = p3 + c if c >= r3 else column + r3
        x = load_from_4(Z, p0 + c, q1, q2, q3)
        a = subtract_outer(x, load_4(G, 4 * c), a)
        column += m - c - 1
    for c in range(r3 + 1, m):
        x = load_from_4(Z, p0 + c, p1 + c, p2 + c, p3 + c)
        a = subtract_outer(x, load_4(G, 4 * c), a)
    t = base + j * m - j * (j + 1) // 2
    store_to_4(Z, t + r, t + r1, t + r2, t + r3, quarter_0(a))
    if width > 1:
        t += m - j - 1
        store_to_4(Z, t + r, t + r1, t + r2, t + r3, quarter_1(a))
    if width > 2:
        t += m - j - 2
        store_to_4(Z, t + r, t + r1, t + r2, t + r3, quarter_2(a))
    if width > 3:
        t += m - j - 3
        store_to_4(Z, t + r, t + r1, t + r2, t + r3, quarter_3(a))


@subroutine()
def _corner(Z: Floats, base: int, m: int, j: int, width: int, K: Floats, G: Floats) -> None:
    """``Z_JJ = L_JJ^-T L_JJ^-1 - G^T Z_RJ``, lower triangle."""
    j1 = j + min(1, width - 1)
    j2 = j + min(2, width - 1)
    j3 = j + width - 1
    c0 = base + j * m - j * (j + 1) // 2
    c1 = base + j1 * m - j1 * (j1 + 1) // 2
    c2 = base + j2 * m - j2 * (j2 + 1) // 2
    c3 = base + j3 * m - j3 * (j3 + 1) // 2
    a0 = zero_4()
    a1 = zero_3()
    a2 = zero_2()
    a3 = spread(0.0)
    for r in range(j + width, m):
        a0 = subtract_product(load_4(G, 4 * r), load(Z, c0 + r), a0)
        a1 = subtract_product(load_3(G, 4 * r + 1), load(Z, c1 + r), a1)
        a2 = subtract_product(load_2(G, 4 * r + 2), load(Z, c2 + r), a2)
        a3 = subtract_product(load(G, 4 * r + 3), load(Z, c3 + r), a3)
    # Row after row of the inverse of L_JJ, zero above the diagonal.
    zero = spread(0.0)
    x = join_4(load(K, 0), zero, zero, zero)
    a0 = add_product(x, load(K, 0), a0)
    x = join_4(load(K, 1), load(K, 4), zero, zero)
    a0 = add_product(x, load(K, 1), a0)
    a1 = add_product(below(x), load(K, 4), a1)
    x = join_4(load(K, 2), load(K, 5), load(K, 7), zero)
    a0 = add_product(x, load(K, 2), a0)
    a1 = add_product(below(x), load(K, 5), a1)
    a2 = add_product(below(below(x)), load(K, 7), a2)
    x = load_from_4(K, 3, 6, 8, 9)
    a0 = add_product(x, load(K, 3), a0)
    a1 = add_product(below(x), load(K, 6), a1)
    a2 = add_product(below(below(x)), load(K, 8), a2)
    a3 = add_product(load(K, 9), load(K, 9), a3)
    if width == 4:
        store(Z, c0 + j, a0)
        store(Z, c1 + j1, a1)
        store(Z, c2 + j2, a2)
        store(Z, c3 + j3, a3)
    else:
        store(Z, c0 + j, top(a0))
        if width > 1:
            store(Z, c0 + j1, top(below(a0)))
            store(Z, c1 + j1, top(a1))
        if width > 2:
            store(Z, c0 + j2, top(below(below(a0))))
            store(Z, c1 + j2, top(below(a1)))
            store(Z, c2 + j2, top(a2))


@subroutine()
def _invert_front(L: Stored, base: int, Z: Floats, z: int, s: int, m: int, G: Floats, K: Floats) -> None:
    """Covariances of the eliminated columns from the last to the first, four at a time, given those of the boundary."""
    last = s
    while last > 0:
        width = min(4, last)
        j = last - width
        _invert_corner(L, base, m, j, width, K)
        _gain(L, base, m, j, width, K, G)
        for r in range(last, m, 4):
            _rows_of_4(Z, z, m, last, r, j, width, G)
        _corner(Z, z, m, j, width, K, G)
        last = j


@subroutine()
def _gather(Z: Floats, source: int, order: int, maps: Ints, first: int, size: int, target: int) -> None:
    """Copy a half's boundary covariance out of its parent's front of `order` unknowns."""
    place = target
    for a in range(size):
        column = maps[first + a]
        for r in range(a, size):
            row = maps[first + r]
            low = min(row, column)
            store(Z, place, load(Z, source + low * order - low * (low + 1) // 2 + max(row, column)))
            place += 1


@subroutine()
def _into_lanes(boundary: Floats, size: int, Z: Floats, target: int) -> None:
    """Spread eight packed matrices of `size` numbers over the lanes."""
    for t in range(size):
        for lane in range(8):
            Z[(target + t) * 8 + lane] = boundary[lane * size + t]


@subroutine()
def _scatter(
    nodes: Ints,
    node: int,
    assembly: Ints,
    channels: int,
    origins: Ints,
    filled: int,
    pixels: int,
    Z: Floats,
    z: int,
    planes: Floats,
) -> None:
    """Write the covariances that have a place on the stencil."""
    m = nodes[node, NODE_ELIMINATED] + nodes[node, NODE_UPDATED]
    shift = nodes[node, NODE_PIXEL]
    block = channels * channels
    for entry in range(nodes[node, NODE_ASSEMBLY], nodes[node, NODE_ASSEMBLY_END]):
        row = assembly[entry, 0] * channels
        column = assembly[entry, 1] * channels
        first = assembly[entry, 2] * pixels + assembly[entry, 3] + shift
        for d in range(channels):
            for c in range(channels):
                low = min(row + c, column + d)
                t = (z + low * m - low * (low + 1) // 2 + max(row + c, column + d)) * 8
                place = first * block + (d * channels + c if assembly[entry, 4] else c * channels + d)
                for lane in range(filled):
                    planes[place + origins[lane] * block] = Z[t + lane]


@njit(cache=True, nogil=True)
def invert_tiles(
    nodes: Ints,
    visits: Ints,
    maps: Ints,
    assembly: Ints,
    channels: int,
    factor: Stored,
    block: int,
    boundary: Floats,
    origins: Ints,
    filled: int,
    pixels: int,
    planes: Floats,
    Z: Floats,
    G: Floats,
    K: Floats,
) -> None:
    """Write the selected inverse of eight tiles to `planes`, a plane of `pixels` blocks per offset.

    `block` is the offset of the tiles' factor, `boundary` the covariance of each tile's boundary (eight packed lower
    triangles), `origins` the flat indices of their first pixels; only the first `filled` lanes are written. `Z`,
    `G` and `K` are workspace.
    """
    for node in range(nodes.shape[0] - 1, -1, -1):
        s = nodes[node, NODE_ELIMINATED]
        b = nodes[node, NODE_UPDATED]
        m = s + b
        z = visits[node, VISIT_COVARIANCE]
        tail = z + s * m - s * (s - 1) // 2
        parent = visits[node, VISIT_PARENT]
        if parent < 0:
            _into_lanes(boundary, b * (b + 1) // 2, Z, tail)
        else:
            order = nodes[parent, NODE_ELIMINATED] + nodes[parent, NODE_UPDATED]
            _gather(Z, visits[parent, VISIT_COVARIANCE], order, maps, visits[node, VISIT_MAP], b, tail)
        _invert_front(factor, block + nodes[node, NODE_FACTOR], Z, z, s, m, G, K)
        _scatter(nodes, node, assembly, channels, origins, filled, pixels, Z, z, planes)
