"""Forecasts with intervals that are calibrated, from the end of series or from points before it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.calibration import (
    QUANTILES,
    WANTED,
    Calibration,
    Heights,
    Past,
    past_cutoffs,
    past_of,
)
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.intervals import check_level
from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]

# Points of the past that are forecast from at a time, of all windows together.
_AT_ONCE = 1 << 22


class Foresight:
    """Methods that make use of a forecaster's ``_fit`` and ``_forecast``."""

    def _learn(self: Any, panel: Panel) -> None:
        """``_fit``, and how wide intervals are, by one that has not seen the last points."""
        wanted = bool(check_level(self.level)) if self.conformal is None else self.conformal
        past = None
        self._fit(panel)
        if wanted:
            try:
                past = self._forecasts_of_the_past(panel)
            except ValueError as trouble:
                if self.conformal:
                    raise ValueError(
                        f"conformal=True forecasts the last points by a copy that has not seen "
                        f"them, which these series are too short for: {trouble}. Take "
                        "conformal=False for the intervals of the network itself"
                    ) from None
                if self.verbose:
                    print(f"{self.name}: intervals are not calibrated: {trouble}", file=sys.stderr)
        self._begin(past, panel)

    def _begin(self: Any, past: Past | None, panel: Panel) -> None:
        """Calibrate by the past; from the end of these series on, by what comes."""
        self._past, self._began = past, panel.lengths
        self.calibration_ = None if past is None else past.calibration()

    def _own_past(self: Any) -> Past | None:
        """What intervals are calibrated by, if they are."""
        past: Past | None = getattr(self, "_past", None)
        return past

    def _go_through(self: Any, panel: Panel, before: Array) -> None:
        """Calibrate by what came after so many points of the first of these series, as well.

        They are forecast from every h-th point since ``fit`` of which the next h are there, by the
        model as it is: what it has not learned from.
        """
        past, h = self._own_past(), self.h
        if past is None:
            return
        began = np.concatenate([self._began, panel.lengths[len(self._began) :]])
        done, come = (before - began[: len(before)]) // h, (panel.lengths - began) // h
        done = np.concatenate([done, np.zeros(len(come) - len(done), np.int64)])
        done = np.maximum(done, come.max() - -(-WANTED // len(panel)))
        self._began = began
        if not (done < come).any():
            return
        for place in range(int(done[done < come].min()), int(come.max())):
            now, series = h * place, np.flatnonzero((done <= place) & (place < come))
            if not len(series):
                continue
            ends = began[series] + now
            known = panel.windows(series, ends)
            futr, came = panel.following(series, ends, h)
            bands = self._raw(known, h, futr, QUANTILES).bands
            positive = Heights.of(known).positive()
            past = past.and_then(bands, came, positive, now, 1.0, past.calibration())
            past = past.followed(now + h)
        self._past = past
        self.calibration_ = past.calibration()

    def _forecasts_of_the_past(self: Any, panel: Panel) -> Past:
        """Of the last points, by a model that learned without them."""
        left = past_cutoffs(panel, self.h)
        known = panel.take(np.flatnonzero(panel.lengths > left[0]))
        if not len(known):
            raise ValueError(
                f"none has more than {left[0]} points, the last of which were held out"
            )
        changes: dict[str, Any] = {"level": (*check_level(self.level), 50, 80, 90, 95)}
        if hasattr(self, "steps_"):
            # As many updates, which need not be found out again.
            changes["max_steps"] = self.steps_
        model = self._copy(**changes, verbose=0)
        model._fit(known.until(known.lengths - left[0]))
        series, ends = model._ends(known, left)
        forecast, came = model._foresee_from(known, series, ends, self.h, QUANTILES)
        positive = Heights.of(known).positive()[series]
        return past_of(forecast.bands, came, positive, ends - known.lengths[series], left)

    def _raw(
        self: Any, panel: Panel, h: int, future: Array | None, quantiles: Array
    ) -> Forecast:  # fmt: skip
        """``_forecast`` without calibration."""
        made: Forecast = self._forecast(panel, h, future, quantiles)
        return made

    def _recalibrate(self: Any, calibration: Calibration | None) -> None:
        """Take these widths from now on."""
        self.calibration_ = calibration

    def _foresee(
        self: Any, panel: Panel, h: int, future: Array | None, quantiles: Array
    ) -> Forecast:
        """``_forecast``, calibrated where there is a calibration."""
        return self._calibrated(self._raw(panel, h, future, quantiles), panel, quantiles)

    def _calibrated(self: Any, forecast: Forecast, panel: Panel, quantiles: Array) -> Forecast:
        if getattr(self, "calibration_", None) is None or len(quantiles) == 1:
            return forecast
        return forecast._replace(bands=self._widened(forecast.bands, quantiles, Heights.of(panel)))

    def _widened(self: Any, bands: Array, quantiles: Array, heights: Heights) -> Array:
        """(S, h, Q) quantiles of series of these heights, calibrated."""
        calibration: Any = self.calibration_
        middle, _ = _around_the_median(bands, quantiles)
        return calibration.applied(middle, bands, quantiles, heights.positive())

    def _ends(self: Any, panel: Panel, left: Array) -> tuple[Array, Array]:
        """(M,) series and how many points are known, so many before the ends of them all."""
        series = np.tile(np.arange(len(panel)), len(left))
        ends = (panel.lengths - left[:, np.newaxis]).ravel()
        return series[ends > 0], ends[ends > 0]

    def _foresee_from(
        self: Any,
        panel: Panel,
        series: Array,
        ends: Array,
        h: int,
        quantiles: Array,
    ) -> tuple[Forecast, Array]:
        """(M, h) forecasts of series from points in the past, and what came."""
        reach = self._reach()
        size = np.cumsum(ends if reach is None else np.minimum(ends, reach))
        points, bands = [], []
        for index in np.split(np.arange(len(ends)), _changes(size // _AT_ONCE)):
            known = panel.windows(series[index], ends[index], reach)
            futr, _ = panel.following(series[index], ends[index], h)
            forecast = self._foresee(known, h, futr, quantiles)
            points.append(forecast.point)
            bands.append(forecast.bands)
        _, came = panel.following(series, ends, h)
        return Forecast(np.concatenate(points), np.concatenate(bands)), came


def _around_the_median(bands: Array, quantiles: Array) -> tuple[Array, Array]:
    """(S, h) medians, and (S, h, Q) quantiles in rising order."""
    bands = np.sort(bands, axis=2)
    return bands[..., int(np.searchsorted(quantiles, 0.5))], bands


def _changes(values: Array) -> Array:
    """Places where a value differs from the one before."""
    return np.flatnonzero(np.diff(values)) + 1
