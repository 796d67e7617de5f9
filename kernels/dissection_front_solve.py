"""Solves and products with the panels above the tiles, for one right-hand side or for sixteen at a time.

A panel is column-major ``m x S``, as ``dissection_fronts`` leaves it; its strict upper triangle is not read. A front
vector ``f`` holds the eliminated unknowns first; every unknown has `width` numbers, one per right-hand side (1 or 16:
two vectors of eight, so that each entry of L is read once for sixteen products). A column is an (instance of the node,
image) pair. An item of work is one row of integers; the second half's columns stand `ITEM_PER_HALF` behind the first's.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.lane_vector import (
    add_outer,
    load_2,
    load_2_from_4,
    spread_from_4,
    store,
    subtract_combination,
    zero_8,
)
from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"lane_vector": "dbc0f453368d", "subroutine": "1d05a1f775f3"}

ITEM_PANEL = 0  # first entry of the panel
ITEM_ELIMINATED = 1  # S, unknowns eliminated
ITEM_ORDER = 2  # m, unknowns of the front
ITEM_SHIFTS = 3  # first of the shifts of the front's unknowns
ITEM_INSTANCES = 4  # first of the node's instances in `origins`
ITEM_FIRST = 5  # first column
ITEM_END = 6  # past the last column
ITEM_HALF_MAP = 7  # first entry of the half's map
ITEM_HALF_ORDER = 8  # unknowns on the half's boundary
ITEM_PER_HALF = 2
ITEM_COLUMNS = 11

Floats = npt.NDArray[np.float64]
Stored = Floats | npt.NDArray[np.float32]
"""A factor, in either width."""
Ints = npt.NDArray[np.int64]


@subroutine()
def _dots_of_4(L: Stored, t: int, m: int, rows: int, f: Floats, first: int, T: Floats) -> None:
    """``T_c = sum_r L[r, c] f_r`` for four columns, the first from place `t`, and sixteen right-hand sides."""
    a = zero_8()
    for r in range(rows):
        a = add_outer(load_2(f, 2 * (first + r)), spread_from_4(L, t + r, m), a)
    store(T, 0, a)


@subroutine(fastmath={"contract", "reassoc", "nsz"})
def _single_dots_of_4(L: Stored, t: int, m: int, rows: int, f: Floats, first: int, T: Floats) -> None:
    """``T_c = sum_r L[r, c] f_r`` for four columns and one right-hand side."""
    column0 = L[t : t + rows]
    column1 = L[t + m : t + m + rows]
    column2 = L[t + 2 * m : t + 2 * m + rows]
    column3 = L[t + 3 * m : t + 3 * m + rows]
    x = f[first : first + rows]
    a0 = 0.0
    a1 = 0.0
    a2 = 0.0
    a3 = 0.0
    for r in range(rows):
        a0 += column0[r] * x[r]
        a1 += column1[r] * x[r]
        a2 += column2[r] * x[r]
        a3 += column3[r] * x[r]
    T[0] = a0
    T[1] = a1
    T[2] = a2
    T[3] = a3


@subroutine()
def _subtract_4(L: Stored, t: int, m: int, rows: int, f: Floats, first: int, T: Floats) -> None:
    """``f_r -= sum_c L[r, c] T_c`` for four columns, the first from place `t`, and sixteen right-hand sides."""
    y = load_2_from_4(T, 0, 2, 4, 6)
    for r in range(rows):
        x = load_2(f, 2 * (first + r))
        store(f, 2 * (first + r), subtract_combination(y, spread_from_4(L, t + r, m), x))


@subroutine(fastmath={"contract", "reassoc", "nsz"})
def _single_subtract_4(L: Stored, t: int, m: int, rows: int, f: Floats, first: int, T: Floats) -> None:
    """``f_r -= sum_c L[r, c] T_c`` for four columns and one right-hand side."""
    column0 = L[t : t + rows]
    column1 = L[t + m : t + m + rows]
    column2 = L[t + 2 * m : t + 2 * m + rows]
    column3 = L[t + 3 * m : t + 3 * m + rows]
    x = f[first : first + rows]
    y0 = T[0]
    y1 = T[1]
    y2 = T[2]
    y3 = T[3]
    for r in range(rows):
        x[r] -= column0[r] * y0 + column1[r] * y1 + column2[r] * y2 + column3[r] * y3


@subroutine(fastmath={"contract", "reassoc", "nsz"})
def _add_dots(width: int, column: Stored, f: Floats, T: Floats) -> None:
    """``T += sum_r L[r, c] f_r`` for one column."""
    if width == 1:
        a = 0.0
        for r in range(len(column)):
            a += column[r] * f[r]
        T[0] += a
    else:
        for r in range(len(column)):
            x = f[r * width : (r + 1) * width]
            for v in range(width):
                T[v] += column[r] * x[v]


@subroutine(fastmath={"contract"})
def _subtract(width: int, column: Stored, f: Floats, T: Floats) -> None:
    """``f_r -= L[r, c] T`` for one column."""
    if width == 1:
        for r in range(len(column)):
            f[r] -= column[r] * T[0]
    else:
        for r in range(len(column)):
            x = f[r * width : (r + 1) * width]
            for v in range(width):
                x[v] -= column[r] * T[v]


@subroutine(fastmath={"contract"})
def _transpose_front(invert: bool, width: int, L: Stored, base: int, s: int, m: int, f: Floats, T: Floats) -> None:
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
        t = base + c * m + last
        if count < 4:
            T[: count * width] = 0.0
            for j in range(count):
                _add_dots(width, L[t + j * m : t + j * m + m - last], f[last * width :], T[j * width : (j + 1) * width])
        elif width == 1:
            _single_dots_of_4(L, t, m, m - last, f, last, T)
        else:
            _dots_of_4(L, t, m, m - last, f, last, T)
        for step in range(count):
            j = count - 1 - step if invert else step
            diagonal = base + (c + j) * m + c + j
            sums = T[j * width : (j + 1) * width]
            for d in range(1, count - j):
                entry = L[diagonal + d]
                other = f[(c + j + d) * width : (c + j + d + 1) * width]
                for v in range(width):
                    sums[v] += entry * other[v]
            x = f[(c + j) * width : (c + j + 1) * width]
            pivot = 1.0 / L[diagonal] if invert else L[diagonal]
            if invert:
                for v in range(width):
                    x[v] = (x[v] - sums[v]) * pivot
            else:
                for v in range(width):
                    x[v] = x[v] * pivot + sums[v]
        done += count


@subroutine(fastmath={"contract"})
def _factor_front(invert: bool, width: int, L: Stored, base: int, s: int, m: int, f: Floats, T: Floats) -> None:
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
        t = base + c * m + last
        for step in range(count):
            j = step if invert else count - 1 - step
            diagonal = base + (c + j) * m + c + j
            pivot = 1.0 / L[diagonal] if invert else L[diagonal]
            x = f[(c + j) * width : (c + j + 1) * width]
            y = T[j * width : (j + 1) * width]
            for v in range(width):
                product = x[v] * pivot
                y[v] = product if invert else -x[v]
                x[v] = product
            for d in range(1, count - j):
                entry = L[diagonal + d]
                other = f[(c + j + d) * width : (c + j + d + 1) * width]
                for v in range(width):
                    other[v] -= entry * y[v]
        if count < 4:
            for j in range(count):
                _subtract(width, L[t + j * m : t + j * m + m - last], f[last * width :], T[j * width : (j + 1) * width])
        elif width == 1:
            _single_subtract_4(L, t, m, m - last, f, last, T)
        else:
            _subtract_4(L, t, m, m - last, f, last, T)
        done += count


@subroutine()
def _locate(item: Ints, start: int, width: int, images: int, size: int, origins: Ints, places: Ints) -> int:
    """Find where each column's node begins in the images, from column `start` on; return how many columns there are.

    Columns that stand for none take what the first one has.
    """
    used: int = min(width, item[ITEM_END] - start)
    for v in range(width):
        instance, image = divmod(start + v if v < used else start, images)
        places[v] = image * size + origins[item[ITEM_INSTANCES] + instance]
    return used


@subroutine()
def _gather(
    width: int, count: int, shifts: Ints, first_shift: int, source: Floats, places: Ints, f: Floats, first: int
) -> None:
    """Read `count` unknowns of each column into ``f[first:]``."""
    if width == 1:
        for t in range(count):
            f[first + t] = source[places[0] + shifts[first_shift + t]]
    else:
        for t in range(count):
            shift = shifts[first_shift + t]
            x = f[(first + t) * 16 : (first + t) * 16 + 16]
            for v in range(16):
                x[v] = source[places[v] + shift]


@subroutine()
def _scatter(
    width: int, used: int, count: int, shifts: Ints, first_shift: int, target: Floats, places: Ints, f: Floats
) -> None:
    """Write the first `count` unknowns of each column to the images."""
    for t in range(count):
        shift = shifts[first_shift + t]
        for v in range(used):
            target[places[v] + shift] = f[t * width + v]


@subroutine()
def _add_half(
    width: int,
    item: Ints,
    start: int,
    used: int,
    half: int,
    images: int,
    maps: Ints,
    half_start: Ints,
    updates: Floats,
    f: Floats,
) -> None:
    """Add the update of a half to f; the images of one instance stand together in the updates."""
    order = item[ITEM_HALF_ORDER + ITEM_PER_HALF * half]
    position = maps[item[ITEM_HALF_MAP + ITEM_PER_HALF * half] : item[ITEM_HALF_MAP + ITEM_PER_HALF * half] + order]
    column = 0
    while column < used:
        instance, image = divmod(start + column, images)
        count = min(used - column, images - image)
        place = half_start[item[ITEM_INSTANCES] + instance, half] * images + image
        for t in range(order):
            x = f[position[t] * width + column : position[t] * width + column + count]
            u = updates[place + t * images : place + t * images + count]
            for v in range(count):
                x[v] += u[v]
        column += count


@subroutine()
def _keep_update(
    width: int, item: Ints, start: int, used: int, images: int, update_start: Ints, updates: Floats, f: Floats
) -> None:
    """Write what the node adds to its boundary to the updates."""
    s, b = item[ITEM_ELIMINATED], item[ITEM_ORDER] - item[ITEM_ELIMINATED]
    column = 0
    while column < used:
        instance, image = divmod(start + column, images)
        count = min(used - column, images - image)
        place = update_start[item[ITEM_INSTANCES] + instance] * images + image
        for t in range(b):
            x = f[(s + t) * width + column : (s + t) * width + column + count]
            u = updates[place + t * images : place + t * images + count]
            for v in range(count):
                u[v] = x[v]
        column += count


@njit(cache=True, nogil=True)
def transpose_fronts(
    invert: bool,
    items: Ints,
    first: int,
    last: int,
    shifts: Ints,
    origins: Ints,
    images: int,
    size: int,
    panels: Stored,
    values: Floats,
    result: Floats,
    f: Floats,
    T: Floats,
    places: Ints,
) -> None:
    """Whiten the nodes of some items, or unwhiten them (`invert`) once `result` holds the finished pixels around them.

    `values` and `result` are images of `size` unknowns; they may be the same array when inverting.
    """
    for number in range(first, last):
        item = items[number]
        s, m, shift = item[ITEM_ELIMINATED], item[ITEM_ORDER], item[ITEM_SHIFTS]
        width = 1 if item[ITEM_END] - item[ITEM_FIRST] == 1 else 16
        for start in range(item[ITEM_FIRST], item[ITEM_END], width):
            used = _locate(item, start, width, images, size, origins, places)
            _gather(width, s, shifts, shift, values, places, f, 0)
            _gather(width, m - s, shifts, shift + s, result if invert else values, places, f, s)
            _transpose_front(invert, width, panels, item[ITEM_PANEL], s, m, f, T)
            _scatter(width, used, s, shifts, shift, result, places, f)


@njit(cache=True, nogil=True)
def factor_fronts(
    invert: bool,
    items: Ints,
    first: int,
    last: int,
    shifts: Ints,
    origins: Ints,
    images: int,
    size: int,
    maps: Ints,
    panels: Stored,
    update_start: Ints,
    half_start: Ints,
    values: Floats,
    result: Floats,
    updates: Floats,
    f: Floats,
    T: Floats,
    places: Ints,
) -> None:
    """Apply the transpose of whitening to the nodes of some items, or of unwhitening (`invert`), after their halves.

    `values` and `result` are images of `size` unknowns. What a node adds to its boundary is written to `updates` from
    ``images * update_start`` on, what its halves add is read from ``images * half_start`` on: per unknown all images.
    """
    for number in range(first, last):
        item = items[number]
        s, m, shift = item[ITEM_ELIMINATED], item[ITEM_ORDER], item[ITEM_SHIFTS]
        width = 1 if item[ITEM_END] - item[ITEM_FIRST] == 1 else 16
        for start in range(item[ITEM_FIRST], item[ITEM_END], width):
            used = _locate(item, start, width, images, size, origins, places)
            _gather(width, s, shifts, shift, values, places, f, 0)
            f[s * width : m * width] = 0.0
            if not invert:
                _factor_front(False, width, panels, item[ITEM_PANEL], s, m, f, T)
            _add_half(width, item, start, used, 0, images, maps, half_start, updates, f)
            _add_half(width, item, start, used, 1, images, maps, half_start, updates, f)
            if invert:
                _factor_front(True, width, panels, item[ITEM_PANEL], s, m, f, T)
            _scatter(width, used, s, shifts, shift, result, places, f)
            _keep_update(width, item, start, used, images, update_start, updates, f)
