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
from sparsegmrf.kernels.lane_vector import add_product, divide, load, multiply, spread, store, subtract_product

BUILT_ON = {"dissection_columns": "d106c3886927", "lane_vector": "af6127585575"}

VISIT_COVARIANCE = 0  # offset of Z in the slots, one slot per depth of the tree
VISIT_PARENT = 1  # the parent's row in the table, -1 for the tile itself
VISIT_MAP = 2  # first entry of the map from the node's boundary to the parent's front
VISIT_COLUMNS = 3

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _invert_corner(L: Floats, base: int, m: int, j: int, width: int, K: Floats) -> None:
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


@njit(cache=True, nogil=True)
def _gain(L: Floats, base: int, m: int, j: int, width: int, K: Floats, G: Floats) -> None:
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


@njit(cache=True, nogil=True)
def _rows_of_4(Z: Floats, base: int, m: int, first: int, r: int, j: int, width: int, G: Floats) -> None:
    """``Z_rJ = -Z_rR G`` for rows ``r ... r+3`` (the last one again past the end), R being the rows from `first`."""
    r1 = min(r + 1, m - 1)
    r2 = min(r + 2, m - 1)
    r3 = min(r + 3, m - 1)
    a00 = spread(0.0)
    a01 = spread(0.0)
    a02 = spread(0.0)
    a03 = spread(0.0)
    a10 = spread(0.0)
    a11 = spread(0.0)
    a12 = spread(0.0)
    a13 = spread(0.0)
    a20 = spread(0.0)
    a21 = spread(0.0)
    a22 = spread(0.0)
    a23 = spread(0.0)
    a30 = spread(0.0)
    a31 = spread(0.0)
    a32 = spread(0.0)
    a33 = spread(0.0)
    p0 = base + r * m - r * (r + 1) // 2
    p1 = base + r1 * m - r1 * (r1 + 1) // 2
    p2 = base + r2 * m - r2 * (r2 + 1) // 2
    p3 = base + r3 * m - r3 * (r3 + 1) // 2
    column = base + first * m - first * (first + 1) // 2
    for c in range(first, r):
        x0 = load(Z, column + r)
        x1 = load(Z, column + r1)
        x2 = load(Z, column + r2)
        x3 = load(Z, column + r3)
        y = load(G, 4 * c)
        a00 = subtract_product(x0, y, a00)
        a01 = subtract_product(x1, y, a01)
        a02 = subtract_product(x2, y, a02)
        a03 = subtract_product(x3, y, a03)
        y = load(G, 4 * c + 1)
        a10 = subtract_product(x0, y, a10)
        a11 = subtract_product(x1, y, a11)
        a12 = subtract_product(x2, y, a12)
        a13 = subtract_product(x3, y, a13)
        y = load(G, 4 * c + 2)
        a20 = subtract_product(x0, y, a20)
        a21 = subtract_product(x1, y, a21)
        a22 = subtract_product(x2, y, a22)
        a23 = subtract_product(x3, y, a23)
        y = load(G, 4 * c + 3)
        a30 = subtract_product(x0, y, a30)
        a31 = subtract_product(x1, y, a31)
        a32 = subtract_product(x2, y, a32)
        a33 = subtract_product(x3, y, a33)
        column += m - c - 1
    for c in range(r, r3 + 1):
        x0 = load(Z, p0 + c)
        x1 = load(Z, p1 + c if c >= r1 else column + r1)
        x2 = load(Z, p2 + c if c >= r2 else column + r2)
        x3 = load(Z, p3 + c if c >= r3 else column + r3)
        y = load(G, 4 * c)
        a00 = subtract_product(x0, y, a00)
        a01 = subtract_product(x1, y, a01)
        a02 = subtract_product(x2, y, a02)
        a03 = subtract_product(x3, y, a03)
        y = load(G, 4 * c + 1)
        a10 = subtract_product(x0, y, a10)
        a11 = subtract_product(x1, y, a11)
        a12 = subtract_product(x2, y, a12)
        a13 = subtract_product(x3, y, a13)
        y = load(G, 4 * c + 2)
        a20 = subtract_product(x0, y, a20)
        a21 = subtract_product(x1, y, a21)
        a22 = subtract_product(x2, y, a22)
        a23 = subtract_product(x3, y, a23)
        y = load(G, 4 * c + 3)
        a30 = subtract_product(x0, y, a30)
        a31 = subtract_product(x1, y, a31)
        a32 = subtract_product(x2, y, a32)
        a33 = subtract_product(x3, y, a33)
        column += m - c - 1
    for c in range(r3 + 1, m):
        x0 = load(Z, p0 + c)
        x1 = load(Z, p1 + c)
        x2 = load(Z, p2 + c)
        x3 = load(Z, p3 + c)
        y = load(G, 4 * c)
        a00 = subtract_product(x0, y, a00)
        a01 = subtract_product(x1, y, a01)
        a02 = subtract_product(x2, y, a02)
        a03 = subtract_product(x3, y, a03)
        y = load(G, 4 * c + 1)
        a10 = subtract_product(x0, y, a10)
        a11 = subtract_product(x1, y, a11)
        a12 = subtract_product(x2, y, a12)
        a13 = subtract_product(x3, y, a13)
        y = load(G, 4 * c + 2)
        a20 = subtract_product(x0, y, a20)
        a21 = subtract_product(x1, y, a21)
        a22 = subtract_product(x2, y, a22)
        a23 = subtract_product(x3, y, a23)
        y = load(G, 4 * c + 3)
        a30 = subtract_product(x0, y, a30)
        a31 = subtract_product(x1, y, a31)
        a32 = subtract_product(x2, y, a32)
        a33 = subtract_product(x3, y, a33)
    t = base + j * m - j * (j + 1) // 2
    store(Z, t + r, a00)
    store(Z, t + r1, a01)
    store(Z, t + r2, a02)
    store(Z, t + r3, a03)
    if width > 1:
        t += m - j - 1
        store(Z, t + r, a10)
        store(Z, t + r1, a11)
        store(Z, t + r2, a12)
        store(Z, t + r3, a13)
    if width > 2:
        t += m - j - 2
        store(Z, t + r, a20)
        store(Z, t + r1, a21)
        store(Z, t + r2, a22)
        store(Z, t + r3, a23)
    if width > 3:
        t += m - j - 3
        store(Z, t + r, a30)
        store(Z, t + r1, a31)
        store(Z, t + r2, a32)
        store(Z, t + r3, a33)


@njit(cache=True, nogil=True)
def _corner(Z: Floats, base: int, m: int, j: int, width: int, K: Floats, G: Floats) -> None:
    """``Z_JJ = L_JJ^-T L_JJ^-1 - G^T Z_RJ``, lower triangle."""
    j1 = j + min(1, width - 1)
    j2 = j + min(2, width - 1)
    j3 = j + width - 1
    c0 = base + j * m - j * (j + 1) // 2
    c1 = base + j1 * m - j1 * (j1 + 1) // 2
    c2 = base + j2 * m - j2 * (j2 + 1) // 2
    c3 = base + j3 * m - j3 * (j3 + 1) // 2
    a00 = spread(0.0)
    a10 = spread(0.0)
    a20 = spread(0.0)
    a30 = spread(0.0)
    a11 = spread(0.0)
    a21 = spread(0.0)
    a31 = spread(0.0)
    a22 = spread(0.0)
    a32 = spread(0.0)
    a33 = spread(0.0)
    for r in range(j + width, m):
        g0 = load(G, 4 * r)
        g1 = load(G, 4 * r + 1)
        g2 = load(G, 4 * r + 2)
        g3 = load(G, 4 * r + 3)
        z = load(Z, c0 + r)
        a00 = subtract_product(g0, z, a00)
        a10 = subtract_product(g1, z, a10)
        a20 = subtract_product(g2, z, a20)
        a30 = subtract_product(g3, z, a30)
        z = load(Z, c1 + r)
        a11 = subtract_product(g1, z, a11)
        a21 = subtract_product(g2, z, a21)
        a31 = subtract_product(g3, z, a31)
        z = load(Z, c2 + r)
        a22 = subtract_product(g2, z, a22)
        a32 = subtract_product(g3, z, a32)
        z = load(Z, c3 + r)
        a33 = subtract_product(g3, z, a33)
    k0 = load(K, 0)
    a00 = add_product(k0, k0, a00)
    k0 = load(K, 1)
    k1 = load(K, 4)
    a00 = add_product(k0, k0, a00)
    a10 = add_product(k1, k0, a10)
    a11 = add_product(k1, k1, a11)
    k0 = load(K, 2)
    k1 = load(K, 5)
    k2 = load(K, 7)
    a00 = add_product(k0, k0, a00)
    a10 = add_product(k1, k0, a10)
    a20 = add_product(k2, k0, a20)
    a11 = add_product(k1, k1, a11)
    a21 = add_product(k2, k1, a21)
    a22 = add_product(k2, k2, a22)
    k0 = load(K, 3)
    k1 = load(K, 6)
    k2 = load(K, 8)
    k3 = load(K, 9)
    a00 = add_product(k0, k0, a00)
    a10 = add_product(k1, k0, a10)
    a20 = add_product(k2, k0, a20)
    a30 = add_product(k3, k0, a30)
    a11 = add_product(k1, k1, a11)
    a21 = add_product(k2, k1, a21)
    a31 = add_product(k3, k1, a31)
    a22 = add_product(k2, k2, a22)
    a32 = add_product(k3, k2, a32)
    a33 = add_product(k3, k3, a33)
    store(Z, c0 + j, a00)
    if width > 1:
        store(Z, c0 + j + 1, a10)
        store(Z, c1 + j + 1, a11)
    if width > 2:
        store(Z, c0 + j + 2, a20)
        store(Z, c1 + j + 2, a21)
        store(Z, c2 + j + 2, a22)
    if width > 3:
        store(Z, c0 + j + 3, a30)
        store(Z, c1 + j + 3, a31)
        store(Z, c2 + j + 3, a32)
        store(Z, c3 + j + 3, a33)


@njit(cache=True, nogil=True)
def _invert_front(L: Floats, base: int, Z: Floats, z: int, s: int, m: int, G: Floats, K: Floats) -> None:
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _into_lanes(boundary: Floats, size: int, Z: Floats, target: int) -> None:
    """Spread eight packed matrices of `size` numbers over the lanes."""
    for t in range(size):
        for lane in range(8):
            Z[(target + t) * 8 + lane] = boundary[lane * size + t]


@njit(cache=True, nogil=True)
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
    factor: Floats,
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
