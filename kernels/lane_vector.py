"""Vectors of eight numbers as values in compiled code: what the lane kernels are written in.

No kernel stands here. A cached kernel is rebuilt only when its own file changes, so every kernel file that imports this
one carries its fingerprint, and a test compares the two.
"""

from collections.abc import Callable
from typing import Any, cast

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


lane_vector = LaneVector()
_LLVM = ir.VectorType(ir.DoubleType(), LANES)
_Emit = Callable[[Any, Any, Any, Any], Any]
_Unary = Callable[[LaneVector], LaneVector]
_Binary = Callable[[LaneVector, LaneVector], LaneVector]
_Ternary = Callable[[LaneVector, LaneVector, LaneVector], LaneVector]
_Floats = npt.NDArray[np.float64]


@register_model(LaneVector)
class _LaneVectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _LLVM)  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.mul(vector, vector.type(LANES))
    return builder.bitcast(builder.gep(data, [first]), _LLVM.as_pointer())


@intrinsic
def _load(typing_context: Any, array: Any, vector: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        value.align = 8
        return value

    return lane_vector(array, types.intp), emit


@intrinsic
def _store(typing_context: Any, array: Any, vector: Any, value: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, vector, value = arguments
        written = builder.store(value, _pointer(context, builder, signature.args[0], array, vector))
        written.align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lane_vector), emit


@intrinsic
def _spread(typing_context: Any, number: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = builder.insert_element(ir.Constant(_LLVM, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, one, mask)

    return lane_vector(types.float64), emit


@intrinsic
def _square_root(typing_context: Any, a: Any) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function_type = ir.FunctionType(_LLVM, (_LLVM,))
        get = cast(Callable[..., Any], cgutils.get_or_insert_function)
        function = get(builder.module, function_type, "llvm.sqrt.v8f64")
        return builder.call(function, arguments)

    return lane_vector(lane_vector), emit


def _two_operands(instruction: str) -> _Binary:
    def typed(typing_context: Any, a: Any, b: Any) -> tuple[Any, _Emit]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return lane_vector(lane_vector, lane_vector), emit

    return cast(_Binary, intrinsic(typed))


def _with_product(instruction: str) -> _Ternary:
    def typed(typing_context: Any, a: Any, b: Any, c: Any) -> tuple[Any, _Emit]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            product = builder.fmul(arguments[0], arguments[1], flags=("contract",))
            return getattr(builder, instruction)(arguments[2], product, flags=("contract",))

        return lane_vector(lane_vector, lane_vector, lane_vector), emit

    return cast(_Ternary, intrinsic(typed))


load = cast(Callable[[_Floats, int], LaneVector], _load)
"""Vector number `vector` of a contiguous float64 array."""

store = cast(Callable[[_Floats, int, LaneVector], None], _store)
"""Write vector number `vector` of a contiguous float64 array."""

spread = cast(Callable[[float], LaneVector], _spread)
"""A number in every lane."""

square_root = cast(_Unary, _square_root)
add = _two_operands("fadd")
subtract = _two_operands("fsub")
multiply = _two_operands("fmul")
divide = _two_operands("fdiv")

add_product = _with_product("fadd")
"""``c + a b`` for ``add_product(a, b, c)``, rounded once where the machine can."""

subtract_product = _with_product("fsub")
"""``c - a b`` for ``subtract_product(a, b, c)``, rounded once where the machine can."""
