"""Series of the baselines that go on value by value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.streaming import Asked, Live

Array = npt.NDArray[Any]

# Steps for which there is room at first.
_ROOM = 64


class SeriesLive(Live):
    """Of a model that looks at each series by itself: they grow in an array with room."""

    def _begin(self, panel: Panel) -> None:
        self._rows, self._lengths = np.arange(len(panel)), panel.lengths
        self._grown = np.empty((len(panel), int(self._lengths.max()) + _ROOM))
        for s in range(len(panel)):
            self._grown[s, : self._lengths[s]] = panel.series(s)

    def _take(self, values: Array, futr: Array | None) -> None:
        if self._lengths.max() == self._grown.shape[1]:
            self._grown = np.concatenate([self._grown, np.empty_like(self._grown)], axis=1)
        self._grown[self._rows, self._lengths] = values
        self._lengths = self._lengths + 1

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        made = [self._forecast(s, n, asked) for s, n in enumerate(self._lengths.tolist())]
        return np.concatenate([one[0] for one in made]), np.concatenate([one[1] for one in made])

    def _forecast(self, s: int, n: int, asked: Asked) -> tuple[Array, Array]:
        # Columns beside the target are not looked at.
        panel = replace(
            self._panel,
            ids=self._panel.ids[s : s + 1],
            offsets=np.array([0, n]),
            y=self._grown[s, :n],
            starts=self._panel.starts[s : s + 1],
            futr=np.empty((n, 0)),
            hist=np.empty((n, 0)),
            static=self._panel.static[s : s + 1],
        )
        made: tuple[Array, Array] = self.model._forecast(panel, self.h, None, asked.quantiles)
        return made


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
        # The last value of each step of the season, and the first and last ones and their places.
        self._lasts = np.full((count, self._season), np.nan)
        self._ends, self._places = np.full((2, count), np.nan), np.zeros((2, count), np.int64)
        for s in range(count):
            y = panel.series(s)
            places = np.flatnonzero(~np.isnan(y))
            self._lasts[s, places % self._season] = y[places]
            if places.size:
                self._places[:, s] = places[[0, -1]]
                self._ends[:, s] = y[self._places[:, s]]

    def _take(self, values: Array, futr: Array | None) -> None:
        at = self._lengths
        super()._take(values, futr)
        there = np.flatnonzero(values == values)
        self._lasts[there, at[there] % self._season] = values[there]
        self._ends[1, there], self._places[1, there] = values[there], at[there]

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        if asked.names:
            return super()._ahead(futr, asked)
        at = self._lengths[:, np.newaxis] + np.arange(self.h)
        (first, last), (begin, end) = self._places, self._ends
        if self._line:
            slope = (end - begin) / np.maximum(last - first, 1)
            made = end[:, np.newaxis] + (at - last[:, np.newaxis]) * slope[:, np.newaxis]
        else:
            made = self._lasts[self._rows[:, np.newaxis], at % self._season]
            made = np.where(np.isnan(made), end[:, np.newaxis], made)
        return made, made[..., np.newaxis]
