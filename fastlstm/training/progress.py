"""What the user sees while the loop runs: one line an epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

Logs = dict[str, Any]

# Seconds between updates of a bar, and before the bar of a short evaluation appears at all.
_INTERVAL = 0.1
_DELAY = 0.5
# Numbers of an array, such as one a class, that a line has room for.
_MOST_SHOWN = 8


class _Bar(tqdm):
    """A tqdm line that is drawn when we say so; no thread watches over it."""

    monitor_interval = 0


class Progress:
    """Shows how far a run is.

    Parameters
    ----------
    verbose : int
        0 nothing, 1 a bar, 2 a line at the end.
    delay : bool
        Show nothing of a run that is over within a moment.
    """

    def __init__(self, verbose: int, *, delay: bool = False) -> None:
        self.verbose = verbose
        self._delay = _DELAY if delay else 0.0
        self._bar: _Bar | None = None

    def start(self, title: str, batches: int | None) -> None:
        """Begin a line of so many batches, where that is known."""
        self._title = title
        self._batches = batches
        self._samples = 0
        self._done = 0
        self._began = self._drawn = time.perf_counter()
        self._spent: float | None = None
        if self.verbose == 1 and not self._delay:
            self._open()

    def update(self, samples: int, logs: Callable[[], Logs]) -> None:
        """Count one batch; ``logs`` is asked only when the line is drawn."""
        self._samples += samples
        self._done += 1
        if self.verbose != 1:
            return
        now = time.perf_counter()
        if now - self._drawn < _INTERVAL or now - self._began < self._delay or not _is_live():
            return
        self._drawn = now
        self._open()
        self._draw(logs())

    def pause(self) -> None:
        """Stop the clock: what follows, the validation, is not training."""
        self._spent = time.perf_counter() - self._began

    def finish(self, logs: Logs) -> None:
        """End the line with its final values."""
        if self.verbose == 1 and (self._bar is not None or not self._delay):
            self._open()
            self._draw(logs)
        elif self.verbose == 2:
            seconds = time.perf_counter() - self._began
            print(f"{self._title} - {seconds:.1f}s - {self._values(logs, ' - ')}", flush=True)
        self.close()

    def close(self) -> None:
        """Leave the terminal in order, whatever has happened."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self) -> None:
        if self._bar is None:
            self._bar = _Bar(
                total=self._batches,
                desc=self._title,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
                dynamic_ncols=True,
                # Nothing is drawn by tqdm itself, not even the empty bar: what is said while
                # kernels are compiled would end up on its line.
                mininterval=float("inf"),
                delay=1.0,
            )
            self._bar.delay = 0.0  # or else close() would take it for one never shown
            # A bar that appears late has been under way for a while.
            self._bar.start_t -= time.perf_counter() - self._began

    def _draw(self, logs: Logs) -> None:
        assert self._bar is not None
        self._bar.n = self._done
        self._bar.set_postfix_str(self._values(logs, ", "), refresh=True)

    def _values(self, logs: Logs, separator: str) -> str:
        seconds = time.perf_counter() - self._began if self._spent is None else self._spent
        rate = self._samples / max(seconds, 1e-9)
        shown = [f"{key}={_shown(value)}" for key, value in logs.items()]
        return separator.join([*shown, f"{rate:.4g} samples/s"])


def _shown(value: Any) -> str:
    """A number, a few numbers, or how many there are."""
    if np.ndim(value) == 0:
        return f"{value:.4g}"
    if np.ndim(value) == 1 and len(value) <= _MOST_SHOWN:
        return "[" + " ".join(f"{number:.3g}" for number in value) + "]"
    return "<" + "x".join(map(str, np.shape(value))) + ">"


def _is_live() -> bool:
    """Whether a line can be drawn again: not in a file, where each would stay."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
