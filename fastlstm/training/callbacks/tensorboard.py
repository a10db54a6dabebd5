"""The logs as TensorBoard shows them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from fastlstm.registry import check_rest
from fastlstm.training.callbacks.base import Callback, Logs

_numbers = itertools.count()


_WITHOUT_EFFECT = {"profile_batch", "write_graph", "write_steps_per_second"}
_INSTEAD = {
    "embeddings_freq": "save the weights of the Embedding with model.save_weights",
    "embeddings_metadata": "save the weights of the Embedding with model.save_weights",
    "histogram_freq": "only scalars are written; a callback of your own sees model.get_weights()",
    "write_images": "only scalars are written; a callback of your own sees model.get_weights()",
}


class TensorBoard(Callback):
    """Write the logs for TensorBoard: ``tensorboard --logdir logs`` draws them.

    As in Keras there are two runs, "train" and "validation", with tags such as "epoch_loss" and
    "epoch_learning_rate", by epochs from 0, and where asked for "batch_loss", by batches from 1.

    Parameters
    ----------
    log_dir : str or path
        Folder, in which each run makes one; what is there stays.
    update_freq : "epoch", "batch" or int
        Besides each epoch, write each batch, or one in so many.

    **rest
        What Keras has besides: accepted where it asks for nothing, such as ``histogram_freq=0``.

    Raises
    ------
    ImportError
        If tensorboardX, which writes the files, is not installed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        *,
        update_freq: str | int = "epoch",
        **rest: Any,
    ) -> None:
        asked = {name: value for name, value in rest.items() if value != 0}
        check_rest("TensorBoard", asked, ("log_dir", "update_freq"), _INSTEAD, _WITHOUT_EFFECT)
        whole = isinstance(update_freq, int) and not isinstance(update_freq, bool)
        if update_freq not in ("epoch", "batch") and not (whole and int(update_freq) > 0):
            raise ValueError(
                f"TensorBoard expects update_freq 'epoch', 'batch' or a number of batches, "
                f"got {update_freq!r}"
            )
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "the callback TensorBoard writes its files with tensorboardX, which is not "
                "installed: pip install 'fastlstm[tensorboard]'"
            ) from error
        self.log_dir = os.fspath(log_dir)
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._new_writer = SummaryWriter
        self._writers: dict[str, Any] = {}
        self._batches = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start afresh, so that an instance serves several runs."""
        self._close()
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Write the batch, where ``update_freq`` says so."""
        self._batches += 1
        if self.update_freq != "epoch" and self._batches % int(self.update_freq) == 0:
            self._write("train", "batch", logs or {}, self._batches)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch."""
        entries: dict[str, Logs] = {"train": {}, "validation": {}}
        for name, value in (logs or {}).items():
            run = "validation" if name.startswith("val_") else "train"
            entries[run][name.removeprefix("val_")] = value
        if self.model.optimizer is not None:
            entries["train"]["learning_rate"] = self.model.optimizer.learning_rate
        for run, values in entries.items():
            self._write(run, "epoch", values, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        self._close()

    def _write(self, run: str, prefix: str, values: Logs, step: int) -> None:
        if values and run not in self._writers:
            # Files of one second would otherwise have one name.
            suffix = f".{os.getpid()}.{next(_numbers)}"
            folder = str(Path(self.log_dir) / run)
            self._writers[run] = self._new_writer(folder, filename_suffix=suffix)
        for name, value in values.items():
            self._writers[run].add_scalar(f"{prefix}_{name}", value, step)

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
