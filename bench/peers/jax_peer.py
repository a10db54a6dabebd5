"""JAX: ``lax.scan`` under ``jit``, input products for all steps at once; ``vmap`` over models.

XLA takes a thread for each processor that the process may use, so the process is confined to as
many processors as there are to be threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import work
from bench.shapes import Row

Runner = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]


def prepare(threads: int) -> str:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    return f"jax {jax.__version__}"


def _parameters(row: Row) -> dict[str, Any]:
    import jax

    each = [work.weights(row, model)._asdict() for model in range(row.models)]
    join = (lambda *arrays: np.stack(arrays)) if row.models > 1 else (lambda array: array)
    # The absent embedding is no leaf.
    return jax.tree.map(lambda *arrays: jax.numpy.asarray(join(*arrays)), *each)


def _inputs(row: Row) -> Any:
    """x, time first but for the models."""
    import jax

    batch = len(row.lead)
    return jax.numpy.asarray(work.inputs(row).swapaxes(batch, batch + 1))


def _over_models(row: Row, function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    return jax.vmap(function) if row.models > 1 else function


def _logits(row: Row, parameters: dict[str, Any], x: Any, states: Any) -> tuple[Any, Any]:
    """x (T, B, D) or ids (T, B), a pair (h, c) a layer -> pre-activations, pairs after."""
    import jax
    from jax import numpy as jnp

    if row.vocabulary:
        x = parameters["embedding"][x]
    after = []
    for (kernel, recurrent, bias), state in zip(parameters["layers"], states, strict=True):

        def cell(carry: Any, projected: Any, recurrent: Any = recurrent) -> tuple[Any, Any]:
            h, c = carry
            i, f, g, o = jnp.split(projected + h @ recurrent, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        state, x = jax.lax.scan(cell, state, x @ kernel + bias)
        after.append(state)
    dense, bias = parameters["dense"]
    return (x if row.every_step else x[-1]) @ dense + bias, after


def _zero_states(row: Row) -> list[Any]:
    from jax import numpy as jnp

    return [(jnp.zeros((row.batch, u)), jnp.zeros((row.batch, u))) for u in row.units]


def forward(row: Row) -> Runner:
    import jax

    parameters, x = _parameters(row), _inputs(row)
    activation = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid, None: lambda y: y}

    def predict(parameters: Any, x: Any) -> Any:
        y, _ = _logits(row, parameters, x, _zero_states(row))
        return activation[row.activation](y)

    predict = jax.jit(_over_models(row, predict))

    def run() -> Any:
        return predict(parameters, x).block_until_ready()

    return run, lambda y: np.asarray(y).swapaxes(0, 1) if row.every_step else np.asarray(y)


def step(row: Row) -> Runner:
    import jax

    parameters, x = _parameters(row), _inputs(row)
    states = _zero_states(row)

    @jax.jit
    def advance(parameters: Any, x: Any, states: Any) -> Any:
        return _logits(row, parameters, x, states)

    def run() -> Any:
        nonlocal states
        y, states = advance(parameters, x, states)
        return y.block_until_ready()

    return run, np.asarray


def train(row: Row) -> Runner:
    import jax
    from jax import numpy as jnp

    x, y = _inputs(row), work.targets(row)
    y = jnp.asarray(y.T if row.every_step else y)
    parameters = _parameters(row)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = (parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(row.lead))

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        p, _ = _logits(row, parameters, x, _zero_states(row))
        if row.loss == "mse":
            return jnp.mean((p - y) ** 2)
        if row.loss == "binary_crossentropy":
            return jnp.mean(jnp.maximum(p, 0) - p * y + jnp.log1p(jnp.exp(-jnp.abs(p))))
        chosen = jnp.take_along_axis(p, y[..., None], -1)[..., 0]
        return jnp.mean(jax.nn.logsumexp(p, axis=-1) - chosen)

    def update(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        parameters, first, second, count = state
        loss, grads = jax.value_and_grad(loss_of)(parameters, x, y)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
        scale = jnp.minimum(1.0, work.CLIP_NORM / norm)
        grads = jax.tree.map(lambda g: g * scale, grads)
        count = count + 1
        rate = work.LEARNING_RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), parameters, first, second
        )
        return (parameters, first, second, count), loss

    update = jax.jit(_over_models(row, update), donate_argnums=0)

    def run() -> Any:
        nonlocal state
        state, loss = update(state, x, y)
        jax.block_until_ready(state)
        return np.asarray(loss)

    return run, np.asarray
