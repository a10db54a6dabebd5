"""What intrinsics are written with: small pieces of LLVM code for one vector, array or call."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from fastlstm.kernels.host import HOST


def splat(builder, scalar, lanes):
    """LLVM vector with ``scalar`` in every lane."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    return builder.shuffle_vector(first, undefined, zeros)


def fused_multiply_add(builder, x, y, z):
    """x * y + z, in one rounding where the host can."""
    if not HOST.fma:
        return builder.fadd(builder.fmul(x, y), z)
    return call_on_vectors(builder, "fma", [x, y, z])


def call_on_vectors(builder, name, args):
    """LLVM call of its own function ``name`` for vectors of one type."""
    vector = args[0].type
    bits = 32 if isinstance(vector.element, ir.FloatType) else 64
    kind = ir.FunctionType(vector, [vector] * len(args))
    full_name = f"llvm.{name}.v{vector.count}f{bits}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full_name), args)


def data_pointer(context, builder, array_type, array):
    """LLVM pointer to an array's first element."""
    return context.make_array(array_type)(context, builder, array).data


def strided(builder, pointer, at, stride, index):
    """LLVM pointer to the element at ``at + index * stride``."""
    shift = builder.mul(stride, ir.Constant(stride.type, index))
    return builder.gep(pointer, [builder.add(at, shift)])


def call(builder, name, result, *args):
    """LLVM call of a function by its name: of LLVM's own, or one that the process has loaded."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def load_vector(builder, vector, pointer):
    """LLVM load of one unaligned vector."""
    typed = builder.bitcast(pointer, vector.llvm.as_pointer())
    return builder.load(typed, align=vector.dtype.bitwidth // 8)


def store_vector(builder, vector, value, pointer):
    """LLVM store of one unaligned vector."""
    typed = builder.bitcast(pointer, vector.llvm.as_pointer())
    builder.store(value, typed, align=vector.dtype.bitwidth // 8)


def prefetch(builder, pointer):
    """LLVM hint that the cache line of ``pointer`` is read before long, by the second level."""
    _prefetch(builder, pointer, to_write=0, locality=2)


def prefetch_to_write(builder, pointer):
    """LLVM hint that the cache line of ``pointer`` is soon read and written."""
    _prefetch(builder, pointer, to_write=1, locality=3)


def _prefetch(builder, pointer, to_write, locality):
    i32, byte = ir.IntType(32), ir.IntType(8)
    place = builder.bitcast(pointer, byte.as_pointer())
    hints = [ir.Constant(i32, n) for n in (to_write, locality, 1)]
    call(builder, "llvm.prefetch.p0i8", ir.VoidType(), place, *hints)


def first_lanes(builder, lanes, count):
    """LLVM mask of the first ``count`` of so many lanes."""
    i32 = ir.IntType(32)
    numbers = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, splat(builder, builder.trunc(count, i32), lanes))


def load_part(builder, vector, pointer, count):
    """LLVM load of the first ``count`` lanes, zero in the others, reading no further."""
    full = builder.icmp_signed(">=", count, ir.Constant(count.type, vector.lanes))
    with builder.if_else(full) as (then, otherwise):
        with then:
            whole, whole_block = load_vector(builder, vector, pointer), builder.block
        with otherwise:
            load = _load_lanes if HOST.masks else _load_one_by_one
            part, part_block = load(builder, vector, pointer, count), builder.block
    either = builder.phi(vector.llvm)  # a whole vector never goes through memory
    either.add_incoming(whole, whole_block)
    either.add_incoming(part, part_block)
    return either


def store_part(builder, vector, value, pointer, count):
    """LLVM store of the first ``count`` lanes, touching nothing beyond them."""
    full = builder.icmp_signed(">=", count, ir.Constant(count.type, vector.lanes))
    with builder.if_else(full) as (then, otherwise):
        with then:
            store_vector(builder, vector, value, pointer)
        with otherwise:
            store = _store_lanes if HOST.masks else _store_one_by_one
            store(builder, vector, value, pointer, count)


def _load_lanes(builder, vector, pointer, count):
    typed, align, mask = _lanes(builder, vector, pointer, count)
    name = f"llvm.masked.load.{_mangled(vector)}.p0{_mangled(vector)}"
    return call(builder, name, vector.llvm, typed, align, mask, ir.Constant(vector.llvm, None))


def _store_lanes(builder, vector, value, pointer, count):
    typed, align, mask = _lanes(builder, vector, pointer, count)
    name = f"llvm.masked.store.{_mangled(vector)}.p0{_mangled(vector)}"
    call(builder, name, ir.VoidType(), value, typed, align, mask)


def _lanes(builder, vector, pointer, count):
    """Of a vector of which ``count`` lanes stand in memory: its pointer, alignment and mask."""
    typed = builder.bitcast(pointer, vector.llvm.as_pointer())
    align = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8)
    return typed, align, first_lanes(builder, vector.lanes, count)


def _mangled(vector):
    return f"v{vector.lanes}f{vector.dtype.bitwidth}"


def _load_one_by_one(builder, vector, pointer, count):
    slot = cgutils.alloca_once(builder, vector.llvm)
    builder.store(ir.Constant(vector.llvm, None), slot)
    lanes = builder.bitcast(slot, pointer.type)
    with cgutils.for_range(builder, count) as loop:
        value = builder.load(builder.gep(pointer, [loop.index]))
        builder.store(value, builder.gep(lanes, [loop.index]))
    return builder.load(slot)


def _store_one_by_one(builder, vector, value, pointer, count):
    slot = cgutils.alloca_once_value(builder, value)
    lanes = builder.bitcast(slot, pointer.type)
    with cgutils.for_range(builder, count) as loop:
        lane = builder.load(builder.gep(lanes, [loop.index]))
        builder.store(lane, builder.gep(pointer, [loop.index]))
