"""A learning rate for each epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from fastlstm.training.callbacks.base import Callback, Logs
from fastlstm.training.callbacks.learning_rate import settable


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch; the logs have it as "learning_rate".

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)``, or ``schedule(epoch)``, returns the new learning rate;
        epochs count from 0.
    verbose : int
        1 to print it.

    Raises
    ------
    TypeError
        If ``schedule`` is no function of one or two arguments.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes(schedule, 0, 0.0)
        if not self._takes_rate and not _takes(schedule, 0):
            raise TypeError(
                f"LearningRateScheduler expects a function of epoch and learning rate, "
                f"got {schedule!r}"
            )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check, before any work, that the learning rate can be set."""
        settable(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        optimizer = settable(self)
        arguments = (optimizer.learning_rate,) if self._takes_rate else ()
        rate = self.schedule(epoch, *arguments)
        try:
            optimizer.learning_rate = rate
        except ValueError as error:
            raise ValueError(
                f"the function that LearningRateScheduler calls returned {rate!r} for epoch "
                f"{epoch}: {error}"
            ) from None
        if self.verbose:
            print(f"Epoch {epoch + 1}: setting the learning rate to {optimizer.learning_rate:.5g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the learning rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = settable(self).learning_rate


def _takes(function: Callable[..., float], *arguments: float) -> bool:
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # it has no signature, as some built-in functions
        return True
    return True
