"""Which layer takes what from which: layers one after the other, or any graph without circles."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from fastlstm.layers.symbol import Call, Shape, Symbol

if TYPE_CHECKING:
    from fastlstm.layers.base import Layer


class Step(NamedTuple):
    """A layer with the numbers of the arrays that it takes and gives, and what the call says."""

    layer: Layer
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    options: dict[str, Any] = {}  # noqa: RUF012 - of a NamedTuple, and never changed


class Graph:
    """Steps in the order in which they can be taken; arrays go by numbers.

    Parameters
    ----------
    inputs, outputs : sequence of int
        The arrays that come from the caller, and that go to the caller.
    steps : sequence of Step
    """

    def __init__(
        self, inputs: Sequence[int], steps: Sequence[Step], outputs: Sequence[int]
    ) -> None:
        self.inputs, self.steps, self.outputs = tuple(inputs), list(steps), tuple(outputs)

    @classmethod
    def of(cls, layers: Sequence[Layer], inputs: int = 1) -> Graph:
        """Layers one after the other, the first with so many inputs; models are opened up."""
        steps: list[Step] = []
        takes, fresh = tuple(range(inputs)), itertools.count(inputs)
        for layer in layers:
            made, takes = _opened(layer, takes, 1, {}, fresh)
            steps += made
        return cls(range(inputs), steps, takes)

    @classmethod
    def between(cls, inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> Graph:
        """All that is between symbols; models that were called on the way are opened up."""
        fresh = itertools.count()
        numbers = {symbol: next(fresh) for symbol in inputs}
        steps: list[Step] = []
        for call in sorted(calls_between(inputs, outputs), key=lambda call: call.serial):
            takes = tuple(numbers[symbol] for symbol in call.inputs)
            made, gives = _opened(call.layer, takes, len(call.outputs), call.options, fresh)
            steps += made
            numbers.update(zip(call.outputs, gives, strict=True))
        return cls(
            [numbers[symbol] for symbol in inputs],
            steps,
            [numbers[symbol] for symbol in outputs],
        )

    @cached_property
    def layers(self) -> list[Layer]:
        """All layers, each once."""
        return list(dict.fromkeys(step.layer for step in self.steps))

    @cached_property
    def uses(self) -> Counter[int]:
        """How often each array is taken: by a step, or by the caller."""
        return Counter([number for step in self.steps for number in step.takes] + [*self.outputs])

    def shapes_for(self, inputs: Sequence[Shape]) -> list[Shape]:
        """Shapes of the outputs for inputs of these, the batch included, where they fit."""
        shapes = self.all_shapes(inputs)
        return [shapes[number] for number in self.outputs]

    def all_shapes(self, inputs: Sequence[Shape]) -> dict[int, Shape]:
        """The same of all arrays, by their numbers."""
        shapes = dict(zip(self.inputs, inputs, strict=True))
        for layer, takes, gives, options in self.steps:
            made = layer.shapes_after([shapes[number] for number in takes], **options)
            # A step that gives one array gives no states, whatever else the layer returns.
            shapes.update(zip(gives, made, strict=False))
        return shapes

    def taker(self, number: int) -> Layer:
        """A layer that takes an array."""
        return self._taking(number).layer

    def _taking(self, number: int) -> Step:
        return next(step for step in self.steps if number in step.takes)

    @property
    def starts_alone(self) -> bool:
        """Whether there is one input, which a layer takes and nothing besides."""
        return len(self.inputs) == 1 and self._taking(self.inputs[0]).takes == self.inputs

    @property
    def ends_alone(self) -> bool:
        """Whether there is one output, all of its layer's but states that a caller gets besides."""
        return len(self.outputs) == len(self.steps[-1].gives) == 1

    @property
    def takes_ids(self) -> tuple[bool, ...]:
        """For each input, whether it is ids."""
        return tuple(self.taker(number).takes_ids for number in self.inputs)


def calls_between(inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> list[Call]:
    """All calls on the way from inputs to outputs; an error where an output needs another input."""
    found: dict[Call, None] = {}
    todo = list(reversed(outputs))
    while todo:
        symbol = todo.pop()
        if symbol in inputs:
            continue
        if symbol.made_by is None:
            raise ValueError(
                f"the outputs depend on the input {symbol.name!r}, which is not among the inputs "
                f"{[given.name for given in inputs]}"
            )
        if symbol.made_by not in found:
            found[symbol.made_by] = None
            todo += reversed(symbol.made_by.inputs)
    used = {symbol for call in found for symbol in call.inputs}
    for symbol in inputs:
        if symbol not in used:
            raise ValueError(f"no output depends on the input {symbol.name!r}; leave it out")
    return list(found)


def in_keras_order(inputs: Mapping[Symbol, Any], outputs: Sequence[Symbol]) -> list[Any]:
    """The layers of inputs, and the layers and models that were called, in Keras' order.

    The farther from the outputs, the earlier; at the same distance, as met on the way up from them.
    """
    met: dict[Any, int] = {}
    finished: dict[Any, Any] = {}  # calls, and the symbols that are inputs, with their layers

    def climb(symbol: Symbol) -> None:
        call = None if symbol in inputs else symbol.made_by
        place, layer = (call, call.layer) if call else (symbol, inputs[symbol])
        if place in finished:
            return
        met.setdefault(layer, len(met))
        for above in call.inputs if call else []:
            climb(above)
        finished.setdefault(place, layer)

    for symbol in outputs:
        climb(symbol)
    of_place: dict[Any, int] = {}
    of_layer: dict[Any, int] = {}
    for place, layer in reversed(finished.items()):
        depth = max(of_place.get(place, 0), of_layer.get(layer, 0))
        of_place[place] = of_layer[layer] = depth
        for above in place.inputs if isinstance(place, Call) else []:
            before = above if above in inputs else above.made_by
            of_place[before] = max(depth + 1, of_place.get(before, 0))
    return sorted(of_layer, key=lambda layer: (-of_layer[layer], met[layer]))


def _opened(
    layer: Any, takes: tuple[int, ...], outputs: int, options: dict[str, Any], fresh: Iterator[int]
) -> tuple[list[Step], tuple[int, ...]]:
    """The step of a layer, or those of a model, and the numbers of what comes out."""
    inner: Graph | None = getattr(layer, "graph", None)
    if inner is None:
        gives = tuple(itertools.islice(fresh, outputs))
        return [Step(layer, takes, gives, options)], gives
    outside = dict(zip(inner.inputs, takes, strict=True))
    steps = []
    for step in inner.steps:
        outside.update(zip(step.gives, fresh))  # noqa: B905 - fresh has no end
        inside, after = (tuple(outside[n] for n in side) for side in (step.takes, step.gives))
        steps.append(Step(step.layer, inside, after, step.options))
    return steps, tuple(outside[number] for number in inner.outputs)
