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

A cell whose gates depend on their own pre-activations alone may take them first, for four rows at
once, whose operations wait less for one another (but not one that is ``apart``, see below):

    def gates(self, blocks):
        '''Pre-activations -> gates, which are what backward needs.'''

    def forward(self, gates, states):
        '''Gates and states before -> states after.'''

A cell whose equations want x·W and h·U each for itself says ``apart = True``: it is handed, and
hands back, the blocks of x·W and then those of h·U. One without h·U says ``recurrent = False``.

A cell with weights of each unit's own, beside the products, says how many, ``own = 3``. Its methods
take them as a last argument, a tuple of vectors, and a third one adds up their gradients:

    def own_gradients(self, sums, d_blocks, before, after):
        '''Sums so far, gradient of the pre-activations, states -> sums with this step's.'''
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastlstm.kernels.emit import (
    data_pointer,
    load_part,
    load_vector,
    store_part,
    store_vector,
    strided,
)
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import INLINE
from fastlstm.kernels.simd import Vector
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


def tile_layout(blocks: int) -> Panels:
    """What a tile must know of panels of ``blocks`` blocks: the same value for the same width."""
    return PLAIN if panel_vectors(blocks) == PANEL_VECTORS else Panels(blocks)


def panel_units(blocks: int, itemsize: int) -> int:
    """Units in one panel of a cell with ``blocks`` blocks."""
    return vectors_per_block(blocks) * HOST.lanes(8 * itemsize)


@dataclass(frozen=True)
class Feed(Static):
    """How states come to the next step: as they are, or not quite.

    To the product h·U with some of the units dropped; or all ways, with some held: zoneout.
    """

    drops: bool = False
    # How many of the states have zoneout, h first; see ``zoneout``.
    zones: int = 0
    # Whether rows that do not count at a step are computed all the same, for who reads them.
    whole: bool = False


def drops(feed):  # pragma: no cover
    """Whether units are dropped."""
    return feed.drops


def takes_all(feed):  # pragma: no cover
    """Whether all rows are computed, also those that do not count."""
    return feed.drops or feed.whole


def unit_count(cell, array):  # pragma: no cover
    """Units in a panel of the cell: a constant to the compiler, so that addresses are simple."""
    return panel_units(cell.blocks, array.itemsize)


def is_apart(cell):  # pragma: no cover
    """Whether the cell keeps x·W and h·U apart."""
    return getattr(cell, "apart", False)


def has_gates(cell):  # pragma: no cover
    """Whether the cell takes its gates first."""
    return hasattr(cell, "gates")


def cell_gates(cell, blocks):  # pragma: no cover
    """The equations of the cell's gates, if it takes them first."""
    return cell.gates(blocks) if has_gates(cell) else blocks


def own_count(cell):  # pragma: no cover
    """How many weights of its own each unit has."""
    return getattr(cell, "own", 0)


def cell_forward(cell, blocks, states, own):  # pragma: no cover
    """The cell's equations, after those of its gates."""
    result = cell.forward(blocks, states, own) if own else cell.forward(blocks, states)
    return (blocks, result) if has_gates(cell) else result


def cell_backward(cell, blocks, before, after, d_after, own):  # pragma: no cover
    """The cell's derivative."""
    extra = (own,) if own else ()
    return cell.backward(blocks, before, after, d_after, *extra)


def cell_own_gradients(cell, sums, d_blocks, before, after):  # pragma: no cover
    """Sums of the gradients of each unit's own weights, with one step's."""
    return cell.own_gradients(sums, d_blocks, before, after)


@overload(unit_count, jit_options=INLINE)
def _unit_count(cell, array):
    count = panel_units(cell.value.blocks, array.dtype.bitwidth // 8)
    return lambda cell, array: count


@overload(takes_all, jit_options=INLINE)
def _takes_all(feed):
    known = takes_all(feed.value)
    return lambda feed: known


@overload(drops, jit_options=INLINE)
def _drops(feed):
    known = drops(feed.value)
    return lambda feed: known


@overload(is_apart, jit_options=INLINE)
def _is_apart(cell):
    apart = is_apart(cell.value)
    return lambda cell: apart


@overload(has_gates, jit_options=INLINE)
def _has_gates(cell):
    known = has_gates(cell.value)
    return lambda cell: known


@overload(cell_gates, jit_options=INLINE)
def _cell_gates(cell, blocks):
    if not has_gates(cell.value):
        return lambda cell, blocks: blocks
    gates = method(cell, "gates")
    return lambda cell, blocks: gates(cell, blocks)


@overload(cell_forward, jit_options=INLINE)
def _cell_forward(cell, blocks, states, own):
    forward = method(cell, "forward")
    if own_count(cell.value) > 0:
        return lambda cell, blocks, states, own: forward(cell, blocks, states, own)
    if has_gates(cell.value):
        return lambda cell, blocks, states, own: (blocks, forward(cell, blocks, states))
    return lambda cell, blocks, states, own: forward(cell, blocks, states)


@overload(cell_backward, jit_options=INLINE)
def _cell_backward(cell, blocks, before, after, d_after, own):
    backward = method(cell, "backward")
    if own_count(cell.value) > 0:
        return lambda cell, blocks, before, after, d_after, own: backward(
            cell, blocks, before, after, d_after, own
        )
    return lambda cell, blocks, before, after, d_after, own: backward(
        cell, blocks, before, after, d_after
    )


@overload(cell_own_gradients, jit_options=INLINE)
def _cell_own_gradients(cell, sums, d_blocks, before, after):
    gradients = method(cell, "own_gradients")
    return lambda cell, sums, d_blocks, before, after: gradients(
        cell, sums, d_blocks, before, after
    )


# -- tuples of vectors, to and from memory ---------------------------------------------------
#
# Each vector holds the same units of two rows, ``second`` elements apart: a cell's equations are
# one long chain of operations, and two of them overlap. With ``second`` 0 both are the same row.


def _join(builder, low, high):
    lanes = 2 * low.type.count
    order = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
    return builder.shuffle_vector(low, high, order)


def _parts(builder, value, count):
    """The vectors that were joined, ``count`` of them."""
    lanes = value.type.count // count
    index = ir.VectorType(ir.IntType(32), lanes)
    undefined = ir.Constant(value.type, ir.Undefined)
    for start in range(0, count * lanes, lanes):
        order = ir.Constant(index, list(range(start, start + lanes)))
        yield builder.shuffle_vector(value, undefined, order)


def _load_rows(builder, vector, pointer, second):
    high = builder.gep(pointer, [second])
    return _join(builder, load_vector(builder, vector, pointer), load_vector(builder, vector, high))


def _load_parts(builder, vector, pointer, second, count):
    high = builder.gep(pointer, [second])
    return _join(
        builder,
        load_part(builder, vector, pointer, count),
        load_part(builder, vector, high, count),
    )


def _store_rows(builder, vector, value, pointer, second):
    low, high = _parts(builder, value, 2)
    store_vector(builder, vector, low, pointer)
    store_vector(builder, vector, high, builder.gep(pointer, [second]))


def _sides(cell, own, recurrent):
    """The arrays that hold the cell's blocks, by their argument: x·W's, and h·U's if apart."""
    return (own, recurrent) if is_apart(cell.value) else (own,)


@intrinsic
def load_blocks(typingctx, cell, gates, gates_h, at, second, stride):
    """One vector of each block, ``stride`` elements apart, from ``at``; of both sides if apart."""
    vector = Vector(gates.dtype)
    count = cell.value.blocks
    sides = _sides(cell, 1, 2)
    result = types.UniTuple(Vector(gates.dtype, 2), count * len(sides))

    def codegen(context, builder, sig, args):
        at, second, stride = args[3:]
        values = []
        for side in sides:
            pointer = data_pointer(context, builder, gates, args[side])
            values += [
                _load_rows(builder, vector, strided(builder, pointer, at, stride, index), second)
                for index in range(count)
            ]
        return context.make_tuple(builder, result, values)

    intp = types.intp
    return result(cell, gates, gates_h, intp, intp, intp), codegen


@intrinsic
def store_blocks(typingctx, cell, values, gates, gates_h, at, second, stride):
    """Write what ``load_blocks`` reads."""
    vector = Vector(gates.dtype)
    count = cell.value.blocks
    sides = _sides(cell, 2, 3)

    def codegen(context, builder, sig, args):
        at, second, stride = args[4:]
        for index, value in enumerate(cgutils.unpack_tuple(builder, args[1], values.count)):
            pointer = data_pointer(context, builder, gates, args[sides[index // count]])
            target = strided(builder, pointer, at, stride, index % count)
            _store_rows(builder, vector, value, target, second)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(cell, values, gates, gates_h, intp, intp, intp), codegen


@intrinsic
def load_fours(typingctx, cell, gates, at, row, stride):
    """One vector of each block, ``stride`` elements apart, of four rows ``row`` apart."""
    vector = Vector(gates.dtype)
    result = types.UniTuple(Vector(gates.dtype, 4), cell.value.blocks)

    def codegen(context, builder, sig, args):
        at, row, stride = args[2:]
        pointer = data_pointer(context, builder, gates, args[1])
        values = []
        for index in range(result.count):
            block = strided(builder, pointer, at, stride, index)
            low = _load_rows(builder, vector, block, row)
            third = builder.gep(block, [builder.add(row, row)])
            values.append(_join(builder, low, _load_rows(builder, vector, third, row)))
        return context.make_tuple(builder, result, values)

    intp = types.intp
    return result(cell, gates, intp, intp, intp), codegen


@intrinsic
def store_fours(typingctx, cell, values, gates, at, row, stride):
    """Write what ``load_fours`` reads."""
    vector = Vector(gates.dtype)

    def codegen(context, builder, sig, args):
        at, row, stride = args[3:]
        pointer = data_pointer(context, builder, gates, args[2])
        for index, value in enumerate(cgutils.unpack_tuple(builder, args[1], values.count)):
            block = strided(builder, pointer, at, stride, index)
            third = builder.gep(block, [builder.add(row, row)])
            low, high = _parts(builder, value, 2)
            _store_rows(builder, vector, low, block, row)
            _store_rows(builder, vector, high, third, row)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(cell, values, gates, intp, intp, intp), codegen


@intrinsic
def clear_blocks(typingctx, cell, gates, gates_h, at, second, stride):
    """Zero what ``load_blocks`` reads."""
    vector = Vector(gates.dtype)
    zeros = ir.Constant(Vector(gates.dtype, 2).llvm, None)
    sides = _sides(cell, 1, 2)

    def codegen(context, builder, sig, args):
        at, second, stride = args[3:]
        for side in sides:
            pointer = data_pointer(context, builder, gates, args[side])
            for index in range(cell.value.blocks):
                target = strided(builder, pointer, at, stride, index)
                _store_rows(builder, vector, zeros, target, second)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(cell, gates, gates_h, intp, intp, intp), codegen


@intrinsic
def load_own(typingctx, cell, own, at, second, stride, count):
    """The weights of ``count`` units' own, ``stride`` elements apart from ``at``."""
    vector = Vector(own.dtype)
    result = types.UniTuple(Vector(own.dtype, 2), own_count(cell.value))

    def codegen(context, builder, sig, args):
        at, second, stride, count = args[2:]
        pointer = data_pointer(context, builder, own, args[1])
        values = []
        for index in range(result.count):
            source = strided(builder, pointer, at, stride, index)
            values.append(_load_parts(builder, vector, source, second, count))
        return context.make_tuple(builder, result, values)

    intp = types.intp
    return result(cell, own, intp, intp, intp, intp), codegen


@intrinsic
def add_own(typingctx, values, own, at, stride, count):
    """Add to ``count`` units of each line of ``own`` the first half of each vector."""
    vector = Vector(own.dtype)

    def codegen(context, builder, sig, args):
        tuple_value, own_value, at, stride, count = args
        pointer = data_pointer(context, builder, own, own_value)
        for index, value in enumerate(cgutils.unpack_tuple(builder, tuple_value, values.count)):
            target = strided(builder, pointer, at, stride, index)
            low, _ = _parts(builder, value, 2)
            total = builder.fadd(load_part(builder, vector, target, count), low)
            store_part(builder, vector, total, target, count)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(values, own, intp, intp, intp), codegen


@intrinsic
def load_h(typingctx, h, at, second, count):
    """The first ``count`` units of two rows of h, zero in the other lanes."""
    vector = Vector(h.dtype)

    def codegen(context, builder, sig, args):
        h_value, at, second, count = args
        pointer = builder.gep(data_pointer(context, builder, h, h_value), [at])
        return _load_parts(builder, vector, pointer, second, count)

    intp = types.intp
    return Vector(h.dtype, 2)(h, intp, intp, intp), codegen


@intrinsic
def store_h(typingctx, value, h, at, second, count):
    """Write what ``load_h`` reads."""
    vector = Vector(h.dtype)

    def codegen(context, builder, sig, args):
        joined, h_value, at, second, count = args
        pointer = builder.gep(data_pointer(context, builder, h, h_value), [at])
        low, high = _parts(builder, joined, 2)
        store_part(builder, vector, low, pointer, count)
        store_part(builder, vector, high, builder.gep(pointer, [second]), count)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(value, h, intp, intp, intp), codegen


@intrinsic
def join_states(typingctx, cell, h, carry, at, second, stride):
    """All states: h, and the others, which stand ``stride`` elements apart from ``at``."""
    vector = Vector(carry.dtype)
    result = types.UniTuple(Vector(carry.dtype, 2), cell.value.states)

    def codegen(context, builder, sig, args):
        _, h_value, carry_value, at, second, stride = args
        pointer = data_pointer(context, builder, carry, carry_value)
        values = [h_value]
        for index in range(result.count - 1):
            source = strided(builder, pointer, at, stride, index)
            values.append(_load_rows(builder, vector, source, second))
        return context.make_tuple(builder, result, values)

    intp = types.intp
    return result(cell, h, carry, intp, intp, intp), codegen


@intrinsic
def store_carry(typingctx, states, carry, at, second, stride):
    """Write all states but h where ``join_states`` reads them."""
    vector = Vector(carry.dtype)

    def codegen(context, builder, sig, args):
        tuple_value, carry_value, at, second, stride = args
        pointer = data_pointer(context, builder, carry, carry_value)
        for index, value in enumerate(cgutils.unpack_tuple(builder, tuple_value, states.count)):
            if index > 0:
                target = strided(builder, pointer, at, stride, index - 1)
                _store_rows(builder, vector, value, target, second)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(states, carry, intp, intp, intp), codegen
