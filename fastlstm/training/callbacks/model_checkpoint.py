"""Saving on the way."""

from __future__ import annotations

import os
from pathlib import Path

from fastlstm.training.callbacks.base import Logs
from fastlstm.training.callbacks.monitor import Monitor


class ModelCheckpoint(Monitor):
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
    initial_value_threshold : float, optional
        With ``save_best_only``, a value that the first one saved must be better than.
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
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.initial_value_threshold = self.best = initial_value_threshold
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
