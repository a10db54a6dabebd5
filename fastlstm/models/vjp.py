"""Vector-Jacobian products of any layer or model, for people who write their own loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain, time_first
from fastlstm.layers.runner import as_mask, run
from fastlstm.memory import Arena
from fastlstm.models.sequential import Sequential
from fastlstm.validation import as_floats

Pullback = Callable[..., tuple[Any, list[np.ndarray], list[np.ndarray]]]


def vjp(
    layer: Layer | Sequential, x: Any, initial_state: Any = None, mask: Any = None
) -> tuple[Any, Pullback]:
    """Outputs of a layer or model, and the function that pulls gradients back through it.

    Parameters
    ----------
    layer : Layer or Sequential
        Built on first use. Dropout is not active.
    x : array_like
        Input, batch first.
    initial_state : list of array_like, optional
        States of a recurrent layer before the first step, each (batch, units).
    mask : array_like, optional
        (batch, time) of booleans.

    Returns
    -------
    outputs : ndarray or list
        What calling the layer returns.
    pullback : callable
        ``d_x, d_states, d_weights = pullback(*d_outputs)`` with a gradient for each output:
        d_x has the shape of x (None for ids), d_states is a list like ``initial_state``, d_weights
        a list like ``get_weights``, frozen ones as well. It may be called several times, until
        the weights change.
    """
    layers = layer.layers if isinstance(layer, Sequential) else [layer]
    if isinstance(layer, Sequential):
        samples, lock = layer.prepare_inputs(x), layer.lock
    else:
        samples = layer.runner.build_for(x)
        lock = layer.runner.lock
    with lock:
        return _Linearized(layers, samples, initial_state, mask, lock).outputs_and_pullback()


class _Linearized:
    """One forward pass with its tape, in an arena of its own."""

    def __init__(
        self, layers: list[Layer], samples: np.ndarray, states: Any, mask: Any, lock: Any
    ) -> None:
        self.layers = layers
        self.lock = lock
        self.ids = layers[0].takes_ids
        self.x = samples.copy()
        self.states = states
        self.mask = None if mask is None else as_mask(mask, samples.shape[:2])
        self.chain = Arena().lay_out(
            lambda plan: Chain(
                layers,
                time_first(self.x, self.ids).shape,
                plan,
                saving=True,
                masked=mask is not None,
                input_gradient=not self.ids,
                state_gradients=getattr(layers[-1], "return_state", False),
            )
        )
        self.consumed = False
        self.versions = [layer.version for layer in layers]

    def outputs_and_pullback(self) -> tuple[Any, Pullback]:
        outputs = run(self.chain, self.x, self.mask, self.states, commit=False)
        self.shapes = [out.shape for out in (outputs if isinstance(outputs, list) else [outputs])]
        return outputs, self.pull

    def pull(self, *d_outputs: Any) -> tuple[Any, list[np.ndarray], list[np.ndarray]]:
        """Gradients of x, of the initial states and of the weights."""
        if len(d_outputs) == 1 and isinstance(d_outputs[0], (list, tuple)):
            d_outputs = tuple(d_outputs[0])
        if len(d_outputs) != len(self.shapes):
            raise ValueError(
                f"pullback expects {len(self.shapes)} gradients, one for each output, "
                f"got {len(d_outputs)}"
            )
        dtype = self.layers[0].dtype
        checked = []
        for number, (d_out, shape) in enumerate(zip(d_outputs, self.shapes, strict=True)):
            value = as_floats(d_out, dtype, f"gradient {number}")
            if value.shape != shape:
                raise ValueError(f"gradient {number} expects shape {shape}, got {value.shape}")
            checked.append(value)
        if self.versions != [layer.version for layer in self.layers]:
            raise RuntimeError(
                "the weights have changed since the forward pass of this pullback; call vjp again"
            )
        with self.lock:
            if self.consumed:  # backward works in the memory of the tape
                run(self.chain, self.x, self.mask, self.states, commit=False)
            self.consumed = True
            return self._pull(checked)

    def _pull(self, d_outputs: list[np.ndarray]) -> tuple[Any, list[np.ndarray], list[np.ndarray]]:
        chain = self.chain
        first, last = chain.ops[0], chain.ops[-1]
        count = len(d_outputs) - len(last.d_final)
        d_y = np.concatenate(d_outputs[:count], axis=-1) if count > 1 else d_outputs[0]
        np.copyto(chain.d_y, time_first(d_y, ids=False))
        for target, d_state in zip(last.d_final, d_outputs[count:], strict=True):
            np.copyto(target, d_state)
        chain.backward()
        d_x = None if chain.d_x is None else time_first(chain.d_x, ids=False).copy()
        d_states = first.initial_gradients()
        d_weights = [grad.copy() for layer in self.layers for grad in layer.grads()]
        return d_x, d_states, d_weights
