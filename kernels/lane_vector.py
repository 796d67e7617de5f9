"""Vectors of eight numbers as values in compiled code: what the lane kernels are written in.

A vector is float64. What is read may be an array of float32, whose numbers are widened in the register.

No kernel stands here. A cached kernel is rebuilt only when its own file changes, so every kernel file that imports this
one carries its fingerprint, and a test compares the two.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8


class LaneVector(types.Type):
    """Eight float64 values that live in vector registers."""

    def __init__(self) -> None:
        super().__init__(name="LaneVector8")


class LaneVectors(types.Type):
    """Several such vectors as one value: what would be a statement each is one for all of them."""

    def __init__(self, count: int) -> None:
        super().__init__(name=f"LaneVectors{count}")
        self.count = count


lane_vector = LaneVector()
_LLVM = ir.VectorType(ir.DoubleType(), LANES)
_STORED = {types.float64: _LLVM, types.float32: ir.VectorType(ir.FloatType(), LANES)}
_Emit = Callable[[Any, Any, Any, Any], Any]
_Floats = npt.NDArray[np.float64]


@register_model(LaneVector)
class _LaneVectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _LLVM)  # type: ignore[no-untyped-call]


@register_model(LaneVectors)
class _LaneVectorsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, ir.ArrayType(_LLVM, numba_type.count))  # type: ignore[no-untyped-call]


def _parts(builder: Any, numba_type: Any, value: Any, count: int) -> list[Any]:
    """Take a value apart; a single vector stands `count` times."""
    if isinstance(numba_type, LaneVector):
        return [value] * count
    return [builder.extract_value(value, i) for i in range(count)]


def _joined(builder: Any, parts: list[Any]) -> Any:
    value = ir.Constant(ir.ArrayType(_LLVM, len(parts)), ir.Undefined)
    for i, part in enumerate(parts):
        value = builder.insert_value(value, part, i)
    return value


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.mul(vector, vector.type(LANES))
    return builder.bitcast(builder.gep(data, [first]), _STORED[array_type.dtype].as_pointer())


def _read(builder: Any, place: Any) -> Any:
    value = builder.load(place)
    if value.type == _LLVM:
        value.align = 8
        return value
    value.align = 4
    return builder.fpext(value, _LLVM)


def _in_every_lane(builder: Any, number: Any) -> Any:
    one = builder.insert_element(ir.Constant(_LLVM, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, one, mask)


@intrinsic
def _load(typing_context: Any, array: Any, vector: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _read(builder, _pointer(context, builder, signature.args[0], *arguments))

    return lane_vector(array, types.intp), emit


def _load_of(count: int) -> Any:
    def typed(typing_context: Any, array: Any, vector: Any) -> tuple[Any, _Emit]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _pointer(context, builder, signature.args[0], *arguments)
            index = ir.IntType(32)
            return _joined(builder, [_read(builder, builder.gep(place, [index(i)])) for i in range(count)])

        return LaneVectors(count)(array, types.intp), emit

    return intrinsic(typed)


@intrinsic
def _store(typing_context: Any, array: Any, vector: Any, value: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, vector, value = arguments
        place = _pointer(context, builder, signature.args[0], array, vector)
        index = ir.IntType(32)
        for i, part in enumerate(_parts(builder, signature.args[2], value, getattr(signature.args[2], "count", 1))):
            builder.store(part, builder.gep(place, [index(i)])).align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, value), emit


@intrinsic
def _join_4(typing_context: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _joined(builder, arguments)

    return LaneVectors(4)(a, b, c, d), emit


def _load_from_4_of(count: int) -> Any:
    def typed(typing_context: Any, array: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, _Emit]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, *vectors = arguments
            places = [_pointer(context, builder, signature.args[0], array, vector) for vector in vectors]
            index = ir.IntType(32)
            parts = [_read(builder, builder.gep(place, [index(i)])) for place in places for i in range(count)]
            return _joined(builder, parts)

        return LaneVectors(4 * count)(array, *[types.intp] * 4), emit

    return intrinsic(typed)


@intrinsic
def _store_to_4(typing_context: Any, array: Any, a: Any, b: Any, c: Any, d: Any, value: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *vectors, value = arguments
        parts = iter(_parts(builder, signature.args[5], value, signature.args[5].count))
        for vector in vectors:
            place = _pointer(context, builder, signature.args[0], array, vector)
            for i in range(signature.args[5].count // 4):
                builder.store(next(parts), builder.gep(place, [ir.IntType(32)(i)])).align = 8
        return context.get_dummy_value()

    return types.void(array, *[types.intp] * 4, value), emit


@intrinsic
def _top(typing_context: Any, value: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_value(arguments[0], 0)

    return lane_vector(value), emit


def _quarter_of(number: int) -> Any:
    def typed(typing_context: Any, value: Any) -> tuple[Any, _Emit]:
        count = value.count // 4

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            parts = _parts(builder, value, arguments[0], value.count)
            return _joined(builder, parts[number * count : (number + 1) * count])

        return LaneVectors(count)(value), emit

    return intrinsic(typed)


@intrinsic
def _below(typing_context: Any, value: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = _parts(builder, value, arguments[0], value.count)[1:]
        return parts[0] if len(parts) == 1 else _joined(builder, parts)

    rest = value.count - 1
    return (lane_vector if rest == 1 else LaneVectors(rest))(value), emit


@intrinsic
def _spread(typing_context: Any, number: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _in_every_lane(builder, arguments[0])

    return lane_vector(types.float64), emit


def _spread_from_of(count: int) -> Any:
    def typed(typing_context: Any, array: Any, place: Any, step: Any) -> tuple[Any, _Emit]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, place, step = arguments
            data = context.make_array(signature.args[0])(context, builder, array).data
            parts = []
            for _ in range(count):
                number = builder.load(builder.gep(data, [place]))
                wide = number if number.type == ir.DoubleType() else builder.fpext(number, ir.DoubleType())
                parts.append(_in_every_lane(builder, wide))
                place = builder.add(place, step)
            return _joined(builder, parts)

        return LaneVectors(count)(array, types.intp, types.intp), emit

    return intrinsic(typed)


def _zero_of(count: int) -> Any:
    def typed(typing_context: Any) -> tuple[Any, _Emit]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return ir.Constant(ir.ArrayType(_LLVM, count), None)

        return LaneVectors(count)(), emit

    return intrinsic(typed)


@intrinsic
def _square_root(typing_context: Any, a: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function_type = ir.FunctionType(_LLVM, (_LLVM,))
        get = cast(Callable[..., Any], cgutils.get_or_insert_function)
        function = get(builder.module, function_type, "llvm.sqrt.v8f64")
        return builder.call(function, arguments)

    return lane_vector(lane_vector), emit


def _elementwise(operands: int, instruction: Callable[..., Any]) -> Any:
    """Make an operation on single vectors one on several too, with which a single one is paired as often."""

    def typed(typing_context: Any, *values: Any) -> tuple[Any, _Emit]:
        result = next((each for each in values if isinstance(each, LaneVectors)), lane_vector)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if isinstance(result, LaneVector):
                return instruction(builder, *arguments)
            parts = [
                _parts(builder, each, value, result.count)
                for each, value in zip(signature.args, arguments, strict=True)
            ]
            return _joined(builder, [instruction(builder, *each) for each in zip(*parts, strict=True)])

        return result(*values), emit

    def two(typing_context: Any, a: Any, b: Any) -> tuple[Any, _Emit]:
        return typed(typing_context, a, b)

    def three(typing_context: Any, a: Any, b: Any, c: Any) -> tuple[Any, _Emit]:
        return typed(typing_context, a, b, c)

    return intrinsic(two if operands == 2 else three)


def _fused(instruction: str) -> Callable[..., Any]:
    def fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
        product = builder.fmul(a, b, flags=("contract",))
        return getattr(builder, instruction)(c, product, flags=("contract",))

    return fused


def _outer(instruction: str) -> Any:
    """Add or subtract the outer product of several vectors and several others, lane by lane."""
    fused = _fused(instruction)

    def typed(typing_context: Any, a: Any, b: Any, c: Any) -> tuple[Any, _Emit]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rows = _parts(builder, a, arguments[0], a.count)
            columns = _parts(builder, b, arguments[1], b.count)
            sums = _parts(builder, c, arguments[2], c.count)
            pairs = [(row, column) for column in columns for row in rows]
            return _joined(builder, [fused(builder, *pair, each) for pair, each in zip(pairs, sums, strict=True)])

        return c(a, b, c), emit

    return intrinsic(typed)


@intrinsic
def _subtract_combination(typing_context: Any, a: Any, b: Any, c: Any) -> tuple[Any, _Emit]:
    fused = _fused("fsub")

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        terms = _parts(builder, a, arguments[0], a.count)
        count = a.count // b.count
        sums = _parts(builder, c, arguments[2], count)
        for i, factor in enumerate(_parts(builder, b, arguments[1], b.count)):
            group = terms[i * count : (i + 1) * count]
            sums = [fused(builder, term, factor, each) for term, each in zip(group, sums, strict=True)]
        return sums[0] if isinstance(c, LaneVector) else _joined(builder, sums)

    return c(a, b, c), emit


_Value = TypeVar("_Value", LaneVector, LaneVectors)
_Stored = _Floats | npt.NDArray[np.float32]
_Load = Callable[[_Stored, int], LaneVectors]


class _Binary(Protocol):
    def __call__(self, a: _Value, b: LaneVector | _Value) -> _Value: ...


class _Ternary(Protocol):
    def __call__(self, a: LaneVector | LaneVectors, b: LaneVector, c: _Value) -> _Value: ...


load = cast(Callable[[_Stored, int], LaneVector], _load)
"""Vector number `vector` of a contiguous array of float64 or float32."""

load_2, load_3, load_4 = (cast(_Load, _load_of(count)) for count in (2, 3, 4))
"""So many vectors of an array from number `vector` on."""

load_from_4, load_2_from_4, load_4_from_4 = (
    cast(Callable[[_Stored, int, int, int, int], LaneVectors], _load_from_4_of(count)) for count in (1, 2, 4)
)
"""One vector, two or four that follow one another, at each of four numbers."""

store = cast(Callable[[_Floats, int, LaneVector | LaneVectors], None], _store)
"""Write vector number `vector` of a contiguous float64 array, or several from there on."""

store_to_4 = cast(Callable[[_Floats, int, int, int, int, LaneVectors], None], _store_to_4)
"""Write a quarter of several vectors, one after another, at each of four numbers."""

spread = cast(Callable[[float], LaneVector], _spread)
"""A number in every lane."""

spread_from_4, spread_from_8 = (
    cast(Callable[[_Stored, int, int], LaneVectors], _spread_from_of(count)) for count in (4, 8)
)
"""So many numbers of an array, from a place on in some step, each in every lane of its vector."""

zero_2, zero_3, zero_4, zero_8, zero_16, zero_24 = (
    cast(Callable[[], LaneVectors], _zero_of(count)) for count in (2, 3, 4, 8, 16, 24)
)

join_4 = cast(Callable[[LaneVector, LaneVector, LaneVector, LaneVector], LaneVectors], _join_4)

top = cast(Callable[[LaneVectors], LaneVector], _top)
"""The first of several vectors."""

quarter_0, quarter_1, quarter_2, quarter_3 = (
    cast(Callable[[LaneVectors], LaneVectors], _quarter_of(number)) for number in range(4)
)

below = cast(Callable[[LaneVectors], Any], _below)
"""All but the first of several vectors; of two the second."""

square_root = cast(Callable[[LaneVector], LaneVector], _square_root)
add = cast(_Binary, _elementwise(2, lambda builder, a, b: builder.fadd(a, b)))
subtract = cast(_Binary, _elementwise(2, lambda builder, a, b: builder.fsub(a, b)))
multiply = cast(_Binary, _elementwise(2, lambda builder, a, b: builder.fmul(a, b)))
divide = cast(_Binary, _elementwise(2, lambda builder, a, b: builder.fdiv(a, b)))

add_product = cast(_Ternary, _elementwise(3, _fused("fadd")))
"""``c + a b`` for ``add_product(a, b, c)``, rounded once where the machine can."""

subtract_product = cast(_Ternary, _elementwise(3, _fused("fsub")))
"""``c - a b`` for ``subtract_product(a, b, c)``, rounded once where the machine can."""

add_outer = cast(Callable[[LaneVectors, LaneVectors, LaneVectors], LaneVectors], _outer("fadd"))
"""``c_ji + a_i b_j``, column after column, for ``add_outer(a, b, c)``."""

subtract_outer = cast(Callable[[LaneVectors, LaneVectors, LaneVectors], LaneVectors], _outer("fsub"))
"""``c_ji - a_i b_j``, likewise."""

subtract_combination = cast(Callable[[LaneVectors, LaneVectors, _Value], _Value], _subtract_combination)
"""``c_i - sum_j a_ji b_j``, one term after another, for ``subtract_combination(a, b, c)``."""
