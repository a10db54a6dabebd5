"""One vector register as a Numba type: kernels and cells write their equations on it.

``load`` and ``store`` move ``lanes(array)`` neighbouring elements; ``+ - * /`` and comparisons work
lane by lane with a scalar on either side. Nothing here is reassociated, so a lane's bits do not
depend on its position, and a partial vector gives the same bits as a full one.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

from fastlstm.kernels.emit import (
    call,
    call_on_vectors,
    data_pointer,
    fused_multiply_add,
    load_part,
    load_vector,
    splat,
    store_part,
    store_vector,
)
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import INLINE


class Vector(types.Type):
    """Type of ``lanes`` elements of ``dtype``: one register, or two side by side.

    Two independent halves let the processor work on one while the other waits for its operands.
    """

    def __init__(self, dtype: Any, registers: int = 1) -> None:
        self.dtype = dtype
        self.lanes = registers * HOST.lanes(dtype.bitwidth)
        super().__init__(name=f"Vector({dtype}, {self.lanes})")

    @property
    def llvm(self) -> ir.Type:
        element = ir.FloatType() if self.dtype == types.float32 else ir.DoubleType()
        return ir.VectorType(element, self.lanes)


class Mask(types.Type):
    """Type of the outcome of comparing two vectors."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.llvm)


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), fe_type.lanes))


# -- operators -------------------------------------------------------------------------------

_ARITHMETIC = {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}
_COMPARISONS = {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}


def _vector_of(args):
    vectors = [arg for arg in args if isinstance(arg, Vector)]
    scalars = [arg for arg in args if isinstance(arg, types.Number)]
    if vectors and len(vectors) + len(scalars) == len(args) and len(set(vectors)) == 1:
        return vectors[0]
    return None


def _to_vectors(context, builder, sig, args):
    vector = _vector_of(sig.args)
    out = []
    for type_, value in zip(sig.args, args, strict=True):
        if not isinstance(type_, Vector):
            scalar = context.cast(builder, value, type_, vector.dtype)
            value = splat(builder, scalar, vector.lanes)
        out.append(value)
    return out


def _register_operator(function, result_of, emit):
    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            vector = _vector_of(args)
            return None if vector is None else signature(result_of(vector), *args)

    def lower(context, builder, sig, args):
        return emit(builder, *_to_vectors(context, builder, sig, args))

    lower_builtin(function, Vector, Vector)(lower)
    lower_builtin(function, Vector, types.Number)(lower)
    lower_builtin(function, types.Number, Vector)(lower)


for _function, _name in _ARITHMETIC.items():
    _register_operator(_function, lambda v: v, lambda b, x, y, n=_name: getattr(b, n)(x, y))
for _function, _name in _COMPARISONS.items():
    _emit = "fcmp_unordered" if _name == "!=" else "fcmp_ordered"
    _register_operator(
        _function,
        lambda v: Mask(v.lanes),
        lambda b, x, y, n=_name, e=_emit: getattr(b, e)(n, x, y),
    )


@infer_global(operator.neg)
class _Negate(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], args[0]) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _lower_negate(context, builder, sig, args):
    return builder.fneg(args[0])


# -- lane by lane ----------------------------------------------------------------------------


def _unary(name):
    @intrinsic
    def function(typingctx, x):
        def codegen(context, builder, sig, args):
            return call_on_vectors(builder, name, args)

        return x(x), codegen

    return function


absolute = _unary("fabs")
square_root = _unary("sqrt")


@intrinsic
def zero_like(typingctx, x):
    """A vector of zeros of the type of ``x``."""

    def codegen(context, builder, sig, args):
        return ir.Constant(args[0].type, None)

    return x(x), codegen


@intrinsic
def fma(typingctx, x, y, z):
    """x * y + z; any of the three may be a scalar."""
    vector = _vector_of((x, y, z))

    def codegen(context, builder, sig, args):
        return fused_multiply_add(builder, *_to_vectors(context, builder, sig, args))

    return vector(x, y, z), codegen


@intrinsic
def select(typingctx, mask, x, y):
    """x where the mask holds, else y; either may be a scalar."""
    vector = _vector_of((x, y))

    def codegen(context, builder, sig, args):
        inner = signature(sig.return_type, *sig.args[1:])
        return builder.select(args[0], *_to_vectors(context, builder, inner, args[1:]))

    return vector(mask, x, y), codegen


@intrinsic
def copy_sign(typingctx, magnitude, sign):
    """|magnitude| with the sign of ``sign``."""

    def codegen(context, builder, sig, args):
        return call_on_vectors(builder, "copysign", args)

    return magnitude(magnitude, sign), codegen


# Adding 1.5 * 2**mantissa_bits to a small whole number leaves it in the low bits of the sum; with
# the format's bias, what is there is the exponent of 2**n.
SHIFT32 = 1.5 * 2.0**23 + 127
SHIFT64 = 1.5 * 2.0**52 + 1023


@intrinsic
def two_to(typingctx, shifted):
    """2**n from n + SHIFT, for n in the exponent range of normal numbers and of infinity."""

    def codegen(context, builder, sig, args):
        bits = _Bits(shifted)
        n = builder.bitcast(args[0], bits.type)
        return builder.bitcast(builder.shl(n, bits.mantissa), shifted.llvm)

    return shifted(shifted), codegen


@intrinsic
def scale(typingctx, x, shifted):
    """x * 2**n from n + SHIFT, in two halves so that it overflows and underflows as it should."""

    def codegen(context, builder, sig, args):
        bits = _Bits(shifted)
        n = builder.sub(builder.bitcast(args[1], bits.type), bits.shift)
        half = builder.ashr(n, bits.constant(1))
        value = args[0]
        for part in (half, builder.sub(n, half)):
            power = builder.add(builder.shl(part, bits.mantissa), bits.one)
            value = builder.fmul(value, builder.bitcast(power, shifted.llvm))
        return value

    return x(x, shifted), codegen


@intrinsic
def exponent(typingctx, x):
    """n of x = m * 2**n with m from √½ to √2, as a number; for normal x above 0."""

    def codegen(context, builder, sig, args):
        return builder.sitofp(_binary_exponent(builder, args[0], _Bits(x)), x.llvm)

    return x(x), codegen


@intrinsic
def mantissa(typingctx, x):
    """m of x = m * 2**n with m from √½ to √2; for normal x above 0."""

    def codegen(context, builder, sig, args):
        bits = _Bits(x)
        n = _binary_exponent(builder, args[0], bits)
        whole = builder.bitcast(args[0], bits.type)
        return builder.bitcast(builder.sub(whole, builder.shl(n, bits.mantissa)), x.llvm)

    return x(x), codegen


@intrinsic
def floor_exponent(typingctx, x):
    """The whole n with 2**n <= x < 2**(n + 1), of positive normal numbers."""

    def codegen(context, builder, sig, args):
        bits = _Bits(x)
        n = builder.lshr(builder.bitcast(args[0], bits.type), bits.mantissa)
        return builder.sitofp(builder.sub(n, bits.bias), x.llvm)

    return x(x), codegen


def _binary_exponent(builder, x, bits):
    above = builder.sub(builder.bitcast(x, bits.type), bits.root_half)
    return builder.ashr(above, bits.mantissa)


class _Bits:
    """Integer constants of a vector's floating-point format."""

    def __init__(self, vector):
        size, mantissa, bias, shift, root_half = (
            (32, 23, 127, 0x4B400000 + 127, 0x3F3504F3)
            if vector.dtype == types.float32
            else (64, 52, 1023, 0x4338000000000000 + 1023, 0x3FE6A09E667F3BCD)
        )
        self.type = ir.VectorType(ir.IntType(size), vector.lanes)
        self.mantissa = self.constant(mantissa)
        self.bias = self.constant(bias)
        self.one = self.constant(bias << mantissa)
        self.shift = self.constant(shift)
        self.root_half = self.constant(root_half)

    def constant(self, value):
        return ir.Constant(self.type, [value] * self.type.count)


# -- memory ----------------------------------------------------------------------------------


@intrinsic
def load(typingctx, array, offset):
    """The vector that starts ``offset`` elements into the array's memory."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[0])
        return load_vector(builder, vector, builder.gep(pointer, [args[1]]))

    return vector(array, types.intp), codegen


@intrinsic
def store(typingctx, value, array, offset):
    """Write the vector at ``offset`` elements into the array's memory."""

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[1])
        store_vector(builder, value, args[0], builder.gep(pointer, [args[2]]))
        return context.get_dummy_value()

    return types.void(value, array, types.intp), codegen


@intrinsic
def load_first(typingctx, array, offset, count):
    """Like ``load``, of the first ``count`` lanes only; the others are zero."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[0])
        return load_part(builder, vector, builder.gep(pointer, [args[1]]), args[2])

    return vector(array, types.intp, types.intp), codegen


@intrinsic
def store_first(typingctx, value, array, offset, count):
    """Like ``store``, of the first ``count`` lanes only."""

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[1])
        pointer = builder.gep(pointer, [args[2]])
        store_part(builder, value, args[0], pointer, args[3])
        return context.get_dummy_value()

    return types.void(value, array, types.intp, types.intp), codegen


@intrinsic
def fill(typingctx, array, scalar):
    """A vector of the array's type with ``scalar`` in every lane."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        value = context.cast(builder, args[1], sig.args[1], vector.dtype)
        return splat(builder, value, vector.lanes)

    return vector(array, scalar), codegen


@intrinsic
def sum_lanes(typingctx, x):
    """Sum over the lanes, halves first, always in the same order."""

    def codegen(context, builder, sig, args):
        value, lanes = args[0], x.lanes
        while lanes > 1:
            lanes //= 2
            index = ir.VectorType(ir.IntType(32), lanes)
            low = ir.Constant(index, list(range(lanes)))
            high = ir.Constant(index, list(range(lanes, 2 * lanes)))
            undefined = ir.Constant(value.type, ir.Undefined)
            value = builder.fadd(
                builder.shuffle_vector(value, undefined, low),
                builder.shuffle_vector(value, undefined, high),
            )
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return x.dtype(x), codegen


# Eight float64 lanes, in as many registers as that takes.
_EIGHT = Vector(types.float64, 8 // HOST.lanes(64))


@intrinsic
def eight(typingctx, scalar):
    """Eight float64 lanes of one value, on any machine."""

    def codegen(context, builder, sig, args):
        return splat(builder, context.cast(builder, args[0], scalar, types.float64), 8)

    return _EIGHT(scalar), codegen


@intrinsic
def load_eight(typingctx, array, offset):
    """Eight neighbouring elements of the array's memory, as float64."""

    def codegen(context, builder, sig, args):
        pointer = builder.gep(data_pointer(context, builder, array, args[0]), [args[1]])
        narrow = ir.VectorType(pointer.type.pointee, 8)
        typed = builder.bitcast(pointer, narrow.as_pointer())
        value = builder.load(typed, align=array.dtype.bitwidth // 8)
        return value if array.dtype == types.float64 else builder.fpext(value, _EIGHT.llvm)

    return _EIGHT(array, types.intp), codegen


@intrinsic
def store_eight(typingctx, value, array, offset):
    """Write eight float64 lanes to the float64 array's memory."""

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[1])
        store_vector(builder, value, args[0], builder.gep(pointer, [args[2]]))
        return context.get_dummy_value()

    return types.void(value, array, types.intp), codegen


# -- sizes -----------------------------------------------------------------------------------


def lanes(array):  # pragma: no cover
    """Elements of the array's dtype in one vector: a compile-time constant."""
    return HOST.lanes(array.itemsize * 8)


@overload(lanes, jit_options=INLINE)
def _lanes(array):
    count = HOST.lanes(array.dtype.bitwidth)
    return lambda array: count


# -- denormals -------------------------------------------------------------------------------

_FLUSH_BOTH = 0x8040  # flush-to-zero and denormals-are-zero in x86's MXCSR


@intrinsic
def flush_denormals(typingctx):
    """Treat denormals as zero on this thread; returns the mode to give back afterwards.

    A fading gradient or gate otherwise costs a hundred cycles an operation on x86. Elsewhere
    denormals run at full speed and the mode stays as it is.
    """

    def codegen(context, builder, sig, args):
        word = ir.IntType(32)
        if not HOST.x86:
            return ir.Constant(word, 0)
        slot = cgutils.alloca_once(builder, word)
        _control(builder, "stmxcsr", slot)
        before = builder.load(slot)
        builder.store(builder.or_(before, ir.Constant(word, _FLUSH_BOTH)), slot)
        _control(builder, "ldmxcsr", slot)
        return before

    return types.uint32(), codegen


@intrinsic
def restore_denormals(typingctx, mode):
    """Give back the mode that ``flush_denormals`` found."""

    def codegen(context, builder, sig, args):
        if HOST.x86:
            _control(builder, "ldmxcsr", cgutils.alloca_once_value(builder, args[0]))
        return context.get_dummy_value()

    return types.void(types.uint32), codegen


def _control(builder, instruction, slot):
    pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
    call(builder, f"llvm.x86.sse.{instruction}", ir.VoidType(), pointer)
