"""Solves and products with the factor of eight congruent tiles in lockstep; see ``dissection_lanes`` for the factor.

A tile vector ``w`` holds the tile's own unknowns in raster order, then its boundary's. Each unknown has `width` vectors
of eight numbers: different tiles, or right-hand sides, or both. `width` is 1 or 4; with 4 each entry of L is read once
for 32 numbers. A node works on a copy ``f`` of its front, eliminated unknowns first. Below, ``L_c`` is column `c` from
the diagonal.

A block is one row of integers:

====  =================================================  ====  =================================================
 0    first vector of the tiles' factor                   5    first row of the program's nodes
 1    first of the tiles in `origins`                     6    past the last row of the program's nodes
 2    tiles in the lanes; 0 if all lanes are of one       7    first of the program's positions
      factor, then its columns are (tile, image) pairs    8    first of the shifts of the tile's unknowns
 3    first image, or first column                        9    the tile's own unknowns
 4    past the last image or column                      10    unknowns on the tile's boundary
====  =================================================  ====  =================================================
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.lane_vector import (
    add,
    add_product,
    divide,
    load,
    multiply,
    spread,
    store,
    subtract,
    subtract_product,
)

BUILT_ON = {"lane_vector": "af6127585575"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _dots_of_4(
    width: int, L: Floats, t0: int, t1: int, t2: int, t3: int, rows: int, f: Floats, first: int, T: Floats
) -> None:
    """``T_c = sum_r L_c[r] f_r`` for four columns whose first rows are at ``t0 ... t3`` and at ``f[first]``."""
    zero = spread(0.0)
    a00 = zero
    a10 = zero
    a20 = zero
    a30 = zero
    if width == 4:
        a01 = zero
        a02 = zero
        a03 = zero
        a11 = zero
        a12 = zero
        a13 = zero
        a21 = zero
        a22 = zero
        a23 = zero
        a31 = zero
        a32 = zero
        a33 = zero
        place = 4 * first
        for r in range(rows):
            x0 = load(f, place)
            x1 = load(f, place + 1)
            x2 = load(f, place + 2)
            x3 = load(f, place + 3)
            y = load(L, t0 + r)
            a00 = add_product(x0, y, a00)
            a01 = add_product(x1, y, a01)
            a02 = add_product(x2, y, a02)
            a03 = add_product(x3, y, a03)
            y = load(L, t1 + r)
            a10 = add_product(x0, y, a10)
            a11 = add_product(x1, y, a11)
            a12 = add_product(x2, y, a12)
            a13 = add_product(x3, y, a13)
            y = load(L, t2 + r)
            a20 = add_product(x0, y, a20)
            a21 = add_product(x1, y, a21)
            a22 = add_product(x2, y, a22)
            a23 = add_product(x3, y, a23)
            y = load(L, t3 + r)
            a30 = add_product(x0, y, a30)
            a31 = add_product(x1, y, a31)
            a32 = add_product(x2, y, a32)
            a33 = add_product(x3, y, a33)
            place += 4
        store(T, 0, a00)
        store(T, 1, a01)
        store(T, 2, a02)
        store(T, 3, a03)
        store(T, 4, a10)
        store(T, 5, a11)
        store(T, 6, a12)
        store(T, 7, a13)
        store(T, 8, a20)
        store(T, 9, a21)
        store(T, 10, a22)
        store(T, 11, a23)
        store(T, 12, a30)
        store(T, 13, a31)
        store(T, 14, a32)
        store(T, 15, a33)
    else:
        for r in range(rows):
            x = load(f, first + r)
            a00 = add_product(x, load(L, t0 + r), a00)
            a10 = add_product(x, load(L, t1 + r), a10)
            a20 = add_product(x, load(L, t2 + r), a20)
            a30 = add_product(x, load(L, t3 + r), a30)
        store(T, 0, a00)
        store(T, 1, a10)
        store(T, 2, a20)
        store(T, 3, a30)


@njit(cache=True, nogil=True)
def _dot(width: int, L: Floats, t: int, rows: int, f: Floats, first: int, T: Floats, at: int) -> None:
    """``T = sum_r L_c[r] f_r`` for one column; its vectors of T begin at `at`."""
    for v in range(width):
        a = spread(0.0)
        for r in range(rows):
            a = add_product(load(f, (first + r) * width + v), load(L, t + r), a)
        store(T, at + v, a)


@njit(cache=True, nogil=True)
def _subtract_4(
    width: int, L: Floats, t0: int, t1: int, t2: int, t3: int, rows: int, f: Floats, first: int, T: Floats
) -> None:
    """``f_r -= sum_c L_c[r] T_c`` for four columns."""
    if width == 4:
        y00 = load(T, 0)
        y01 = load(T, 1)
        y02 = load(T, 2)
        y03 = load(T, 3)
        y10 = load(T, 4)
        y11 = load(T, 5)
        y12 = load(T, 6)
        y13 = load(T, 7)
        y20 = load(T, 8)
        y21 = load(T, 9)
        y22 = load(T, 10)
        y23 = load(T, 11)
        y30 = load(T, 12)
        y31 = load(T, 13)
        y32 = load(T, 14)
        y33 = load(T, 15)
        place = 4 * first
        for r in range(rows):
            x0 = load(f, place)
            x1 = load(f, place + 1)
            x2 = load(f, place + 2)
            x3 = load(f, place + 3)
            z = load(L, t0 + r)
            x0 = subtract_product(y00, z, x0)
            x1 = subtract_product(y01, z, x1)
            x2 = subtract_product(y02, z, x2)
            x3 = subtract_product(y03, z, x3)
            z = load(L, t1 + r)
            x0 = subtract_product(y10, z, x0)
            x1 = subtract_product(y11, z, x1)
            x2 = subtract_product(y12, z, x2)
            x3 = subtract_product(y13, z, x3)
            z = load(L, t2 + r)
            x0 = subtract_product(y20, z, x0)
            x1 = subtract_product(y21, z, x1)
            x2 = subtract_product(y22, z, x2)
            x3 = subtract_product(y23, z, x3)
            z = load(L, t3 + r)
            x0 = subtract_product(y30, z, x0)
            x1 = subtract_product(y31, z, x1)
            x2 = subtract_product(y32, z, x2)
            x3 = subtract_product(y33, z, x3)
            store(f, place, x0)
            store(f, place + 1, x1)
            store(f, place + 2, x2)
            store(f, place + 3, x3)
            place += 4
    else:
        y0 = load(T, 0)
        y1 = load(T, 1)
        y2 = load(T, 2)
        y3 = load(T, 3)
        for r in range(rows):
            x = subtract_product(y0, load(L, t0 + r), load(f, first + r))
            x = subtract_product(y1, load(L, t1 + r), x)
            x = subtract_product(y2, load(L, t2 + r), x)
            store(f, first + r, subtract_product(y3, load(L, t3 + r), x))


@njit(cache=True, nogil=True)
def _subtract(width: int, L: Floats, t: int, rows: int, f: Floats, first: int, T: Floats, at: int) -> None:
    """``f_r -= L_c[r] T_c`` for one column; its vectors of T begin at `at`."""
    for v in range(width):
        y = load(T, at + v)
        for r in range(rows):
            place = (first + r) * width + v
            store(f, place, subtract_product(y, load(L, t + r), load(f, place)))


@njit(cache=True, nogil=True)
def _transpose_node(invert: bool, width: int, L: Floats, base: int, s: int, m: int, f: Floats, T: Floats) -> None:
    """``f_S <- L_SS^T f_S + L_BS^T f_B``, or inverted ``f_S <- L_SS^-T (f_S - L_BS^T f_B)``, four columns at a time."""
    whole = s - s % 4
    done = 0
    while done < s:
        # The product needs the columns in ascending order, the solve in descending order; the odd ones stand last.
        if invert:
            last = s - done
            count = 4 if last <= whole else last - whole
            c = last - count
        else:
            c = done
            count = 4 if c < whole else s - whole
            last = c + count
        t = base + c * m - c * (c - 1) // 2
        t1 = t + m - c
        t2 = t1 + m - c - 1
        t3 = t2 + m - c - 2
        if count == 4:
            _dots_of_4(width, L, t + 4, t1 + 3, t2 + 2, t3 + 1, m - last, f, last, T)
        else:
            place = t
            for j in range(count):
                _dot(width, L, place + count - j, m - last, f, last, T, j * width)
                place += m - c - j
        for step in range(count):
            j = count - 1 - step if invert else step
            place = t + j * (m - c) - j * (j - 1) // 2
            pivot = load(L, place)
            if invert:
                pivot = divide(spread(1.0), pivot)
            for v in range(width):
                x = load(f, (c + j) * width + v)
                a = load(T, j * width + v)
                if invert:
                    x = subtract(x, a)
                    for d in range(j + 1, count):
                        x = subtract_product(load(L, place + d - j), load(f, (c + d) * width + v), x)
                    x = multiply(x, pivot)
                else:
                    x = add_product(x, pivot, a)
                    for d in range(j + 1, count):
                        x = add_product(load(L, place + d - j), load(f, (c + d) * width + v), x)
                store(f, (c + j) * width + v, x)
        done += count


@njit(cache=True, nogil=True)
def _factor_node(invert: bool, width: int, L: Floats, base: int, s: int, m: int, f: Floats, T: Floats) -> None:
    """``f <- [L_SS; L_BS] f_S + [0; f_B]``, or inverted ``f_S <- L_SS^-1 f_S``, then ``f_B <- f_B - L_BS f_S``."""
    whole = s - s % 4
    done = 0
    while done < s:
        # The solve needs the columns in ascending order, the product in descending order; the odd ones stand last.
        if invert:
            c = done
            count = 4 if c < whole else s - whole
            last = c + count
        else:
            last = s - done
            count = 4 if last <= whole else last - whole
            c = last - count
        t = base + c * m - c * (c - 1) // 2
        t1 = t + m - c
        t2 = t1 + m - c - 1
        t3 = t2 + m - c - 2
        for step in range(count):
            j = step if invert else count - 1 - step
            place = t + j * (m - c) - j * (j - 1) // 2
            pivot = load(L, place)
            if invert:
                pivot = divide(spread(1.0), pivot)
            for v in range(width):
                x = load(f, (c + j) * width + v)
                y = multiply(x, pivot)
                x = y if invert else multiply(spread(-1.0), x)
                store(T, j * width + v, x)
                store(f, (c + j) * width + v, y)
                for d in range(j + 1, count):
                    target = (c + d) * width + v
                    store(f, target, subtract_product(x, load(L, place + d - j), load(f, target)))
        if count == 4:
            _subtract_4(width, L, t + 4, t1 + 3, t2 + 2, t3 + 1, m - last, f, last, T)
        else:
            place = t
            for j in range(count):
                _subtract(width, L, place + count - j, m - last, f, last, T, j * width)
                place += m - c - j
        done += count


@njit(cache=True, nogil=True)
def _locate(
    block: Ints,
    width: int,
    images: int,
    size: int,
    origins: Ints,
    updates_size: int,
    update_start: Ints,
    places: Ints,
    updates_at: Ints,
) -> None:
    """Find where each lane's tile begins in the images and in the updates; -1 for a lane that stands for none."""
    for v in range(width):
        for lane in range(8):
            k = v * 8 + lane
            if block[2] > 0:
                image = block[3] + v
                tile = lane
                used = lane < block[2] and image < block[4]
            else:
                column = block[3] + k
                image = column % images
                tile = column // images
                used = column < block[4]
            if used:
                places[k] = image * size + origins[block[1] + tile]
                updates_at[k] = image * updates_size + update_start[block[1] + tile]
            else:
                places[k] = -1
                updates_at[k] = -1


@njit(cache=True, nogil=True)
def _gather(
    width: int, count: int, shifts: Ints, first_shift: int, source: Floats, places: Ints, w: Floats, first: int
) -> None:
    """Read `count` unknowns of each lane into ``w[first:]``; lanes that stand for none take what the first one has."""
    lanes = width * 8
    for k in range(lanes):
        place = places[k] if places[k] >= 0 else places[0]
        at = first * lanes + k
        for t in range(count):
            w[at] = source[place + shifts[first_shift + t]]
            at += lanes


@njit(cache=True, nogil=True)
def _scatter(
    width: int, count: int, shifts: Ints, first_shift: int, target: Floats, places: Ints, w: Floats, first: int
) -> None:
    """Write `count` unknowns of each lane from ``w[first:]`` to the images."""
    lanes = width * 8
    for k in range(lanes):
        if places[k] >= 0:
            at = first * lanes + k
            for t in range(count):
                target[places[k] + shifts[first_shift + t]] = w[at]
                at += lanes


@njit(cache=True, nogil=True)
def transpose_tiles(
    invert: bool,
    width: int,
    blocks: Ints,
    first: int,
    last: int,
    nodes: Ints,
    positions: Ints,
    shifts: Ints,
    origins: Ints,
    images: int,
    size: int,
    factor: Floats,
    values: Floats,
    result: Floats,
    w: Floats,
    f: Floats,
    T: Floats,
    places: Ints,
) -> None:
    """Whiten the tiles of some blocks, or unwhiten them (`invert`) once `result` holds the finished pixels around them.

    `values` and `result` are images of `size` unknowns; they may be the same array when inverting.
    """
    for number in range(first, last):
        block = blocks[number]
        own, around = block[9], block[10]
        _locate(block, width, images, size, origins, 0, origins, places, places[32:])
        _gather(width, own, shifts, block[8], values, places, w, 0)
        _gather(width, around, shifts, block[8] + own, result if invert else values, places, w, own)
        for step in range(block[6] - block[5]):
            # Ancestors first for the solve; for the product any order that overwrites an unknown after its last use.
            node = block[6] - 1 - step if invert else block[5] + step
            s = nodes[node, 0]
            m = s + nodes[node, 1]
            place = block[7] + nodes[node, 13]
            for r in range(m):
                source = positions[place + r] * width
                for v in range(width):
                    store(f, r * width + v, load(w, source + v))
            _transpose_node(invert, width, factor, block[0] + nodes[node, 2], s, m, f, T)
            for r in range(s):
                target = positions[place + r] * width
                for v in range(width):
                    store(w, target + v, load(f, r * width + v))
        _scatter(width, own, shifts, block[8], result, places, w, 0)


@njit(cache=True, nogil=True)
def factor_tiles(
    invert: bool,
    width: int,
    blocks: Ints,
    first: int,
    last: int,
    nodes: Ints,
    positions: Ints,
    shifts: Ints,
    origins: Ints,
    images: int,
    size: int,
    factor: Floats,
    update_start: Ints,
    updates_size: int,
    values: Floats,
    result: Floats,
    updates: Floats,
    w: Floats,
    f: Floats,
    T: Floats,
    places: Ints,
) -> None:
    """Apply the transpose of whitening to the tiles of some blocks, or of unwhitening (`invert`).

    `values` and `result` are images of `size` unknowns. What the tiles add to their boundaries goes to `updates`, which
    has `updates_size` numbers per image.
    """
    updates_at = places[32:]
    for number in range(first, last):
        block = blocks[number]
        own, around = block[9], block[10]
        _locate(block, width, images, size, origins, updates_size, update_start, places, updates_at)
        # Inverted: w = [b; 0] and the updates are subtracted. Product: w = 0 gathers the sums, y stands behind it.
        kept = 0 if invert else own + around
        w[: (own + around) * width * 8] = 0.0
        _gather(width, own, shifts, block[8], values, places, w, kept)
        for node in range(block[5], block[6]):
            s = nodes[node, 0]
            m = s + nodes[node, 1]
            place = block[7] + nodes[node, 13]
            for r in range(m):
                at = positions[place + r] * width
                for v in range(width):
                    if r >= s or invert:
                        store(f, r * width + v, load(w, at + v))
                    else:
                        store(f, r * width + v, load(w, kept * width + at + v))
            _factor_node(invert, width, factor, block[0] + nodes[node, 2], s, m, f, T)
            for r in range(m):
                at = positions[place + r] * width
                for v in range(width):
                    x = load(f, r * width + v)
                    if r < s and not invert:
                        x = add(x, load(w, at + v))
                    store(w, at + v, x)
        _scatter(width, own, shifts, block[8], result, places, w, 0)
        lanes = width * 8
        for k in range(lanes):
            if places[k] >= 0:
                for t in range(around):
                    updates[updates_at[k] + t] = w[(own + t) * lanes + k]
