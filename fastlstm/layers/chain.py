"""Layers bound to arrays of one shape, and the program that they make."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastlstm.kernels import combine, layout
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.layers.feed import Feed, with_steps
from fastlstm.layers.graph import Graph
from fastlstm.layers.lengths import ByLength, ByMask
from fastlstm.layers.op import Op, record_output
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.wave import record_stack, stacks
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.base import Layer
    from fastlstm.layers.packed import Packed
    from fastlstm.layers.vocabulary import Vocabulary


class Value(NamedTuple):
    """An array of a graph, and which of its steps count: (T, B), or (0, B) for all."""

    array: np.ndarray
    mask: np.ndarray


class Chain:
    """A graph of layers bound to one batch size and number of steps.

    What is computed is a program, recorded once, whose parts run in the order of ``parts``.

    Attributes
    ----------
    xs : list of ndarray
        Inputs: (T, B, D), (B, D), or ids (T, B) or (B,); ``feed`` fills them in.
    mask : ndarray
        (T, B) of uint8 to fill in, for the first input, or (0, B).
    ys, d_ys : list of ndarray
        Outputs, and their gradients to fill in before ``backward``.
    masks : list of ndarray
        Which of the outputs' steps count, (T, B), or (0, B) for all.
    d_xs : list of ndarray or None
        Gradients of the inputs, where they were asked for.
    ops : list of Op
        The layers bound, in the order of the graph's steps.
    outputs : list of list of (int, int)
        For each output the calls of the program, and their arguments, that are the caller's array.
    """

    # Layers that are called several times and whose gradients are summed for each call apart, so
    # that calls may go back through their sequences by turns.
    summed_apart: frozenset[Layer] = frozenset()
    # Whether the outputs are for the caller alone, so that a last layer may write them there.
    hands_out = True

    def __init__(
        self,
        graph: Graph,
        shapes: Sequence[tuple[int, ...]],
        plan: Plan,
        *,
        saving: bool = False,
        training: bool = False,
        masked: bool = False,
        input_gradient: bool = False,
        state_gradients: bool = False,
    ) -> None:
        self.graph, self.layers, self.saving = graph, graph.layers, saving
        self.ids = graph.takes_ids
        self.xs = self._make_inputs(shapes, plan)
        timed = [has_time(len(shape), ids) for shape, ids in zip(shapes, self.ids, strict=True)]
        steps, batch = shapes[0][:2] if timed[0] else (1, shapes[0][0])
        self.mask = plan.array((steps if masked else 0, batch), np.uint8)
        self.index = np.arange(batch)
        self.first_step = np.zeros(1, np.intp)  # of what is fed, in the arrays it comes from
        self.resumes = False  # from the states of the last ``commit``
        self.ops: list[Op] = []
        masks = self._masks_of_inputs(plan)
        self._values = {
            number: Value(x, mask)
            for number, x, mask in zip(graph.inputs, self.xs, masks, strict=True)
        }
        for number in range(len(graph.steps)):
            if number == len(self.ops):
                self.ops += self._bind(number, plan, training)
            self._give(number, plan)
        calls: Counter[Layer] = Counter()
        for step, op in zip(graph.steps, self.ops, strict=True):
            for inner in op.recurrent_ops:
                inner.call = calls[step.layer]
            calls[step.layer] += 1
        for step, op in zip(graph.steps, self.ops, strict=True):
            if op.gives_sequences and not {*step.gives}.isdisjoint(graph.outputs):
                raise ValueError(
                    f"{step.layer.name!r} gives a sequence for each step, which only another "
                    "TimeDistributed takes: let one that makes a vector of it come after, such as "
                    "TimeDistributed(Flatten())"
                )
        self.ys = [self._whole(number).array for number in graph.outputs]
        self.masks = [self._whole(number).mask for number in graph.outputs]
        self.packed: list[Layer | Vocabulary] = [
            step.layer for step, op in zip(graph.steps, self.ops, strict=True) if not op.unpacked
        ]
        self.packed += [op.vocabulary for op in self.ops if op.vocabulary is not None]
        if saving:
            self._bind_backward(plan, input_gradient)
        if state_gradients:
            self.ops[-1].take_final_gradients(plan)
        self.feeds = {"x": [Feed(x, has) for x, has in zip(self.xs, timed, strict=True)]}
        told = self._told_lengths()
        suits = told is not None and ByLength.suits(self.ops, batch)
        self.order = ByLength(told, self.index, plan) if told is not None and suits else None
        self._threads = get_num_threads()  # that scratch was laid out for

    def _make_inputs(self, shapes: Sequence[tuple[int, ...]], plan: Plan) -> list[np.ndarray]:
        """Arrays that will hold the inputs."""
        return [
            plan.array(shape, np.dtype(np.int32) if ids else self.layers[0].dtype)
            for shape, ids in zip(shapes, self.ids, strict=True)
        ]

    def _make_gradients(self, plan: Plan) -> list[np.ndarray]:
        """Arrays that will hold the gradients of the outputs."""
        return [plan.array(y.shape, y.dtype) for y in self.ys]

    def _masks_of_inputs(self, plan: Plan) -> list[np.ndarray]:
        """Which steps of each input count: of the first one, where the caller says so."""
        nothing = self.mask[:0]
        return [self.mask, *(nothing for _ in self.xs[1:])]

    def _told_lengths(self) -> Op | ByMask | None:
        """What says how long the samples are, where rows may be computed in an order of their own.

        Not where gradients go back to the caller, who knows nothing of that order.
        """
        return None if self.saving else self._lengths_of_input()

    def _lengths_of_input(self) -> Op | None:
        first = self.graph.steps[0].takes == self.graph.inputs[:1]
        return self.ops[0] if first and self.ops[0].says_lengths else None

    @property
    def chosen(self) -> np.ndarray:
        """The samples to feed, in the order of the rows."""
        return self.index if self.order is None else self.order.chosen

    @property
    def _origin(self) -> np.ndarray:
        """Where in the batch each row stood, or (0,) where it is its own place."""
        return self.index[:0] if self.order is None else self.order.origin

    def in_order(self, mask: np.ndarray) -> np.ndarray:
        """A copy of one of ``masks``, its rows in the caller's order."""
        copy = mask.copy()
        if self._origin.size:
            copy[:, self._origin] = mask
        return copy

    @property
    def x(self) -> np.ndarray:
        """The first input, or the only one."""
        return self.xs[0]

    @property
    def y(self) -> np.ndarray:
        """The first output, or the only one."""
        return self.ys[0]

    def _bind(self, number: int, plan: Plan, training: bool) -> Sequence[Op]:
        """The op of a step; or of two, where it goes together with the one that comes after."""
        layer, takes, gives, options = step = self.graph.steps[number]
        values = self._taken(number)
        x, mask = values[0]
        alone = len(takes) == len(gives) == 1
        if alone and not (self.saving or training) and not self._reads(layer):
            above = self.graph.steps[number + 1 : number + 2]
            if above and above[0].takes == gives and self.graph.uses[gives[0]] == 1:
                joined = layer.bind_with(above[0].layer, x, mask, plan)
                if joined is not None and len(above[0].gives) == 1:
                    return joined
            if self.hands_out and gives == self.graph.outputs and self.graph.uses[gives[0]] == 1:
                last = layer.bind_last(x, plan)
                if last is not None:
                    return [last]
        op = layer.bind_inputs(
            [value.array for value in values],
            [value.mask for value in values],
            plan,
            saving=self.saving,
            training=training,
            **options,
        )
        if len(step.gives) > 1:
            op.give_states(plan)
        return [op]

    def _reads(self, layer: Layer) -> bool:
        """Whether a layer's output is read by others than those that take it."""
        return False

    def _taken(self, number: int) -> list[Value]:
        """What a step takes."""
        return [self._whole(place) for place in self.graph.steps[number].takes]

    def _whole(self, number: int) -> Value:
        """An array with all of its steps."""
        return self._values[number]

    def _give(self, number: int, plan: Plan) -> None:
        """Note what a step gives, and which of its steps count."""
        op, (layer, _, gives, _) = self.ops[number], self.graph.steps[number]
        x, mask = self._taken(number)[0]
        if op.made_mask is not None:
            mask = op.made_mask
        for place, array in zip(gives, op.ys, strict=True):
            ids = layer.takes_ids and array is x  # those that the layer above looks up
            # What comes after has steps of its own, or none.
            kept = mask if has_time(array.ndim, ids) else self.mask[:0]
            self._values[place] = Value(array, kept)

    def _bind_backward(self, plan: Plan, input_gradient: bool) -> None:
        self.d_ys = self._make_gradients(plan)
        # What adds to the gradient of each array: where it is an output, and where it is taken.
        parts: dict[int, list[np.ndarray]] = {}
        for number, d_y in zip(self.graph.outputs, self.d_ys, strict=True):
            parts.setdefault(number, []).append(d_y)
        wanted = self._wanted(input_gradient)
        self._backward: list[Backward] = []
        self.d_ys_of: dict[Op, list[np.ndarray]] = {}  # the gradients of the outputs of each
        self._own_sums: dict[Op, tuple[Layer, np.ndarray]] = {}
        seen: set[Layer] = set()
        for step, op in zip(reversed(self.graph.steps), reversed(self.ops), strict=True):
            if not (step.layer.weight_count or wanted.intersection(step.takes)):
                continue
            sums, d_ys = [], []
            for number, y in zip(step.gives, op.ys, strict=True):
                found = parts.get(number, [])
                fits = len(found) == 1 and found[0].shape == y.shape
                d_y = found[0] if fits else plan.array(y.shape, y.dtype)
                if not fits:
                    sums.append((d_y, found))
                d_ys.append(d_y)
            if step.layer in self.summed_apart:
                own = plan.array((step.layer.weight_count,), step.layer.dtype)
                self._own_sums[op] = step.layer, own
            else:
                op.adds = step.layer in seen
            seen.add(step.layer)
            self.d_ys_of[op] = d_ys
            op.bind_gradients(d_ys, plan, [number in wanted for number in step.takes])
            for number, d_x in zip(step.takes, op.d_xs, strict=True):
                if d_x is not None and number in wanted:
                    parts.setdefault(number, []).append(d_x)
            self._backward.append(Backward(op, sums))
        self._input_sums = []
        self.d_xs: list[np.ndarray | None] = []
        for number, x in zip(self.graph.inputs, self.xs, strict=True):
            found = parts.get(number, []) if number in wanted else []
            total: np.ndarray | None = found[0] if len(found) == 1 else None
            if len(found) > 1:
                total = plan.array(x.shape, x.dtype)
                self._input_sums.append((total, found))
            self.d_xs.append(total)

    def _wanted(self, input_gradient: bool) -> set[int]:
        """The arrays whose gradient something at or below them needs."""
        wanted = set()
        if input_gradient:
            pairs = zip(self.graph.inputs, self.ids, strict=True)
            wanted = {number for number, ids in pairs if not ids}
        for layer, takes, gives, _ in self.graph.steps:
            if layer.weight_count or wanted.intersection(takes):
                wanted.update(gives)
        return wanted

    @property
    def d_y(self) -> np.ndarray:
        """The gradient of the first output, to fill in."""
        return self.d_ys[0]

    @property
    def d_x(self) -> np.ndarray | None:
        """The gradient of the first input."""
        return self.d_xs[0]

    # -- the program --------------------------------------------------------------------------

    def parts(self) -> dict[str, Callable[[Program], None]]:
        """What the program does, in order: name, and what records it."""
        parts: dict[str, Callable[[Program], None]] = {
            "pack": self._record_packing,
            "feed": self._record_feeds,
            "check": self._record_check,
            "forward": self._record_forward,
            "output": self._record_output,
        }
        if self.saving:
            parts["backward"] = self._record_backward
        return parts

    @cached_property
    def program(self) -> Program:
        """All parts, recorded when first asked for."""
        program = Program(most=self._threads)
        self._parts = {}
        for name, record in self.parts().items():
            start = len(program)
            record(program)
            self._parts[name] = start, len(program)
        return program

    def _record_packing(self, program: Program) -> None:
        for packed in dict.fromkeys(weights for op in self.ops for weights in op.forward_weights):
            packed.pack_forward(program)

    def _record_feeds(self, program: Program) -> None:
        if self.order is not None:
            self.order.record(program, self.feeds)
        for feeds in self.feeds.values():
            for feed in feeds:
                feed.record(program, self.chosen, self.first_step)

    def _record_check(self, program: Program) -> None:
        for number, x in zip(self.graph.inputs, self.xs, strict=True):
            self.graph.taker(number).record_check(program, x.reshape(-1))

    def _record_forward(self, program: Program) -> None:
        for stack in stacks(self.ops):
            for op in stack:
                op.record_start(program)
            record_stack(program, stack)
            for op in stack:
                op.record_states(program)

    def _record_output(self, program: Program) -> None:
        makers = {
            number: op
            for step, op in zip(self.graph.steps, self.ops, strict=True)
            for number in step.gives[:1]
        }
        self.outputs = [
            makers[number].record_output(program, self._origin)
            if number in makers
            else record_output(program, self._values[number].array, self._origin)
            for number in self.graph.outputs
        ]

    def _record_backward(self, program: Program) -> None:
        packed: set[Packed] = set()
        for op, sums in self._backward:
            for weights in op.backward_weights:
                if weights not in packed:
                    weights.pack_transposed(program)
                    packed.add(weights)
            record_sums(program, sums)
            self._record_more(program, op)
            self._record_back_through(program, op)
        self._record_totals(program)
        record_sums(program, self._input_sums)

    def _record_more(self, program: Program, op: Op) -> None:
        """Record what adds to the gradients of an op's outputs, beside those that take them."""

    def _record_back_through(self, program: Program, op: Op, segment: Segment = WHOLE) -> None:
        """Record an op's way back; if it has sums of its own, with these in the layer's place."""
        if op not in self._own_sums:
            op.record_backward(program, segment)
            return
        layer, own = self._own_sums[op]
        if not segment.last:
            layout.record_copy(program, layer.flat_grads, own)
        op.record_backward(program, segment)
        layout.record_copy(program, own, layer.flat_grads)

    def _record_totals(self, program: Program) -> None:
        """Record the sums over all calls of the layers whose calls have sums of their own."""
        seen: set[Layer] = set()
        for layer, own in self._own_sums.values():
            total = layer.flat_grads
            if layer in seen:
                program.add(combine.add_scaled, total, own, 1.0, work=2.0 * own.size)
                continue
            seen.add(layer)
            layout.record_copy(program, total, own)
            touched = getattr(layer, "touched", None)
            if touched is not None:  # rows of a table of words: all have been written
                program.add(layout.fill, touched, 1)

    # -- running it ---------------------------------------------------------------------------

    def feed(self, index: np.ndarray | None = None, **sources: Sequence[np.ndarray]) -> None:
        """Take the samples ``index``, or all, of arrays with the sample first.

        The arrays must live until the program has run.
        """
        program = self.program
        for name, arrays in sources.items():
            for feed, array in zip(self.feeds[name], arrays, strict=True):
                feed.point(program, array)
        if index is not None:
            self.index[...] = index

    def forward(self, *, last: str = "forward") -> bool:
        """``y`` from what was fed; on to the end of ``last``. Whether nothing halted it."""
        self._start()
        program = self.program
        start = self._parts["pack"][1]
        for packed in self.packed:
            if packed.packed_version != packed.version:
                start = 0
        finished = program.run(start, self._parts[last][1])
        if start == 0:
            for packed in self.packed:
                packed.packed_version = packed.version
        return finished

    def bound(self, first: str, last: str) -> Callable[[], bool]:
        """What runs some parts of the program, for weights that are packed."""
        program = self.program
        return program.call_of(self._parts[first][0], self._parts[last][1])

    def _start(self) -> None:
        for op in self.ops:
            op.start(self.resumes)

    def backward(self) -> None:
        """Gradients of the weights, and of ``x`` where asked for, from ``d_y``."""
        self.program.run(*self._parts["backward"])

    def commit(self, resume: bool = False) -> None:
        """Keep the states of stateful layers; of all, where the next forward is to ``resume``."""
        for op in self.ops:
            op.commit(resume)

    def predict(self) -> list[np.ndarray]:
        """The outputs for what was fed, batch first, in arrays of their own."""
        outs = self.outputs_of_fed()
        if outs is None:
            raise RuntimeError("the input was changed while it was being computed with")
        return outs

    def outputs_of_fed(self) -> list[np.ndarray] | None:
        """The same; None where the program found that the input is not right."""
        program, outs = self.program, []
        for y, calls in zip(self.ys, self.outputs, strict=True):
            rows = with_steps(y, y.ndim == 3)
            out = np.empty((rows.shape[1], rows.shape[0], rows.shape[2]), y.dtype)
            for call, argument in calls:
                program.point(call, argument, out.reshape(-1, out.shape[2]))
            outs.append(out if y.ndim == 3 else out[:, 0])
        return outs if self.forward(last="output") else None


class Backward(NamedTuple):
    """An op, and what it takes to bring the gradients of its outputs together first."""

    op: Op
    sums: list[tuple[np.ndarray, list[np.ndarray]]]


def record_sums(program: Program, sums: list[tuple[np.ndarray, list[np.ndarray]]]) -> None:
    """Record for each array: the sum of others, or zero."""
    for total, parts in sums:
        record_sum(program, total, parts)


def record_sum(program: Program, total: np.ndarray, parts: list[np.ndarray]) -> None:
    """The same for one array."""
    if not parts:
        layout.record_clear(program, total)
        return
    layout.record_copy(program, total, parts[0])
    for part in parts[1:]:
        pair = (array.reshape(len(array), -1, array.shape[-1]) for array in (total, part))
        program.add(layout.add, *pair, work=1.0 * total.size)


def has_time(ndim: int, ids: bool) -> bool:
    """Whether arrays of this rank have a time axis: sequences of ids, or of feature vectors.

    One axis more is of steps that are sequences themselves, for ``TimeDistributed``.
    """
    return ndim >= (2 if ids else 3)


def chain_shape(sample: Sequence[int], batch: int, ids: bool) -> tuple[int, ...]:
    """The shape of a batch of samples as a chain wants it: time first, all of a step in a row."""
    if not has_time(1 + len(sample), ids):
        return (batch, *sample)
    steps, *step = sample
    return (steps, batch, *([math.prod(step)] if step else []))


def time_first(array: np.ndarray, ids: bool) -> np.ndarray:
    """A view with time and batch exchanged, if there is a time; its own inverse."""
    return array.swapaxes(0, 1) if has_time(array.ndim, ids) else array
