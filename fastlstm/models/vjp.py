"""Vector-Jacobian products of any layer or model, for people who write their own loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlstm.data.lengths import mask_of
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain, chain_shape, time_first
from fastlstm.layers.graph import Graph
from fastlstm.layers.runner import Arrays, as_mask, run
from fastlstm.memory import Arena
from fastlstm.models.model import Model
from fastlstm.validation import as_floats

Pullback = Callable[..., tuple[Any, list[np.ndarray], list[np.ndarray]]]


def vjp(
    layer: Layer | Model,
    x: Any,
    initial_state: Any = None,
    mask: Any = None,
    *,
    lengths: Any = None,
) -> tuple[Any, Pullback]:
    """Outputs of a layer or model, and the function that pulls gradients back through it.

    Parameters
    ----------
    layer : Layer or Model
        Built on first use. Dropout is not active.
    x : array_like, or list of array_like
        Input, batch first; a list for several.
    initial_state : list of array_like, optional
        States of a recurrent layer before the first step, each (batch, units).
    mask : array_like, optional
        (batch, time) of booleans, for the first input.
    lengths : array_like, optional
        (batch,) steps of each sample that count, the first ones; in the place of ``mask``.

    Returns
    -------
    outputs : ndarray or list
        What calling the layer returns.
    pullback : callable
        ``d_x, d_states, d_weights = pullback(*d_outputs)`` with a gradient for each output:
        d_x has the shape of x (None for ids; a list for several inputs), d_states is a list like
        ``initial_state``, d_weights a list like ``get_weights``, frozen ones as well. It may be
        called several times, until the weights change.
    """
    if isinstance(layer, Model):
        samples, graph, layers = layer.prepare_inputs(x), layer.graph, layer.all_layers
        lock = layer.lock
    else:
        runner = layer.runner_for(x)
        samples, graph, layers, lock = runner.build_for(x), runner.graph, [layer], runner.lock
    mask = mask_of(mask, lengths, samples)
    with lock:
        made = _Linearized(graph, layers, samples, initial_state, mask, lock)
        return made.outputs_and_pullback()


class _Linearized:
    """One forward pass with its tape, in an arena of its own."""

    def __init__(
        self, graph: Graph, layers: list[Layer], samples: Arrays, states: Any, mask: Any, lock: Any
    ) -> None:
        self.layers, self.lock = layers, lock
        self.ids = graph.takes_ids
        self.x = tuple(array.copy() for array in samples)
        self.states = states
        self.mask = None if mask is None else as_mask(mask, samples[0].shape[:2])
        shapes = [
            chain_shape(array.shape[1:], len(array), ids)
            for array, ids in zip(self.x, self.ids, strict=True)
        ]
        self.chain = Arena().lay_out(
            lambda plan: Chain(
                graph,
                shapes,
                plan,
                saving=True,
                masked=mask is not None,
                input_gradient=True,
                state_gradients=getattr(graph.steps[-1].layer, "return_state", False)
                and graph.ends_alone,
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
        d_ys = d_outputs
        if chain.graph.ends_alone:
            count = len(d_outputs) - len(last.d_final)
            d_ys = [np.concatenate(d_outputs[:count], axis=-1) if count > 1 else d_outputs[0]]
            for target, d_state in zip(last.d_final, d_outputs[count:], strict=True):
                np.copyto(target, d_state)
        for target, d_y in zip(chain.d_ys, d_ys, strict=True):
            np.copyto(target, time_first(d_y, ids=False))
        chain.backward()
        d_xs = [
            None if d_x is None else time_first(d_x, ids=False).copy().reshape(x.shape)
            for d_x, x in zip(chain.d_xs, self.x, strict=True)
        ]
        d_states = first.initial_gradients()
        d_weights = [grad.copy() for layer in self.layers for grad in layer.grads()]
        return d_xs if len(d_xs) > 1 else d_xs[0], d_states, d_weights
