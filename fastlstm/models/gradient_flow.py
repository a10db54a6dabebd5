"""The gradient of the loss on its way back through time, to see it vanish or explode.

What one step tells an earlier one is the gradient of the loss with respect to the earlier state.
On its way back it is multiplied by a matrix at each step: where that makes it shorter, it is gone
after some dozens of steps, and the weights learn nothing from what was long ago; where it makes it
longer, one update throws the weights far off.

Source: Hochreiter, "Untersuchungen zu dynamischen neuronalen Netzen", 1991; Pascanu et al., "On the
difficulty of training recurrent neural networks", ICML 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm.layers.graph import Graph
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.memory import Plan
from fastlstm.models.supervised import Supervised
from fastlstm.models.targets import label_counts
from fastlstm.randomness import drawing_from

if TYPE_CHECKING:
    from fastlstm.models.trainer import Trainer


def norms(
    model: Trainer, x: Any, y: Any, sample_weight: Any = None, mask: Any = None
) -> dict[str, np.ndarray]:
    """Norms of the ``gradients``, each (T,), from the last step of a layer to its first."""
    found = gradients(model, x, y, sample_weight, mask)
    return {
        name: np.sqrt(np.square(values, dtype=np.float64).sum(axis=(0, 2)))[::-1]
        for name, values in found.items()
    }


def gradients(
    model: Trainer, x: Any, y: Any, sample_weight: Any = None, mask: Any = None
) -> dict[str, np.ndarray]:
    """Gradients of a batch's loss with respect to the states of all recurrent layers.

    Dropout is active, as in training, with the same random numbers at each call, which are not
    those of the training.

    Parameters
    ----------
    model : Trainer
        A compiled model; its weights stay as they are.
    x, y, sample_weight, mask : array_like
        A batch, as for ``fit``.

    Returns
    -------
    dict of str to ndarray
        By layer, such as "lstm", "bidirectional/forward_lstm", or "lstm, call 2" where a layer is
        called again, (batch, time, units): the gradient with respect to h after each step, by way
        of that step's output and of all later steps. Steps are in the order in which the layer
        takes them.
    """
    data = model.prepare(x, y, sample_weight, mask)
    with model.lock, drawing_from(np.random.default_rng(0)):
        chain = model._runner.chain(
            model.batch_shapes(data.x, len(data)),
            Watched,
            model=model,
            weighted=data.weight is not None,
            masked=data.mask is not None,
            task="gradient",
            **label_counts(model.goals, data.y),
        )
        chain.load(data, np.arange(len(data)))
        chain.evaluate()
        chain.backward()
        return chain.gradients()


class Watched(Supervised):
    """A step of training that keeps what passes by on the way back through time."""

    def __init__(
        self, graph: Graph, shapes: Sequence[tuple[int, ...]], plan: Plan, **options: Any
    ) -> None:
        super().__init__(graph, shapes, plan, **options)
        self._watched: dict[str, RecurrentOp] = {}
        for step, op in zip(graph.steps, self.ops, strict=True):
            for inner in op.recurrent_ops:
                name = step.layer.name
                if inner is not op:
                    name += f"/{inner.layer.name}"
                key, calls = name, 1
                while key in self._watched:
                    calls += 1
                    key = f"{name}, call {calls}"
                inner.keep_gradients(plan)
                self._watched[key] = inner
        if not self._watched:
            raise ValueError(
                "gradient_flow is about recurrent layers, of which this model has none; add one, "
                "such as LSTM(32)"
            )

    def gradients(self) -> dict[str, np.ndarray]:
        """By layer, (B, T, H), after ``backward``."""
        found = {}
        for name, op in self._watched.items():
            assert op.d_hs is not None
            found[name] = op.d_hs.swapaxes(0, 1).copy()
            if self._origin.size:
                found[name][self._origin] = found[name].copy()
        return found
