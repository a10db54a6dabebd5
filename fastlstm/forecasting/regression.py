"""Ridge regression from lags to all steps to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.baselines import ORIGINS, Baseline
from fastlstm.forecasting.network import usual_look_back
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.ridge import CENTERS, RidgeFit, fit_ridge
from fastlstm.forecasting.rolling import SeriesLive
from fastlstm.forecasting.rules import filled, targets
from fastlstm.forecasting.streaming import Live
from fastlstm.validation import real_number

Array = npt.NDArray[Any]


class Ridge(Baseline):
    """Ridge regression from the last values to all steps to come at once.

    A series is divided by its standard deviation, a window is taken from its last value or its
    mean, and each step to come is a weighted sum of the window: see ``ridge.fit_ridge``. Values
    that are missing are filled from the seasons beside them. Columns beside the target are not
    used. Where more steps are asked for than ``h``, it goes on from its own forecasts.

    Parameters
    ----------
    h, freq, seed, verbose, alias
        As for ``Naive``.
    input_size : int, optional
        Values that a forecast sees; by default from the season and ``h``, a week of hours. A series
        for which that is too many has less of its own.
    level : sequence of float, optional
        Coverage of prediction intervals in per cent. They are as wide as the errors in the last
        quarter of the series, at most 1000 points, of a regression that knew only what was before;
        after ``fit`` they follow how many of the values to come they held.
    alpha : float
        Penalty of the weights; more of it for series that are short or noisy.
    pooled : bool
        One regression for all series. Otherwise one for each; a series that was not there in
        ``fit`` then gets its own when it is forecast.
    center : {"last", "mean"}
        What is taken from a window.

    Attributes
    ----------
    regressions_ : dict
        A ``RidgeFit`` for each id; with ``pooled`` a single one, for None.
    """

    def __init__(
        self,
        h: int,
        freq: str | int | None = None,
        input_size: int | None = None,
        level: Sequence[float] | None = None,
        seed: int = 0,
        verbose: int = 1,
        *,
        alpha: float = 1.0,
        pooled: bool = False,
        center: str = "last",
        alias: str | None = None,
    ) -> None:
        super().__init__(h, freq, input_size, level, seed, verbose, alias=alias)
        self.alpha, self.pooled, self.center = alpha, pooled, center

    def _check(self) -> None:
        super()._check()
        real_number("alpha", self.alpha)
        if self.center not in CENTERS:
            raise ValueError(f"center expects 'last' or 'mean', got {self.center!r}")

    def _fit(self, panel: Panel) -> None:
        self.input_size_ = self.input_size or usual_look_back(panel, self.h)
        series = [self._scaled(panel, s)[0] for s in range(len(panel))]
        if self.pooled:
            self.regressions_: dict[Any, RidgeFit] = {None: self._regress(series)}
        else:
            self.regressions_ = {
                name: self._regress([y]) for name, y in zip(panel.ids, series, strict=True)
            }

    def _live(self, panel: Panel) -> Live:
        # Intervals of a regression for all series come from all of them.
        return Live(self, panel) if self.pooled else SeriesLive(self, panel)

    def _scaled(self, panel: Panel, s: int) -> tuple[Array, float]:
        """A series without gaps in units of its spread, and that unit."""
        y = panel.series(s)
        known = y[~np.isnan(y)]
        unit = float(known.std()) if known.size else 0.0
        if unit <= 1e-10 * np.abs(known).max(initial=0.0):
            unit = 1.0
        return filled(y, panel.frequency.season) / unit, unit

    def _regress(self, series: list[Array]) -> RidgeFit:
        longest = max(len(y) for y in series)
        # At least as many windows as values in one, as far as that goes.
        look_back = min(self.input_size_, (longest - self.h) // 2)
        if look_back < 1:
            return RidgeFit(np.zeros((1, self.h)), np.zeros(self.h), "last")
        return fit_ridge(series, look_back, self.h, self.alpha, self.center)

    def _paths(self, panel: Panel, h: int, past: bool) -> list[tuple[Array, Array]]:
        scaled = [self._scaled(panel, s) for s in range(len(panel))]
        held = [_held(len(y), self.h) for y, _ in scaled]
        # One for each series, if it is there several times, as it was at several points: by the
        # shortest, which has seen the least.
        before: dict[Any, RidgeFit] = {}
        if past and self.pooled:
            before[None] = self._regress(
                [y[: len(y) - left] for (y, _), left in zip(scaled, held, strict=True)]
            )
        elif past:
            for s in np.argsort(panel.lengths, kind="stable"):
                if panel.ids[s] not in before:
                    y = scaled[s][0]
                    before[panel.ids[s]] = self._regress([y[: len(y) - held[s]]])
        paths = []
        for s, ((y, unit), left) in enumerate(zip(scaled, held, strict=True)):
            fit = self.regressions_.get(None if self.pooled else panel.ids[s])
            if fit is None:
                fit = self._regress([y])
            errors = np.empty((0, h))
            if past:
                earlier = before[None if self.pooled else panel.ids[s]]
                origins = np.arange(len(y) - left, len(y))
                came = targets(panel.series(s), h, origins)
                errors = came - unit * earlier.predict(_windows(y, earlier, origins), h)
            point = unit * fit.predict(_windows(y, fit, np.array([len(y)])), h)[0]
            paths.append((point, errors))
        return paths


def _held(n: int, h: int) -> int:
    """Points at the end of a series that show how wide intervals must be: a quarter, or h."""
    return min(max(n // 4, min(h, n // 2)), ORIGINS)


def _windows(y: Array, fit: RidgeFit, origins: Array) -> Array:
    """(W, L) the last values before each origin, from the first value on where there are less."""
    look_back = len(fit.weights)
    longer = np.concatenate([np.full(look_back, y[0]), y])
    windows: Array = np.lib.stride_tricks.sliding_window_view(longer, look_back)[origins]
    return windows
