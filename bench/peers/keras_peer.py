"""Keras on TensorFlow, or on the backend that is installed; ``KERAS_BACKEND`` overrules.

Its compiled entry points are timed: ``predict_on_batch`` and ``train_on_batch``. On TensorFlow
the LSTM is not compiled by XLA unless one asks. That makes prediction faster, up to twice, and
training of long sequences slower; so does unrolling help where sequences are short.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import work
from bench.shapes import Row

# Steps of a sequence that is unrolled on TensorFlow.
SHORT = 24

Runner = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]


def prepare(threads: int) -> str:
    backend = os.environ.setdefault("KERAS_BACKEND", _installed_backend())
    if backend == "tensorflow":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
        version = tensorflow.__version__
    elif backend == "jax":
        from bench.peers import jax_peer

        version = jax_peer.prepare(threads).split()[1]
    else:
        from bench.peers import torch_peer

        version = torch_peer.prepare(threads).split()[1]
    import keras

    return f"keras {keras.__version__} on {backend} {version}"


def _installed_backend() -> str:
    for name in ("tensorflow", "jax", "torch"):
        if importlib.util.find_spec(name):
            return name
    raise ModuleNotFoundError("Keras needs tensorflow, jax or torch", name="tensorflow")


def _model(row: Row, mode: str) -> Any:
    import keras
    from keras import layers

    on_tensorflow = keras.backend.backend() == "tensorflow"
    shape = (row.steps,) if row.vocabulary else (row.steps, row.features)
    model = keras.Sequential([keras.Input(batch_shape=(row.batch, *shape))])
    if row.vocabulary:
        model.add(layers.Embedding(row.vocabulary, row.features))
    for index, units in enumerate(row.units):
        whole = row.every_step or index < len(row.units) - 1
        # Weights are set below: no need for an orthogonal start.
        model.add(
            layers.LSTM(
                units,
                return_sequences=whole,
                stateful=mode == "step",
                unroll=on_tensorflow and row.steps <= SHORT,
                recurrent_initializer="zeros",
            )
        )
    model.add(layers.Dense(row.outputs, activation=row.activation))
    adam = keras.optimizers.Adam(work.LEARNING_RATE, global_clipnorm=work.CLIP_NORM)
    jit_compile = True if on_tensorflow and mode != "train" else "auto"
    model.compile(optimizer=adam, loss=row.loss, jit_compile=jit_compile)
    model.set_weights(work.weights(row).flat())
    return model


def forward(row: Row) -> Runner:
    model, x = _model(row, "forward"), work.inputs(row)
    return lambda: model.predict_on_batch(x), np.asarray


def step(row: Row) -> Runner:
    import keras

    if keras.backend.backend() == "jax":
        return _step_with_states(row)
    model, x = _model(row, "step"), work.inputs(row)
    return lambda: model.predict_on_batch(x), np.asarray


def _step_with_states(row: Row) -> Runner:
    """On JAX a stateful layer keeps nothing from one ``predict_on_batch`` to the next."""
    import keras
    from keras import layers

    sequence = x_in = keras.Input(batch_shape=(row.batch, row.steps, row.features))
    states_in, states_out = [], []
    for units in row.units:
        pair = [keras.Input(batch_shape=(row.batch, units)) for _ in "hc"]
        sequence, *after = layers.LSTM(units, return_sequences=True, return_state=True)(
            sequence, initial_state=pair
        )
        states_in += pair
        states_out += after
    y_out = layers.Dense(row.outputs, activation=row.activation)(sequence[:, -1])
    model = keras.Model([x_in, *states_in], [y_out, *states_out])
    model.set_weights(work.weights(row).flat())
    x = work.inputs(row)
    states = [np.zeros(state.shape, np.float32) for state in states_in]

    def run() -> np.ndarray:
        nonlocal states
        y, *states = model.predict_on_batch([x, *states])
        return y

    return run, np.asarray


def train(row: Row) -> Runner:
    model, x, y = _model(row, "train"), work.inputs(row), work.targets(row)
    return lambda: float(model.train_on_batch(x, y)), np.asarray
