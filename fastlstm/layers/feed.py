"""Where a program gets its data: samples of arrays that come and go."""

from __future__ import annotations

import weakref

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels.program import Program
from fastlstm.layers.segment import WHOLE, Segment


class Feed:
    """Chosen samples of an array, brought into time-first order at the start of a program."""

    def __init__(self, target: np.ndarray, timed: bool) -> None:
        self._target = with_steps(target, timed)
        self._timed = timed
        self._source: weakref.ref[np.ndarray] | None = None
        self.depth = self._target.shape[2]
        self.nothing = np.empty((0, *self._target.shape[::2]), target.dtype)  # a source to come
        self.calls: list[int] = []  # of the program, whose second argument is the source

    def record(
        self, program: Program, index: np.ndarray, start: np.ndarray, segment: Segment = WHOLE
    ) -> None:
        """Record the copying of the samples ``index``, from step ``start[0]`` on.

        What they are copied from, ``point`` says. Where there are no steps, all is copied.
        """
        target = segment.of(self._target)
        start = start if self._timed else np.zeros(1, np.intp)
        args = (target, self.nothing, index, start)
        self.calls.append(program.add(layout.gather, *args, work=2.0 * target.size))

    def point(self, program: Program, source: np.ndarray) -> None:
        """Copy from this array from now on."""
        # Held weakly: the data may be large, and is the caller's to let go.
        if self._source is not None and self._source() is source:
            return
        steps = source.reshape(source.shape[0], -1, self.depth)
        for number in self.calls:
            program.point(number, 1, steps)
        self._source = weakref.ref(source)


def with_steps(array: np.ndarray, timed: bool) -> np.ndarray:
    """View of a batch as (T, B, D); one step where it has no time."""
    steps, batch = array.shape[:2] if timed else (1, array.shape[0])
    return array.reshape(steps, batch, -1)
