"""Which layers of a graph can go through sequences segment by segment, and in what order.

Layers that take each step from those before it, and whose steps are those of one another, make a
region: all of them do one segment before any does the next. Other layers stand alone: they see
whole sequences, or what has no steps.

    x ── LSTM ──┬── Add ──┬── GlobalPooling ── Dense
     └──────────┘         └── Dense
    (      one region, with the Dense      ) (alone) (alone)

A region takes sequences from the inputs alone, and perhaps first states from elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fastlstm.layers.base import Layer
from fastlstm.layers.graph import Graph, Step
from fastlstm.layers.symbol import Shape
from fastlstm.layers.with_states import WithStates
from fastlstm.models.segments import public_shapes, streamed_inputs


class Region(NamedTuple):
    """Steps of a graph that go together, by their places in it.

    Attributes
    ----------
    places : tuple of int
        In the graph's order.
    by_segments : bool
        Whether they go segment by segment; a step that does not stands alone.
    """

    places: tuple[int, ...]
    by_segments: bool


class Found(NamedTuple):
    """The regions in an order in which they can be done, and what does not go by segments.

    Attributes
    ----------
    regions : list of Region
    refused : list of str
        Why recurrent layers over the sequences are in none of the regions.
    mixed : frozenset of Layer
        Those that are called several times in one region, or in regions of which the later call's
        is done first: sums of their gradients are taken for each call apart.
    """

    regions: list[Region]
    refused: list[str]
    mixed: frozenset[Layer]


def find_regions(graph: Graph, shapes: Sequence[Shape], streamed: Sequence[int]) -> Found:
    """The regions of a graph.

    Parameters
    ----------
    graph : Graph
    shapes : sequence of tuple
        Of the inputs, the batch first.
    streamed : sequence of int
        The inputs, by their numbers, that come in segments.
    """
    search = _Search(graph, graph.all_shapes(shapes), streamed)
    while True:
        regions = search.ordered(search.join())
        if regions is not None:
            return Found(regions, search.refused(regions), search.mixed(regions))


def find_mixed(graph: Graph, shapes: Sequence[tuple[int, ...]]) -> frozenset[Layer]:
    """``mixed`` of the regions for inputs of these shapes, time first."""
    calls = Counter(step.layer for step in graph.steps if step.layer.weight_count)
    if max(calls.values(), default=0) < 2:
        return frozenset()
    return find_regions(
        graph, public_shapes(graph, shapes), [*streamed_inputs(graph, shapes)]
    ).mixed


def main_takes(step: Step) -> tuple[int, ...]:
    """What a step takes step by step: not the states that it starts from."""
    return step.takes[:1] if isinstance(step.layer, WithStates) else step.takes


class _Search:
    """Joins what can be joined, and puts steps apart that then turn out to be in the way."""

    def __init__(self, graph: Graph, shapes: dict[int, Shape], streamed: Sequence[int]) -> None:
        self.steps, self.inputs, self._shapes = graph.steps, graph.inputs, shapes
        self._streamed = streamed
        self._apart: dict[int, str] = {}  # places of steps, and why

    def join(self) -> list[Region]:
        """The regions as they are by what each step takes."""
        self._over = set(self._streamed)  # arrays that have the sequences' steps
        self._why: dict[int, str] = {}  # those that are there only as a whole
        made_by: dict[int, int] = {}  # arrays, and the place of their maker in a region
        group_of: dict[int, list[int]] = {}
        for place, step in enumerate(self.steps):
            main = main_takes(step)
            reason = self._reason(place, main)
            if reason is None and main[0] in self._over:
                makers = [made_by[number] for number in main if number in made_by]
                together = sorted({place, *(p for maker in makers for p in group_of[maker])})
                group_of.update(dict.fromkeys(together, together))
                made_by.update(dict.fromkeys(step.gives, place))
            self._note(step, main, reason)
        found = {id(group): group for group in group_of.values()}.values()
        alone = [[place] for place in range(len(self.steps)) if place not in group_of]
        regions = [Region(tuple(group), True) for group in found]
        return sorted(regions + [Region(tuple(group), False) for group in alone])

    def _reason(self, place: int, main: Sequence[int]) -> str | None:
        """Why a step cannot go by segments, where it is not that it has no sequences."""
        inherited = [self._why[number] for number in main if number in self._why]
        if inherited:
            return inherited[0]
        layer = self.steps[place].layer
        taken = [self._shapes[number] for number in self.steps[place].takes]
        partly = len({number in self._over for number in main}) > 1
        whole = not layer.by_parts or layer.activity_regularizer is not None
        if layer.waits(taken) or whole or partly:
            return f"layer {layer.name!r} needs all of them first"
        return self._apart.get(place)

    def _note(self, step: Step, main: Sequence[int], reason: str | None) -> None:
        """Note which of a step's outputs have steps, and why they come all at once."""
        over = main[0] in self._over
        if not step.layer.waits([self._shapes[number] for number in step.takes]):
            over = any(number in self._over for number in main)
        for number in step.gives:
            if len(self._shapes[number]) == 3:
                if over:
                    self._over.add(number)
                if reason is not None:
                    self._why[number] = reason

    def ordered(self, regions: list[Region]) -> list[Region] | None:
        """The regions, each after those that it needs; None where one of them had to be parted."""
        given, rest, done = set(self.inputs), list(regions), []
        while rest:
            ready = next((region for region in rest if self._needs(region) <= given), None)
            if ready is None:
                self._part_states([place for region in rest for place in region.places])
                return None
            rest.remove(ready)
            done.append(ready)
            given.update(self._gives(ready))
        return done

    def _gives(self, region: Region) -> set[int]:
        return {number for place in region.places for number in self.steps[place].gives}

    def _needs(self, region: Region) -> set[int]:
        """What must be there before a region starts."""
        steps = [self.steps[place] for place in region.places]
        inside = self._gives(region) if region.by_segments else set()
        streams = {number for step in steps for number in main_takes(step)} - inside
        return streams.union(n for step in steps for n in step.takes[len(main_takes(step)) :])

    def _part_states(self, places: Sequence[int]) -> None:
        """Regions wait for one another: part the last step that starts from others' states."""
        steps = {place: self.steps[place] for place in places if place not in self._apart}
        waiting = [place for place, s in steps.items() if len(s.takes) > len(main_takes(s))]
        name = self.steps[waiting[-1]].layer.name
        self._apart[waiting[-1]] = f"layer {name!r} starts from states that are made of all of them"

    def mixed(self, regions: list[Region]) -> frozenset[Layer]:
        """Layers whose calls do not come one after the other, as whole sequences."""
        position = {place: n for n, region in enumerate(regions) for place in region.places}
        last: dict[Layer, int] = {}
        found = set()
        for place, step in enumerate(self.steps):
            before = last.get(step.layer, -1)
            last[step.layer] = position[place]
            if before >= position[place] and step.layer.weight_count:
                found.add(step.layer)
        return frozenset(found)

    def refused(self, regions: list[Region]) -> list[str]:
        """Why recurrent layers over the sequences see them as a whole."""
        found = []
        for place in sorted(r.places[0] for r in regions if not r.by_segments):
            step = self.steps[place]
            if isinstance(step.layer, WithStates) and step.takes[0] in self._over:
                found.append(self._reason(place, step.takes[:1]) or "")
        return found
