"""The register tile: rows x vectors of accumulators that stay in registers over the whole sum.

``multiply_panel`` adds A·P to C for one packed panel P. Each element of C is one fused
multiply-add chain over k in order, whichever rows it was computed with, so its bits depend on
its own row of A alone.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlstm.kernels.cell import panel_vectors
from fastlstm.kernels.emit import (
    data_pointer,
    fused_multiply_add,
    load_vector,
    splat,
    store_vector,
)
from fastlstm.kernels.host import HOST
from fastlstm.kernels.simd import Vector

_I64 = ir.IntType(64)


@intrinsic
def multiply_panel(
    typingctx, layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, panel_at,
    rows, segs, seg_k,
):  # fmt: skip
    """C += A·P for one panel of ``layout``, whose ``columns`` are its vectors' lanes.

    C[r] starts at ``c_at + r * c_row`` and is ``columns`` long. A[r, s·seg_k + k] stands at
    ``a_at + r * a_row + s * a_seg + k * a_k``: a row-major matrix is one segment, a gate array
    in panel order is one segment a panel, a transposed matrix swaps ``a_row`` and ``a_k``.
    P is packed, (segs·seg_k, columns) from ``panel_at``.
    """
    vectors = panel_vectors(layout.value.blocks)
    vector = Vector(c.dtype)
    integers = types.intp
    sig = types.void(
        layout, c, integers, integers, a, integers, integers, integers, integers,
        panel, integers, integers, integers, integers,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        def pointer(array_type, array, offset):
            return builder.gep(data_pointer(context, builder, array_type, array), [offset])

        function = _tile_function(builder.module, vector, vectors)
        builder.call(
            function,
            [
                pointer(c, args[1], args[2]), args[3],
                pointer(a, args[4], args[5]), args[6], args[7], args[8],
                pointer(panel, args[9], args[10]), args[11], args[12], args[13],
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def multiply_two_panels(
    typingctx, layout, c, c_at, c_second, a, a_at, a_seg, panel, panel_at, panel_second,
    segs, seg_k,
):  # fmt: skip
    """C += A·P for a lone row and two panels at once.

    Four accumulators do not keep the arithmetic busy: each waits for its own last sum. A, P and C
    are those of ``multiply_panel``; the second panel, and its part of C, stand ``panel_second``
    and ``c_second`` further.
    """
    vectors = panel_vectors(layout.value.blocks)
    vector = Vector(c.dtype)
    intp = types.intp
    sig = types.void(layout, c, intp, intp, a, intp, intp, panel, intp, intp, intp, intp)

    def codegen(context, builder, sig, args):
        def pointer(array_type, array, offset):
            return builder.gep(data_pointer(context, builder, array_type, array), [offset])

        outs = [pointer(c, args[1], args[2])]
        outs.append(builder.gep(outs[0], [args[3]]))
        panels = [pointer(panel, args[7], args[8])]
        panels.append(builder.gep(panels[0], [args[9]]))
        row = pointer(a, args[4], args[5])
        _two_panels(builder, vector, vectors, outs, row, args[6], panels, *args[10:])
        return context.get_dummy_value()

    return sig, codegen


def _two_panels(builder, vector, vectors, outs, row, a_seg, panels, segs, seg_k):
    lanes = vector.lanes
    places = [(out, panel, v * lanes) for out, panel in zip(outs, panels, strict=True)
              for v in range(vectors)]  # fmt: skip
    sums = [cgutils.alloca_once_value(builder, ir.Constant(vector.llvm, None)) for _ in places]
    for slot in sums:  # once more: this code may stand in a loop
        builder.store(ir.Constant(vector.llvm, None), slot)
    with _Loop(builder, segs) as seg, _Loop(builder, seg_k) as k:
        a_at = builder.add(builder.mul(seg, a_seg), k)
        value = splat(builder, builder.load(builder.gep(row, [a_at])), lanes)
        line = builder.mul(builder.add(builder.mul(seg, seg_k), k), _int(vectors * lanes))
        for slot, (_, panel, shift) in zip(sums, places, strict=True):
            pointer = builder.gep(panel, [builder.add(line, _int(shift))])
            weights = load_vector(builder, vector, pointer)
            builder.store(fused_multiply_add(builder, value, weights, builder.load(slot)), slot)
    for slot, (out, _, shift) in zip(sums, places, strict=True):
        target = builder.gep(out, [_int(shift)])
        before = load_vector(builder, vector, target)
        store_vector(builder, vector, builder.fadd(before, builder.load(slot)), target)


def _tile_function(module, vector, vectors):
    """The product for any number of rows, emitted once per LLVM module."""
    name = f"fastlstm_tile_{vector.dtype}_{vectors}"
    if name in module.globals:
        return module.globals[name]
    element = vector.llvm.element.as_pointer()
    kind = ir.FunctionType(
        ir.VoidType(), [element, _I64, element, _I64, _I64, _I64, element, _I64, _I64, _I64]
    )
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    _TileEmitter(function, vector, vectors).emit()
    return function


class _TileEmitter:
    """Writes the LLVM function: a loop over row tiles, a variant for each tile height."""

    def __init__(self, function, vector, vectors):
        (self.c, self.c_row, self.a, self.a_row, self.a_seg, self.a_k,
         self.panel, self.rows, self.segs, self.seg_k) = function.args  # fmt: skip
        self.function = function
        self.vector = vector
        self.vectors = vectors
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))

    def emit(self):
        builder = self.builder
        tallest = HOST.tile_rows(self.vectors)
        row_slot = builder.alloca(_I64)
        sums = [
            [builder.alloca(self.vector.llvm) for _ in range(self.vectors)] for _ in range(tallest)
        ]
        builder.store(_int(0), row_slot)
        head = self.function.append_basic_block("tiles")
        done = self.function.append_basic_block("done")
        builder.branch(head)

        builder.position_at_end(head)
        row = builder.load(row_slot)
        left = builder.sub(self.rows, row)
        height = self._height(left, tallest)
        switch = builder.switch(height, done)
        for count in range(1, tallest + 1):
            block = self.function.append_basic_block(f"rows{count}")
            switch.add_case(_int(count), block)
            builder.position_at_end(block)
            self._tile(row, sums[:count])
            builder.store(builder.add(row, _int(count)), row_slot)
            builder.branch(head)

        builder.position_at_end(done)
        builder.ret_void()

    def _height(self, left, tallest):
        """Rows of the next tile: never a full tile that leaves a lone row behind."""
        builder = self.builder
        half = builder.lshr(builder.add(left, _int(1)), _int(1))
        split = builder.select(builder.icmp_signed(">", left, _int(tallest)), half, left)
        plenty = builder.icmp_signed(">=", left, _int(2 * tallest))
        return builder.select(plenty, _int(tallest), split)

    def _tile(self, row, sums):
        builder, lanes = self.builder, self.vector.lanes
        zero = ir.Constant(self.vector.llvm, None)
        for line in sums:
            for slot in line:
                builder.store(zero, slot)
        first = builder.gep(self.a, [builder.mul(row, self.a_row)])
        a_rows = [builder.gep(first, [builder.mul(_int(r), self.a_row)]) for r in range(len(sums))]
        with _Loop(builder, self.segs) as seg:
            shift = builder.mul(seg, self.a_seg)
            starts = [builder.gep(pointer, [shift]) for pointer in a_rows]
            k0 = builder.mul(seg, self.seg_k)
            with _Loop(builder, self.seg_k) as k:
                self._step(k, builder.add(k0, k), starts, sums)
        for r, line in enumerate(sums):
            start = builder.mul(builder.add(row, _int(r)), self.c_row)
            for v, slot in enumerate(line):
                target = builder.gep(self.c, [builder.add(start, _int(v * lanes))])
                before = load_vector(builder, self.vector, target)
                store_vector(builder, self.vector, builder.fadd(before, builder.load(slot)), target)

    def _step(self, k, panel_k, starts, sums):
        builder, lanes = self.builder, self.vector.lanes
        at = builder.mul(k, self.a_k)
        values = [splat(builder, builder.load(builder.gep(start, [at])), lanes) for start in starts]
        line_start = builder.mul(panel_k, _int(self.vectors * lanes))
        for v in range(self.vectors):
            pointer = builder.gep(self.panel, [builder.add(line_start, _int(v * lanes))])
            weights = load_vector(builder, self.vector, pointer)
            for value, line in zip(values, sums, strict=True):
                total = fused_multiply_add(builder, value, weights, builder.load(line[v]))
                builder.store(total, line[v])


class _Loop:
    """``for i in range(count)`` in LLVM, not unrolled: unrolling spills the accumulators."""

    def __init__(self, builder, count):
        self.builder, self.count = builder, count

    def __enter__(self):
        builder = self.builder
        before = builder.block
        self.head = builder.append_basic_block("head")
        self.body = builder.append_basic_block("body")
        self.end = builder.append_basic_block("end")
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.index = builder.phi(_I64)
        self.index.add_incoming(_int(0), before)
        more = builder.icmp_signed("<", self.index, self.count)
        builder.cbranch(more, self.body, self.end)
        builder.position_at_end(self.body)
        return self.index

    def __exit__(self, *exc):
        builder = self.builder
        self.index.add_incoming(builder.add(self.index, _int(1), flags=["nsw"]), builder.block)
        branch = builder.branch(self.head)
        branch.set_metadata("llvm.loop", _no_unrolling(builder.module))
        builder.position_at_end(self.end)


def _no_unrolling(module):
    disable = module.add_metadata(["llvm.loop.unroll.disable"])
    loop = module.add_metadata([disable, disable])
    loop.operands = (loop, disable)  # LLVM wants a loop's first operand to be the loop itself
    return loop


def _int(value):
    return ir.Constant(_I64, value)
