"""Compiles the kernels that most models need, so that no training waits for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from fastlstm.layers.base import Layer
from fastlstm.layers.dense import Dense
from fastlstm.layers.dropout import Dropout
from fastlstm.layers.embedding import Embedding
from fastlstm.layers.lstm import LSTM
from fastlstm.models.sequential import Sequential
from fastlstm.optimizers import Adam

# Enough work for more than one thread; what is compiled does not depend on the sizes.
_BATCH, _STEPS, _FEATURES, _UNITS, _CLASSES = 32, 20, 8, 32, 4


class Usual(NamedTuple):
    """A small model of a usual kind, to be trained for one step.

    Attributes
    ----------
    title : str
        What it stands for.
    layers : list of Layer
        Its layers.
    loss, metrics
        As for ``Sequential.compile``.
    optimizers : list of Adam
        One step is made with each of them.
    """

    title: str
    layers: list[Layer]
    loss: str
    metrics: list[str]
    optimizers: list[Adam]


def usual_models() -> list[Usual]:
    """The kinds of models whose kernels are compiled, all in float32."""
    lstm = partial(LSTM, _UNITS, dtype="float32")
    dense = partial(Dense, dtype="float32")
    return [
        Usual(
            "forecasts", [lstm(return_sequences=True), lstm(), dense(1)], "mse", ["mae"], [Adam()]
        ),
        Usual(
            "classes",
            [
                lstm(),
                Dropout(0.5, dtype="float32"),
                dense(_UNITS, "relu"),
                dense(_CLASSES, "softmax"),
            ],
            "sparse_categorical_crossentropy",
            ["accuracy"],
            [Adam(), Adam(clipnorm=1.0), Adam(global_clipnorm=1.0), Adam(clipvalue=1.0)],
        ),
        Usual(
            "words",
            [Embedding(_CLASSES, _UNITS, dtype="float32"), lstm(), dense(1, "sigmoid")],
            "binary_crossentropy",
            ["accuracy"],
            [Adam()],
        ),
    ]


def warm_up(each: Callable[[Usual], object]) -> None:
    """Train, test and use each of the usual models; ``each`` is called before it with the model.

    What is compiled is kept on disk, where later processes find it.
    """
    for usual in usual_models():
        each(usual)
        model = Sequential(usual.layers)
        x, y = _samples(usual)
        for optimizer in usual.optimizers:
            model.compile(optimizer, usual.loss, metrics=usual.metrics)
            # The whole batch is worth several threads, one sample is not.
            for size in (_BATCH, 1):
                model.train_on_batch(x[:size], y[:size])
        model.train_on_batch(x, y, sample_weight=np.ones(_BATCH))
        model.test_on_batch(x, y)
        model.predict(x, verbose=0)
        model.stream().step(x[:1, 0])


def _samples(usual: Usual) -> tuple[np.ndarray, np.ndarray]:
    shape = (_BATCH, _STEPS) if usual.layers[0].takes_ids else (_BATCH, _STEPS, _FEATURES)
    sparse = usual.loss.startswith("sparse")
    return np.zeros(shape, np.float32), np.zeros(_BATCH if sparse else (_BATCH, 1), np.float32)
