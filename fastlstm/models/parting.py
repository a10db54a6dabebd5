"""What of a graph a stream computes once, before the first step, and what each step computes.

A recurrent layer may start from states that the model makes of other inputs: of facts about the
sequence, or of another sequence, as a decoder does. Those inputs are given once. All that is made
of them alone is made once, too, and held: the first states, and what attention looks at.

    source ── LSTM ──┬── states ─┐        once: source, and the LSTM
                     └─────────┐ │
    target ─────────────── LSTM ─┴─ Attention ── Dense        at each step: target, and the rest
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fastlstm.layers.graph import Graph, Step
from fastlstm.layers.symbol import Shape
from fastlstm.layers.with_states import WithStates


class Parted(NamedTuple):
    """A graph in two.

    Attributes
    ----------
    given : tuple of int
        The inputs that are given once; none where no layer starts from states of the graph.
    once : Graph or None
        What is computed of them; its outputs are all that anybody takes later.
    steps : Graph
        What each step computes; its inputs are those that come with each step, and then ``held``.
    held : tuple of int
        What steps take of that which is given or made once.
    kept : tuple of int
        Outputs of the model that are made once, and that no step takes.
    """

    given: tuple[int, ...]
    once: Graph | None
    steps: Graph
    held: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def stepped(self) -> tuple[int, ...]:
        """The inputs that come with each step."""
        return self.steps.inputs[: len(self.steps.inputs) - len(self.held)]


def part(graph: Graph, inputs: Sequence[Shape], timed: Sequence[bool]) -> Parted:
    """Part a graph for a stream.

    Parameters
    ----------
    graph : Graph
    inputs : sequence of tuple
        Shapes of the inputs, the batch first.
    timed : sequence of bool
        Which of the inputs have steps.

    Raises
    ------
    ValueError
        If a layer cannot answer step by step.
    """
    found = Ancestors(graph)
    given = found.inputs_of(n for step in graph.steps for n in _first_takes(step, found))
    known, once, steps = set(given), [], []
    for step in graph.steps:
        if known.issuperset(step.takes):
            known.update(step.gives)
            once.append(step)
        else:
            steps.append(step)
    stepped = [number for number in graph.inputs if number not in given]
    if not any(has and n in stepped for n, has in zip(graph.inputs, timed, strict=True)):
        raise ValueError(_why_not(graph, found))
    _check_steps(steps, graph.all_shapes(inputs), known)
    taken = {number for step in steps for number in step.takes}
    held = tuple(sorted(taken & known))
    kept = tuple(n for n in dict.fromkeys(graph.outputs) if n in known and n not in held)
    used = {number for step in once for number in step.takes}
    made = [number for number in (*held, *kept) if number not in given]
    return Parted(
        tuple(number for number in graph.inputs if number in given),
        Graph([n for n in graph.inputs if n in used], once, made) if once else None,
        Graph([*stepped, *held], steps, [n for n in graph.outputs if n not in known]),
        held,
        kept,
    )


class Ancestors:
    """What arrays of a graph are made of."""

    def __init__(self, graph: Graph) -> None:
        self._makers = {number: step for step in graph.steps for number in step.gives}

    def inputs_of(self, numbers: Iterable[int], *, by_steps: bool = False) -> set[int]:
        """The inputs among the ancestors; ``by_steps`` those alone whose steps are the arrays'."""
        found, todo, seen = set(), list(numbers), set()
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            step = self._makers.get(number)
            if step is None:
                found.add(number)
            else:
                todo += step.takes[: _main(step)] if by_steps else step.takes
        return found


def _main(step: Step) -> int:
    """How many of the arrays that a step takes it takes step by step."""
    alone = isinstance(step.layer, WithStates) or step.layer.looks
    return 1 if alone else len(step.takes)


def _first_takes(step: Step, found: Ancestors) -> tuple[int, ...]:
    """What a step takes that must be there before the first step of the sequence."""
    rest = step.takes[_main(step) :]
    if step.layer.looks:  # perhaps at the very sequence that it is in
        own = found.inputs_of(step.takes[:1], by_steps=True)
        if own & found.inputs_of(rest):
            return ()
    return rest


def _check_steps(steps: Sequence[Step], shapes: dict[int, Shape], known: set[int]) -> None:
    """An error where a layer cannot answer step by step."""
    for step in steps:
        layer, takes, _, options = step
        main = takes[: _main(step)]
        looks = layer.looks and not options.get("use_causal_mask")
        if looks and known.issuperset(takes[1:]):
            continue
        waits = layer.waits([shapes[number] for number in takes])
        if waits or any(number in known and len(shapes[number]) == 3 for number in main):
            raise ValueError(
                f"stream answers after every step, but layer {layer.name!r} needs the end of the "
                "sequence first; use predict, or a model whose layers all go forward"
            )


def _why_not(graph: Graph, found: Ancestors) -> str:
    """Why no input can come step by step."""
    names = [step.layer.name for step in graph.steps if _first_takes(step, found)]
    if not names:
        return "stream needs a model of sequences, (batch, time, features) or ids (batch, time)"
    return (
        f"stream takes steps of a sequence, but layer {names[0]!r} starts from what is made of all "
        "of it; use predict, or let the first states be made of another input"
    )
