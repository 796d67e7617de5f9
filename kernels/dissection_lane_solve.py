"""Solves and products with the factor of eight congruent tiles in lockstep; see ``dissection_lanes`` for the factor.

A tile vector ``w`` holds the tile's own unknowns in raster order, then its boundary's. Each unknown has `width` vectors
of eight numbers: different tiles, or right-hand sides, or both. `width` is 1 or 4; with 4 each entry of L is read once
for 32 numbers. A node works on a copy ``f`` of its front, eliminated unknowns first. Below, ``L_c`` is column `c` from
the diagonal. A block of work is one row of integers.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from sparsegmrf.kernels.dissection_columns import NODE_ELIMINATED, NODE_FACTOR, NODE_POSITIONS, NODE_UPDATED
from sparsegmrf.kernels.lane_vector import (
    add,
    add_outer,
    add_product,
    divide,
    load,
    load_4,
    load_4_from_4,
    load_from_4,
    multiply,
    spread,
    store,
    subtract,
    subtract_combination,
    subtract_product,
    zero_4,
    zero_16,
)
from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"dissection_columns": "d106c3886927", "lane_vector": "dbc0f453368d", "subroutine": "1d05a1f775f3"}

BLOCK_FACTOR = 0  # first vector of the tiles' factor
BLOCK_TILES = 1  # first of the tiles in `origins`
BLOCK_FILLED = 2  # tiles in the lanes; 0 if all lanes are of one factor, then its columns are (tile, image) pairs
BLOCK_FIRST = 3  # first image, or first column
BLOCK_END = 4  # past the last image or column
BLOCK_NODES = 5  # first row of the program's nodes
BLOCK_NODES_END = 6  # past the last row of the program's nodes
BLOCK_POSITIONS = 7  # first of the program's positions
BLOCK_SHIFTS = 8  # first of the shifts of the tile's unknowns
BLOCK_OWN = 9  # the tile's own unknowns
BLOCK_AROUND = 10  # unknowns on the tile's boundary
BLOCK_COLUMNS = 11

Floats = npt.NDArray[np.float64]
Stored = Floats | npt.NDArray[np.float32]
"""A factor, in either width."""
Ints = npt.NDArray[np.int64]


_LLVM = ir.VectorType(ir.DoubleType(), 8)
_PAIRS = ((0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))
_FOURS = ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
_HALVES = ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, first: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [first]), _LLVM.as_pointer())


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose eight vectors: swap off-diagonal entries of 2 x 2 blocks, then 2 x 2 blocks, then 4 x 4 blocks."""
    for distance, masks in ((1, _PAIRS), (2, _FOURS), (4, _HALVES)):
        swapped = list(rows)
        for low in range(8):
            if not low & distance:
                for row, mask in zip((low, low + distance), masks, strict=True):
                    constant = ir.Constant(ir.VectorType(ir.IntType(32), 8), mask)
                    swapped[row] = builder.shuffle_vector(rows[low], rows[low + distance], constant)
        rows = swapped
    return rows


def _ask(builder: Any, place: Any, write: int) -> None:
    """Ask for the memory at a place, into the nearest cache; the place may lie outside of any array."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    function_type = ir.FunctionType(ir.VoidType(), (byte, number, number, number))
    function = cast(Callable[..., Any], cgutils.get_or_insert_function)(
        builder.module, function_type, "llvm.prefetch.p0i8"
    )
    builder.call(function, (builder.bitcast(place, byte), number(write), number(3), number(1)))


def _lane_place(context: Any, builder: Any, array_type: Any, places: Any, at: Any, instead: Any) -> Any:
    """Read where a lane's tile begins; where that is negative it is `instead`."""
    data = context.make_array(array_type)(context, builder, places).data
    place = builder.load(builder.gep(data, [at]))
    if instead is None:
        return place
    return builder.select(builder.icmp_signed("<", place, place.type(0)), instead, place)


@intrinsic
def _read_transposed(
    typing_context: Any,
    source: Any,
    places: Any,
    lane: Any,
    instead: Any,
    shift: Any,
    ahead: Any,
    w: Any,
    vector: Any,
    step: Any,
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, places, lane, instead, shift, ahead, w, vector, step = arguments
        rows = []
        for number in range(8):
            at = builder.add(lane, lane.type(number))
            place = builder.add(_lane_place(context, builder, signature.args[1], places, at, instead), shift)
            rows.append(builder.load(_pointer(context, builder, signature.args[0], source, place)))
            rows[-1].align = 8
            _ask(builder, _pointer(context, builder, signature.args[0], source, builder.add(place, ahead)), 0)
        for row in _transposed(builder, rows):
            first = builder.mul(vector, vector.type(8))
            builder.store(row, _pointer(context, builder, signature.args[6], w, first)).align = 8
            vector = builder.add(vector, step)
        return context.get_dummy_value()

    number = types.intp
    return types.void(source, places, number, number, number, number, w, number, number), emit


@intrinsic
def _read_lanes(
    typing_context: Any, source: Any, places: Any, lane: Any, instead: Any, shift: Any, w: Any, vector: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, places, lane, instead, shift, w, vector = arguments
        data = context.make_array(signature.args[0])(context, builder, source).data
        row = ir.Constant(_LLVM, ir.Undefined)
        for number in range(8):
            at = builder.add(lane, lane.type(number))
            place = builder.add(_lane_place(context, builder, signature.args[1], places, at, instead), shift)
            row = builder.insert_element(row, builder.load(builder.gep(data, [place])), ir.IntType(32)(number))
        first = builder.mul(vector, vector.type(8))
        builder.store(row, _pointer(context, builder, signature.args[5], w, first)).align = 8
        return context.get_dummy_value()

    return types.void(source, places, types.intp, types.intp, types.intp, w, types.intp), emit


@intrinsic
def _write_transposed(
    typing_context: Any,
    w: Any,
    vector: Any,
    step: Any,
    target: Any,
    places: Any,
    lane: Any,
    shift: Any,
    ahead: Any,
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, vector, step, target, places, lane, shift, ahead = arguments
        rows = []
        for _ in range(8):
            first = builder.mul(vector, vector.type(8))
            rows.append(builder.load(_pointer(context, builder, signature.args[0], w, first)))
            rows[-1].align = 8
            vector = builder.add(vector, step)
        for number, row in enumerate(_transposed(builder, rows)):
            at = builder.add(lane, lane.type(number))
            place = builder.add(_lane_place(context, builder, signature.args[4], places, at, None), shift)
            builder.store(row, _pointer(context, builder, signature.args[3], target, place)).align = 8
            _ask(builder, _pointer(context, builder, signature.args[3], target, builder.add(place, ahead)), 1)
        return context.get_dummy_value()

    number = types.intp
    return types.void(w, number, number, target, places, number, number, number), emit


@intrinsic
def _prefetch_4(typing_context: Any, array: Any, vector: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, vector = arguments
        in_a_line = 64 // signature.args[0].dtype.bitwidth
        for step in range(0, 4, in_a_line):
            first = builder.mul(builder.add(vector, vector.type(step)), vector.type(8))
            _ask(builder, _pointer(context, builder, signature.args[0], array, first), 0)
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


prefetch_4 = cast(Callable[[Stored, int], None], _prefetch_4)
"""Ask for four vectors of an array; they may lie outside of it."""

read_transposed = cast(Callable[[Floats, Ints, int, int, int, int, Floats, int, int], None], _read_transposed)
"""Read eight numbers from each of eight places: lane by lane into the vectors ``vector, vector + step, ...`` of w.

The places are ``places[lane:lane+8] + shift``, `instead` standing for negative ones. Those that lie `ahead` of them
will be asked for next.
"""

read_lanes = cast(Callable[[Floats, Ints, int, int, int, Floats, int], None], _read_lanes)
"""Read one number from each of eight such places into one vector of w."""

write_transposed = cast(Callable[[Floats, int, int, Floats, Ints, int, int, int], None], _write_transposed)
"""Write the vectors ``vector, vector + step, ...`` of w: each lane's eight numbers to its place, `ahead` as above."""


@subroutine()
def _dots_of_4(
    width: int, L: Stored, t0: int, t1: int, t2: int, t3: int, rows: int, f: Floats, first: int, T: Floats, ahead: int
) -> None:
    """``T_c = sum_r L_c[r] f_r`` for four columns whose first rows are at ``t0 ... t3`` and at ``f[first]``."""
    if width == 4:
        a = zero_16()
        for r in range(rows):
            prefetch_4(L, t0 + 4 * r + ahead)
            a = add_outer(load_4(f, 4 * (first + r)), load_from_4(L, t0 + r, t1 + r, t2 + r, t3 + r), a)
        store(T, 0, a)
    else:
        b = zero_4()
        for r in range(rows):
            prefetch_4(L, t0 + 4 * r + ahead)
            b = add_product(load_from_4(L, t0 + r, t1 + r, t2 + r, t3 + r), load(f, first + r), b)
        store(T, 0, b)


@subroutine()
def _dot(width: int, L: Stored, t: int, rows: int, f: Floats, first: int, T: Floats, at: int) -> None:
    """``T = sum_r L_c[r] f_r`` for one column; its vectors of T begin at `at`."""
    if width == 4:
        a = zero_4()
        for r in range(rows):
            a = add_product(load_4(f, 4 * (first + r)), load(L, t + r), a)
        store(T, at, a)
    else:
        b = spread(0.0)
        for r in range(rows):
            b = add_product(load(f, first + r), load(L, t + r), b)
        store(T, at, b)


@subroutine()
def _subtract_4(
    width: int, L: Stored, t0: int, t1: int, t2: int, t3: int, rows: int, f: Floats, first: int, T: Floats
) -> None:
    """``f_r -= sum_c L_c[r] T_c`` for four columns."""
    if width == 4:
        y = load_4_from_4(T, 0, 4, 8, 12)
        for r in range(rows):
            prefetch_4(L, t0 + 4 * r + 128)
            x = load_4(f, 4 * (first + r))
            z = load_from_4(L, t0 + r, t1 + r, t2 + r, t3 + r)
            store(f, 4 * (first + r), subtract_combination(y, z, x))
    else:
        u = load_4(T, 0)
        for r in range(rows):
            prefetch_4(L, t0 + 4 * r + 128)
            z = load_from_4(L, t0 + r, t1 + r, t2 + r, t3 + r)
            store(f, first + r, subtract_combination(u, z, load(f, first + r)))


@subroutine()
def _subtract(width: int, L: Stored, t: int, rows: int, f: Floats, first: int, T: Floats, at: int) -> None:
    """``f_r -= L_c[r] T_c`` for one column; its vectors of T begin at `at`."""
    if width == 4:
        y = load_4(T, at)
        for r in range(rows):
            store(f, 4 * (first + r), subtract_product(y, load(L, t + r), load_4(f, 4 * (first + r))))
    else:
        z = load(T, at)
        for r in range(rows):
            store(f, first + r, subtract_product(z, load(L, t + r), load(f, first + r)))


@subroutine()
def _transpose_node(invert: bool, width: int, L: Stored, base: int, s: int, m: int, f: Floats, T: Floats) -> None:
    """``f_S <- L_SS^T f_S + L_BS^T f_B``, or inverted ``f_S <- L_SS^-T (f_S - L_BS^T f_B)``, four columns at a time."""
    # The factor is read from its start on for the product, from its end on for the solve.
    ahead = -256 if invert else 128
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
            _dots_of_4(width, L, t + 4, t1 + 3, t2 + 2, t3 + 1, m - last, f, last, T, ahead)
        elif count == 3:
            _dots_of_4(width, L, t + 3, t1 + 2, t2 + 1, t + 3, m - last, f, last, T, ahead)
        else:
            _dot(width, L, t + count, m - last, f, last, T, 0)
            if count == 2:
                _dot(width, L, t1 + 1, m - last, f, last, T, width)
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


@subroutine()
def _factor_node(invert: bool, width: int, L: Stored, base: int, s: int, m: int, f: Floats, T: Floats) -> None:
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
        elif count == 3:
            T[3 * width * 8 : 4 * width * 8] = 0.0
            _subtract_4(width, L, t + 3, t1 + 2, t2 + 1, t + 3, m - last, f, last, T)
        else:
            _subtract(width, L, t + count, m - last, f, last, T, 0)
            if count == 2:
                _subtract(width, L, t1 + 1, m - last, f, last, T, width)
        done += count


@subroutine()
def _locate(
    block: Ints,
    width: int,
    part: int,
    images: int,
    size: int,
    origins: Ints,
    update_start: Ints,
    places: Ints,
    updates_at: Ints,
) -> None:
    """Find where each lane's tile begins in the images and in the updates; -1 for a lane that stands for none."""
    for v in range(width):
        for lane in range(8):
            k = v * 8 + lane
            if block[BLOCK_FILLED] > 0:
                image = block[BLOCK_FIRST] + part * width + v
                tile = lane
                used = lane < block[BLOCK_FILLED] and image < block[BLOCK_END]
            else:
                column = block[BLOCK_FIRST] + part * width * 8 + k
                image = column % images
                tile = column // images
                used = column < block[BLOCK_END]
            places[k] = image * size + origins[block[BLOCK_TILES] + tile] if used else -1
            updates_at[k] = update_start[block[BLOCK_TILES] + tile] * images + image if used else -1


@subroutine()
def _gather(
    width: int,
    count: int,
    rising: bool,
    shifts: Ints,
    first_shift: int,
    source: Floats,
    places: Ints,
    w: Floats,
    first: int,
) -> None:
    """Read `count` unknowns of each lane into ``w[first:]``; lanes that stand for none take what the first one has.

    `rising` shifts let eight that follow one another be told by the first and the last of them.
    """
    for v in range(width):
        # A vector whose own first lane stands for none takes the first of all.
        instead = places[v * 8] if places[v * 8] >= 0 else places[0]
        t = 0
        while t < count:
            shift = shifts[first_shift + t]
            vector = (first + t) * width + v
            if rising and t + 8 <= count and shifts[first_shift + t + 7] == shift + 7:
                ahead = shifts[first_shift + min(t + 64, count - 1)] - shift
                read_transposed(source, places, v * 8, instead, shift, ahead, w, vector, width)
                t += 8
            else:
                read_lanes(source, places, v * 8, instead, shift, w, vector)
                t += 1


@subroutine()
def _scatter(
    width: int, count: int, shifts: Ints, first_shift: int, target: Floats, places: Ints, w: Floats, first: int
) -> None:
    """Write `count` unknowns of each lane, by rising shifts, from ``w[first:]`` to the images."""
    for v in range(width):
        # Lanes that stand for a tile come first.
        full = places[v * 8 + 7] >= 0
        t = 0
        while t < count:
            shift = shifts[first_shift + t]
            vector = (first + t) * width + v
            if full and t + 8 <= count and shifts[first_shift + t + 7] == shift + 7:
                ahead = shifts[first_shift + min(t + 64, count - 1)] - shift
                write_transposed(w, vector, width, target, places, v * 8, shift, ahead)
                t += 8
            else:
                for lane in range(8):
                    if places[v * 8 + lane] >= 0:
                        target[places[v * 8 + lane] + shift] = w[vector * 8 + lane]
                t += 1


@subroutine()
def _parts(block: Ints, width: int) -> int:
    """Count the vectors of a block in units of `width`."""
    step = width if block[BLOCK_FILLED] > 0 else width * 8
    parts: int = (block[BLOCK_END] - block[BLOCK_FIRST] + step - 1) // step
    return parts


@subroutine()
def _chunk_end(nodes: Ints, node: int, last: int, step: int) -> int:
    """Return the node at which the factor of a run of nodes, from `node` on in steps of `step`, outgrows the cache."""
    end = node + step
    while end != last and abs(nodes[end, NODE_FACTOR] - nodes[node, NODE_FACTOR]) < 8192:
        end += step
    return end


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
    factor: Stored,
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
        own, around = block[BLOCK_OWN], block[BLOCK_AROUND]
        unknowns = own + around
        parts = _parts(block, width)
        for part in range(parts):
            lanes = places[64 * part : 64 * part + 32]
            _locate(block, width, part, images, size, origins, origins, lanes, places[64 * part + 32 :])
            begin = part * unknowns
            shift = block[BLOCK_SHIFTS]
            _gather(width, own, True, shifts, shift, values, lanes, w, begin)
            _gather(width, around, False, shifts, shift + own, result if invert else values, lanes, w, begin + own)
        # Ancestors first for the solve; for the product any order that overwrites an unknown after its last use.
        step = -1 if invert else 1
        node = block[BLOCK_NODES_END] - 1 if invert else block[BLOCK_NODES]
        end = block[BLOCK_NODES] - 1 if invert else block[BLOCK_NODES_END]
        while node != end:
            stop = _chunk_end(nodes, node, end, step)
            for part in range(parts):
                begin = part * unknowns
                for each in range(node, stop, step):
                    s = nodes[each, NODE_ELIMINATED]
                    m = s + nodes[each, NODE_UPDATED]
                    place = block[BLOCK_POSITIONS] + nodes[each, NODE_POSITIONS]
                    for r in range(m):
                        at = (begin + positions[place + r]) * width
                        for v in range(width):
                            store(f, r * width + v, load(w, at + v))
                    _transpose_node(invert, width, factor, block[BLOCK_FACTOR] + nodes[each, NODE_FACTOR], s, m, f, T)
                    for r in range(s):
                        at = (begin + positions[place + r]) * width
                        for v in range(width):
                            store(w, at + v, load(f, r * width + v))
            node = stop
        for part in range(parts):
            _scatter(width, own, shifts, block[BLOCK_SHIFTS], result, places[64 * part :], w, part * unknowns)


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
    factor: Stored,
    update_start: Ints,
    values: Floats,
    result: Floats,
    updates: Floats,
    w: Floats,
    f: Floats,
    T: Floats,
    places: Ints,
) -> None:
    """Apply the transpose of whitening to the tiles of some blocks, or of unwhitening (`invert`).

    `values` and `result` are images of `size` unknowns. What the tiles add to their boundaries goes to `updates`, from
    ``images * update_start`` on: per unknown all images.
    """
    for number in range(first, last):
        block = blocks[number]
        own, around = block[BLOCK_OWN], block[BLOCK_AROUND]
        # Inverted: w = [b; 0], and the updates are subtracted. Product: w = 0 gathers the sums, y stands behind it.
        kept = 0 if invert else own + around
        unknowns = own + around if invert else 2 * own + around
        parts = _parts(block, width)
        for part in range(parts):
            lanes = places[64 * part : 64 * part + 32]
            updates_at = places[64 * part + 32 : 64 * part + 64]
            _locate(block, width, part, images, size, origins, update_start, lanes, updates_at)
            begin = part * unknowns
            w[begin * width * 8 : (begin + own + around) * width * 8] = 0.0
            _gather(width, own, True, shifts, block[BLOCK_SHIFTS], values, lanes, w, begin + kept)
        node = block[BLOCK_NODES]
        while node != block[BLOCK_NODES_END]:
            stop = _chunk_end(nodes, node, block[BLOCK_NODES_END], 1)
            for part in range(parts):
                begin = part * unknowns
                for each in range(node, stop):
                    s = nodes[each, NODE_ELIMINATED]
                    m = s + nodes[each, NODE_UPDATED]
                    place = block[BLOCK_POSITIONS] + nodes[each, NODE_POSITIONS]
                    for r in range(m):
                        at = (begin + positions[place + r] + (kept if r < s else 0)) * width
                        for v in range(width):
                            store(f, r * width + v, load(w, at + v))
                    _factor_node(invert, width, factor, block[BLOCK_FACTOR] + nodes[each, NODE_FACTOR], s, m, f, T)
                    for r in range(m):
                        at = (begin + positions[place + r]) * width
                        for v in range(width):
                            x = load(f, r * width + v)
                            if r < s and not invert:
                                x = add(x, load(w, at + v))
                            store(w, at + v, x)
            node = stop
        for part in range(parts):
            begin = part * unknowns
            _scatter(width, own, shifts, block[BLOCK_SHIFTS], result, places[64 * part :], w, begin)
            for lane in range(8):
                for t in range(around):
                    for v in range(width):
                        target = places[64 * part + 32 + v * 8 + lane]
                        if target >= 0:
                            updates[target + t * images] = w[((begin + own + t) * width + v) * 8 + lane]
