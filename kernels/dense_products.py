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

from sparsegmrf.kernels.lane_vector import LaneVector, add_product, lane_vector, load, spread, store

BUILT_ON = {"lane_vector": "af6127585575"}

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


_read_8 = cast(Callable[[Floats, int], LaneVector], _read_intrinsic)
"""``A[at:at+8]`` for ``_read_8(A, at)``."""

_write_8 = cast(Callable[[Floats, int, LaneVector], None], _write_intrinsic)
"""``A[at:at+8] = value`` for ``_write_8(A, at, value)``."""

_transpose_8 = cast(Callable[[Floats, int, int, Floats, int, int], None], _transpose_intrinsic)
"""``W[to + j*step + i] = A[at + i*leading + j]`` for i, j below 8: ``_transpose_8(A, at, leading, W, to, step)``."""

_add_part = cast(Callable[[Floats, int, LaneVector, LaneVector, int, int], None], _add_part_intrinsic)
"""``C[at+i] += value[i] * sign[i]`` for ``first <= i < last``: ``_add_part(C, at, value, sign, first, last)``."""


def workspace(columns: int) -> int:
    """Return how many numbers of workspace a product with that many columns needs."""
    return 24 * 8 + 240 * 256 + 256 * ((columns + 7) // 8 * 8)


@njit(cache=True, nogil=True)
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
    t00 = spread(0.0)
    t01 = spread(0.0)
    t02 = spread(0.0)
    t03 = spread(0.0)
    t04 = spread(0.0)
    t05 = spread(0.0)
    t06 = spread(0.0)
    t07 = spread(0.0)
    t10 = spread(0.0)
    t11 = spread(0.0)
    t12 = spread(0.0)
    t13 = spread(0.0)
    t14 = spread(0.0)
    t15 = spread(0.0)
    t16 = spread(0.0)
    t17 = spread(0.0)
    t20 = spread(0.0)
    t21 = spread(0.0)
    t22 = spread(0.0)
    t23 = spread(0.0)
    t24 = spread(0.0)
    t25 = spread(0.0)
    t26 = spread(0.0)
    t27 = spread(0.0)
    for _ in range(depth):
        a0 = load(W, left0)
        a1 = load(W, left1)
        a2 = load(W, left2)
        b = spread(W[right])
        t00 = add_product(a0, b, t00)
        t10 = add_product(a1, b, t10)
        t20 = add_product(a2, b, t20)
        b = spread(W[right + 1])
        t01 = add_product(a0, b, t01)
        t11 = add_product(a1, b, t11)
        t21 = add_product(a2, b, t21)
        b = spread(W[right + 2])
        t02 = add_product(a0, b, t02)
        t12 = add_product(a1, b, t12)
        t22 = add_product(a2, b, t22)
        b = spread(W[right + 3])
        t03 = add_product(a0, b, t03)
        t13 = add_product(a1, b, t13)
        t23 = add_product(a2, b, t23)
        b = spread(W[right + 4])
        t04 = add_product(a0, b, t04)
        t14 = add_product(a1, b, t14)
        t24 = add_product(a2, b, t24)
        b = spread(W[right + 5])
        t05 = add_product(a0, b, t05)
        t15 = add_product(a1, b, t15)
        t25 = add_product(a2, b, t25)
        b = spread(W[right + 6])
        t06 = add_product(a0, b, t06)
        t16 = add_product(a1, b, t16)
        t26 = add_product(a2, b, t26)
        b = spread(W[right + 7])
        t07 = add_product(a0, b, t07)
        t17 = add_product(a1, b, t17)
        t27 = add_product(a2, b, t27)
        left0 += 1
        left1 += 1
        left2 += 1
        right += 8
    if whole:
        # All is read before any is written: a column may lie a multiple of 4096 bytes behind the one just written.
        factor = spread(sign)
        place = target
        t00 = add_product(t00, factor, _read_8(C, place))
        t10 = add_product(t10, factor, _read_8(C, place + 8))
        t20 = add_product(t20, factor, _read_8(C, place + 16))
        place += leading
        t01 = add_product(t01, factor, _read_8(C, place))
        t11 = add_product(t11, factor, _read_8(C, place + 8))
        t21 = add_product(t21, factor, _read_8(C, place + 16))
        place += leading
        t02 = add_product(t02, factor, _read_8(C, place))
        t12 = add_product(t12, factor, _read_8(C, place + 8))
        t22 = add_product(t22, factor, _read_8(C, place + 16))
        place += leading
        t03 = add_product(t03, factor, _read_8(C, place))
        t13 = add_product(t13, factor, _read_8(C, place + 8))
        t23 = add_product(t23, factor, _read_8(C, place + 16))
        place += leading
        t04 = add_product(t04, factor, _read_8(C, place))
        t14 = add_product(t14, factor, _read_8(C, place + 8))
        t24 = add_product(t24, factor, _read_8(C, place + 16))
        place += leading
        t05 = add_product(t05, factor, _read_8(C, place))
        t15 = add_product(t15, factor, _read_8(C, place + 8))
        t25 = add_product(t25, factor, _read_8(C, place + 16))
        place += leading
        t06 = add_product(t06, factor, _read_8(C, place))
        t16 = add_product(t16, factor, _read_8(C, place + 8))
        t26 = add_product(t26, factor, _read_8(C, place + 16))
        place += leading
        t07 = add_product(t07, factor, _read_8(C, place))
        t17 = add_product(t17, factor, _read_8(C, place + 8))
        t27 = add_product(t27, factor, _read_8(C, place + 16))
        place = target
        _write_8(C, place, t00)
        _write_8(C, place + 8, t10)
        _write_8(C, place + 16, t20)
        place += leading
        _write_8(C, place, t01)
        _write_8(C, place + 8, t11)
        _write_8(C, place + 16, t21)
        place += leading
        _write_8(C, place, t02)
        _write_8(C, place + 8, t12)
        _write_8(C, place + 16, t22)
        place += leading
        _write_8(C, place, t03)
        _write_8(C, place + 8, t13)
        _write_8(C, place + 16, t23)
        place += leading
        _write_8(C, place, t04)
        _write_8(C, place + 8, t14)
        _write_8(C, place + 16, t24)
        place += leading
        _write_8(C, place, t05)
        _write_8(C, place + 8, t15)
        _write_8(C, place + 16, t25)
        place += leading
        _write_8(C, place, t06)
        _write_8(C, place + 8, t16)
        _write_8(C, place + 16, t26)
        place += leading
        _write_8(C, place, t07)
        _write_8(C, place + 8, t17)
        _write_8(C, place + 16, t27)
        return
    store(W, 0, t00)
    store(W, 1, t10)
    store(W, 2, t20)
    store(W, 3, t01)
    store(W, 4, t11)
    store(W, 5, t21)
    store(W, 6, t02)
    store(W, 7, t12)
    store(W, 8, t22)
    store(W, 9, t03)
    store(W, 10, t13)
    store(W, 11, t23)
    store(W, 12, t04)
    store(W, 13, t14)
    store(W, 14, t24)
    store(W, 15, t05)
    store(W, 16, t15)
    store(W, 17, t25)
    store(W, 18, t06)
    store(W, 19, t16)
    store(W, 20, t26)
    store(W, 21, t07)
    store(W, 22, t17)
    store(W, 23, t27)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _clear(W: Floats, to: int, first: int, depth: int) -> None:
    """Set columns ``first ...`` of a strip to zero."""
    for k in range(depth):
        for i in range(first, 8):
            W[to + 8 * k + i] = 0.0


@njit(cache=True, nogil=True)
def _strips_of_columns(A: Floats, first: int, leading: int, count: int, depth: int, W: Floats, to: int) -> None:
    """Copy `count` columns of `depth` numbers into strips, zero beyond the last."""
    for strip in range(0, count, 8):
        columns = min(8, count - strip)
        _transposed(A, first + strip * leading, leading, columns, depth, W, to + strip * depth)
        _clear(W, to + strip * depth, columns, depth)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def multiply_triangular(s: int, m: int, L: Floats, T: Floats, C: Floats, W: Floats) -> None:
    """``C = L_B T`` with the rows ``s ... m`` of L (m x s) and T lower triangular, in a matrix of m rows, zero above.

    C (m - s rows, s columns) is contiguous. W is `workspace`.
    """
    C[: (m - s) * s] = 0.0
    for begin in range(0, s, 256):
        end = min(begin + 256, s)
        _strips_of_columns(T, begin, m, end, end - begin, W, 192 + 240 * 256)
        for row in range(s, m, 240):
            high = min(row + 240, m)
            _strips_of_rows(L, 0, m, row, high, begin, end, W, 192)
            _add_tiles(high - row, end, end, begin, end - begin, 1.0, W, 192, C, row - s, m - s)


@njit(cache=True, nogil=True)
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
    for begin in range(0, order, 256):
        end = min(begin + 256, order)
        _strips_of_columns(B, begin, order, columns, end - begin, W, 192 + 240 * 256)
        for row in range(0, order, 240):
            high = min(row + 240, order)
            _strips_of_rows(A, first, leading, row, high, begin, end, W, 192)
            _add_tiles(high - row, columns, columns, columns, end - begin, -1.0, W, 192, C, target + row, step)


@njit(cache=True, nogil=True)
def subtract_gram(
    order: int, length: int, A: Floats, B: Floats, first: int, leading: int, C: Floats, step: int, W: Floats
) -> None:
    """``C -= A^T B`` where that is symmetric: the lower triangle.

    A (`length` x `order`) is contiguous, B begins at ``B[first]`` and has `leading` numbers a column; C has `step`. W
    is `workspace`.
    """
    for begin in range(0, length, 256):
        depth = min(256, length - begin)
        _strips_of_columns(B, first + begin, leading, order, depth, W, 192 + 240 * 256)
        for row in range(0, order, 240):
            rows = min(240, order - row)
            _strips_of_columns(A, row * length + begin, length, rows, depth, W, 192)
            _add_tiles(rows, min(order, row + rows), row, order, depth, -1.0, W, 192, C, row, step)


@njit(cache=True, nogil=True)
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
    for begin in range(rank_first, rank_first + rank, 256):
        end = min(begin + 256, rank_first + rank)
        depth = end - begin
        _strips_of_rows(L, 0, m, first, first + width, begin, end, W, 192 + 240 * 256)
        for row in range(first, m, 240):
            high = min(row + 240, m)
            place = 192 + 240 * 256 + (row - first) * depth  # the same strips serve as rows and as columns
            if high > first + width:
                place = 192
                _strips_of_rows(L, 0, m, row, high, begin, end, W, place)
            columns = min(width, high - first)
            _add_tiles(
                high - row, columns, row - first, columns, depth, -1.0, W, place, T, corner + row - first, leading
            )
