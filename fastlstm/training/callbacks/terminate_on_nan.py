"""Stopping when the loss is not finite."""

from __future__ import annotations

import math

from fastlstm.training.callbacks.base import Callback, Logs


class TerminateOnNaN(Callback):
    """Stop training when the loss is not finite.

    Parameters
    ----------
    raise_error : bool
        Stop with a ``RuntimeError``, where otherwise there is none.
    """

    handles_nan = True

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = bool(raise_error)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            if self.raise_error:
                raise RuntimeError(
                    f"batch {batch + 1}: the loss is not finite; lower the learning_rate, set "
                    "clipnorm in the optimizer, or look for very large values in the data"
                )
            print(f"Batch {batch + 1}: the loss is not finite, terminating training")
            self.model.stop_training = True
