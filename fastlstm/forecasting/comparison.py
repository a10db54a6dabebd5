"""How good models are at points that they have not seen, and a mean that may be better."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.baselines import Drift, Naive, SeasonalNaive
from fastlstm.forecasting.calibration import (
    LEVELS,
    QUANTILES,
    Heights,
    calibrated,
    past_cutoffs,
    past_of,
)
from fastlstm.forecasting.candidates import RULES
from fastlstm.forecasting.combination import Combination, mean_of
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.scores import unit_of

Array = npt.NDArray[Any]

# These are in no mean.
_TOO_SIMPLE = (Naive, SeasonalNaive, Drift)
# A mean is taken of models whose errors are larger than the least by no more than this part.
_NEARLY = 0.15
# Networks take this part of their updates while they are compared.
_PART_OF_STEPS = 0.5
COVER = (80, 95)


class Seen(NamedTuple):
    """The points of the past that are forecast: M windows of some series."""

    left: Array
    known: Panel
    series: Array
    ends: Array
    units: Array


class Comparison:
    """Methods of a forecaster that compares others."""

    def _held_out(self: Any, panel: Panel) -> Seen | None:
        """What is forecast to compare the models; None where series are too short for it."""
        left = past_cutoffs(panel, self.h)
        if self.n_windows is not None:
            left = self.h * np.arange(self.n_windows, 0, -1)
        known = panel.take(np.flatnonzero(panel.lengths > left[0]))
        if not len(known):
            return None
        series, ends = self._ends(known, left)
        first = known.until(known.lengths - left[0])
        units = [_unit(first.series(s), first.frequency.season) for s in range(len(first))]
        return Seen(left, known, series, ends, np.array(units))

    def _score(self: Any, model: Any, seen: Seen, number: int) -> dict[str, Any]:
        """How good a model is, and the calibration of a network."""
        began = time.perf_counter()
        try:
            model._check()
            model._part_of_steps = _PART_OF_STEPS
            model._fit(seen.known.until(np.minimum.reduceat(*_by_series(seen))))
            forecast, came = model._foresee_from(
                seen.known, seen.series, seen.ends, self.h, QUANTILES
            )
        except (ValueError, ImportError) as trouble:
            return row_of(model.name, seconds=time.perf_counter() - began, why=str(trouble))
        if number >= 0:
            self._forecasts[number] = forecast, came
        return self._rated(model, forecast, came, seen, number, time.perf_counter() - began)

    def _combine(self: Any, models: list[Any], rows: list[dict[str, Any]], seen: Seen) -> None:
        """Add the mean of those that are nearly as good as the best, if there are several."""
        best = np.nanmin([row["mase"] for row in rows] + [np.inf])
        good = [
            n
            for n, (model, row) in enumerate(zip(models, rows, strict=True))
            if type(model) not in _TOO_SIMPLE and row["mase"] <= best * (1 + _NEARLY)
        ]
        if len(good) < 2:
            return
        name = "mean of " + ", ".join(models[n].name for n in good)
        mixed = self._alike(Combination(self.h, models=[models[n] for n in good], alias=name))
        forecast = mean_of([self._forecasts[n][0] for n in good])
        came = self._forecasts[good[0]][1]
        rows.append(self._rated(mixed, forecast, came, seen, len(models), 0.0))
        models.append(mixed)

    def _rated(
        self: Any,
        model: Any,
        forecast: Forecast,
        came: Array,
        seen: Seen,
        number: int,
        seconds: float,
    ) -> dict[str, Any]:
        """A row of the table, of forecasts of the points held out."""
        errors = np.abs(came - forecast.point)
        error = _mean_of_series(errors, seen.series, seen.units)
        bands = forecast.bands
        if type(model) not in RULES:
            positive = Heights.of(seen.known).positive()[seen.series]
            middle = np.sort(bands, axis=2)[..., len(LEVELS)]
            made = seen.ends - seen.known.lengths[seen.series]
            self._pasts[number] = past_of(bands, came, positive, made, seen.left)
            bands = _crossed(came, middle, bands, positive)
        cover = {}
        known = np.isfinite(came)
        for level in COVER:
            place = LEVELS.index(level) + 1
            low, high = bands[..., len(LEVELS) - place], bands[..., len(LEVELS) + place]
            inside = ((low <= came) & (came <= high))[known]
            cover[f"cover {level}"] = 100 * float(inside.mean()) if inside.size else float("nan")
        return row_of(model.name, error, seconds, "", **cover)


def row_of(
    name: str, error: float = np.nan, seconds: float = 0.0, why: str = "", **cover: float
) -> dict[str, Any]:
    cover = {f"cover {level}": cover.get(f"cover {level}", float("nan")) for level in COVER}
    return {"model": name, "mase": error, **cover, "seconds": seconds, "why": why}


def _unit(y: Array, season: int) -> float:
    """What errors of a series are counted in, never 0."""
    for steps in (season, 1):
        unit = unit_of(y, steps)
        if unit > 1e-10 * np.nanmax(np.abs(y), initial=0.0):
            return unit
    level = float(np.nanmean(np.abs(y))) if np.isfinite(y).any() else 0.0
    return level if level > 0 else 1.0


def _by_series(seen: Seen) -> tuple[Array, Array]:
    """Ends of windows, series after series, and where those of each begin."""
    order = np.argsort(seen.series, kind="stable")
    return seen.ends[order], np.searchsorted(seen.series[order], np.arange(len(seen.known)))


def _mean_of_series(errors: Array, series: Array, units: Array) -> float:
    """Mean over series of the means over their windows, in units of each."""
    known = np.isfinite(errors)
    total = np.bincount(series, np.where(known, errors, 0.0).sum(axis=1), len(units))
    count = np.bincount(series, known.sum(axis=1), len(units))
    some = count > 0
    return float((total[some] / count[some] / units[some]).mean()) if some.any() else float("nan")


def _crossed(came: Array, point: Array, bands: Array, positive: Array) -> Array:
    """Intervals of each half of the windows, calibrated by the other half."""
    made, half = np.sort(bands, axis=2), len(came) // 2
    if not half:
        return made
    halves = (slice(0, half), slice(half, None))
    for mine, other in (halves, halves[::-1]):
        factors = calibrated(came[other], point[other], bands[other], positive[other])
        made[mine] = factors.applied(point[mine], made[mine], QUANTILES, positive[mine])
    return made
