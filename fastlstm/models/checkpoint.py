"""Back-propagation through long sequences in the memory of short ones.

Only the states at the start of each segment are kept from the forward pass; the tape between them
is computed again when the gradient comes by. Both the number of segments and the steps of each are
near the square root of all steps, and so is the memory, for the price of one more forward pass.
Part of that comes back, as the tape of a segment stays in the caches: measured with 8 rows of
10,000 steps and 64 units, 1.1 times the time and a fortieth of the memory.

Sources: Chen et al., "Training deep nets with sublinear memory cost", 2016; Gruslys et al.,
"Memory-efficient backpropagation through time", NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Value, record_sum, record_sums
from fastlstm.layers.feed import Feed
from fastlstm.layers.graph import Graph
from fastlstm.layers.op import Op
from fastlstm.layers.segment import Segment
from fastlstm.memory import Plan
from fastlstm.models.regions import Region, find_regions, main_takes
from fastlstm.models.segments import public_shapes, streamed_inputs
from fastlstm.models.supervised import Supervised


def check_refused(bptt: str | int, reasons: list[str]) -> None:
    """An error where there is a reason against going part by part."""
    if reasons:
        raise ValueError(
            f"bptt={bptt!r} works through sequences part by part, but {reasons[0]}; use bptt='full'"
        )


class _Stretch:
    """A region of the graph, and the arrays by which it goes through its segments.

    Attributes
    ----------
    kept : list of list of ndarray
        States of all its layers after each segment.
    feeds : list of Feed
        Inputs that come segment by segment.
    ins, outs, ends : list of (ndarray, ndarray)
        What is copied for each segment from whole sequences, and to them; and after the last one.
        The target stands first.
    """

    def __init__(self, region: Region, parts: list[Segment]) -> None:
        self.places, self.segments = region.places, parts
        self.longest = parts[0].steps or 0
        self.steps = parts[-1].start + (parts[-1].steps or 0)
        self.ops: list[Op] = []
        self.kept: list[list[np.ndarray]] = []
        self.feeds: list[Feed] = []
        self.ins: list[tuple[np.ndarray, np.ndarray]] = []
        self.outs: list[tuple[np.ndarray, np.ndarray]] = []
        self.ends: list[tuple[np.ndarray, np.ndarray]] = []

    def states(self, step: int) -> list[np.ndarray]:
        """States of all layers before a step of a segment."""
        return [state for op in self.ops for state in op.states(step)]


class Checkpointed(Supervised):
    """A training step whose layers over sequences work segment by segment, all in one memory.

    The bits are those of ``Supervised``. Other layers, and the losses, see all at once; see
    ``fastlstm.models.regions``. An array that both need is there twice: as long as a segment, and
    as long as the sequences.
    """

    def __init__(
        self, graph: Graph, shapes: Sequence[tuple[int, ...]], plan: Plan, **options: Any
    ) -> None:
        self._streamed = streamed_inputs(graph, shapes)
        public = public_shapes(graph, shapes)
        regions, refused, self._mixed = find_regions(graph, public, list(self._streamed))
        check_refused("checkpoint", refused)
        self._stretch_of: dict[int, _Stretch] = {}  # by the place of a step
        self._course: list[_Stretch | int] = []  # stretches, and places of other steps
        for region in regions:
            if region.by_segments:
                stretch = _Stretch(region, self._parts_of(graph, region))
                self._course.append(stretch)
                self._stretch_of.update(dict.fromkeys(region.places, stretch))
            else:
                self._course += region.places
        self._crossing = self._find_crossing(graph)
        self._inside: dict[int, Value] = {}  # of inputs that are there as a whole as well
        self._outside: dict[int, Value] = {}  # of what a stretch makes for others
        self._by_segment = set(self._streamed) - self._crossing
        cut = [
            (self._streamed[number][0].steps or 0, *shape[1:])
            if number in self._by_segment
            else shape
            for number, shape in zip(graph.inputs, shapes, strict=True)
        ]
        super().__init__(graph, cut, plan, **options)

    def _find_mixed(self, graph: Graph, shapes: Sequence[tuple[int, ...]]) -> frozenset[Layer]:
        return self._mixed  # by the shapes of the whole

    def _parts_of(self, graph: Graph, region: Region) -> list[Segment]:
        taken = (n for place in region.places for n in main_takes(graph.steps[place]))
        return next(self._streamed[number] for number in taken if number in self._streamed)

    def _find_crossing(self, graph: Graph) -> set[int]:
        """Arrays that somebody takes as a whole: not step by step, where they are made."""
        makers = {n: place for place, step in enumerate(graph.steps) for n in step.gives}
        found = set(graph.outputs)
        for place, step in enumerate(graph.steps):
            stretch, main = self._stretch_of.get(place), len(main_takes(step))
            for at, number in enumerate(step.takes):
                maker = self._stretch_of.get(makers[number]) if number in makers else stretch
                if stretch is None or at >= main or maker is not stretch:
                    found.add(number)
        return found

    # -- memory -------------------------------------------------------------------------------

    def _taken(self, number: int) -> list[Value]:
        stretch, step = self._stretch_of.get(number), self.graph.steps[number]
        if stretch is None:
            return super()._taken(number)
        main = len(main_takes(step))
        values = [self._values[place] for place in step.takes[:main]]
        for at, place in enumerate(step.takes[:main]):
            if place in self._inside:
                values[at] = self._inside[place]
        return values + [self._whole(place) for place in step.takes[main:]]

    def _whole(self, number: int) -> Value:
        return self._outside.get(number, self._values[number])

    def _bind(self, number: int, plan: Plan, training: bool) -> Sequence[Op]:
        stretch = self._stretch_of.get(number)
        if stretch is not None:
            for place in main_takes(self.graph.steps[number]):
                if place in self.graph.inputs and place in self._crossing:
                    self._bring_in(place, stretch, plan)
        ops = super()._bind(number, plan, training)
        if stretch is not None:
            stretch.ops += ops
        return ops

    def _bring_in(self, number: int, stretch: _Stretch, plan: Plan) -> None:
        """Make room for a segment of an input that is there as a whole."""
        whole = self._values[number]
        if number not in self._inside:
            self._inside[number] = Value(*(_room(stretch.longest, array, plan) for array in whole))
        pairs = [
            (inside, array)
            for inside, array in zip(self._inside[number], whole, strict=True)
            if len(array)
        ]
        known = {id(inside) for inside, _ in stretch.ins}
        stretch.ins += [pair for pair in pairs if id(pair[0]) not in known]

    def _give(self, number: int, plan: Plan) -> None:
        super()._give(number, plan)
        stretch = self._stretch_of.get(number)
        if stretch is None:
            return
        for place in self.graph.steps[number].gives:
            if place not in self._crossing:
                continue
            inside = self._values[place]
            if inside.array.ndim == 3:
                whole = Value(*(_room(stretch.steps, array, plan) for array in inside))
                pairs = zip(whole, inside, strict=True)
                stretch.outs += [pair for pair in pairs if len(pair[0])]
            else:
                whole = Value(plan.array(inside.array.shape, inside.array.dtype), inside.mask)
                stretch.ends.append((whole.array, inside.array))
            self._outside[place] = whole

    def _bind_backward(self, plan: Plan, input_gradient: bool) -> None:
        for stretch in self._stretches:
            stretch.kept = [
                [plan.array(state.shape, state.dtype) for state in stretch.states(0)]
                for _ in stretch.segments
            ]
        super()._bind_backward(plan, input_gradient)

    @property
    def _stretches(self) -> list[_Stretch]:
        return [stretch for stretch in self._course if isinstance(stretch, _Stretch)]

    # -- the program --------------------------------------------------------------------------

    def _record_feeds(self, program: Program) -> None:
        if self.order is not None:
            self.order.record(program, self.feeds)
        cut = [feed for number in self.graph.inputs for feed in self._cut_feeds(number)]
        for feeds in self.feeds.values():
            for feed in feeds:
                if feed not in cut:
                    feed.record(program, self.chosen, self.first_step)

    def _cut_feeds(self, number: int) -> list[Feed]:
        """What an input is fed by, its mask too, where it comes segment by segment."""
        if number not in self._by_segment:
            return []
        at = self.graph.inputs.index(number)
        return [self.feeds["x"][at], *(self.feeds.get("mask", []) if at == 0 else [])]

    def _record_forward(self, program: Program) -> None:
        for part in self._course:
            if isinstance(part, _Stretch):
                self._record_stretch(program, part)
                continue
            op = self.ops[part]
            op.record_start(program)
            op.record_forward(program)
            op.record_states(program)

    def _record_stretch(self, program: Program, stretch: _Stretch) -> None:
        taken = {n for place in stretch.places for n in main_takes(self.graph.steps[place])}
        stretch.feeds = [
            feed for number in self.graph.inputs if number in taken
            for feed in self._cut_feeds(number)
        ]  # fmt: skip
        for number, segment in enumerate(stretch.segments):
            self._record_segment(program, stretch, number)
            states = stretch.states(segment.steps or 0)
            layout.record_copies(program, stretch.kept[number], states)
            for whole, inside in stretch.outs:
                layout.record_copy(program, _steps_of(whole, segment), segment.of(inside))
        if stretch.ends:  # which stand after the last step of the longest segment
            layout.record_copies(program, stretch.states(stretch.longest), stretch.kept[-1])
            for op in stretch.ops:
                op.record_states(program)
            for whole, inside in stretch.ends:
                layout.record_copy(program, whole, inside)

    def _record_segment(self, program: Program, stretch: _Stretch, number: int) -> None:
        """Record a segment's forward pass, from the states that were kept."""
        segment = stretch.segments[number]
        self._record_inputs(program, stretch, segment)
        if number > 0:
            layout.record_copies(program, stretch.states(0), stretch.kept[number - 1])
        for op in stretch.ops:
            if number == 0:
                op.record_start(program)
            op.record_forward(program, segment)

    def _record_inputs(self, program: Program, stretch: _Stretch, segment: Segment) -> None:
        start = np.array([segment.start], np.intp)
        for feed in stretch.feeds:
            feed.record(program, self.chosen, start, segment)
        for inside, whole in stretch.ins:
            layout.record_copy(program, segment.of(inside), _steps_of(whole, segment))

    def _record_backward(self, program: Program) -> None:
        packed = (weights for op, _ in self._backward for weights in op.backward_weights)
        for weights in dict.fromkeys(packed):
            weights.pack_transposed(program)
        sums_of = dict(self._backward)
        for part in reversed(self._course):
            if isinstance(part, _Stretch):
                self._record_back(program, part, sums_of)
            elif self.ops[part] in sums_of:
                record_sums(program, sums_of[self.ops[part]])
                self._record_more(program, self.ops[part])
                self._record_back_through(program, self.ops[part])
        self._record_totals(program)

    def _record_back(self, program: Program, stretch: _Stretch, sums_of: dict[Op, Any]) -> None:
        for number in reversed(range(len(stretch.segments))):
            segment = stretch.segments[number]
            if not segment.last:
                self._record_segment(program, stretch, number)
            elif stretch is not self._stretches[-1]:
                # The tape is still there, but not what others have taken from the same inputs.
                self._record_inputs(program, stretch, segment)
            for op in reversed(stretch.ops):
                if op not in sums_of:
                    continue
                for total, parts in sums_of[op]:
                    if total.ndim == 3:
                        # What came from a whole sequence is longer than a segment can be.
                        cut = [
                            _steps_of(part, segment) if len(part) > len(total) else segment.of(part)
                            for part in parts
                        ]
                        record_sum(program, segment.of(total), cut)
                    elif segment.last:
                        record_sum(program, total, parts)
                self._record_back_through(program, op, segment)

    def commit(self, resume: bool = False) -> None:
        # Back to where the layers look for them.
        for stretch in self._stretches:
            states = stretch.states(stretch.longest)
            for state, kept in zip(states, stretch.kept[-1], strict=True):
                np.copyto(state, kept)
        super().commit(resume)


def _room(steps: int, array: np.ndarray, plan: Plan) -> np.ndarray:
    """Room for so many steps like those of an array; for none, where it has none."""
    return plan.array((steps if len(array) else 0, *array.shape[1:]), array.dtype)


def _steps_of(array: np.ndarray, segment: Segment) -> np.ndarray:
    """A segment's steps of an array that has all of them."""
    return segment.of(array[segment.start :])
