"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastlstm.registry import suggestion
from fastlstm.training.callbacks.base import HOOKS, Callback


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    **functions : callable
        Functions by the name of the hook they serve, such as
        ``on_epoch_end=lambda epoch, logs: ...``.

    Raises
    ------
    TypeError
        If there is no such hook, or the value is no function.
    """

    def __init__(self, **functions: Callable[..., Any] | None) -> None:
        for name, function in functions.items():
            if name not in HOOKS:
                raise TypeError(f"LambdaCallback has no hook {name!r}.{suggestion(name, HOOKS)}")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback expects a function as {name}, got {function!r}")
            setattr(self, name, function)
