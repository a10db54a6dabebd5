"""Training that can be broken off and goes on later, with the very same bits.

``fit(df, checkpoint=path)`` keeps a file up to date with all that training depends on: weights,
what the optimizer keeps, the generator, and how far the order of windows has been gone through.
The same call, with the same data and settings, finds it and goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from fastlstm.forecasting.plain import Encoder
from fastlstm.forecasting.saving import packed, unpacked
from fastlstm.models.saving import ModelFileError, write_file

_FORMAT = "fastlstm checkpoint"
# How often the file is written.
_SECONDS = 10.0

_current: ContextVar[Checkpoint | None] = ContextVar("checkpoint", default=None)


class Checkpoint:
    """A file that a fit keeps until it is done.

    A fit may train several networks, one after another, in an order that data and settings tell;
    each is a run, which finds itself in the file by its number.

    Parameters
    ----------
    path : str or path
        Where it is, or will be.
    settings, data : Any
        What an ``Encoder`` knows: a file that was made with others is refused.

    Raises
    ------
    ValueError
        If the file is one of other settings or data, or no checkpoint.
    """

    def __init__(self, path: Any, settings: Any, data: Any) -> None:
        self.path = Path(os.fspath(path))
        self._marks = {"settings": _mark(settings), "data": _mark(data)}
        self._runs: list[dict[str, Any]] = []
        self._number = 0
        self._written, self._pause = time.monotonic(), _SECONDS
        if not self.path.exists():
            return
        found = unpacked(self.path, _FORMAT)
        if not isinstance(found, dict) or not isinstance(found.get("runs"), list):
            raise ModelFileError(f"{self.path} is damaged: it holds no training")
        for what, mark in self._marks.items():
            if found.get(what) != mark:
                raise ValueError(
                    f"checkpoint {self.path} is of other {what}, and training goes on with the "
                    "same ones only: fit with those, delete the file to begin anew, or name "
                    "another one"
                )
        self._runs = found["runs"]

    def next_run(self) -> tuple[int, dict[str, Any] | None]:
        """Number of the run that begins now, and what the file has of it."""
        number = self._number
        self._number += 1
        return number, self._runs[number] if number < len(self._runs) else None

    def keep(self, number: int, state: dict[str, Any]) -> None:
        """Write the file, with this for the state of a run."""
        began = time.monotonic()
        self._runs[number:] = [state]
        write_file(self.path, packed({**self._marks, "runs": self._runs}, _FORMAT), overwrite=True)
        self._written = time.monotonic()
        # A large file takes a while, and is written less often.
        self._pause = _SECONDS * max(1.0, 2.0 * (self._written - began))

    @property
    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written >= self._pause

    def delete(self) -> None:
        """Remove the file, since the fit is done."""
        self.path.unlink(missing_ok=True)


@contextmanager
def keeping(checkpoint: Checkpoint | None) -> Iterator[None]:
    """Let training within keep this file; it is deleted at the end, but not after an error."""
    token = _current.set(checkpoint)
    try:
        yield
    finally:
        _current.reset(token)
    if checkpoint is not None:
        checkpoint.delete()


def current() -> Checkpoint | None:
    """The file that is to be kept here and now."""
    return _current.get()


def state_of(model: Any, generator: np.random.Generator) -> dict[str, Any]:
    """What a step of training changes, but for the way through the windows."""
    optimizer = model.optimizer
    return {
        "weights": model.get_weights(),
        "moments": dict(optimizer.state()),
        "updates": optimizer.steps,
        "generator": generator.bit_generator.state,
    }


def restore(model: Any, generator: np.random.Generator, state: dict[str, Any]) -> None:
    """Take what ``state_of`` gave."""
    model.set_weights(state["weights"])
    model.optimizer.load_state(state["moments"], state["updates"])
    generator.bit_generator.state = state["generator"]


class Interruption:
    """Ctrl-C, held back until a step is done: ``came`` tells it. A second one comes at once."""

    def __init__(self, held_back: bool) -> None:
        self.came = False
        self._held_back = held_back and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Interruption:
        if self._held_back:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._held_back:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


def _mark(value: Any) -> str:
    """A number that is another one for other values."""
    encoder = Encoder()
    digest = hashlib.blake2b(json.dumps(encoder.encode(value, "fit")).encode(), digest_size=16)
    for name, array in encoder.tensors.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
