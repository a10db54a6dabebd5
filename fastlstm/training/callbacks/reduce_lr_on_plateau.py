"""Smaller steps when nothing improves."""

from __future__ import annotations

from typing import Any

from fastlstm.registry import arguments_of_class, check_rest
from fastlstm.training.callbacks.base import Logs
from fastlstm.training.callbacks.learning_rate import settable
from fastlstm.training.callbacks.monitor import Monitor
from fastlstm.validation import real_number, whole_number

_INSTEAD = {
    "baseline": "the first epoch is what the second one is compared with",
    "epsilon": "it is called min_delta",
}


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by a factor when a monitored value has stopped improving.

    The logs of each epoch have the learning rate as "learning_rate".

    Parameters
    ----------
    monitor : str
        Key in the logs.
    factor : float
        What the learning rate is multiplied by, at least 0 and less than 1.
    patience : int
        Epochs without improvement after which that is done.
    verbose : int
        1 to print it.
    mode : str
        "min", "max", or "auto" to infer it from the metric.
    min_delta : float
        Improvements of no more than this do not count.
    cooldown : int
        Epochs after a reduction in which nothing is counted.
    min_lr : float
        Lower bound of the learning rate.

    Attributes
    ----------
    best : float or None
        The best value.
    wait : int
        Epochs without improvement so far.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **rest: Any,
    ) -> None:
        if rest:
            known = arguments_of_class(type(self))
            check_rest("ReduceLROnPlateau", rest, known, _INSTEAD)
        super().__init__(monitor, mode, min_delta)
        self.factor = real_number("ReduceLROnPlateau factor", factor, below=1.0)
        self.patience = whole_number(patience, "ReduceLROnPlateau patience", least=0)
        self.verbose = verbose
        self.cooldown = whole_number(cooldown, "ReduceLROnPlateau cooldown", least=0)
        self.min_lr = real_number("ReduceLROnPlateau min_lr", min_lr)
        self._forget()

    def _forget(self) -> None:
        self.best = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start afresh, so that an instance serves several runs."""
        super().on_train_begin(logs)
        settable(self)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare, and reduce the learning rate if patience has run out."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = settable(self).learning_rate
        current = self.current(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = settable(self)
        if optimizer.learning_rate <= self.min_lr:
            return
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            print(
                f"Epoch {epoch + 1}: {self.monitor} has stopped improving, reducing the learning "
                f"rate to {optimizer.learning_rate:.5g}"
            )
