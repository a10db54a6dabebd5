"""fastlstm's side of every benchmark: the models of the table, and the three modes.

Same form as ``bench.peers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastlstm
from bench import work
from bench.shapes import Row
from fastlstm.layers import LSTM, Dense, Embedding, Input
from fastlstm.models import Ensemble, Sequential
from fastlstm.optimizers import Adam

Runner = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]


def prepare(threads: int) -> str:
    fastlstm.set_num_threads(threads)
    return f"fastlstm {getattr(fastlstm, '__version__', '')}".strip()


def build(row: Row) -> Any:
    """The compiled model of a row, with the weights that every framework gets."""
    model: Any = _layers(row)
    weights = work.weights(row).flat()
    if row.models > 1:
        model, weights = Ensemble(model, row.models), work.stacked(row)
    adam = Adam(work.LEARNING_RATE, global_clipnorm=work.CLIP_NORM)
    model.compile(optimizer=adam, loss=row.loss)
    model.set_weights(weights)
    return model


def _layers(row: Row) -> Sequential:
    shape = (row.steps,) if row.vocabulary else (row.steps, row.features)
    model = Sequential([Input(shape, batch_size=row.batch)])
    if row.vocabulary:
        model.add(Embedding(row.vocabulary, row.features))
    for index, units in enumerate(row.units):
        whole = row.every_step or index < len(row.units) - 1
        # Weights are set below: no need for an orthogonal start.
        model.add(
            LSTM(
                units,
                return_sequences=whole,
                recurrent_initializer="zeros",
            )
        )
    model.add(Dense(row.outputs, activation=row.activation))
    return model


def forward(row: Row) -> Runner:
    model, x = build(row), work.inputs(row)
    call = model.predict_on_batch if row.models > 1 else model
    return lambda: call(x), np.asarray


def step(row: Row) -> Runner:
    stream, x = build(row).stream(row.batch), work.inputs(row)[:, 0]
    return lambda: stream.step(x), np.asarray


def train(row: Row) -> Runner:
    model, x, y = build(row), work.inputs(row), work.targets(row)
    return lambda: model.train_on_batch(x, y), np.asarray
