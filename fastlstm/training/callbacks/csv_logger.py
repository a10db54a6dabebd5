"""The logs of each epoch as a line of a file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import Any

from fastlstm.training.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Write the logs of each epoch to a CSV file: a column "epoch", from 0, and one for each key.

    Every line is on disk when its epoch is over. As in Keras, the file has columns for validation
    even where the first epoch is not validated; they say "NA" then.

    Parameters
    ----------
    filename : str or path
        The file; its folder must exist.
    separator : str
        One character that stands between columns.
    append : bool
        Go on with a file that exists, and with its columns, rather than replace it.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(f"CSVLogger expects one character as separator, got {separator!r}")
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._columns: list[str] | None = None
        self._checked = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Make the file, or learn the columns of the one that is there."""
        self._columns, self._checked = None, False
        with open(self.filename, "a+" if self.append else "w", newline="", encoding="utf-8") as f:
            if self.append:
                f.seek(0)
                header = next(csv.reader(f, delimiter=self.separator), None)
                self._columns = header or None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line."""
        logs = logs or {}
        new = self._columns is None
        if self._columns is None:
            keys = sorted(logs)
            if not any(key.startswith("val_") for key in keys):
                keys += [f"val_{key}" for key in keys]
            self._columns = ["epoch", *keys]
        elif not self._checked:
            self._check(logs)
        self._checked = True
        row = {"epoch": epoch, **{key: _cell(value) for key, value in logs.items()}}
        with open(self.filename, "a", newline="", encoding="utf-8") as f:
            writer = csv.writer(f, delimiter=self.separator)
            if new:
                writer.writerow(self._columns)
            writer.writerow([row.get(column, "NA") for column in self._columns])

    def _check(self, logs: Logs) -> None:
        """An error where the first line does not fit below the header that was there before."""
        columns = self._columns or []
        unknown = [key for key in ("epoch", *logs) if key not in columns]
        if unknown:
            raise ValueError(
                f"CSVLogger is to append to {self.filename}, which has the columns "
                f"{', '.join(columns)} and none for {', '.join(unknown)}: give it another file, "
                f"or append=False"
            )


def _cell(value: Any) -> Any:
    """Numbers and text as they are, a list of several as one text."""
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return value
    return f'"[{", ".join(map(str, value))}]"'
