"""What callbacks that change the learning rate have in common."""

from __future__ import annotations

from fastlstm.optimizers import Optimizer
from fastlstm.training.callbacks.base import Callback


def settable(callback: Callback) -> Optimizer:
    """The optimizer of the callback's model; an error where a schedule tells its learning rate."""
    optimizer, name = callback.model.optimizer, type(callback).__name__
    if optimizer is None:
        raise RuntimeError(f"{name} needs an optimizer: call model.compile() first")
    if optimizer.scheduled:
        raise TypeError(
            f"{name} sets the learning rate, which in {optimizer!r} comes from a schedule: give "
            f"the optimizer a number as learning_rate, or leave out the callback"
        )
    return optimizer
