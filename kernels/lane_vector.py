"""Vectors of eight numbers as values in compiled code: what the lane kernels are written in.

No kernel stands here. A cached kernel is rebuilt only when its own file changes, so every kernel file that imports this one
carries its fingerprint, and a test compares the two.
"""

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


@register_model(LaneVector)
class _LaneVectorModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _LLVM)


def _pointer(context, builder, array_type, array, vector):
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.mul(vector, vector.type(LANES))
    return builder.bitcast(builder.gep(data, [first]), _LLVM.as_pointer())


@intrinsic
def load(typing_context, array, vector):
    """Return vector number `vector` of a contiguous float64 array."""

    def emit(context, builder, signature, arguments):
        value = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        value.align = 8
        return value

    return lane_vector(array, types.intp), emit


@intrinsic
def store(typing_context, array, vector, value):
    """Write vector number `vector` of a contiguous float64 array."""

    def emit(context, builder, signature, arguments):
        array, vector, value = arguments
        written = builder.store(value, _pointer(context, builder, signature.args[0], array, vector))
        written.align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lane_vector), emit


@intrinsic
def spread(typing_context, number):
    """Return a vector with `number` in every lane."""

    def emit(context, builder, signature, arguments):
        one = builder.insert_element(ir.Constant(_LLVM, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, one, mask)

    return lane_vector(types.float64), emit


def _binary(name):
    def typed(typing_context, a, b):
        def emit(context, builder, signature, arguments):
            return getattr(builder, name)(*arguments)

        return lane_vector(lane_vector, lane_vector), emit

    return intrinsic(typed)


add = _binary("fadd")
subtract = _binary("fsub")
multiply = _binary("fmul")
divide = _binary("fdiv")


def _fused(name):
    def typed(typing_context, a, b, c):
        def emit(context, builder, signature, arguments):
            product = builder.fmul(arguments[0], arguments[1], flags=("contract",))
            return getattr(builder, name)(arguments[2], product, flags=("contract",))

        return lane_vector(lane_vector, lane_vector, lane_vector), emit

    return intrinsic(typed)


add_product = _fused("fadd")
subtract_product = _fused("fsub")


@intrinsic
def square_root(typing_context, a):
    """Return the square root of each lane."""

    def emit(context, builder, signature, arguments):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_LLVM, (_LLVM,)), "llvm.sqrt.v8f64")
        return builder.call(function, arguments)

    return lane_vector(lane_vector), emit
