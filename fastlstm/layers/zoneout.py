"""What some states of a recurrent layer keep of themselves at each step, bound to arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastlstm.kernels import zoneout
from fastlstm.kernels.program import Program
from fastlstm.layers.draws import Draws
from fastlstm.layers.segment import Segment
from fastlstm.memory import Plan


class Zones:
    """Zoneout of the first states of a layer; the arrays are those of ``kernels.zoneout``.

    In training it is drawn for each step, row and unit, and each batch; else it is the expectation.

    Parameters
    ----------
    rates : sequence of float
        For each state, the probability that a unit keeps what it was.
    shape : tuple of int
        (T, B, H) of the states.
    dtype : dtype
        Theirs.
    plan : Plan
        Where the arrays come from.
    saving : bool
        Whether what the cell makes is kept for backward.
    training : bool
        Whether to draw.
    draws : Draws
        What to draw from.
    """

    def __init__(
        self,
        rates: Sequence[float],
        shape: tuple[int, int, int],
        dtype: np.dtype,
        plan: Plan,
        *,
        saving: bool,
        training: bool,
        draws: Draws,
    ) -> None:
        self._draws = draws
        steps, *rest = shape
        # All up to the last that has it.
        self.count = max((n for n, rate in enumerate(rates, 1) if rate > 0), default=0)
        self._rates = rates[: self.count]
        if training and self.count:
            self.values = plan.array((self.count, steps, *rest), dtype)
            self.seeds = [np.zeros(1, np.uint64) for _ in self._rates]
        else:
            # Not in the arena, where it would not last.
            self.values = np.empty((self.count, 1, *rest), dtype)
            for value, rate in zip(self.values, self._rates, strict=True):
                value[...] = rate
            self.seeds = []
        self.made = plan.array((self.count, steps if saving else 1, *rest), dtype)

    def start(self) -> None:
        """Draw what this forward draws from."""
        for seed in self.seeds:
            seed[0] = self._draws.draw()

    def record(self, program: Program, segment: Segment) -> None:
        """Record the drawing for the steps of a segment."""
        for values, seed, rate in zip(self.values, self.seeds, self._rates, strict=False):
            rows = segment.rows(values)
            at = segment.start * values.shape[1]
            program.add(zoneout.draw, rows, seed, rate, at, work=20.0 * rows.size)

    def at(self, step: int) -> np.ndarray:
        """Those of the first state at a step, (B, H)."""
        values: np.ndarray = self.values[0]
        return values[min(step, len(values) - 1)]
