"""Stopping when nothing improves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.training.callbacks.base import Logs
from fastlstm.training.callbacks.monitor import Monitor


class EarlyStopping(Monitor):
    """Stop when a monitored value has stopped improving.

    Parameters
    ----------
    monitor : str
        Key in the logs.
    min_delta : float
        Improvements of no more than this do not count.
    patience : int
        Epochs without improvement after which training stops.
    verbose : int
        1 to print when training stops and weights are restored.
    mode : str
        "min", "max", or "auto" to infer it from the metric.
    baseline : float, optional
        Value that must be beaten before an improvement counts.
    restore_best_weights : bool
        Go back to the weights of the best epoch at the end.
    start_from_epoch : int
        Epochs to wait before the value is looked at.

    Attributes
    ----------
    stopped_epoch : int
        Epoch at which training was stopped, from 0; 0 if it was not.
    best_epoch : int
        Epoch of the best value, from 0.
    best : float or None
        The best value.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._forget()

    def _forget(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best = None
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start afresh, so that an instance serves several runs."""
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare, and stop if patience has run out."""
        current = self.current(logs or {})
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep_weights(epoch)
        self.wait += 1
        if self.improves(current, self.best):
            self.best = current
            self._keep_weights(epoch)
            # Beating the best so far is not enough while the baseline is better.
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights where asked to."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def _keep_weights(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = [np.array(weight) for weight in self.model.get_weights()]
