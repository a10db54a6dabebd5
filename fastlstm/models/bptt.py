"""How far, and in how much memory, training goes back through time: the argument ``bptt``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from fastlstm.layers.graph import Graph
from fastlstm.models.checkpoint import Checkpointed, over_time, segments
from fastlstm.models.supervised import Supervised


class Shaped(Protocol):
    """What a check needs of a model."""

    @property
    def graph(self) -> Graph:
        """The layers, and what they take from one another."""

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the output, None for the batch."""


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
    if not model.graph.in_line:
        raise ValueError(
            f"bptt={bptt!r} works through layers that stand one after the other, and this model's "
            "do not; use bptt='full'"
        )
    layers = model.graph.layers
    concerned = over_time(layers) if checkpoint else layers
    waits = [layer.name for layer in concerned if not layer.causal]
    if checkpoint:
        waits += [layer.name for layer in concerned if not layer.by_parts]
    if waits:
        raise ValueError(
            f"bptt={bptt!r} works through sequences part by part, but layer {waits[0]!r} needs "
            "all of them first; use bptt='full'"
        )
    if checkpoint:
        return "checkpoint"
    if not windows:
        raise ValueError(
            f"value_and_grad expects bptt='full' or 'checkpoint', got {bptt!r}: windows of steps "
            "come with an update each, as in fit and train_on_batch. Pass it the windows one by one"
        )
    if len(model.output_shape) != 3:
        raise ValueError(
            f"bptt={bptt!r} updates after each window of {bptt} steps, which takes a target for "
            f"every step, but the model gives {model.output_shape}: let the last recurrent layer "
            "return every step with return_sequences=True, or use bptt='checkpoint' to save memory"
        )
    return int(bptt)


def chain_kind(bptt: str | int, shape: tuple[int, ...], timed: bool) -> type[Supervised]:
    """What takes a step for inputs of ``shape``, time first where ``timed``."""
    worthwhile = bptt == "checkpoint" and timed and len(segments(*shape[:2])) > 1
    return Checkpointed if worthwhile else Supervised


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
        loss = chain.train()
        if not np.isfinite(loss):
            return loss
        chain.commit(resume=True)
        total += loss * min(window, steps - start)
    return total / steps
