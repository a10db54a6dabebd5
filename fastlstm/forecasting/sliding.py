"""Windows at the end of series that go on value by value: they slide along, nothing is copied."""

from __future__ import annotations

from bisect import insort
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.calendar import features
from fastlstm.forecasting.intervals import between
from fastlstm.forecasting.logarithm import positive
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.streaming import Asked, Live
from fastlstm.forecasting.windows import WindowReader, Windows
from fastlstm.kernels.parallel import on_one_thread

Array = npt.NDArray[Any]

# Steps that a window slides before it moves back to the front.
_ROOM = 256
# Series whose windows are so little work that other threads would only be waited for.
_FEW = 8


class SlidingWindows:
    """The window at the end of each series, and what is known of the steps behind it.

    Parameters
    ----------
    panel : Panel
        The series so far, without historic columns.
    look_back, h : int
        Steps of the past, and steps to come.
    """

    def __init__(self, panel: Panel, look_back: int, h: int) -> None:
        self._look_back, self._h, self._now = look_back, h, 0
        self._columns, count = panel.futr.shape[1], len(panel)
        windows = WindowReader(panel, look_back, h).last()
        unknown = np.full((count, h), np.nan)
        self._still = windows._replace(target=unknown, whole=False)
        size = look_back + h + _ROOM
        self._y = np.full((count, size), np.nan)
        self._y[:, :look_back] = windows.past
        self._steps = np.zeros((count, size, windows.steps.shape[1]), np.float32)
        self._steps[:, :look_back, 1] = np.isfinite(windows.past)
        self._x = self._steps[:, :, 2:]
        self._x[:, :look_back] = windows.cells()[..., 2:]
        self._starts = size * np.arange(count)
        self._grid = panel.starts[:, np.newaxis], panel.frequency, panel.zone
        self._later = panel.lengths[:, np.newaxis]
        self._fill_calendar(look_back)

    def _fill_calendar(self, done: int) -> None:
        """The calendar of the steps behind so many that have theirs."""
        columns, steps = self._x.shape[2] - self._columns, self._x.shape[1] - done
        at = self._later + np.arange(steps)
        if columns:
            starts, frequency, zone = self._grid
            made, _ = features(frequency.at(starts, at).ravel(), frequency, zone)
            self._x[:, done:, self._columns :] = made.reshape(len(at), steps, columns)
        self._later = self._later + steps

    def take(self, values: Array, futr: Array | None) -> None:
        """Slide on by (S,) values; ``futr`` is (S, 1 + h, F)."""
        span = self._look_back + self._h
        if self._now + span == self._x.shape[1]:
            self._y[:, : self._look_back] = self._y[:, self._now : self._now + self._look_back]
            self._steps[:, :span] = self._steps[:, self._now : self._now + span].copy()
            self._now = 0
            self._fill_calendar(span)
        end = self._now + self._look_back
        self._y[:, end], self._steps[:, end, 1] = values, np.isfinite(values)
        if futr is not None:
            self._x[:, end : end + 1 + self._h, : self._columns] = futr
        self._now += 1

    def windows(self) -> Windows:
        """As they are now; ``take`` changes what they share."""
        steps = self._steps.reshape(-1, self._steps.shape[2])
        return self._still._replace(
            past=self._y[:, self._now : self._now + self._look_back].copy(),
            steps=steps,
            starts=self._starts + self._now,
            later=steps[:, 2:],
        )


class WindowLive(Live):
    """Of a network over windows.

    Parameters
    ----------
    model : NetworkForecaster
        Its networks, ``_scales`` and ``_inputs`` are asked each time.
    panel : Panel
        The series so far.
    log : bool or None
        Which series the network sees as logarithms: see ``logarithm.switches``.
    """

    def __init__(self, model: Any, panel: Panel, log: bool | None = False) -> None:
        self._log = log
        super().__init__(model, panel)

    def _begin(self, panel: Panel) -> None:
        model, count = self.model, len(panel)
        # Models remember what they see of a series at its first forecast.
        future = np.zeros((count, self.h, self._columns)) if self._columns else None
        model._forecast(panel, self.h, future, np.array([0.5]))
        self._sliding = SlidingWindows(panel, model.input_size_, self.h)
        # Of each series its values in rising order, where they tell whether it is positive.
        rising = [] if self._log is not None else [panel.series(s) for s in range(count)]
        self._rising = [np.sort(y[~np.isnan(y)]).tolist() for y in rising]
        self._taken = np.full(count, bool(self._log))
        self._index, self._members = np.arange(count), len(model.models_)
        # Types of the inputs, by which they need no more checks.
        self._kinds: list[dict[str, Any] | None] = [None] * self._members

    def _take(self, values: Array, futr: Array | None) -> None:
        if self._log and (values <= 0).any():
            raise ValueError(f"log=True expects values greater than 0, got {values.min()}")
        self._sliding.take(values, futr)
        for s, rising in enumerate(self._rising):
            if values[s] == values[s]:
                insort(rising, float(values[s]))
            half = len(rising) // 2
            middle = rising[half] if len(rising) % 2 else 0.5 * (rising[half - 1] + rising[half])
            self._taken[s] = positive(rising[0], middle)

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        model = self.model
        known, wanted = model.quantiles_, asked.quantiles
        if len(known) < len(wanted) and len(known) == 1:  # which is an error
            return model._forecast(self.panel(), self.h, None, wanted)
        windows = self._sliding.windows()
        if self._taken.any():
            windows.past[self._taken] = np.log(windows.past[self._taken])
        shift, scale = model._scales(windows)
        given = model._inputs(windows, shift, scale)
        with on_one_thread() if len(windows.past) <= _FEW else nullcontext():
            each = [np.sort(self._run(number, given), axis=2) for number in range(self._members)]
        made = np.mean(each, axis=0, dtype=np.float64) * scale[..., np.newaxis]
        made += shift[..., np.newaxis]
        if self._taken.any():
            made[self._taken] = np.exp(made[self._taken])
        point = made[..., int(np.searchsorted(known, 0.5))]
        return point, between(made, known, wanted) if asked.names else made

    def _run(self, number: int, given: dict[str, Array]) -> Array:
        """What a network answers, without the checks that its inputs have passed once."""
        network, kinds = self.model.models_[number], self._kinds[number]
        if kinds is None:
            samples = network.prepare_inputs(given)
            self._kinds[number] = dict(
                zip(network.input_names, (x.dtype for x in samples), strict=True)
            )
            answer: Array = network(given)
            return answer
        samples = tuple(np.ascontiguousarray(given[name], kind) for name, kind in kinds.items())
        try:
            (made,) = network.predict_step(samples, self._index)
        except RuntimeError:  # numbers that are not finite, which the checks say best
            made = network(given)
        return made
