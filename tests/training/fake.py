"""A model that is nothing but the loop's protocol: it remembers what it was asked to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastlstm.training import Data


class LastSample:
    """A metric that is the mean of the samples seen, which are numbers."""

    direction = "max"

    def __init__(self, name: str = "seen") -> None:
        self.name = name
        self.reset_state()

    def reset_state(self) -> None:
        self.values: list[float] = []

    def result(self) -> float:
        return float(np.mean(self.values)) if self.values else 0.0


class FakeModel:
    """One weight w and samples x: a batch's loss is mean(y) + w, and w drops by 1 a step."""

    def __init__(self, losses=None, stateful: bool = False) -> None:
        self.metrics = [LastSample()]
        self.optimizer = None
        self.stateful = stateful
        self.stop_training = False
        self.history = None
        self.w = 0.0
        self.losses = losses
        self.trained: list[list[float]] = []
        self.tested: list[list[float]] = []
        self.saved: list[str] = []
        self.finalized = 0

    def prepare(self, x, y, sample_weight=None) -> Data:
        weight = None if sample_weight is None else (np.asarray(sample_weight),)
        return Data(self.prepare_inputs(x), (np.asarray(y, float),), weight)

    def prepare_inputs(self, x):
        return (np.asarray(x, float),)

    def _step(self, data, index) -> float:
        self.metrics[0].values.extend(data.x[0][index])
        return float(np.mean(data.y[0][index])) + self.w

    def check_bptt(self, bptt):
        return bptt

    def train_step(self, data, index, bptt) -> float:
        loss = self._step(data, index)
        self.trained.append(data.x[0][index].tolist())
        if self.losses is not None:
            loss = self.losses[len(self.trained) - 1]
        if np.isfinite(loss):
            self.w -= 1
        return loss

    def test_step(self, data, index) -> float:
        self.tested.append(data.x[0][index].tolist())
        return self._step(data, index)

    def finalize_weights(self) -> None:
        self.finalized += 1

    def predict_step(self, x, index):
        return [np.stack([x[0][index], 2 * x[0][index]], axis=1)]

    def get_weights(self):
        return [np.array([self.w])]

    def set_weights(self, weights) -> None:
        self.w = float(weights[0][0])

    def save(self, path) -> None:
        self._write("model", path)

    def save_weights(self, path) -> None:
        self._write("weights", path)

    def _write(self, what, path) -> None:
        Path(path).write_text(f"{what} {self.w}")
        self.saved.append(Path(path).name)

    def reset_states(self) -> None:
        raise AssertionError("the loop leaves the states to the user, as Keras does")
