"""What the driver asks of a cell, resolved by the cell's type.

A cell is a frozen dataclass derived from ``Static``; its fields are its options. It declares how
many blocks of pre-activations and how many states it has (the first state is the output h), and
two methods on vectors of neighbouring units:

    blocks = 4
    states = 2

    def forward(self, blocks, states):
        '''Pre-activations and states before -> what backward needs, states after.'''

    def backward(self, blocks, before, after, d_after):
        '''Saved blocks, states, gradient of the states after -> gradient of the
        pre-activations, gradient of the states before (what passes beside the products).'''
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import INLINE
from fastlstm.kernels.simd import (
    Vector,
    data_pointer,
    load_part,
    load_vector,
    store_part,
    store_vector,
)
from fastlstm.kernels.static import Static, method

# A panel is as many vectors wide as keeps the register tile full: all blocks of some units.
PANEL_VECTORS = 4


def vectors_per_block(blocks: int) -> int:
    """Vectors that each block contributes to a panel."""
    return max(1, PANEL_VECTORS // blocks)


def panel_vectors(blocks: int) -> int:
    """Vectors in a whole panel."""
    return blocks * vectors_per_block(blocks)


@dataclass(frozen=True)
class Panels(Static):
    """Panel layout of a matrix whose columns are ``blocks`` groups."""

    blocks: int


PLAIN = Panels(1)


def panel_units(blocks: int, itemsize: int) -> int:
    """Units in one panel of a cell with ``blocks`` blocks."""
    return vectors_per_block(blocks) * HOST.lanes(8 * itemsize)


def block_count(cell):  # pragma: no cover
    """Blocks of the cell: a compile-time constant."""
    return cell.blocks


def cell_forward(cell, blocks, states):  # pragma: no cover
    """The cell's equations."""
    return cell.forward(blocks, states)


def cell_backward(cell, blocks, before, after, d_after):  # pragma: no cover
    """The cell's derivative."""
    return cell.backward(blocks, before, after, d_after)


@overload(block_count, jit_options=INLINE)
def _block_count(cell):
    count = cell.value.blocks
    return lambda cell: count


@overload(cell_forward, jit_options=INLINE)
def _cell_forward(cell, blocks, states):
    forward = method(cell, "forward")
    return lambda cell, blocks, states: forward(cell, blocks, states)


@overload(cell_backward, jit_options=INLINE)
def _cell_backward(cell, blocks, before, after, d_after):
    backward = method(cell, "backward")
    return lambda cell, blocks, before, after, d_after: backward(
        cell, blocks, before, after, d_after
    )


# -- tuples of vectors, to and from memory ---------------------------------------------------


def _step(builder, pointer, at, stride, index):
    shift = builder.mul(stride, ir.Constant(stride.type, index))
    return builder.gep(pointer, [builder.add(at, shift)])


@intrinsic
def load_blocks(typingctx, cell, array, at, stride):
    """One vector of each block, ``stride`` elements apart, from ``at``."""
    vector = Vector(array.dtype)
    result = types.UniTuple(vector, cell.value.blocks)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[1])
        values = [
            load_vector(builder, vector, _step(builder, pointer, args[2], args[3], index))
            for index in range(result.count)
        ]
        return context.make_tuple(builder, result, values)

    return result(cell, array, types.intp, types.intp), codegen


@intrinsic
def store_blocks(typingctx, values, array, at, stride):
    """Write what ``load_blocks`` reads."""

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[1])
        for index, value in enumerate(cgutils.unpack_tuple(builder, args[0], values.count)):
            target = _step(builder, pointer, args[2], args[3], index)
            store_vector(builder, values.dtype, value, target)
        return context.get_dummy_value()

    return types.void(values, array, types.intp, types.intp), codegen


@intrinsic
def clear_blocks(typingctx, cell, array, at, stride):
    """Zero what ``load_blocks`` reads."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, array, args[1])
        for index in range(cell.value.blocks):
            target = _step(builder, pointer, args[2], args[3], index)
            store_vector(builder, vector, ir.Constant(vector.llvm, None), target)
        return context.get_dummy_value()

    return types.void(cell, array, types.intp, types.intp), codegen


@intrinsic
def load_states(typingctx, cell, h, h_at, count, carry, carry_at, stride):
    """h, its first ``count`` lanes, and the cell's other states, ``stride`` elements apart."""
    vector = Vector(h.dtype)
    result = types.UniTuple(vector, cell.value.states)

    def codegen(context, builder, sig, args):
        h_pointer = builder.gep(data_pointer(context, builder, h, args[1]), [args[2]])
        values = [load_part(builder, vector, h_pointer, args[3])]
        pointer = data_pointer(context, builder, carry, args[4])
        for index in range(result.count - 1):
            source = _step(builder, pointer, args[5], args[6], index)
            values.append(load_vector(builder, vector, source))
        return context.make_tuple(builder, result, values)

    intp = types.intp
    return result(cell, h, intp, intp, carry, intp, intp), codegen


@intrinsic
def store_states(typingctx, values, h, h_at, count, carry, carry_at, stride):
    """Write what ``load_states`` reads."""
    vector = Vector(h.dtype)

    def codegen(context, builder, sig, args):
        parts = cgutils.unpack_tuple(builder, args[0], values.count)
        h_pointer = builder.gep(data_pointer(context, builder, h, args[1]), [args[2]])
        store_part(builder, vector, parts[0], h_pointer, args[3])
        pointer = data_pointer(context, builder, carry, args[4])
        for index, value in enumerate(parts[1:]):
            store_vector(builder, vector, value, _step(builder, pointer, args[5], args[6], index))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(values, h, intp, intp, carry, intp, intp), codegen


@intrinsic
def add_to_first(typingctx, values, extra):
    """The tuple with ``extra`` added to its first vector."""

    def codegen(context, builder, sig, args):
        first = builder.extract_value(args[0], 0)
        return builder.insert_value(args[0], builder.fadd(first, args[1]), 0)

    return values(values, extra), codegen
