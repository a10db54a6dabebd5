"""Callbacks: what a user hangs into the training loop, with Keras' names and arguments."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastlstm.registry import suggestion
from fastlstm.training.protocol import Trainable

Logs = dict[str, Any]

HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_begin",
    "on_predict_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)


class Callback:
    """Base class: override the hooks that are of interest.

    Attributes
    ----------
    model : model
        The model that is trained; set ``model.stop_training = True`` to stop.
    params : dict
        "epochs", "steps" (batches an epoch), "verbose", and "metrics", the keys that the logs
        of an epoch can have.
    handles_nan : bool
        Whether the callback takes care of a loss that is not finite; if none does, ``fit``
        raises an error.
    """

    model: Trainable
    params: dict[str, Any]
    handles_nan = False

    def set_model(self, model: Trainable) -> None:
        """Learn which model is trained."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Learn what the run was asked for."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before each epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after each epoch and its validation, with the epoch's logs."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch; batches count from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch, with the means of the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation or validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after an evaluation or validation, with its results."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of an evaluation, with the means so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of a prediction; logs has its "outputs"."""


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


class _Monitor(Callback):
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


class EarlyStopping(_Monitor):
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


class ModelCheckpoint(_Monitor):
    """Save the model or its weights while training.

    Parameters
    ----------
    filepath : str or path
        Where to; may hold ``{epoch:02d}`` (from 1), ``{batch}`` and any key of the logs, as in
        ``model.{epoch:02d}-{val_loss:.4f}.keras``. Missing folders are made.
    monitor : str
        Key in the logs, for ``save_best_only``.
    verbose : int
        1 to print what is done.
    save_best_only : bool
        Save only when the monitored value is the best so far.
    save_weights_only : bool
        ``model.save_weights`` rather than ``model.save``.
    mode : str
        "min", "max", or "auto" to infer it from the metric.
    save_freq : "epoch" or int
        After each epoch, or after so many batches.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
    ) -> None:
        super().__init__(monitor, mode)
        whole = isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq > 0
        if save_freq != "epoch" and not whole:
            raise ValueError(
                f"ModelCheckpoint expects save_freq 'epoch' or a number of batches, "
                f"got {save_freq!r}"
            )
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._epoch = 0
        self._batches = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check the monitor, if it is going to be used."""
        if self.save_best_only:
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch for file names."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save after so many batches, where ``save_freq`` says so."""
        self._batches += 1
        if self.save_freq != "epoch" and self._batches >= int(self.save_freq):
            self._batches = 0
            self._save({"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save after the epoch, where ``save_freq`` says so."""
        if self.save_freq == "epoch":
            self._save(logs or {})

    def _save(self, logs: Logs) -> None:
        epoch = self._epoch + 1
        change = ""
        if self.save_best_only:
            current = self.current(logs)
            if current is None:
                return
            if not self.improves(current, self.best):
                if self.verbose:
                    print(f"Epoch {epoch}: {self.monitor} did not improve from {self.best:.5g}")
                return
            before = "" if self.best is None else f" from {self.best:.5g}"
            change = f"{self.monitor} improved{before} to {current:.5g}, "
            self.best = current
        path = self._path(epoch, logs)
        if self.verbose:
            print(f"Epoch {epoch}: {change}saving model to {path}")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format(**{"epoch": epoch, **logs})
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"ModelCheckpoint cannot fill in {error} in filepath {self.filepath!r}; "
                f"available: epoch, {', '.join(logs)}"
            ) from None


class TerminateOnNaN(Callback):
    """Stop training, without an error, when the loss is not finite."""

    handles_nan = True

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            print(f"Batch {batch + 1}: the loss is not finite, terminating training")
            self.model.stop_training = True


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
