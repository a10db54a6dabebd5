"""The record of a training run."""

from __future__ import annotations

from typing import Any

from fastlstm.training.callbacks import Callback


class History(Callback):
    """What ``fit`` returns: the logs of each epoch.

    Attributes
    ----------
    history : dict of str to list
        Value of each log at the end of each epoch: "loss", the metrics, "val_loss", ... Numbers,
        or arrays where a metric is one.
    epoch : list of int
        The epochs' numbers, from 0.
    params : dict
        What the run was asked for: "epochs", "steps", "verbose", "metrics".
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append the logs."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
