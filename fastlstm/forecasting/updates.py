"""How many updates a network takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.calibration import past_cutoffs
from fastlstm.forecasting.fitting import train
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.windows import WindowList, WindowReader
from fastlstm.models import Model
from fastlstm.randomness import drawing_from

Array = npt.NDArray[Any]

# Updates by default, and how often a window is seen at most.
_FEWEST_STEPS, _MOST_STEPS, _PASSES = 200, 4000, 10
# Looks in a row that may fail to improve, of 20, where updates are counted.
_PATIENCE = 5


class Updates:
    """Methods of a network over windows that find out how long it learns."""

    def _steps_that_hold(
        self: Any, seen: Panel, reader: WindowReader, made: Callable[[int], Model], steps: int
    ) -> int:
        """How many of these updates to take: fewer where they would learn the series by heart.

        Windows overlap, so that it is values that count: where there are fewer of them than
        weights, one network is trained without the end of each series, and forecasts it on the way.
        """
        free = self.max_steps is None and self.patience is None and self.pooled
        if not free:
            return steps
        left = past_cutoffs(seen, self.h)
        first = min(self.input_size_, 2 * self.h)
        series, origins = reader.origins(first, int(left[0]))
        if not len(series):
            return steps
        windows = WindowList(reader, series, origins, steps * self._batch_size)
        generator = np.random.default_rng([self.seed, 1])
        with drawing_from(generator):
            model = made(steps)
            if np.isfinite(seen.y).sum() >= model.count_params():
                return steps
            history = train(
                model,
                lambda index: self._batch(windows.read(index)),
                len(windows),
                steps=steps,
                batch_size=self._batch_size,
                generator=generator,
                validation=self._batch(reader.read(*self._ends(seen, left))),
                patience=_PATIENCE,
                verbose=self.verbose,
                ahead=True,
            )
        return steps_like(history, steps)

    def _steps_of(self: Any, windows: int) -> int:
        """Updates, on so many windows."""
        steps = self.max_steps or usual_steps(windows, self._batch_size)
        return max(1, round(self._part_of_steps * steps))


def steps_like(history: dict[str, list[float]], steps: int) -> int:
    """Updates that are worth those by which a network of so many was best on what it had not seen.

    The rate, which had hardly fallen by then, falls to nothing; its sum is to be the same.
    """
    best = int(history["step"][int(np.argmin(history["val_loss"]))])
    rate = 1.0 + np.cos(np.pi / steps * np.arange(best))
    return min(steps, round(float(rate.sum())))


def usual_steps(windows: int, batch_size: int) -> int:
    """Updates that so many windows are worth."""
    return int(np.clip(-(-_PASSES * windows // batch_size), _FEWEST_STEPS, _MOST_STEPS))
