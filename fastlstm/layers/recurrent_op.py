"""A recurrent layer bound to arrays: its states, its tape, and its calls of the driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm.kernels import dropout as dropping
from fastlstm.kernels import layout, lone, matmul, recurrent
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.cell import Feed, is_apart, panel_units, tile_layout
from fastlstm.kernels.host import HOST
from fastlstm.kernels.masks import record_clear_masked
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import WORK_PER_LAUNCH, Program
from fastlstm.layers import split
from fastlstm.layers.op import Op
from fastlstm.layers.packed import Packed
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.zoneout import Zones
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.dropout import DropoutOp
    from fastlstm.layers.recurrent import Recurrent
    from fastlstm.layers.vocabulary import Vocabulary

# Of rows whose place is their own, and of which all count.
NO_ORIGIN, NO_MASK = np.empty(0, np.intp), np.empty(0, np.uint8)


class RecurrentOp(Op):
    """Sequence forward and back-propagation through time for one layer and shape.

    The arrays are those that ``fastlstm.kernels.recurrent`` describes.
    """

    # Where the gradient of h after each step is kept, (T, B, H), after ``keep_gradients``.
    d_hs: np.ndarray | None = None
    # Which call of its layer it is, where a graph has several.
    call = 0

    def __init__(
        self,
        layer: Recurrent,
        x: np.ndarray,
        mask: np.ndarray,
        plan: Plan,
        *,
        saving: bool,
        training: bool = False,
        dropout: DropoutOp | None = None,
        kept: DropoutOp | None = None,
    ) -> None:
        self.dropout = dropout  # which x comes from
        self.kept = kept  # which says what of h the product reads
        self.layer, self.cell, self.x, self.mask = layer, layer.cell, x, mask
        self.steps, self.batch, self.depth = x.shape
        units, dtype = layer.units, layer.dtype
        packed = layer.packed_kernel
        self.panels, self.width, self.columns = packed.panels, packed.width, packed.columns
        self.threads = get_num_threads()
        sizes = self.batch, self.depth, units, self.cell.blocks, dtype.itemsize
        self.work = split.Work(*sizes, recurrent=layer.recurrent)
        self.rows = split.rows_at_a_time(self.work, self.threads, saving=saving)
        self.rows_back = split.rows_at_a_time(self.work, self.threads, back=True)
        # To pack what one row uses once would take longer than to use it.
        once = saving and self.steps == self.batch == 1
        self.unpacked = once and units % (2 * self.width) == 0
        self.chunk = self._steps_ahead()
        slots = self.steps + 1 if saving or layer.return_sequences else 2
        self.h = plan.array((slots, self.batch, layer.output_size), dtype)
        # What the driver's states keep of themselves.
        self.zones, *self._more_zones = (
            Zones(rates, (self.steps, self.batch, size), dtype, plan, saving=saving,
                  training=training, draws=layer.draws)
            for rates, size in layer.zone_rates
        )  # fmt: skip
        own = layer.own_weights.size > 0
        self.feed = Feed(drops=kept is not None, zones=self.zones.count, whole=own)
        self.fed = self.h if kept is None else plan.array(self.h.shape, dtype)
        others = self.cell.states - 1
        # In place where nothing is saved: a panel's other states concern nobody else.
        slots = self.steps + 1 if saving else 1
        self.carry = plan.array((others, slots, *self._carry_panels), dtype)
        self.apart = is_apart(self.cell)
        self._lay_out_gates(plan, saving)
        self.last_h = self.h[self.steps % self.h.shape[0]]
        self.last_carry = self.carry[:, self.steps % self.carry.shape[1]]
        self.y = self.h[1:] if layer.return_sequences else self.last_h
        # Whether steps that do not count give zeros, which the states must not become.
        self.zeroes = layer.zero_output_for_mask and layer.return_sequences and mask.size > 0
        if self.zeroes:
            self.y = plan.array(self.y.shape, dtype)
        # Not in the arena, where the zeros would not last.
        self.first_h = np.zeros(self.h.shape[1:], dtype)
        self.first_carry = np.zeros((others, *self.carry.shape[2:]), dtype)
        self._returns = True  # the gradient of the states before the first step
        self._given = False  # whether they are other than zero
        self.initial_state: list[np.ndarray] | None = None
        self.given: list[np.ndarray] = []  # states that another layer makes
        self._goes_on = np.zeros(1, np.uint8)  # whether from others in their place
        self._finals: list[np.ndarray] | None = None  # all but h, where they are outputs

    @property
    def _carry_panels(self) -> tuple[int, int, int]:
        """Shape of each of the other states."""
        return self.panels, self.batch, self.width

    def _lay_out_gates(self, plan: Plan, saving: bool) -> None:
        if saving or self.chunk > 1:
            slots = self.steps if saving else self.chunk
            shape = (self.panels, slots, self.batch, self.columns)
        else:  # no more than a panel's at a time
            self.chunk = 0
            shape = (2 * self.threads, 1, self.rows or self.batch, self.columns)
        self.gates = self.gates_h = plan.array(shape, self.layer.dtype)
        if self.apart:
            self.gates_h = plan.array(shape, self.layer.dtype)

    @property
    def recurrent_ops(self) -> Sequence[RecurrentOp]:
        return [self]

    # -- forward ------------------------------------------------------------------------------

    @property
    def forward_weights(self) -> Sequence[Packed | Vocabulary]:
        return [] if self.unpacked else self._weights

    @property
    def _weights(self) -> list[Packed]:
        layer = self.layer
        return [layer.packed_kernel, layer.packed_recurrent, *layer.packed_biases]

    def states(self, step: int) -> list[np.ndarray]:
        slot = step % self.carry.shape[1]
        return [self.h[step % self.h.shape[0]], *(states[slot] for states in self.carry)]

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        self.record_input(program, segment)
        self._record_feed(program)
        for zones in (self.zones, *self._more_zones):
            zones.record(program, segment)
        steps = segment.steps or self.steps
        stride = self._steps_per_launch(self.work.flops)
        for start in range(0, steps, stride):
            self.record_steps(program, start, min(start + stride, steps))
        if self.zeroes:
            layout.record_copy(program, segment.of(self.y), segment.of(self.h[1:]))
            self._record_zeros(program, self.y, segment)

    def _record_zeros(self, program: Program, array: np.ndarray, segment: Segment) -> None:
        """Record: steps of an output, or of its gradient, that do not count are zero."""
        rows = segment.of(array).reshape(-1, array.shape[2])
        record_clear_masked(program, rows, segment.of(self.mask))

    def record_input(self, program: Program, segment: Segment) -> None:
        """Record what brings ``x`` into place."""
        if self.dropout is not None:
            self.dropout.record_forward(program, segment)

    def _record_feed(self, program: Program) -> None:
        """Record what the product reads at the first step; what comes later a step leaves there."""
        if self.kept is not None:
            self.kept.record_forward(program)
            program.add(dropping.keep, self.fed[0], self.h[0], self._factors)

    @property
    def _factors(self) -> np.ndarray:
        """What h is multiplied by on its way to the product."""
        return self.h[0, :0] if self.kept is None else self.kept.y[0]

    def record_steps(self, program: Program, start: int, stop: int) -> None:
        """Record what computes some steps of ``y``, after those before ``start``."""
        if self.unpacked:
            w, u, *biases = (weights.matrix[np.newaxis] for weights in self._weights)
        else:
            w, u, *biases = (weights.forward for weights in self._weights)
        bias, bias_h = biases[0][:, 0], biases[-1][:, 0]
        program.add(
            recurrent.forward,
            self.cell, self.feed, self.h, self.fed, self.carry, self.gates, self.gates_h, self.x,
            self.mask, self._factors, self.zones.values, self.zones.made, w, u, bias, bias_h,
            self.layer.own_weights, self.rows, start, stop, self.chunk,
            work=self.work.flops * (stop - start),
        )  # fmt: skip

    def _steps_ahead(self) -> int:
        return split.steps_ahead(self.work, self.steps, self.rows)

    @property
    def seeds(self) -> list[np.ndarray]:
        return [seed for drawn in self._drawn for seed in drawn.seeds]

    @property
    def _drawn(self) -> list[DropoutOp | Zones]:
        drops = [drawn for drawn in (self.dropout, self.kept) if drawn is not None]
        return [*drops, self.zones, *self._more_zones]

    def start(self, resume: bool = False) -> None:
        for drawn in self._drawn:
            drawn.start()
        carried = self.layer.carried_states(self.batch, self.call if resume else None)
        self._goes_on[0] = resume and carried is not None
        if self.initial_state is not None:
            np.copyto(self.first_h, self.initial_state[0])
            for carry, state in zip(self.first_carry, self.initial_state[1:], strict=True):
                layout.to_panels(carry, state)
        elif carried is not None:
            np.copyto(self.first_h, carried[0])
            np.copyto(self.first_carry, carried[1])
        elif self._given:
            self.first_h.fill(0)
            self.first_carry.fill(0)
        self._given = self.initial_state is not None or carried is not None

    def start_from(self, states: list[np.ndarray]) -> None:
        """Take the states before the first step, (B, H) each, from other layers."""
        self.given = states

    def give_states(self, plan: Plan) -> None:
        carry = self.last_carry
        self._finals = [plan.array(self.last_h.shape, self.last_h.dtype) for _ in carry]

    @property
    def ys(self) -> list[np.ndarray]:
        return [self.y] if self._finals is None else [self.y, self.last_h, *self._finals]

    def record_states(self, program: Program) -> None:
        for final, carry in zip(self._finals or [], self.last_carry, strict=False):
            program.add(layout.from_panels, final, carry)

    def record_start(self, program: Program) -> None:
        if self.given:
            h, *carry = self.states(0)
            layout.record_copy(program, h, self.given[0])
            for panels, state in zip(carry, self.given[1:], strict=True):
                program.add(layout.to_panels, panels, state)
            pairs = zip(self.states(0), [self.first_h, *self.first_carry], strict=True)
            for state, first in pairs:
                flat = state.reshape(-1), first.reshape(-1)
                program.add(layout.copy_where, *flat, self._goes_on)
        else:
            layout.record_copies(program, self.states(0), [self.first_h, *self.first_carry])

    def record_advance(self, program: Program) -> None:
        layout.record_copies(program, self.states(0), self.states(self.steps))

    def _steps_per_launch(self, work: float) -> int:
        """A multiple of the chunk, so that chunks start at the same steps in every launch."""
        chunk = max(1, self.chunk)
        return max(1, round(WORK_PER_LAUNCH / work / chunk)) * chunk

    @property
    def carries_states(self) -> bool:
        return self.layer.stateful or self.layer.return_state

    def commit(self, resume: bool = False) -> None:
        if self.layer.stateful:
            self.layer.keep_states(self.last_h, self.last_carry)
        if resume:
            self.layer.keep_states(self.last_h, self.last_carry, self.call)

    def set_initial_state(self, states: Any) -> None:
        if states is not None:
            states = self.layer.check_states(states, self.batch, "initial_state")
        self.initial_state = states

    def final_states(self) -> list[np.ndarray] | None:
        if not self.layer.return_state:
            return None
        return [self.last_h.copy(), *self._unpacked(self.last_carry)]

    # -- backward -----------------------------------------------------------------------------

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        layer, dtype = self.layer, self.layer.dtype
        units = layer.units
        self.d_y = d_y
        plain = panel_units(1, dtype.itemsize)
        self.d_h = plan.array((-(-units // plain), self.batch, plain), dtype)
        self.d_fed = self.d_h if self.kept is None else plan.array(self.d_h.shape, dtype)
        others = self.cell.states - 1
        self.d_carry = plan.array((others, 1, *self._carry_panels), dtype)
        nothing = np.empty((0, self.batch, units), dtype)
        self.d_out = d_y if layer.return_sequences else nothing
        self.d_x = plan.array(self.x.shape, dtype) if need_d_x else None
        if self.dropout is not None and self.d_x is not None:
            self.dropout.bind_backward(self.d_x, plan, need_d_x)
        self._bind_weight_gradients(plan)
        size = matmul.scratch_size(dtype.itemsize)
        (self.scratch_rows,) = plan.scratch(((self.threads, size if need_d_x else 0), dtype))
        self.no_bias = np.empty(0, dtype)

    def _bind_weight_gradients(self, plan: Plan) -> None:
        """List the products that make them: gradient, scratch, A, gates, and 1 for A's ones."""
        self.gate_rows = self.gates.shape[1] * self.batch  # of each panel
        layer, dtype = self.layer, self.layer.dtype
        rows = layer.flat_grads[: layer.fused_count].reshape(-1, self.cell.blocks * layer.units)
        x, h, nothing = self.x, self.fed[:-1], np.empty((self.steps, self.batch, 0), dtype)
        reach = layer.packed_recurrent.matrix.shape[0]
        if not layer.use_bias:
            places = [(x, self.gates, 0), (h, self.gates_h, 0)]
        elif self.apart:
            biases = [(nothing, self.gates, 1), (nothing, self.gates_h, 1)]
            places = [(x, self.gates, 0), (h, self.gates_h, 0), *biases]
        else:
            # The bias follows the last kernel: one product of [h, 1] gives both gradients.
            places = [(x, self.gates, 0), (h, self.gates, 1)] if reach else [(x, self.gates, 1)]
        if not reach:
            places = [place for place in places if place[0] is not h]
        self._products = []
        at = 0
        for a, gates, ones in places:
            depth = a.shape[2] + ones
            d = rows[at : at + depth]
            self._products.append((d, self._product_scratch(plan, depth), a, gates, ones))
            at += depth

    def _product_scratch(self, plan: Plan, depth: int) -> list[np.ndarray]:
        dtype = self.layer.dtype
        # Where gates that count stand apart, they are put together.
        rows = self.threads * matmul.PANELS_AHEAD * matmul.SUM_BLOCK if self.mask.size else 0
        return plan.scratch(
            ((self.panels, depth, self.columns), dtype),
            ((self.threads, matmul.packed_size(depth)), dtype),
            ((rows * self.columns,), dtype),
        )

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        self.bind_backward(d_ys[0], plan, needs[0])
        if len(d_ys) > 1:
            self.d_final = d_ys[1:]
            self.d_h_above = plan.array(self.d_h.shape, self.layer.dtype)
        self._d_given = [plan.array(state.shape, self.layer.dtype) for state in self.given]

    @property
    def d_xs(self) -> list[np.ndarray | None]:
        return [self.d_x, *self._d_given]

    def take_final_gradients(self, plan: Plan) -> None:
        """Make room in ``d_final`` for the gradients of the states after the last step."""
        self.d_final = [
            plan.array((self.batch, size), self.layer.dtype) for size in self.layer.state_sizes
        ]
        self.d_h_above = plan.array(self.d_h.shape, self.layer.dtype)

    @property
    def backward_weights(self) -> list[Packed]:
        weights: list[Packed] = []
        if self.d_x is not None and not self._by_rows:
            weights.append(self.layer.packed_kernel)
        if (self._returns or self.steps > 1) and self.layer.packed_recurrent.matrix.size:
            weights.append(self.layer.packed_recurrent)
        return weights

    @property
    def _by_rows(self) -> bool:
        """Whether the gradient of the lone input is made from weights that are not packed."""
        return self.unpacked and self.depth % HOST.lanes(8 * self.layer.dtype.itemsize) == 0

    def omit_initial_gradients(self) -> None:
        self._returns = bool(self.given)

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        self.record_through_time(program, segment)
        self.record_gradients(program, segment)

    def record_through_time(self, program: Program, segment: Segment = WHOLE) -> None:
        """Record what makes the gradient of the pre-activations, step by step."""
        if segment.last:
            self._record_start(program)
        if self.zeroes:
            self._record_zeros(program, self.d_y, segment)
        steps, work = segment.steps or self.steps, self.work.flops_back
        stride = self._steps_per_launch(work) if self.d_hs is None else 1
        for start in range((steps - 1) // stride * stride, -1, -stride):
            stop = min(start + stride, steps)
            self._record_keeping(program, start)
            whole = self._returns or segment.start + start > 0
            self._record_back(program, start, stop, whole, work * (stop - start))

    def keep_gradients(self, plan: Plan) -> None:
        """Keep the gradient of h after each step, by all ways, in ``d_hs``."""
        self.d_hs = plan.array(self.h[1:].shape, self.layer.dtype)

    def _record_keeping(self, program: Program, step: int) -> None:
        """Record, before the way back through a step: keep the gradient that it starts from."""
        if self.d_hs is not None:
            kept = self.d_hs[step]
            program.add(layout.from_panels, kept, self.d_h)
            if len(self.d_out):
                program.add(layout.add, kept[np.newaxis], self.d_out[step][np.newaxis])

    def _record_back(
        self, program: Program, start: int, stop: int, whole: bool, work: float
    ) -> None:
        """Record the way back through some steps; ``whole`` as for the kernel."""
        layer = self.layer
        program.add(
            recurrent.backward,
            self.cell, self.feed, self.gates, self.gates_h, self.d_h, self.d_fed, self.d_carry,
            self.d_out, self.h, self.carry, self.mask, self._factors, self.zones.values,
            self.zones.made, layer.packed_recurrent.transposed, layer.own_weights, self.rows_back,
            start, stop, whole, work=work,
        )  # fmt: skip

    def record_gradients(self, program: Program, segment: Segment = WHOLE) -> None:
        """Record what makes all other gradients from it."""
        if self.given:
            self._record_given_gradients(program)
        self._record_weight_gradients(program, segment)
        if self.d_x is not None:
            self._record_input_gradient(program, segment.of(self.d_x), segment.of(self.mask))
            if self.dropout is not None:
                self.dropout.record_backward(program, segment)

    def _record_given_gradients(self, program: Program) -> None:
        """Record what brings the gradients of the states before the first step to their makers."""
        panels = [self.d_h, *self.d_carry[:, 0]]
        for d_state, source in zip(self._d_given, panels, strict=True):
            program.add(layout.from_panels, d_state, source)
            program.add(layout.clear_where, d_state.reshape(-1), self._goes_on)

    def _record_start(self, program: Program) -> None:
        layout.record_clear(program, self.d_carry)
        if self.layer.return_sequences:
            layout.record_clear(program, self.d_h)
        else:
            program.add(layout.to_panels, self.d_h, self.d_y)
        if self.d_final:
            program.add(layout.to_panels, self.d_h_above, self.d_final[0])
            program.add(layout.add, self.d_h, self.d_h_above)
            for d_carry, d_state in zip(self.d_carry, self.d_final[1:], strict=True):
                program.add(layout.to_panels, d_carry[0], d_state)

    def _record_weight_gradients(self, program: Program, segment: Segment) -> None:
        blocks = self.cell.blocks
        if self.layer.own_weights.size > 0:
            d_own = self.layer.grads()[-1]
            program.add(
                recurrent.own_gradients,
                self.cell, self.feed, d_own, self.gates, self.h, self.carry, self.mask,
                self.zones.made, segment.steps or self.steps, self.adds or not segment.last,
                work=4.0 * self.steps * self.batch * d_own.size,
            )  # fmt: skip
        for d, scratch, a, of, ones in self._products:
            steps = segment.of(a)
            rows = steps.reshape(steps.shape[0] * steps.shape[1], steps.shape[2])
            gates, more = of.reshape(-1), self.adds or not segment.last
            work = 2.0 * len(rows) * d.size
            if len(rows) == 1 and self.gate_rows == 1:
                program.add(
                    lone.outer_product, d, rows, gates, self.width, blocks, ones, more, work=work
                )
            else:
                program.add(
                    matmul.multiply_transposed,
                    tile_layout(blocks), blocks, d, *scratch, rows, gates, self.gate_rows, ones,
                    more, segment.of(self.mask).reshape(-1), work=work,
                )  # fmt: skip

    def _record_input_gradient(self, program: Program, d_x: np.ndarray, mask: np.ndarray) -> None:
        layer, columns = self.layer, self.columns
        out, gates = d_x.reshape(-1, self.depth), self.gates.reshape(-1)
        work = 2.0 * d_x.size * self.cell.blocks * layer.units
        if self._by_rows:
            matrix = layer.packed_kernel.matrix
            program.add(
                lone.multiply_by_rows, out, gates, matrix, self.width, self.cell.blocks, work=work
            )
            return
        program.add(
            matmul.multiply,
            Linear(), out, self.scratch_rows,
            gates, columns, self.gate_rows * columns, self.panels, columns,
            layer.packed_kernel.transposed, self.no_bias, 1, NO_ORIGIN,
            mask.reshape(-1), work=work,
        )  # fmt: skip
        record_clear_masked(program, out, mask)

    def initial_gradients(self) -> list[np.ndarray]:
        """Copies of the gradients of the states before the first step."""
        d_h = np.empty((self.batch, self.layer.units), self.layer.dtype)
        layout.from_panels(d_h, self.d_h)
        return [d_h, *self._unpacked(self.d_carry[:, 0])]

    def _unpacked(self, carry: np.ndarray) -> list[np.ndarray]:
        out = []
        for panels in carry:
            matrix = np.empty((self.batch, self.layer.units), self.layer.dtype)
            layout.from_panels(matrix, np.ascontiguousarray(panels))
            out.append(matrix)
        return out
