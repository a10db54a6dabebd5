"""Series of the baselines that go on value by value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.streaming import Asked, Live

Array = npt.NDArray[Any]


class SeriesLive(Live):
    """Of a model that looks at each series by itself: each grows in an array with room."""

    def _begin(self, panel: Panel) -> None:
        self._lengths = panel.lengths.tolist()
        self._grown = [
            np.concatenate([panel.series(s), np.empty(n + 64)]) for s, n in enumerate(self._lengths)
        ]
        self._each = [panel.take([s]) for s in range(len(panel))]

    def _take(self, values: Array, futr: Array | None) -> None:
        for s, n in enumerate(self._lengths):
            if n == len(self._grown[s]):
                self._grown[s] = np.concatenate([self._grown[s], np.empty(n)])
            self._grown[s][n] = values[s]
            self._lengths[s] = n + 1

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        made = [self._forecast(s, n, asked) for s, n in enumerate(self._lengths)]
        return np.concatenate([one[0] for one in made]), np.concatenate([one[1] for one in made])

    def _forecast(self, s: int, n: int, asked: Asked) -> tuple[Array, Array]:
        # Columns beside the target are not looked at.
        panel = replace(
            self._each[s], offsets=np.array([0, n]), y=self._grown[s][:n], futr=np.empty((n, 0))
        )
        return self.model._forecast(panel, self.h, None, asked.quantiles)


class RuleLive(SeriesLive):
    """Of a rule that repeats the last season, or goes on by a line from its first value.

    Parameters
    ----------
    model : BaseForecaster
    panel : Panel
    season : int
        Steps of the season; 1 for the last value.
    line : bool
        Whether it goes on by the line from the first value to the last one.
    """

    def __init__(self, model: Any, panel: Panel, season: int, line: bool = False) -> None:
        self._season, self._line = season, line
        super().__init__(model, panel)

    def _begin(self, panel: Panel) -> None:
        super()._begin(panel)
        count = len(panel)
        self._lasts = np.full((count, self._season), np.nan)
        self._last = np.full(count, np.nan)
        self._first, self._places = np.full(count, np.nan), np.zeros((2, count), np.int64)
        for s in range(count):
            y = panel.series(s)
            places = np.flatnonzero(~np.isnan(y))
            self._lasts[s, places % self._season] = y[places]
            if places.size:
                self._places[:, s] = places[[0, -1]]
                self._first[s], self._last[s] = y[self._places[:, s]]

    def _take(self, values: Array, futr: Array | None) -> None:
        super()._take(values, futr)
        for s, value in enumerate(values.tolist()):
            if value == value:
                at = self._lengths[s] - 1
                self._lasts[s, at % self._season] = self._last[s] = value
                self._places[1, s] = at
                if np.isnan(self._first[s]):
                    self._first[s], self._places[0, s] = value, at

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        if asked.names:
            return super()._ahead(futr, asked)
        at = np.array(self._lengths)[:, np.newaxis] + np.arange(self.h)
        if self._line:
            first, last = self._places
            slope = (self._last - self._first) / np.maximum(last - first, 1)
            made = self._last[:, np.newaxis] + (at - last[:, np.newaxis]) * slope[:, np.newaxis]
        else:
            made = np.take_along_axis(self._lasts, at % self._season, axis=1)
            made = np.where(np.isnan(made), self._last[:, np.newaxis], made)
        return made, made[..., np.newaxis]
