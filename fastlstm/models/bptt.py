"""How far, and in how much memory, training goes back through time: the argument ``bptt``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from fastlstm.layers.chain import has_time
from fastlstm.layers.graph import Graph
from fastlstm.layers.symbol import Shape
from fastlstm.models.checkpoint import Checkpointed, check_refused
from fastlstm.models.parting import Ancestors
from fastlstm.models.regions import find_regions, main_takes
from fastlstm.models.segments import streamed_inputs
from fastlstm.models.supervised import Supervised


class Shaped(Protocol):
    """What a check needs of a model."""

    @property
    def graph(self) -> Graph:
        """The layers, and what they take from one another."""

    @property
    def built(self) -> bool:
        """Whether the shapes are known."""

    @property
    def input_shapes(self) -> list[Shape]:
        """Shapes of the inputs, None for the batch."""


def check_bptt(bptt: Any, model: Shaped, *, windows: bool = True) -> str | int:
    """Return "full", "checkpoint", or, where ``windows`` are of use, a number of steps.

    Parameters
    ----------
    bptt : object
        As the user gave it; None for "full".
    model : Shaped
        What is to be trained; windows need targets for every step.
    windows : bool
        Whether there may be several updates from one batch.

    Raises
    ------
    ValueError
        If it is nothing of the kind, or windows do not fit the model.
    """
    if bptt is None or (isinstance(bptt, str) and bptt == "full"):
        return "full"
    checkpoint = isinstance(bptt, str) and bptt == "checkpoint"
    whole = isinstance(bptt, (int, np.integer)) and not isinstance(bptt, bool)
    if not checkpoint and (not whole or bptt < 1):
        steps = ", or a number of steps of at least 1" if windows else ""
        raise ValueError(
            f"bptt expects 'full', 'checkpoint' (the same result in the memory of the square root "
            f"of the steps){steps}; got {bptt!r}"
        )
    if checkpoint and not model.built:  # what does not fit is said with the first batch
        return "checkpoint"
    graph, shapes = model.graph, model.input_shapes
    check_refused(bptt, (_refused if checkpoint else _refused_by_windows)(graph, shapes))
    if checkpoint:
        return "checkpoint"
    if not windows:
        raise ValueError(
            f"value_and_grad expects bptt='full' or 'checkpoint', got {bptt!r}: windows of steps "
            "come with an update each, as in fit and train_on_batch. Pass it the windows one by one"
        )
    for shape in graph.shapes_for(shapes):
        if len(shape) != 3:
            raise ValueError(
                f"bptt={bptt!r} updates after each window of {bptt} steps, which takes a target "
                f"for every step, but the model gives {shape}: let the last recurrent layer return "
                "every step with return_sequences=True, or use bptt='checkpoint' to save memory"
            )
    return int(bptt)


def _refused(graph: Graph, shapes: Sequence[Shape]) -> list[str]:
    """Why recurrent layers over sequences cannot work segment by segment."""
    pairs = zip(graph.inputs, shapes, graph.takes_ids, strict=True)
    timed = [number for number, shape, ids in pairs if has_time(len(shape), ids)]
    return find_regions(graph, shapes, timed).refused


def _refused_by_windows(graph: Graph, inputs: Sequence[Shape]) -> list[str]:
    """Why layers cannot work on windows one after the other, over states that are carried on."""
    shapes, ancestors, found = graph.all_shapes(inputs), Ancestors(graph), []
    pairs = zip(graph.inputs, inputs, graph.takes_ids, strict=True)
    timed = {number for number, shape, ids in pairs if has_time(len(shape), ids)}
    for step in graph.steps:
        name, layer = repr(step.layer.name), step.layer
        if layer.waits([shapes[number] for number in step.takes]):
            found.append(f"layer {name} needs all of them first")
        if timed & ancestors.inputs_of(step.takes[len(main_takes(step)) :]):
            found.append(f"layer {name} starts from states that are made of all of them")
    return found


def chain_kind(
    bptt: str | int, graph: Graph, shapes: Sequence[tuple[int, ...]]
) -> type[Supervised]:
    """What takes a step for inputs of these shapes, time first."""
    worthwhile = bptt == "checkpoint" and streamed_inputs(graph, shapes)
    return Checkpointed if worthwhile else Supervised


def window_steps(arrays: Sequence[np.ndarray], ids: Sequence[bool], bptt: int) -> int:
    """Steps of the sequences that go through windows; an error where they are not as many."""
    pairs = zip(arrays, ids, strict=True)
    counts = {array.shape[1] for array, are_ids in pairs if has_time(array.ndim, are_ids)}
    if len(counts) > 1:
        raise ValueError(
            f"bptt={bptt!r} takes windows of all inputs at once, so each expects as many steps, "
            f"got {sorted(counts)}; use bptt='checkpoint' or 'full'"
        )
    return int(counts.pop())


def of_window(
    shapes: Sequence[tuple[int, ...]], ids: Sequence[bool], steps: int
) -> tuple[tuple[int, ...], ...]:
    """Shapes of inputs, time first, of which those that have steps come in a window of them."""
    return tuple(
        (steps, *shape[1:]) if has_time(len(shape), are_ids) else shape
        for shape, are_ids in zip(shapes, ids, strict=True)
    )


def train_windows(load: Callable[[int, int], Supervised], steps: int, window: int) -> float:
    """Truncated back-propagation: an update for each window of steps, over states carried on.

    Parameters
    ----------
    load : callable
        ``load(start, steps)`` is the chain for a window, with its samples.
    steps, window : int
        Of the sequences, and of each window but perhaps the last.

    Returns
    -------
    float
        Mean loss of all steps (of a loss whose reduction is "sum", mean of the windows' by their
        steps); one that is not finite comes from the window that had no update.
    """
    total = 0.0
    for start in range(0, steps, window):
        chain = load(start, min(window, steps - start))
        chain.share = min(window, steps - start) / steps
        loss = chain.train()
        if not np.isfinite(loss):
            return loss
        chain.commit(resume=True)
        total += loss * min(window, steps - start)
    return total / steps
