"""What callbacks that follow one entry of the logs have in common."""

from __future__ import annotations

import numpy as np

from fastlstm.registry import suggestion
from fastlstm.training.callbacks.base import Callback, Logs


class Monitor(Callback):
    """Base of the callbacks that follow one entry of the logs."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(
                f"{type(self).__name__} expects mode 'auto', 'min' or 'max', got {mode!r}"
            )
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.best: float | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check, before any work, what can be checked."""
        known = self.params.get("metrics", [])
        if self.monitor not in known and self.monitor.removeprefix("val_") in known:
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}, but nothing is validated: "
                f"give fit() validation_data or validation_split, or monitor one of "
                f"{', '.join(known)}"
            )
        self._sign = self._direction()

    def current(self, logs: Logs) -> float | None:
        """Value of the monitored entry; None in an epoch without validation."""
        if self.monitor in logs:
            value = logs[self.monitor]
            if np.ndim(value):
                raise ValueError(
                    f"{type(self).__name__} monitors {self.monitor!r}, which is an array of shape "
                    f"{np.shape(value)}; it takes a number, such as the metric with an average"
                )
            return float(value)
        if self.monitor in self.params.get("metrics", []):
            return None
        raise ValueError(
            f"{type(self).__name__} monitors {self.monitor!r}, which is not in the logs."
            f"{suggestion(self.monitor, logs)} Available: {', '.join(logs)}"
        )

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether ``value`` is better than ``reference`` by more than ``min_delta``."""
        if reference is None:
            return True
        return self._sign * (value - reference) > self.min_delta

    def _direction(self) -> float:
        """1 where higher is better, -1 where lower is."""
        if self.mode != "auto":
            return 1.0 if self.mode == "max" else -1.0
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return -1.0
        for metric in self.model.metrics:
            if metric.name == name:
                return 1.0 if metric.direction == "max" else -1.0
        raise ValueError(
            f"{type(self).__name__} cannot tell whether a higher or a lower {self.monitor!r} is "
            f"better.{suggestion(self.monitor, self.params.get('metrics', []))} "
            f"Pass mode='max' or mode='min'"
        )
