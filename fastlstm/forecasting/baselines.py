"""Forecasters to compare with: simple rules, and the base class of all that learn no network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.calibration import Past
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.intervals import conformal
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.rolling import RuleLive, SeriesLive
from fastlstm.forecasting.rules import (
    drift_from,
    naive_from,
    seasonal_naive_from,
    targets,
)
from fastlstm.forecasting.streaming import Live
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# The last points of a series from which it is forecast again, to see how wide intervals must be.
ORIGINS = 1000


class Baseline(BaseForecaster):
    """Base class of forecasters that look at each series by itself.

    An interval is as wide as the errors would have been that were made from points of the past, of
    each step by itself: ``intervals.conformal``. Where values come after those of ``fit``, in
    ``cross_validation`` and ``update``, intervals become wider or narrower by how many of these lay
    within: ``calibration.Past``. Rules do not use columns beside the target, which
    ``notes_`` say.
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
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.alias = seed, verbose, alias

    # As those of networks are: where a level is given.
    conformal = None

    def _fit(self, panel: Panel) -> None:
        """Nothing is learned."""

    def _forecasts_of_the_past(self, panel: Panel) -> Past:
        # Intervals are made of these already.
        return Past.empty(self.h)

    def _live(self, panel: Panel) -> Live:
        return SeriesLive(self, panel)

    def _remarks(self, panel: Panel) -> tuple[str, ...]:
        return panel.names.unused()

    @abstractmethod
    def _paths(
        self, panel: Panel, h: int, future: Array | None, past: bool
    ) -> list[tuple[Array, Array]]:
        """For each series (h,) the forecast, and (W, h) errors of those in the past if asked.

        ``future`` is (S, h, F), or None where there are no columns.
        """

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        wanted = bool((quantiles != 0.5).any())
        paths = self._paths(panel, h, future, wanted)
        point = np.stack([path for path, _ in paths])
        bands = np.repeat(point[..., np.newaxis], len(quantiles), axis=2)
        if wanted:
            for s, (_, errors) in enumerate(paths):
                bands[s] += _widths(errors, quantiles)
        return Forecast(point, bands)


def _widths(errors: Array, quantiles: Array) -> Array:
    """(h, Q) distances of quantiles from the forecast, by (W, h) errors of the past."""
    made = np.zeros((errors.shape[1], len(quantiles)))
    for place, q in enumerate(quantiles):
        if q != 0.5:
            width = conformal(errors, 100.0 * abs(2.0 * q - 1.0))[0]
            # A step that the past was too short for is at least as uncertain as those before it.
            so_far = np.fmax.accumulate(width)
            made[:, place] = np.sign(q - 0.5) * np.where(np.isnan(width), so_far, width)
    return made


def errors_of(
    y: Array, h: int, rule: Callable[[Array], Array], count: int = ORIGINS, least: int = 1
) -> Array:
    """(W, h) what came less what ``rule`` makes of the last origins, each with ``least`` points."""
    origins = np.arange(max(least, len(y) - count), len(y))
    errors: Array = targets(y, h, origins) - rule(origins)
    return errors


class Naive(Baseline):
    """The last value, again and again.

    Parameters
    ----------
    h : int
        Steps to forecast.
    freq : str or int, optional
        Of the stamps, as pandas writes it ("h", "D", "MS", "15min"), or steps of whole numbers;
        found out by default.
    input_size : int, optional
        Not used; all forecasters have it.
    level : sequence of float, optional
        Coverage of prediction intervals in per cent, such as [80, 95]. They are as wide as the
        errors of forecasts from the last 1000 points of the series.
    seed, verbose : int
        Not used; all forecasters have them.
    alias : str, optional
        Name of the column of forecasts; the class's by default.
    """

    def _paths(
        self, panel: Panel, h: int, future: Array | None, past: bool
    ) -> list[tuple[Array, Array]]:
        return _by_rule(panel, h, past, lambda y, origins: naive_from(y, h, origins))

    def _live(self, panel: Panel) -> Live:
        return RuleLive(self, panel, 1)


class Drift(Baseline):
    """The line through the first and the last value of a series; parameters as for ``Naive``."""

    def _paths(
        self, panel: Panel, h: int, future: Array | None, past: bool
    ) -> list[tuple[Array, Array]]:
        return _by_rule(panel, h, past, lambda y, origins: drift_from(y, h, origins))

    def _live(self, panel: Panel) -> Live:
        return RuleLive(self, panel, 1, line=True)


class SeasonalBaseline(Baseline):
    """One that knows how long a season is."""

    def __init__(
        self,
        h: int,
        freq: str | int | None = None,
        input_size: int | None = None,
        level: Sequence[float] | None = None,
        seed: int = 0,
        verbose: int = 1,
        *,
        season_length: int | None = None,
        alias: str | None = None,
    ) -> None:
        super().__init__(h, freq, input_size, level, seed, verbose, alias=alias)
        self.season_length = season_length

    def _check(self) -> None:
        super()._check()
        if self.season_length is not None:
            whole_number(self.season_length, "season_length")

    def _season(self, panel: Panel) -> int:
        return self.season_length or panel.frequency.season


class SeasonalNaive(SeasonalBaseline):
    """The last season, again and again.

    A value that is missing is taken from the season before. A series that is shorter than a season
    is forecast by its last value.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose, alias
        As for ``Naive``.
    season_length : int, optional
        Steps of a season; the usual one of ``freq`` by default, such as 24 hours, 7 days or 12
        months. That of whole numbers is 1, the last value.
    """

    def _paths(
        self, panel: Panel, h: int, future: Array | None, past: bool
    ) -> list[tuple[Array, Array]]:
        season = self._season(panel)
        return _by_rule(
            panel, h, past, lambda y, origins: seasonal_naive_from(y, h, origins, season)
        )

    def _live(self, panel: Panel) -> Live:
        return RuleLive(self, panel, self._season(panel))


def _by_rule(
    panel: Panel, h: int, past: bool, rule: Callable[[Array, Array], Array]
) -> list[tuple[Array, Array]]:
    paths = []
    for s in range(len(panel)):
        y = panel.series(s)
        errors = errors_of(y, h, partial(rule, y)) if past else np.empty((0, h))
        paths.append((rule(y, np.array([len(y)]))[0], errors))
    return paths
