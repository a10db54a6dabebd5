"""A layer as it is in training: its outputs, and the gradients of all that goes in."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.layers.chain import Chain
from fastlstm.layers.graph import Graph
from fastlstm.layers.runner import as_mask, run
from fastlstm.memory import Arena
from fastlstm.utils import set_random_seed


class Trained:
    """A recurrent layer bound to inputs, with ``return_sequences`` and ``return_state``."""

    def __init__(self, layer: Any, x: np.ndarray, mask: np.ndarray | None = None) -> None:
        self.layer, self.x = layer, x
        self.mask = None if mask is None else as_mask(mask, x.shape[:2])
        self.chain = Arena().lay_out(
            lambda plan: Chain(
                Graph.of([layer]),
                [x.swapaxes(0, 1).shape],
                plan,
                saving=True,
                training=True,
                masked=mask is not None,
                input_gradient=True,
                state_gradients=True,
            )
        )

    def outputs(self, states: list[np.ndarray], seed: int = 1) -> list[np.ndarray]:
        """Outputs and last states; the same ``seed`` drops the same."""
        set_random_seed(seed)
        return run(self.chain, (self.x,), self.mask, states, commit=False)

    def gradients(self, d_outputs: list[np.ndarray]) -> list[np.ndarray]:
        """Of x, the states before and the weights, by those of the last outputs."""
        op = self.chain.ops[0]
        np.copyto(self.chain.d_y, d_outputs[0].swapaxes(0, 1))
        for target, d_state in zip(op.d_final, d_outputs[1:], strict=True):
            np.copyto(target, d_state)
        self.chain.backward()
        d_x = self.chain.d_x.swapaxes(0, 1).copy()
        return [d_x, *op.initial_gradients(), *(grad.copy() for grad in self.layer.grads())]
