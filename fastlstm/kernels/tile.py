"""The register tile: rows x vectors of accumulators that stay in registers over the whole sum.

Each element of C is one fused multiply-add chain over k in order, whichever rows it was computed
with, so its bits depend on its own row of A alone. ``multiply_panel`` adds such a sum to C, which
keeps long sums exact, taken block by block. ``project_panel`` goes on from what is there, over two
products, so that a cell's pre-activations pass through memory once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlstm.kernels.cell import panel_vectors, vectors_per_block
from fastlstm.kernels.emit import (
    data_pointer,
    fused_multiply_add,
    load_vector,
    prefetch,
    prefetch_to_write,
    splat,
    store_vector,
)
from fastlstm.kernels.host import HOST
from fastlstm.kernels.simd import Vector

_I64 = ir.IntType(64)
# Of a cache line.
_LINE_BYTES = 64


class _Product(NamedTuple):
    """A·P for one panel P: pointers and LLVM integers, as ``multiply_panel`` describes them."""

    a: Any
    a_row: Any
    a_seg: Any
    a_k: Any
    panel: Any
    segs: Any
    seg_k: Any
    ahead: Any  # what will be read next, a row of it for each k
    ahead_row: Any

    @staticmethod
    def types(element):
        return [element, _I64, _I64, _I64, element, _I64, _I64, element, _I64]


@intrinsic
def multiply_panel(
    typingctx, layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, panel_at,
    rows, segs, seg_k,
):  # fmt: skip
    """C += A·P for one panel of ``layout``, whose ``columns`` are its vectors' lanes.

    C[r] starts at ``c_at + r * c_row`` and is ``columns`` long. A[r, s·seg_k + k] stands at
    ``a_at + r * a_row + s * a_seg + k * a_k``: a row-major matrix is one segment, a gate array
    in panel order is one segment a panel, a transposed matrix swaps ``a_row`` and ``a_k``.
    P is packed, (segs·seg_k, columns) from ``panel_at``. What follows it is fetched meanwhile.
    """
    i = types.intp
    sig = types.void(layout, c, i, i, a, i, i, i, i, panel, i, i, i, i)

    def codegen(context, builder, sig, args):
        at = _Pointers(context, builder, sig, args)
        tile = _Tile(builder.module, layout, c, 1, adding=True)
        follows = tile.follows(builder, at(9), args[12], args[13])
        product = _Product(at(4), args[6], args[7], args[8], at(9), args[12], args[13], *follows)
        builder.call(tile.function(), [args[11], at(1), args[3], at(1), args[3], *product])
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def multiply_panel_ahead(
    typingctx, layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, panel_at,
    rows, segs, seg_k, ahead, ahead_at, ahead_row,
):  # fmt: skip
    """``multiply_panel``, fetching meanwhile what will be used next.

    That is segs·seg_k rows, as wide as the panel, of the array ``ahead``; they start ``ahead_row``
    apart from ``ahead_at`` on, and need not exist.
    """
    i = types.intp
    sig = types.void(layout, c, i, i, a, i, i, i, i, panel, i, i, i, i, ahead, i, i)

    def codegen(context, builder, sig, args):
        at = _Pointers(context, builder, sig, args)
        tile = _Tile(builder.module, layout, c, 1, adding=True)
        product = _Product(
            at(4), args[6], args[7], args[8], at(9), args[12], args[13], at(14), args[16]
        )
        builder.call(tile.function(), [args[11], at(1), args[3], at(1), args[3], *product])
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def multiply_panel_onto(
    typingctx, layout, c, c_at, c_row, start, start_at, start_row, a, a_at, a_row, a_seg, a_k,
    panel, panel_at, rows, segs, seg_k,
):  # fmt: skip
    """C = S + A·P, else as ``multiply_panel``; S[r] starts at ``start_at + r * start_row``."""
    i = types.intp
    sig = types.void(layout, c, i, i, start, i, i, a, i, i, i, i, panel, i, i, i, i)

    def codegen(context, builder, sig, args):
        at = _Pointers(context, builder, sig, args)
        tile = _Tile(builder.module, layout, c, 1, adding=True)
        follows = tile.follows(builder, at(12), args[15], args[16])
        a_row, a_seg, a_k = args[9:12]
        product = _Product(at(7), a_row, a_seg, a_k, at(12), args[15], args[16], *follows)
        builder.call(tile.function(), [args[14], at(1), args[3], at(4), args[6], *product])
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
    i = types.intp
    sig = types.void(layout, c, i, i, a, i, i, panel, i, i, i, i)

    def codegen(context, builder, sig, args):
        at = _Pointers(context, builder, sig, args)
        product = _Product(at(4), None, args[6], _int(1), at(7), args[10], args[11], None, None)
        row = _LoneRow(builder, layout, c)
        row.run([at(1), at(1, args[3])], None, [product], [args[9]])
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def project_panel(
    typingctx, layout, c, c_at, c_row, bias, bias_at, fresh, a, a_at, a_row, w, w_at, depth,
    h, h_at, h_row, u, u_at, units, rows,
):  # fmt: skip
    """C = S + A·W + H·U for one panel of each; S is the bias if ``fresh``, or else C.

    A and H are row-major, ``depth`` and ``units`` long, either may be 0; the rest is as for
    ``multiply_panel``.
    """
    i = types.intp
    sig = types.void(
        layout, c, i, i, bias, i, types.boolean, a, i, i, w, i, i, h, i, i, u, i, i, i
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        at = _Pointers(context, builder, sig, args)
        start = builder.select(args[6], at(4), at(1))
        start_row = builder.select(args[6], _int(0), args[3])
        one = _int(1)
        tile = _Tile(builder.module, layout, c, 2, adding=False)
        follows = [tile.follows(builder, at(n), one, args[n + 2]) for n in (10, 16)]
        first = _Product(at(7), args[9], _int(0), one, at(10), one, args[12], *follows[0])
        second = _Product(at(13), args[15], _int(0), one, at(16), one, args[18], *follows[1])
        arguments = [args[19], at(1), args[3], start, start_row, *first, *second]
        builder.call(tile.function(), arguments)
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def project_two_panels(
    typingctx, layout, c, c_at, c_second, bias, bias_at, bias_second, fresh,
    a, a_at, w, w_at, w_second, depth, h, h_at, u, u_at, u_second, units, line, block,
):  # fmt: skip
    """``project_panel`` for a lone row and two panels at once; see ``multiply_two_panels``.

    W and U may stand as they are, not packed: of both, lines of k are ``line`` apart, and blocks of
    a line, as of the bias, ``block``.
    """
    i = types.intp
    sig = types.void(
        layout, c, i, i, bias, i, i, types.boolean, a, i, w, i, i, i, h, i, u, i, i, i, i, i
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        at = _Pointers(context, builder, sig, args)
        outs = [at(1), at(1, args[3])]
        starts = [
            builder.select(args[7], bias, out)
            for bias, out in zip([at(4), at(4, args[6])], outs, strict=True)
        ]
        one = _int(1)
        first = _Product(at(8), None, _int(0), one, at(10), one, args[13], None, None)
        second = _Product(at(14), None, _int(0), one, at(16), one, args[19], None, None)
        row = _LoneRow(builder, layout, c)
        row.line, row.block = args[20:22]
        start_block = builder.select(args[7], row.block, row.packed_block)
        row.run(outs, starts, [first, second], [args[12], args[18]], start_block)
        return context.get_dummy_value()

    return sig, codegen


class _Pointers:
    """Where an array's element is: the array is argument n, the element's number the next."""

    def __init__(self, context, builder, sig, args):
        self._context, self._builder, self._sig, self._args = context, builder, sig, args

    def __call__(self, n, further=None):
        data = data_pointer(self._context, self._builder, self._sig.args[n], self._args[n])
        pointer = self._builder.gep(data, [self._args[n + 1]])
        return pointer if further is None else self._builder.gep(pointer, [further])


class _LoneRow:
    """Writes the product of one row with two panels, in the place where it is called."""

    def __init__(self, builder, layout, c):
        self.builder = builder
        self.vector = Vector(c.dtype)
        self.vectors = panel_vectors(layout.value.blocks)
        self.together = vectors_per_block(layout.value.blocks)
        self.line = _int(self.vectors * self.vector.lanes)
        self.block = self.packed_block = _int(self.together * self.vector.lanes)

    def run(self, outs, starts, products, seconds, start_block=None):
        """From zero and added to ``outs``; or from ``starts``, and written there."""
        builder, vector = self.builder, self.vector
        places = [(n, v) for n in range(2) for v in range(self.vectors)]
        zero = ir.Constant(vector.llvm, None)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in places]
        for slot, (n, v) in zip(sums, places, strict=True):
            value = zero if starts is None else self._load(starts[n], v, start_block)
            builder.store(value, slot)  # each time: this code may stand in a loop
        with _Loop(builder, _int(len(products))) as n:
            product = _nth(builder, products, n)
            second = seconds[0] if len(seconds) == 1 else _choose(builder, n, *seconds)
            panels = [product.panel, builder.gep(product.panel, [second])]
            self._multiply(product, panels, places, sums)
        for slot, (n, v) in zip(sums, places, strict=True):
            total = builder.load(slot)
            if starts is None:
                total = builder.fadd(self._load(outs[n], v, self.packed_block), total)
            target = builder.gep(outs[n], [self._shift(v, self.packed_block)])
            store_vector(builder, vector, total, target)

    def _load(self, pointer, v, block):
        shifted = self.builder.gep(pointer, [self._shift(v, block)])
        return load_vector(self.builder, self.vector, shifted)

    def _shift(self, v, block):
        """Where vector v of a line stands: blocks are ``block`` elements apart."""
        g, within = divmod(v, self.together)
        return self.builder.add(self.builder.mul(_int(g), block), _int(within * self.vector.lanes))

    def _multiply(self, product, panels, places, sums):
        builder, lanes = self.builder, self.vector.lanes
        with _Loop(builder, product.segs) as seg, _Loop(builder, product.seg_k) as k:
            a_at = builder.add(builder.mul(seg, product.a_seg), k)
            value = splat(builder, builder.load(builder.gep(product.a, [a_at])), lanes)
            line = builder.add(builder.mul(seg, product.seg_k), k)
            line = builder.mul(line, self.line)
            for slot, (n, v) in zip(sums, places, strict=True):
                weights = self._load(builder.gep(panels[n], [line]), v, self.block)
                builder.store(fused_multiply_add(builder, value, weights, builder.load(slot)), slot)


class _Tile:
    """An LLVM function for any number of rows: a loop over tiles, a variant for each height.

    Its sums begin at zero, and what stands at ``start`` is added at the end; or, unless
    ``adding``, they begin there. They are written to C.
    """

    def __init__(self, module, layout, c, products, adding):
        self.module = module
        self.vector = Vector(c.dtype)
        self.vectors = panel_vectors(layout.value.blocks)
        self.products = products
        self.adding = adding

    def follows(self, builder, panel, segs, seg_k):
        """What stands behind a panel, as a product's ``ahead`` and ``ahead_row``."""
        columns = _int(self.vectors * self.vector.lanes)
        size = builder.mul(builder.mul(segs, seg_k), columns)
        return builder.gep(panel, [size]), columns

    def function(self):
        """The function, emitted once for a module."""
        kind = "add" if self.adding else "go_on"
        name = f"fastlstm_tile_{self.vector.dtype}_{self.vectors}_{self.products}_{kind}"
        if name in self.module.globals:
            return self.module.globals[name]
        element = self.vector.llvm.element.as_pointer()
        parameters = [_I64, element, _I64, element, _I64]
        parameters += _Product.types(element) * self.products
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), parameters), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        self._emit(function)
        return function

    def _emit(self, function):
        self.builder = builder = ir.IRBuilder(function.append_basic_block("entry"))
        rows, self.c, self.c_row, self.start, self.start_row, *rest = function.args
        size = len(_Product._fields)
        products = [_Product(*rest[n : n + size]) for n in range(0, len(rest), size)]
        tallest = HOST.tile_rows(self.vectors)
        row_slot = builder.alloca(_I64)
        sums = [
            [builder.alloca(self.vector.llvm) for _ in range(self.vectors)] for _ in range(tallest)
        ]
        builder.store(_int(0), row_slot)
        head = function.append_basic_block("tiles")
        done = function.append_basic_block("done")
        builder.branch(head)

        builder.position_at_end(head)
        row = builder.load(row_slot)
        height = self._height(builder.sub(rows, row), tallest)
        switch = builder.switch(height, done)
        for count in range(1, tallest + 1):
            block = function.append_basic_block(f"rows{count}")
            switch.add_case(_int(count), block)
            builder.position_at_end(block)
            self._tile(row, sums[:count], products)
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

    def _tile(self, row, sums, products):
        builder = self.builder
        zero = ir.Constant(self.vector.llvm, None)
        for r, line in enumerate(sums):
            for v, slot in enumerate(line):
                value = zero if self.adding else self._load(self.start, self.start_row, row, r, v)
                builder.store(value, slot)
        if self.adding:
            self._fetch_sums(row, sums)
        with _Loop(builder, _int(len(products))) as n:
            self._multiply(_nth(builder, products, n), row, sums)
        for r, line in enumerate(sums):
            for v, slot in enumerate(line):
                total = builder.load(slot)
                if self.adding:
                    total = builder.fadd(self._load(self.start, self.start_row, row, r, v), total)
                target = self._place(self.c, self.c_row, row, r, v)
                store_vector(builder, self.vector, total, target)

    def _fetch_sums(self, row, sums):
        """Have C in the first-level cache when the sums are added to it."""
        for r, line in enumerate(sums):
            for v in range(0, len(line), max(1, _LINE_BYTES // HOST.vector_bytes)):
                prefetch_to_write(self.builder, self._place(self.c, self.c_row, row, r, v))

    def _place(self, pointer, stride, row, r, v):
        builder = self.builder
        start = builder.mul(builder.add(row, _int(r)), stride)
        return builder.gep(pointer, [builder.add(start, _int(v * self.vector.lanes))])

    def _load(self, *place):
        return load_vector(self.builder, self.vector, self._place(*place))

    def _multiply(self, product, row, sums):
        builder = self.builder
        first = builder.gep(product.a, [builder.mul(row, product.a_row)])
        a_rows = [
            builder.gep(first, [builder.mul(_int(r), product.a_row)]) for r in range(len(sums))
        ]
        if HOST.fetches_ahead:
            ahead, apart = self._lines_ahead(product, row)
        with _Loop(builder, product.segs) as seg:
            shift = builder.mul(seg, product.a_seg)
            starts = [_opaque(builder, builder.gep(pointer, [shift])) for pointer in a_rows]
            k0 = builder.mul(seg, product.seg_k)
            with _Loop(builder, product.seg_k, unrolled=2) as k:
                panel_k = builder.add(k0, k)
                if HOST.fetches_ahead:
                    prefetch(builder, builder.gep(ahead, [builder.mul(panel_k, apart)]))
                self._step(product, k, panel_k, starts, sums)

    def _lines_ahead(self, product, row):
        """The first cache line that a tile fetches ahead, and how far apart they are, one a step.

        As many tiles as a row has lines share the work: each takes its part of what is in one
        piece, or else its line of every row.
        """
        builder, columns = self.builder, self.vectors * self.vector.lanes
        line = _int(_LINE_BYTES * self.vector.lanes // HOST.vector_bytes)
        lines = -(-self.vectors * HOST.vector_bytes // _LINE_BYTES)
        tile = builder.udiv(row, _int(HOST.tile_rows(self.vectors)))
        turn = builder.urem(tile, _int(lines))
        in_one_piece = builder.icmp_signed("==", product.ahead_row, _int(columns))
        part = builder.mul(builder.mul(product.segs, product.seg_k), line)
        first = builder.mul(turn, builder.select(in_one_piece, part, line))
        apart = builder.select(in_one_piece, line, product.ahead_row)
        return builder.gep(product.ahead, [first]), apart

    def _step(self, product, k, panel_k, starts, sums):
        builder, lanes = self.builder, self.vector.lanes
        at = builder.mul(k, product.a_k)
        values = [splat(builder, builder.load(builder.gep(start, [at])), lanes) for start in starts]
        line_start = builder.mul(panel_k, _int(self.vectors * lanes))
        for v in range(self.vectors):
            pointer = builder.gep(product.panel, [builder.add(line_start, _int(v * lanes))])
            weights = load_vector(builder, self.vector, pointer)
            for value, line in zip(values, sums, strict=True):
                total = fused_multiply_add(builder, value, weights, builder.load(line[v]))
                builder.store(total, line[v])


def _nth(builder, products, n):
    """One of two products, in a loop over both: code for each would take long to compile."""
    if len(products) == 1:
        return products[0]
    return _Product(*(_choose(builder, n, *pair) for pair in zip(*products, strict=True)))


def _choose(builder, n, first, second):
    if first is None or first is second:
        return first
    return builder.select(builder.icmp_signed("==", n, _int(0)), first, second)


class _Loop:
    """``for i in range(count)`` in LLVM, unrolled so often: its own choice spills accumulators."""

    def __init__(self, builder, count, unrolled=1):
        self.builder, self.count, self.unrolled = builder, count, unrolled

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
        branch.set_metadata("llvm.loop", _unrolling(builder.module, self.unrolled))
        builder.position_at_end(self.end)


def _unrolling(module, times):
    """How often a loop's body is repeated, in LLVM's words."""
    count = module.add_metadata(["llvm.loop.unroll.count", ir.Constant(ir.IntType(32), times)])
    loop = module.add_metadata([count, count])
    loop.operands = (loop, count)  # LLVM wants a loop's first operand to be the loop itself
    return loop


def _opaque(builder, pointer):
    """A pointer of which LLVM does not know how it stands to others.

    It would add up the rows' addresses in every step, which takes a sixth of what a core can
    begin in a cycle.
    """
    kind = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(kind, "", "=r,0", [pointer], side_effect=False)


def _int(value):
    return ir.Constant(_I64, value)
