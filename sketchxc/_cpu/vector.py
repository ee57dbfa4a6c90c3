"""Sixteen float32 lanes as one value in compiled loops, so that accumulators stay in registers.

LLVM turns plain loops into vector code only with the accumulator in memory, which halves the speed of sums over sparse rows; here the
sixteen lanes are a Numba type of their own, and the code generator splits or pads them for the registers that a processor has. Lanes add,
subtract, multiply, divide and take roots as numbers do, with a number as the other side or not, each rounded by itself; so what the scalar
layer says of one number in arithmetic it says of lanes. The fused multiply-add rounds once on every machine. With the JIT switched off a
value is a NumPy array of 16 numbers.
"""
import math
import operator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typeconv import Conversion
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, register_model

from .._jit import AS_PYTHON, inlined, serial

LANES = 16


class Lanes(types.Type):
    """Numba's type of sixteen float32 lanes."""

    def __init__(self):
        super().__init__("lanes16")

    def can_convert_from(self, typing, other):  # pragma: no cover
        return Conversion.safe if other == types.float32 else None

    def unify(self, typing, other):  # pragma: no cover
        return self if other == types.float32 else None


lanes = Lanes()
_VECTOR, _MASK = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(1), LANES)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):  # pragma: no cover
        super().__init__(manager, kind, _VECTOR)


def _address(context, builder, array_type, array, index, kind=_VECTOR):  # pragma: no cover
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _splat(builder, value):  # pragma: no cover
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), mask)


def _mask(builder, count):  # pragma: no cover
    """Which lanes are among the first `count`."""
    wide = ir.VectorType(ir.IntType(64), LANES)
    one = builder.insert_element(ir.Constant(wide, ir.Undefined), count, ir.Constant(ir.IntType(32), 0))
    counts = builder.shuffle_vector(one, ir.Constant(wide, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))
    return builder.icmp_signed("<", ir.Constant(wide, list(range(LANES))), counts)


def _is_row(array):  # pragma: no cover
    return isinstance(array, types.Array) and array.dtype == types.float32 and array.ndim == 1 and array.layout == "C"


def _is_bytes(array):  # pragma: no cover
    return isinstance(array, types.Array) and array.dtype == types.int8 and array.ndim == 1 and array.layout == "C"


@lower_cast(types.float32, Lanes)
def _number_as_lanes(context, builder, kind, to, value):  # pragma: no cover
    return _splat(builder, value)


def _arithmetic(operation, instruction):
    """Let lanes be arguments of an operator; numbers beside them become lanes."""
    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases = [signature(lanes, lanes, lanes)]

    @lower_builtin(operation, Lanes, Lanes)
    def build(context, builder, kinds, args):  # pragma: no cover
        return getattr(builder, instruction)(*args)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@infer_global(math.sqrt)
class _RootTyping(ConcreteTemplate):
    cases = [signature(lanes, lanes)]


@lower_builtin(math.sqrt, Lanes)
def _root(context, builder, kinds, args):  # pragma: no cover
    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.sqrt.v{LANES}f32"), args)


@intrinsic  # pragma: no cover
def load(typing, array, index):
    """array[index:index + 16] of a contiguous float32 or int8 array, any alignment, as float32."""
    if _is_bytes(array):
        def convert(context, builder, signature, args):
            value = builder.load(_address(context, builder, signature.args[0], *args, ir.VectorType(ir.IntType(8), LANES)))
            value.align = 1
            return builder.sitofp(value, _VECTOR)
        return lanes(array, types.int64), convert
    if not _is_row(array):
        return None

    def build(context, builder, signature, args):
        value = builder.load(_address(context, builder, signature.args[0], *args))
        value.align = 4
        return value
    return lanes(array, types.int64), build


@intrinsic  # pragma: no cover
def store(typing, array, index, value):
    """array[index:index + 16] = value."""
    if not _is_row(array) or value != lanes:
        return None

    def build(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2])).align = 4
        return context.get_dummy_value()
    return types.void(array, types.int64, lanes), build


@intrinsic  # pragma: no cover
def _load_masked(typing, array, index, count):
    """array[index:index + count] of a contiguous float32 array, zeros behind."""
    def build(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], *args[:2])
        kinds = [pointer.type, ir.IntType(32), _MASK, _VECTOR]
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, kinds), f"llvm.masked.load.v{LANES}f32.p0")
        return builder.call(function, [pointer, ir.IntType(32)(4), _mask(builder, args[2]), ir.Constant(_VECTOR, [0.0] * LANES)])
    return lanes(array, types.int64, types.int64), build


@intrinsic  # pragma: no cover
def _store_masked(typing, array, index, count, value):
    """array[index:index + count] = the first lanes of value."""
    def build(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], *args[:2])
        kinds = [_VECTOR, pointer.type, ir.IntType(32), _MASK]
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), kinds),
                                                  f"llvm.masked.store.v{LANES}f32.p0")
        builder.call(function, [args[3], pointer, ir.IntType(32)(4), _mask(builder, args[2])])
        return context.get_dummy_value()
    return types.void(array, types.int64, types.int64, lanes), build


@inlined
def load_some(array, index, count):
    """`load` of no more than `count` numbers, zeros in the other lanes."""
    return load(array, index) if count >= LANES else _load_masked(array, index, count)


@inlined
def store_some(array, index, count, value):
    """`store` of no more than `count` numbers."""
    if count >= LANES:
        store(array, index, value)
    else:
        _store_masked(array, index, count, value)


@intrinsic  # pragma: no cover
def span(typing, array, start, size):
    """array[start:start + size] of a contiguous array that outlives it: not counted as a reference, which costs more than a short row."""
    def build(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        out = context.make_array(signature.return_type)(context, builder)
        step = context.get_constant(types.intp, array.dtype.bitwidth // 8)
        context.populate_array(out, data=builder.gep(data, [args[1]]), shape=[args[2]], strides=[step], itemsize=step, meminfo=None)
        return out._getvalue()
    return types.Array(array.dtype, 1, "C")(array, types.int64, types.int64), build


@intrinsic  # pragma: no cover
def fill(typing, number):
    """Sixteen times one float32."""
    return lanes(types.float32), lambda context, builder, signature, args: _splat(builder, args[0])


@intrinsic  # pragma: no cover
def fma(typing, a, b, c):
    """a * b + c, rounded once."""
    def build(context, builder, signature, args):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fma.v{LANES}f32")
        return builder.call(function, args)
    return lanes(lanes, lanes, lanes), build


@intrinsic  # pragma: no cover
def total(typing, a):
    """Sum of the lanes: halves onto each other, then quarters, eighths and the last two."""
    def build(context, builder, signature, args):
        value, width = args[0], LANES
        while width > 1:
            width //= 2
            low, high = (ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(at, at + width))) for at in (0, width))
            empty = ir.Constant(value.type, ir.Undefined)
            value = builder.fadd(builder.shuffle_vector(value, empty, low), builder.shuffle_vector(value, empty, high))
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
    return types.float32(lanes), build


@intrinsic  # pragma: no cover
def smaller(typing, a, b):
    """The smaller of each pair of lanes."""
    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), *args)
    return lanes(lanes, lanes), build


@intrinsic  # pragma: no cover
def where_below(typing, a, b, x, y):
    """x in the lanes in which a is below b, else y."""
    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args[:2]), *args[2:])
    return lanes(lanes, lanes, lanes, lanes), build


@intrinsic  # pragma: no cover
def where_same(typing, a, b, x, y):
    """x in the lanes in which a is equal to b, else y."""
    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("==", *args[:2]), *args[2:])
    return lanes(lanes, lanes, lanes, lanes), build


@intrinsic  # pragma: no cover
def any_above(typing, a, b):
    """Whether a lane of a is above its partner in b."""
    def build(context, builder, signature, args):
        bits = builder.bitcast(builder.fcmp_ordered(">", *args), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))
    return types.boolean(lanes, lanes), build


@intrinsic  # pragma: no cover
def prefetch(typing, array, index):
    """Ask for the cache line of array[index] of a contiguous array, to be written soon; nothing waits for it."""
    def build(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]),
                                                  "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(builder.gep(data, [args[1]]), byte), word(1), word(3), word(1)])
        return context.get_dummy_value()
    return types.void(array, types.int64), build


@serial
def aligned(size):
    """Arbitrary float32 numbers whose first one begins a cache line, so that a load of sixteen touches one line."""
    room = np.empty(size + LANES, np.float32)
    start = (np.int64(-np.int64(room.ctypes.data)) % 64) // 4
    return room[start:start + size]


if AS_PYTHON:
    def load(array, index):  # noqa: F811
        return array[index:index + LANES].astype(np.float32)

    def store(array, index, value):  # noqa: F811
        array[index:index + LANES] = value

    def _load_masked(array, index, count):  # noqa: F811
        return np.append(array[index:index + count], np.zeros(LANES - count, np.float32))

    def _store_masked(array, index, count, value):  # noqa: F811
        array[index:index + count] = value[:count]

    def span(array, start, size):  # noqa: F811
        return array[start:start + size]

    def fill(number):  # noqa: F811
        return np.full(LANES, number, np.float32)

    def fma(a, b, c):  # noqa: F811
        return (a.astype(np.float64) * b + c).astype(np.float32)

    def total(a):  # noqa: F811
        while a.size > 1:
            a = a[:a.size // 2] + a[a.size // 2:]
        return a[0]

    smaller = np.minimum  # noqa: F811

    def where_below(a, b, x, y):  # noqa: F811
        return np.where(a < b, x, y)

    def where_same(a, b, x, y):  # noqa: F811
        return np.where(a == b, x, y)

    def any_above(a, b):  # noqa: F811
        return bool((a > b).any())

    def prefetch(array, index):  # noqa: F811
        pass
