"""A kernel's arguments as words of memory, written once and read at every run.

Numba passes an array as seven values that it takes out of a Python object, a fraction of a
microsecond each time. What runs again and again on the same memory keeps them as 64-bit words:
an array is its address and its shape (it is C-contiguous), a number is its bits, and a
``Static`` needs none, since its type says all.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import register_default
from numba.core.datamodel.models import OpaqueModel
from numba.extending import intrinsic
from numba.np import numpy_support
from numba.np.arrayobj import populate_array

_WORD = ir.IntType(64)


class Arguments(types.Type):
    """Type that stands for the types of a kernel's arguments; it has no value."""

    def __init__(self, kinds: tuple[types.Type, ...]) -> None:
        self.kinds = kinds
        super().__init__(name=f"Arguments({', '.join(map(str, kinds))})")


register_default(Arguments)(OpaqueModel)


def kinds_of(args: tuple[Any, ...]) -> Arguments:
    """The arguments' types."""
    return Arguments(tuple(map(_kind, args)))


def words_of(args: tuple[Any, ...]) -> np.ndarray:
    """The arguments as words; the arrays among them must be kept alive by whoever runs."""
    words: list[int] = []
    for value in args:
        words.extend(words_of_one(value))
    return np.array(words, np.int64)


def _kind(value: Any) -> types.Type:
    static = getattr(value, "_numba_type_", None)
    if static is not None:
        return static
    if isinstance(value, np.ndarray):
        return _array_kind(value.dtype, value.ndim)
    if isinstance(value, (bool, np.bool_)):
        return types.boolean
    return types.intp if isinstance(value, (int, np.integer)) else types.float64


@cache
def _array_kind(dtype: np.dtype, ndim: int) -> types.Type:
    # Kept, since Numba takes some 20 microseconds to make one.
    return types.Array(numpy_support.from_dtype(dtype), ndim, "C")


def width_of(args: tuple[Any, ...]) -> int:
    """Number of words of the arguments."""
    width = 0
    for value in args:
        if isinstance(value, np.ndarray):
            width += 1 + value.ndim
        elif not hasattr(value, "_numba_type_"):
            width += 1
    return width


def words_of_one(value: Any) -> tuple[int, ...]:
    """The words of one argument."""
    if hasattr(value, "_numba_type_"):
        return ()
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise ValueError(f"kernels work on C-contiguous arrays, got strides {value.strides}")
        return (value.__array_interface__["data"][0], *value.shape)
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        return (int(value),)
    return struct.unpack("q", struct.pack("d", value))


@intrinsic
def unpack(typingctx, arguments, words, crew):
    """The arguments from their words, and the crew, as a tuple."""
    result = types.Tuple((*arguments.kinds, crew))

    def codegen(context, builder, sig, args):
        pointer = builder.inttoptr(args[1], _WORD.as_pointer())
        read = _Reader(context, builder, pointer)
        values = [read.value(kind) for kind in arguments.kinds]
        return context.make_tuple(builder, result, [*values, args[2]])

    return result(arguments, types.intp, crew), codegen


class _Reader:
    """Writes the LLVM code that takes values from consecutive words."""

    def __init__(self, context, builder, pointer):
        self.context, self.builder, self.pointer = context, builder, pointer
        self.at = 0

    def value(self, kind):
        if isinstance(kind, types.Array):
            return self._array(kind)
        if hasattr(kind, "value"):
            return ir.Constant(ir.IntType(8), 0)
        word = self._word()
        if kind == types.float64:
            return self.builder.bitcast(word, ir.DoubleType())
        return word if kind == types.intp else self.builder.trunc(word, ir.IntType(1))

    def _word(self):
        at = self.builder.gep(self.pointer, [ir.Constant(_WORD, self.at)])
        self.at += 1
        return self.builder.load(at)

    def _array(self, kind):
        context, builder = self.context, self.builder
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(self._word(), array.data.type)
        shape = [self._word() for _ in range(kind.ndim)]
        stride = ir.Constant(_WORD, kind.dtype.bitwidth // 8)
        itemsize = stride
        strides: list[ir.Value] = []
        for size in reversed(shape):
            strides.insert(0, stride)
            stride = builder.mul(stride, size)
        populate_array(
            array, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None
        )
        return array._getvalue()
