"""Products of dense matrices for fronts, in vectors of eight numbers: faster than BLAS where registers are that wide.

Matrices are column-major. Operands are copied into strips of 8 rows of the left one, 8 columns of the right one, the
summed index outermost, so that the innermost loop reads them in sequence: three strips of rows and one of columns make
a tile of 24 x 8 numbers. W, the workspace, holds one tile, the strips of up to 240 rows, and those of all columns, 256
terms of the sum at a time.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from sparsegmrf.kernels.lane_vector import (
    LaneVector,
    LaneVectors,
    add_outer,
    lane_vector,
    load,
    spread,
    spread_from_8,
    store,
    zero_24,
)
from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"lane_vector": "dbc0f453368d", "subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]

WIDE = bool(binding.get_host_cpu_features().get("avx512f", False))
"""Whether this machine has registers of eight numbers."""


_EIGHT = ir.VectorType(ir.DoubleType(), 8)


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = cast(Any, context.make_array(array_type))(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _EIGHT.as_pointer())


@intrinsic
def _transpose_intrinsic(
    typing_context: Any, A: Any, at: Any, leading: Any, W: Any, to: Any, step: Any
) -> tuple[Any, Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        A, at, leading, W, to, step = arguments
        rows = []
        for _ in range(8):
            row = builder.load(_place(context, builder, signature.args[0], A, at))
            row.align = 8
            rows.append(row)
            at = builder.add(at, leading)
        for span in (1, 2, 4):  # exchange the off-diagonal blocks of size `span`
            for i in range(8):
                if not i & span:
                    upper, lower = rows[i], rows[i + span]
                    first = [j if not j & span else 8 + j - span for j in range(8)]
                    second = [j + span if not j & span else 8 + j for j in range(8)]
                    for target, order in ((i, first), (i + span, second)):
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), 8), order)
                        rows[target] = builder.shuffle_vector(upper, lower, mask)
        for row in rows:
            builder.store(row, _place(context, builder, signature.args[3], W, to)).align = 8
            to = builder.add(to, step)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp, W, types.intp, types.intp), emit


@intrinsic
def _read_intrinsic(typing_context: Any, A: Any, at: Any) -> tuple[Any, Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_place(context, builder, signature.args[0], *arguments))
        value.align = 8
        return value

    return lane_vector(A, types.intp), emit


@intrinsic
def _write_intrinsic(typing_context: Any, A: Any, at: Any, value: Any) -> tuple[Any, Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        A, at, value = arguments
        builder.store(value, _place(context, builder, signature.args[0], A, at)).align = 8
        return context.get_dummy_value()

    return types.void(A, types.intp, lane_vector), emit


@intrinsic
def _add_part_intrinsic(
    typing_context: Any, C: Any, at: Any, value: Any, sign: Any, first: Any, last: Any
) -> tuple[Any, Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        C, at, value, sign, first, last = arguments
        numbers = ir.VectorType(first.type, 8)
        lane = ir.Constant(numbers, list(range(8)))
        none = ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8)

        def spread_out(number: Any) -> Any:
            one = builder.insert_element(ir.Constant(numbers, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(one, one, none)

        above = builder.icmp_signed(">=", lane, spread_out(first))
        chosen = builder.and_(above, builder.icmp_signed("<", lane, spread_out(last)))
        place = _place(context, builder, signature.args[0], C, at)
        of_mask, number = ir.VectorType(ir.IntType(1), 8), ir.IntType(32)
        get = cast(Callable[..., Any], cgutils.get_or_insert_function)
        read = ir.FunctionType(_EIGHT, (_EIGHT.as_pointer(), number, of_mask, _EIGHT))
        load_chosen = get(builder.module, read, "llvm.masked.load.v8f64.p0v8f64")
        before = builder.call(load_chosen, [place, ir.Constant(number, 8), chosen, value])
        product = builder.fmul(value, sign, flags=("contract",))
        after = builder.fadd(before, product, flags=("contract",))
        write = ir.FunctionType(ir.VoidType(), (_EIGHT, _EIGHT.as_pointer(), number, of_mask))
        store_chosen = get(builder.module, write, "llvm.masked.store.v8f64.p0v8f64")
        builder.call(store_chosen, [after, place, ir.Constant(number, 8), chosen])
        return context.get_dummy_value()

    return types.void(C, types.intp, lane_vector, lane_vector, types.intp, types.intp), emit


@intrinsic
def _load_strips_intrinsic(typing_context: Any, W: Any, a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        W, *vectors = arguments
        joined = ir.Constant(ir.ArrayType(_EIGHT, 3), ir.Undefined)
        for i, vector in enumerate(vectors):
            value = builder.load(_place(context, builder, signature.args[0], W, builder.mul(vector, vector.type(8))))
            value.align = 8
            joined = builder.insert_value(joined, value, i)
        return joined

    return LaneVectors(3)(W, *[types.intp] * 3), emit


@intrinsic
def _add_tile_intrinsic(
    typing_context: Any, C: Any, target: Any, leading: Any, factor: Any, tile: Any
) -> tuple[Any, Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        C, target, leading, factor, tile = arguments
        places = []
        for _ in range(8):
            places += [
                _place(context, builder, signature.args[0], C, builder.add(target, target.type(8 * i)))
                for i in range(3)
            ]
            target = builder.add(target, leading)
        # All is read before any is written: a column may lie a multiple of 4096 bytes behind the one just written.
        sums = []
        for k, place in enumerate(places):
            before = builder.load(place)
            before.align = 8
            product = builder.fmul(builder.extract_value(tile, k), factor, flags=("contract",))
            sums.append(builder.fadd(before, product, flags=("contract",)))
        for place, after in zip(places, sums, strict=True):
            builder.store(after, place).align = 8
        return context.get_dummy_value()

    return types.void(C, types.intp, types.intp, lane_vector, tile), emit


_read_8 = cast(Callable[[Floats, int], LaneVector], _read_intrinsic)
"""``A[at:at+8]`` for ``_read_8(A, at)``."""

_write_8 = cast(Callable[[Floats, int, LaneVector], None], _write_intrinsic)
"""``A[at:at+8] = value`` for ``_write_8(A, at, value)``."""

_load_strips = cast(Callable[[Floats, int, int, int], LaneVectors], _load_strips_intrinsic)
"""Three vectors of W by their numbers."""

_add_tile = cast(Callable[[Floats, int, int, LaneVector, LaneVectors], None], _add_tile_intrinsic)
"""``C += factor T`` at ``C[target]``, 24 x 8 numbers: ``_add_tile(C, target, leading, factor, T)``."""

_transpose_8 = cast(Callable[[Floats, int, int, Floats, int, int], None], _transpose_intrinsic)
"""``W[to + j*step + i] = A[at + i*leading + j]`` for i, j below 8: ``_transpose_8(A, at, leading, W, to, step)``."""

_add_part = cast(Callable[[Floats, int, LaneVector, LaneVector, int, int], None], _add_part_intrinsic)
"""``C[at+i] += value[i] * sign[i]`` for ``first <= i < last``: ``_add_part(C, at, value, sign, first, last)``."""


def workspace(columns: int) -> int:
    """Return how many numbers of workspace a product with that many columns needs."""
    return 24 * 8 + 240 * 256 + 256 * ((columns + 7) // 8 * 8)


@subroutine()
def _tile(
    depth: int,
    W: Floats,
    left0: int,
    left1: int,
    left2: int,
    right: int,
    whole: bool,
    sign: float,
    C: Floats,
    target: int,
    leading: int,
) -> None:
    """``A B`` for three strips of 8 rows at vectors `left` of W and one of 8 columns at number `right`.

    If `whole` it is added, times `sign`, to the 24 x 8 numbers at ``C[target]``; else it is left at the start of W.
    """
    t = zero_24()
    for k in range(depth):
        t = add_outer(_load_strips(W, left0 + k, left1 + k, left2 + k), spread_from_8(W, right + 8 * k, 1), t)
    if whole:
        _add_tile(C, target, leading, spread(sign), t)
    else:
        store(W, 0, t)


@subroutine()
def _transposed(A: Floats, first: int, leading: int, count: int, depth: int, W: Floats, to: int) -> None:
    """``W[to + 8 k + i] = A[first + i*leading + k]`` for i below `count`, at most 8, and k below `depth`."""
    k = 0
    if count == 8:
        while k + 8 <= depth:
            _transpose_8(A, first + k, leading, W, to + 8 * k, 8)
            k += 8
    while k < depth:
        for i in range(count):
            W[to + 8 * k + i] = A[first + i * leading + k]
        k += 1


@subroutine()
def _clear(W: Floats, to: int, first: int, depth: int) -> None:
    """Set columns ``first ...`` of a strip to zero."""
    for k in range(depth):
        for i in range(first, 8):
            W[to + 8 * k + i] = 0.0


@subroutine()
def _strips_of_columns(A: Floats, first: int, leading: int, count: int, depth: int, W: Floats, to: int) -> None:
    """Copy `count` columns of `depth` numbers into strips, zero beyond the last."""
    for strip in range(0, count, 8):
        columns = min(8, count - strip)
        _transposed(A, first + strip * leading, leading, columns, depth, W, to + strip * depth)
        _clear(W, to + strip * depth, columns, depth)


@subroutine()
def _strips_below(
    A: Floats, first: int, leading: int, low: int, high: int, begin: int, end: int, W: Floats, to: int
) -> None:
    """Copy rows ``low ... high``, columns ``begin ... end`` of a matrix into strips of rows, column after column."""
    depth = end - begin
    whole = low + (high - low) // 8 * 8
    for k in range(begin, end):
        source = first + k * leading
        target = to + (k - begin) * 8
        for row in range(low, whole, 8):
            _write_8(W, target, _read_8(A, source + row))
            target += 8 * depth
        if whole < high:
            for i in range(8):
                W[target + i] = A[source + whole + i] if whole + i < high else 0.0


@subroutine()
def _strips_of_rows(
    A: Floats, first: int, leading: int, low: int, high: int, begin: int, end: int, W: Floats, to: int
) -> None:
    """Copy rows ``low ... high``, columns ``begin ... end`` of a symmetric matrix, kept lower, into strips of rows."""
    depth = end - begin
    if low >= end:
        _strips_below(A, first, leading, low, high, begin, end, W, to)
        return
    for row in range(low, high, 8):
        place = to + (row - low) * depth
        rows = min(8, high - row)
        # Columns left of the diagonal block, those in it, and those right of it, which are rows of the lower triangle.
        left_of = min(max(row, begin), end)
        right_of = max(min(row + rows, end), left_of)
        for k in range(begin, left_of):
            target = place + (k - begin) * 8
            source = first + k * leading + row
            if rows == 8:
                _write_8(W, target, _read_8(A, source))
            else:
                for i in range(rows):
                    W[target + i] = A[source + i]
        for k in range(left_of, right_of):
            target = place + (k - begin) * 8
            for i in range(rows):
                W[target + i] = A[first + min(k, row + i) * leading + max(k, row + i)]
        source = first + row * leading + right_of
        _transposed(A, source, leading, rows, end - right_of, W, place + (right_of - begin) * 8)
        _clear(W, place, rows, depth)


@subroutine()
def _add_tiles(
    rows: int,
    columns: int,
    shift: int,
    zero: int,
    depth: int,
    sign: float,
    W: Floats,
    place: int,
    C: Floats,
    first: int,
    leading: int,
) -> None:
    """``C += sign A B`` for the strips of A at ``W[place]`` and those of B, at and below the diagonal.

    C begins `shift` rows below the diagonal, a multiple of 8 where that matters. In column ``zero + i`` of B the first
    i numbers are zero.
    """
    factor = spread(sign)
    last = (rows - 1) // 8
    for column in range(0, columns, 8):
        skip = max(0, column - zero)
        right = 192 + 240 * 256 + column * depth + 8 * skip
        width = min(8, columns - column)
        for row in range(max(0, column - shift), rows, 24):
            strip = row // 8
            base = place // 8 + skip
            left0 = base + strip * depth
            left1 = base + min(strip + 1, last) * depth
            left2 = base + min(strip + 2, last) * depth
            target = first + column * leading + row
            count = min(24, rows - row)
            whole = count == 24 and width == 8 and row + shift >= column + 7
            _tile(depth - skip, W, left0, left1, left2, right, whole, sign, C, target, leading)
            if not whole:
                for j in range(width):
                    above = max(0, column + j - row - shift)
                    at = target + j * leading
                    for part in range(0, count, 8):
                        value = load(W, 3 * j + part // 8)
                        _add_part(C, at + part, value, factor, above - part, count - part)


def multiply_triangular(s: int, m: int, L: Floats, T: Floats, C: Floats, W: Floats) -> None:
    """``C = L_B T`` with the rows ``s ... m`` of L (m x s) and T lower triangular, in a matrix of m rows, zero above.

    C (m - s rows, s columns) is contiguous. W is `workspace`.
    """
    C[: (m - s) * s] = 0.0
    _add_product(1.0, False, True, s, m, L, 0, m, False, s, T, 0, m, False, 0, s, C, 0, m - s, W)


def subtract_symmetric(
    order: int,
    columns: int,
    A: Floats,
    first: int,
    leading: int,
    B: Floats,
    C: Floats,
    target: int,
    step: int,
    W: Floats,
) -> None:
    """``C -= A B`` with A symmetric and its lower triangle kept.

    A (`order` x `order`) begins at ``A[first]`` and has `leading` numbers a column, C at ``C[target]`` and has `step`;
    B (`order` x `columns`) is contiguous. W is `workspace`.
    """
    right = columns, B, 0, order, False
    _add_product(-1.0, False, False, 0, order, A, first, leading, False, *right, 0, order, C, target, step, W)


def subtract_gram(
    order: int, length: int, A: Floats, B: Floats, first: int, leading: int, C: Floats, step: int, W: Floats
) -> None:
    """``C -= A^T B`` where that is symmetric: the lower triangle.

    A (`length` x `order`) is contiguous, B begins at ``B[first]`` and has `leading` numbers a column; C has `step`. W
    is `workspace`.
    """
    right = order, B, first, leading, False
    _add_product(-1.0, True, False, 0, order, A, 0, length, True, *right, 0, length, C, 0, step, W)


def subtract_outer(
    m: int,
    first: int,
    width: int,
    rank_first: int,
    rank: int,
    L: Floats,
    T: Floats,
    corner: int,
    leading: int,
    W: Floats,
) -> None:
    """``T -= L_2 L_1^T``, at and below the diagonal.

    ``L_1`` are rows ``first ... first + width`` of the panel L (m rows), ``L_2`` rows ``first ... m``, both in its
    columns ``rank_first ... rank_first + rank``, all left of `first`; the target's corner is at index `corner` of T,
    `leading` numbers a column. W is `workspace`.
    """
    terms = rank_first, rank_first + rank
    _add_product(-1.0, True, False, first, m, L, 0, m, False, width, L, 0, m, True, *terms, T, corner, leading, W)


@njit(cache=True, nogil=True)
def _add_product(
    sign: float,
    lower: bool,
    triangular: bool,
    low: int,
    high: int,
    A: Floats,
    a_first: int,
    a_leading: int,
    a_transposed: bool,
    columns: int,
    B: Floats,
    b_first: int,
    b_leading: int,
    b_transposed: bool,
    first_term: int,
    end_term: int,
    C: Floats,
    c_first: int,
    c_leading: int,
    W: Floats,
) -> None:
    """``C += sign A B``, summed over terms ``first_term ... end_term``: one kernel, for that it is compiled once.

    Rows ``low ... high`` of A, symmetric and kept lower or all left of `low`, or columns if `a_transposed`; `columns`
    of B, or rows of a B that is A from `low` on if `b_transposed`. C is written at and below its diagonal if `lower`. A
    `triangular` B is zero above its diagonal.
    """
    right = 192 + 240 * 256
    for begin in range(first_term, end_term, 256):
        end = min(begin + 256, end_term)
        depth = end - begin
        count = end if triangular else columns
        if b_transposed:
            _strips_of_rows(B, b_first, b_leading, low, low + count, begin, end, W, right)
        else:
            _strips_of_columns(B, b_first + begin, b_leading, count, depth, W, right)
        for row in range(low, high, 240):
            last = min(row + 240, high)
            place = 192
            if a_transposed:
                _strips_of_columns(A, a_first + row * a_leading + begin, a_leading, last - row, depth, W, place)
            elif b_transposed and last <= low + count:
                place = right + (row - low) * depth  # B is A: the same strips serve as rows and as columns
            else:
                _strips_of_rows(A, a_first, a_leading, row, last, begin, end, W, place)
            written = min(count, last - low) if lower else count
            shift = row - low if lower else written
            zero = begin if triangular else written
            _add_tiles(last - row, written, shift, zero, depth, sign, W, place, C, c_first + row - low, c_leading)
