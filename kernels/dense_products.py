"""Products of dense matrices for fronts, in vectors of eight numbers: faster than BLAS where registers are that wide.

Matrices are column-major. Operands are copied into strips: 24 rows of the left one, 8 columns of the right one, the
summed index outermost, so that the innermost loop reads both in sequence. W, the workspace, holds one tile of 24 x 8
numbers, the strips of up to 240 rows, and those of all columns, 256 terms of the sum at a time.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic

from sparsegmrf.kernels.lane_vector import add_product, load, spread, store

BUILT_ON = {"lane_vector": "af6127585575"}

Floats = npt.NDArray[np.float64]

WIDE = bool(binding.get_host_cpu_features().get("avx512f", False))
"""Whether this machine has registers of eight numbers."""


_EIGHT = ir.VectorType(ir.DoubleType(), 8)


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = cast(Any, context.make_array(array_type))(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _EIGHT.as_pointer())


@intrinsic
def _copy_intrinsic(typing_context: Any, A: Any, at: Any, W: Any, to: Any) -> tuple[Any, Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        A, at, W, to = arguments
        value = builder.load(_place(context, builder, signature.args[0], A, at))
        value.align = 8
        builder.store(value, _place(context, builder, signature.args[2], W, to)).align = 8
        return context.get_dummy_value()

    return types.void(A, types.intp, W, types.intp), emit


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


_copy_8 = cast(Callable[[Floats, int, Floats, int], None], _copy_intrinsic)
"""``W[to:to+8] = A[at:at+8]`` for ``_copy_8(A, at, W, to)``."""

_transpose_8 = cast(Callable[[Floats, int, int, Floats, int, int], None], _transpose_intrinsic)
"""``W[to + j*step + i] = A[at + i*leading + j]`` for i, j below 8: ``_transpose_8(A, at, leading, W, to, step)``."""


def workspace(columns: int) -> int:
    """Return how many numbers of workspace a product with that many columns needs."""
    return 24 * 8 + 240 * 256 + 256 * ((columns + 7) // 8 * 8)


@njit(cache=True, nogil=True)
def _tile(depth: int, W: Floats, left: int, right: int) -> None:
    """``T = A B`` for a strip of 24 rows at vector `left` of W and one of 8 columns at number `right`."""
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
        a0 = load(W, left)
        a1 = load(W, left + 1)
        a2 = load(W, left + 2)
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
        left += 3
        right += 8
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
def _transposed(A: Floats, first: int, leading: int, count: int, depth: int, W: Floats, to: int, width: int) -> None:
    """``W[to + k*width + i] = A[first + i*leading + k]`` for i below `count` and k below `depth`."""
    i = 0
    while i + 8 <= count:
        source = first + i * leading
        k = 0
        while k + 8 <= depth:
            _transpose_8(A, source + k, leading, W, to + k * width + i, width)
            k += 8
        while k < depth:
            for j in range(8):
                W[to + k * width + i + j] = A[source + j * leading + k]
            k += 1
        i += 8
    while i < count:
        source = first + i * leading
        for k in range(depth):
            W[to + k * width + i] = A[source + k]
        i += 1


@njit(cache=True, nogil=True)
def _clear(W: Floats, to: int, width: int, first: int, depth: int) -> None:
    """Set columns ``first ...`` of a strip to zero."""
    for k in range(depth):
        for i in range(first, width):
            W[to + k * width + i] = 0.0


@njit(cache=True, nogil=True)
def _strips_of_columns(
    A: Floats, first: int, leading: int, count: int, depth: int, width: int, W: Floats, to: int
) -> None:
    """Copy `count` columns of `depth` numbers into strips of `width` columns, zero beyond the last."""
    for strip in range(0, count, width):
        columns = min(width, count - strip)
        _transposed(A, first + strip * leading, leading, columns, depth, W, to + strip * depth, width)
        _clear(W, to + strip * depth, width, columns, depth)


@njit(cache=True, nogil=True)
def _strips_of_rows(
    A: Floats, first: int, leading: int, low: int, high: int, begin: int, end: int, width: int, W: Floats, to: int
) -> None:
    """Copy rows ``low ... high``, columns ``begin ... end`` of a symmetric matrix, kept lower, into strips of rows."""
    depth = end - begin
    for row in range(low, high, width):
        place = to + (row - low) * depth
        rows = min(width, high - row)
        # Columns left of the diagonal block, those in it, and those right of it, which are rows of the lower triangle.
        left_of = min(max(row, begin), end)
        right_of = max(min(row + rows, end), left_of)
        for k in range(begin, left_of):
            target = place + (k - begin) * width
            source = first + k * leading + row
            i = 0
            while i + 8 <= rows:
                _copy_8(A, source + i, W, target + i)
                i += 8
            while i < rows:
                W[target + i] = A[source + i]
                i += 1
        for k in range(left_of, right_of):
            target = place + (k - begin) * width
            for i in range(rows):
                W[target + i] = A[first + min(k, row + i) * leading + max(k, row + i)]
        source = first + row * leading + right_of
        _transposed(A, source, leading, rows, end - right_of, W, place + (right_of - begin) * width, width)
        _clear(W, place, width, rows, depth)


@njit(cache=True, nogil=True)
def _add_tiles(
    rows: int,
    columns: int,
    shift: int,
    zero: int,
    depth: int,
    sign: float,
    W: Floats,
    C: Floats,
    first: int,
    leading: int,
) -> None:
    """``C += sign A B`` for the strips in W, at and below the diagonal; C begins `shift` rows below it.

    In column ``zero + i`` of B the first i numbers are zero.
    """
    for column in range(0, columns, 8):
        skip = max(0, column - zero)
        left = 24 + 3 * skip
        right = 192 + 240 * 256 + column * depth + 8 * skip
        for row in range(0, rows, 24):
            if row + 24 + shift <= column:
                continue
            _tile(depth - skip, W, left + row * depth // 8, right)
            count = min(24, rows - row)
            for j in range(min(8, columns - column)):
                target = first + (column + j) * leading + row
                above = min(max(0, column + j - row - shift), count)
                if count - above == 24:  # a length known to the compiler
                    for i in range(24):
                        C[target + i] += sign * W[j * 24 + i]
                else:
                    for i in range(above, count):
                        C[target + i] += sign * W[j * 24 + i]


@njit(cache=True, nogil=True)
def multiply_triangular(s: int, m: int, L: Floats, T: Floats, C: Floats, W: Floats) -> None:
    """``C = L_B T`` with the rows ``s ... m`` of L (m x s) and T lower triangular, in a matrix of m rows, zero above.

    C (m - s rows, s columns) is contiguous. W is `workspace`.
    """
    C[: (m - s) * s] = 0.0
    for begin in range(0, s, 256):
        end = min(begin + 256, s)
        _strips_of_columns(T, begin, m, end, end - begin, 8, W, 192 + 240 * 256)
        for row in range(s, m, 240):
            high = min(row + 240, m)
            _strips_of_rows(L, 0, m, row, high, begin, end, 24, W, 192)
            _add_tiles(high - row, end, end, begin, end - begin, 1.0, W, C, row - s, m - s)


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
        _strips_of_columns(B, begin, order, columns, end - begin, 8, W, 192 + 240 * 256)
        for row in range(0, order, 240):
            high = min(row + 240, order)
            _strips_of_rows(A, first, leading, row, high, begin, end, 24, W, 192)
            _add_tiles(high - row, columns, columns, columns, end - begin, -1.0, W, C, target + row, step)


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
        _strips_of_columns(B, first + begin, leading, order, depth, 8, W, 192 + 240 * 256)
        for row in range(0, order, 240):
            rows = min(240, order - row)
            _strips_of_columns(A, row * length + begin, length, rows, depth, 24, W, 192)
            _add_tiles(rows, min(order, row + rows), row, order, depth, -1.0, W, C, row, step)


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
        _strips_of_rows(L, 0, m, first, first + width, begin, end, 8, W, 192 + 240 * 256)
        for row in range(first, m, 240):
            high = min(row + 240, m)
            _strips_of_rows(L, 0, m, row, high, begin, end, 24, W, 192)
            columns = min(width, high - first)
            _add_tiles(
                high - row, columns, row - first, columns, end - begin, -1.0, W, T, corner + row - first, leading
            )
