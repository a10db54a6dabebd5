"""Several callbacks as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastlstm.training.callbacks.base import Callback
from fastlstm.training.protocol import Trainable


class CallbackList:
    """Calls the hooks of several callbacks, in order.

    Parameters
    ----------
    callbacks : Callback or sequence of Callback, optional
        The callbacks.

    Raises
    ------
    TypeError
        If one of them is no ``Callback`` instance.
    """

    def __init__(self, callbacks: Callback | Sequence[Callback] | None = None) -> None:
        if callbacks is None:
            callbacks = []
        elif isinstance(callbacks, Callback):
            callbacks = [callbacks]
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                called = isinstance(callback, type) and issubclass(callback, Callback)
                advice = f"; write {callback.__name__}()" if called else ""
                raise TypeError(f"callbacks expects Callback instances, got {callback!r}{advice}")

    def append(self, callback: Callback) -> None:
        """Add a callback at the end."""
        self.callbacks.append(callback)

    def set_model(self, model: Trainable) -> None:
        """Tell all callbacks which model is trained."""
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Tell all callbacks what the run was asked for."""
        for callback in self.callbacks:
            callback.set_params(params)

    @property
    def handles_nan(self) -> bool:
        """Whether a callback takes care of a loss that is not finite."""
        return any(callback.handles_nan for callback in self.callbacks)

    def hook(self, name: str) -> Callable[..., None] | None:
        """Return a function that calls this hook of all callbacks, or None if none has it.

        A loop over small batches can then leave out what nobody listens to.
        """
        inherited = getattr(Callback, name)
        methods = [
            getattr(callback, name)
            for callback in self.callbacks
            if getattr(type(callback), name) is not inherited or name in vars(callback)
        ]
        if not methods:
            return None

        def call(*args: Any) -> None:
            for method in methods:
                method(*args)

        return call

    def call(self, name: str, *args: Any) -> None:
        """Call one hook of all callbacks now."""
        method = self.hook(name)
        if method is not None:
            method(*args)
