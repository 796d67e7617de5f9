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

from sparsegmrf.kernels.lane_vector import (
    add_outer,
    load_3,
    spread_from_8,
    store,
    zero_24,
)
from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"lane_vector": "e9633eeac920", "subroutine": "1d05a1f775f3"}

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


@subroutine()
def _tile(depth: int, W: Floats, left: int, right: int) -> None:
    """``T = A B`` for a strip of 24 rows at vector `left` of W and one of 8 columns at number `right`."""
    t = zero_24()
    for k in range(depth):
        t = add_outer(load_3(W, left + 3 * k), spread_from_8(W, right + 8 * k, 1), t)
    store(W, 0, t)


@subroutine()
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


@subroutine()
def _clear(W: Floats, to: int, width: int, first: int, depth: int) -> None:
    """Set columns ``first ...`` of a strip to zero."""
    for k in range(depth):
        for i in range(first, width):
            W[to + k * width + i] = 0.0


@subroutine()
def _strips_of_columns(
    A: Floats, first: int, leading: int, count: int, depth: int, width: int, W: Floats, to: int
) -> None:
    """Copy `count` columns of `depth` numbers into strips of `width` columns, zero beyond the last."""
    for strip in range(0, count, width):
        columns = min(width, count - strip)
        _transposed(A, first + strip * leading, leading, columns, depth, W, to + strip * depth, width)
        _clear(W, to + strip * depth, width, columns, depth)


@subroutine()
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


@subroutine()
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
    of B, or rows from `low` on if `b_transposed`. C is written at and below its diagonal if `lower`. A `triangular` B
    is zero above its diagonal.
    """
    for begin in range(first_term, end_term, 256):
        end = min(begin + 256, end_term)
        count = end if triangular else columns
        if b_transposed:
            _strips_of_rows(B, b_first, b_leading, low, low + count, begin, end, 8, W, 192 + 240 * 256)
        else:
            _strips_of_columns(B, b_first + begin, b_leading, count, end - begin, 8, W, 192 + 240 * 256)
        for row in range(low, high, 240):
            last = min(row + 240, high)
            if a_transposed:
                place = a_first + row * a_leading + begin
                _strips_of_columns(A, place, a_leading, last - row, end - begin, 24, W, 192)
            else:
                _strips_of_rows(A, a_first, a_leading, row, last, begin, end, 24, W, 192)
            written = min(count, last - low) if lower else count
            shift = row - low if lower else written
            zero = begin if triangular else written
            _add_tiles(last - row, written, shift, zero, end - begin, sign, W, C, c_first + row - low, c_leading)
