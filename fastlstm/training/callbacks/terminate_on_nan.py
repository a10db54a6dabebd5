"""Stopping when the loss is not finite."""

from __future__ import annotations

import math

from fastlstm.training.callbacks.base import Callback, Logs


class TerminateOnNaN(Callback):
    """Stop training, without an error, when the loss is not finite."""

    handles_nan = True

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            print(f"Batch {batch + 1}: the loss is not finite, terminating training")
            self.model.stop_training = True
