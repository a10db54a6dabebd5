"""The forecaster that chooses: networks and simple rules, by what they said of the recent past."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm import forecasting
from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.baselines import Drift, Naive, SeasonalNaive
from fastlstm.forecasting.calibration import (
    LEVELS,
    QUANTILES,
    Calibration,
    Heights,
    Past,
    calibrated,
    past_cutoffs,
    past_of,
)
from fastlstm.forecasting.combination import Combination, mean_of
from fastlstm.forecasting.deepar import DeepAR
from fastlstm.forecasting.esrnn import ESRNN
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.holtwinters import HoltWinters
from fastlstm.forecasting.mqrnn import MQRNN
from fastlstm.forecasting.network import usual_look_back
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.regression import Ridge
from fastlstm.forecasting.scores import unit_of
from fastlstm.forecasting.streaming import Live
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# From the simplest on; networks come after these.
_RULES = (Naive, SeasonalNaive, Drift, HoltWinters, Ridge)
# These are in no mean.
_TOO_SIMPLE = (Naive, SeasonalNaive, Drift)
# What a network is always compared with.
_LEAST = (SeasonalNaive, Ridge)
# A simpler model is chosen if its error is larger by no more than this part.
_TIE = 0.01
# A mean is taken of models whose errors are larger than the least by no more than this part.
_NEARLY = 0.15
# Panels of so many points are learned from so quickly that more networks are compared.
_SMALL = 20_000
# Networks take this part of their updates while they are compared.
_PART_OF_STEPS = 0.5
_COVER = (80, 95)


class _Seen(NamedTuple):
    """The points of the past that are forecast: M windows of some series."""

    left: Array
    known: Panel
    series: Array
    ends: Array
    units: Array


class Forecaster(BaseForecaster):
    """Forecast with whichever model was best on the last points of the series.

    Each model learns from all but the last points and forecasts these from several places. The one
    with the least mean absolute scaled error then learns from all points. Simple rules are among
    them, so a network is only chosen where it is better than those, and of models that are within a
    hundredth of the best the simplest is taken; ``selection_`` tells how good each was.

    Networks take half of their updates while they are compared. Intervals of the network that is
    chosen are calibrated by its forecasts of the points held out, as ``MQRNN`` does it with
    ``conformal=True``; from then on those of any model follow what they held of the values to come.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``MQRNN``. With ``verbose`` the choice is told on stderr.
    models : sequence of forecasters or str, "all", optional
        Those to choose from, or their names; "all" of them. By default the naive and the seasonal
        naive rule, drift, ridge regression on lags, ``ESRNN`` and ``MQRNN``, the quickest networks;
        of up to 20,000 points also ``MQRNN`` that sees two seasons alone, and ``DeepAR``; and the
        mean of those networks and ridge regressions whose errors are within 15 % of the least.
        Their ``h`` and other common arguments are those given here. Seasonal naive and ridge
        regression are always scored beside them, but not chosen unless they are among them.
    n_windows : int, optional
        From how many places the last points are forecast, h steps apart. By default from so many,
        in the last fifth of the series, as make 256 forecasts of all series together: one of each
        where there are many.
    alias : str, optional
        Name of the column of forecasts.

    Attributes
    ----------
    chosen_ : BaseForecaster
        The one chosen, fitted.
    selection_ : list of dict
        For each model: "model", its name; "mase", the error on the points held out, nan where it
        could not be fitted; "cover 80" and "cover 95", how many of them lay in its intervals, in
        per cent; "seconds"; and "why" it was not chosen from. From the best on.

    Notes
    -----
    The unit of a series' errors is its mean absolute change from one season to the next; where that
    is 0 or not known the one from step to step; of a constant series its mean absolute value. A
    series that is too short for points to be held out is not counted. Where all of them are, the
    seasonal naive rule is taken unseen, or the naive one of series shorter than a season. Coverage
    of networks is that of calibrated intervals: each half of the windows by the factors that the
    other half gave.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.tile([1.0, 5.0, 2.0, 8.0], 30)
    >>> model = Forecaster(h=4, verbose=0, models=["Naive", "Ridge"]).fit(y)
    >>> model.chosen_.name, model.predict().round().tolist()
    ('Ridge', [1.0, 5.0, 2.0, 8.0])
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
        models: Sequence[BaseForecaster | str] | str | None = None,
        n_windows: int | None = None,
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.models = seed, verbose, models
        self.n_windows, self.alias = n_windows, alias

    def _check(self) -> None:
        super()._check()
        if self.n_windows is not None:
            whole_number(self.n_windows, "n_windows")
        names = forecasting.MODELS
        given = [] if self.models is None or _is_all(self.models) else self.models
        if isinstance(given, str):
            raise TypeError(
                f'models expects a sequence of forecasters or their names, or "all", got {given!r}'
            )
        for model in given:
            if isinstance(model, str) and model not in names:
                raise ValueError(f"models expects names among {', '.join(names)}; got {model!r}")
            if not isinstance(model, (str, BaseForecaster)):
                raise TypeError(f"models expects forecasters or their names, got {model!r}")

    def _candidates(self, panel: Panel) -> list[BaseForecaster]:
        """Those to choose from, the simplest first."""
        given = self.models
        if given is None:
            given = [kind(self.h) for kind in (Naive, SeasonalNaive, Drift, Ridge, ESRNN, MQRNN)]
            if len(panel.y) <= _SMALL:
                given += self._of_small_panels(panel)
        elif _is_all(given):
            given = forecasting.MODELS
        made = [getattr(forecasting, one)(self.h) if isinstance(one, str) else one for one in given]
        return [self._alike(model) for model in sorted(made, key=_complexity)]

    def _of_small_panels(self, panel: Panel) -> list[BaseForecaster]:
        """Networks that learn less by heart."""
        season = panel.frequency.season
        short = max(2 * season, self.h)
        if self.input_size is not None or short >= usual_look_back(panel, self.h, season):
            return [DeepAR(self.h)]
        return [MQRNN(self.h, input_size=short, alias=f"MQRNN of {short}"), DeepAR(self.h)]

    def _alike(self, model: Any) -> Any:
        """A copy with the arguments that are common to all."""
        common: dict[str, Any] = {"h": self.h, "freq": self.freq, "seed": self.seed, "verbose": 0}
        common["level"] = self.level or _COVER
        if self.input_size is not None:
            common["input_size"] = self.input_size
        if "conformal" in model.get_params():
            common["conformal"] = False
        return model._copy(**common)

    def _fit(self, panel: Panel) -> None:
        candidates = self._candidates(panel)
        kinds = {type(model) for model in candidates}
        beside = [self._alike(kind(self.h)) for kind in _LEAST if kind not in kinds]
        seen = self._held_out(panel)
        self._pasts: dict[int, Past] = {}
        past = None
        self._forecasts: dict[int, tuple[Forecast, Array]] = {}
        if seen is None:
            model, why = self._unseen(panel, candidates)
            self.selection_ = [_row(model.name, why="taken unseen: " + why)]
        else:
            rows = [self._score(model, seen, n) for n, model in enumerate(candidates)]
            if self.models is None:
                self._combine(candidates, rows, seen)
            best = np.nanmin([row["mase"] for row in rows] + [np.inf])
            if np.isinf(best):
                reasons = "; ".join(f"{row['model']}: {row['why']}" for row in rows)
                raise ValueError(f"none of the models could learn from these series. {reasons}")
            place = next(n for n, row in enumerate(rows) if row["mase"] <= best * (1 + _TIE))
            model, chosen = candidates[place], rows[place]
            others = [row for n, row in enumerate(rows) if n != place]
            compared = [self._score(rule, seen, -1) for rule in beside]
            for row in compared:
                row["why"] = row["why"] or "to compare with; not among the models"
            others = sorted(others + compared, key=lambda row: np.nan_to_num(row["mase"], nan=9e99))
            self.selection_ = [chosen, *others]
            self._points = len(np.unique(seen.ends[seen.series == seen.series[0]]))
            past = self._pasts.get(place)
        model = model._copy()
        model._check()
        model._fit(panel)
        if past is None and type(model) in _RULES:
            past = Past.empty(self.h)
        model._begin(past, panel)
        self.chosen_ = model
        del self._forecasts, self._pasts
        if self.verbose:
            print(self.explanation(), file=sys.stderr)

    def _learn(self, panel: Panel) -> None:
        self._fit(panel)
        self.calibration_ = None

    def _own_past(self) -> Past | None:
        past: Past | None = self.chosen_._own_past()
        return past

    def _go_through(self, panel: Panel, before: Array) -> None:
        chosen = copy.copy(self.chosen_)
        chosen._go_through(panel, before)
        self.chosen_ = chosen

    def explanation(self) -> str:
        """Which model was chosen, and why.

        Returns
        -------
        str
        """
        first, *others = self.selection_
        if np.isnan(first["mase"]):
            return f"{first['model']} is {first['why']}"
        places = "once" if self._points == 1 else f"from {self._points} places each"
        lines = [
            f"{first['model']} is chosen: mean absolute scaled error of {self.h} steps at the end, "
            f"which no model had seen, forecast {places}, and coverage of intervals:"
        ]
        width = max(16, *(len(row["model"]) for row in self.selection_))
        for row in self.selection_:
            told = f"  {row['model']:<{width}} {row['mase']:8.3f}"
            told += "".join(f" {row[f'cover {one}']:6.1f} of {one} %" for one in _COVER)
            lines.append(f"{told} {row['seconds']:8.1f} s" + f"  {row['why']}" * bool(row["why"]))
        better = [row["model"] for row in others if row["mase"] < first["mase"]]
        compared = {row["model"] for row in others if row["why"].startswith("to compare")}
        for name in better:
            if name in compared:
                lines.append(f"{name} was better, but is not among the models.")
            else:
                lines.append(f"{name} was better by less than 1 %, and is less simple.")
        return "\n".join(lines)

    def _held_out(self, panel: Panel) -> _Seen | None:
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
        return _Seen(left, known, series, ends, np.array(units))

    def _unseen(self, panel: Panel, candidates: list[BaseForecaster]) -> tuple[Any, str]:
        """The rule for series that are too short to compare models."""
        longest, season = int(panel.lengths.max()), panel.frequency.season
        kind = SeasonalNaive if 1 < season <= longest else Naive
        rules = [model for model in candidates if type(model) is kind]
        why = (
            f"the longest series has {longest} points, too few to hold out {self.h} and learn from "
            "the others"
        )
        return (rules or [self._alike(kind(self.h))])[0], why

    def _score(self, model: Any, seen: _Seen, number: int) -> dict[str, Any]:
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
            return _row(model.name, seconds=time.perf_counter() - began, why=str(trouble))
        if number >= 0:
            self._forecasts[number] = forecast, came
        return self._rated(model, forecast, came, seen, number, time.perf_counter() - began)

    def _combine(self, models: list[Any], rows: list[dict[str, Any]], seen: _Seen) -> None:
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
        self, model: Any, forecast: Forecast, came: Array, seen: _Seen, number: int, seconds: float
    ) -> dict[str, Any]:
        """A row of the table, of forecasts of the points held out."""
        errors = np.abs(came - forecast.point)
        error = _mean_of_series(errors, seen.series, seen.units)
        bands = forecast.bands
        if type(model) not in _RULES:
            positive = Heights.of(seen.known).positive()[seen.series]
            middle = np.sort(bands, axis=2)[..., len(LEVELS)]
            made = seen.ends - seen.known.lengths[seen.series]
            self._pasts[number] = past_of(bands, came, positive, made, seen.left)
            bands = _crossed(came, middle, bands, positive)
        cover = {}
        known = np.isfinite(came)
        for level in _COVER:
            place = LEVELS.index(level) + 1
            low, high = bands[..., len(LEVELS) - place], bands[..., len(LEVELS) + place]
            inside = ((low <= came) & (came <= high))[known]
            cover[f"cover {level}"] = 100 * float(inside.mean()) if inside.size else float("nan")
        return _row(model.name, error, seconds, "", **cover)

    def _reach(self) -> int | None:
        reach: int | None = self.chosen_._reach()
        return reach

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        return self.chosen_._foresee(panel, h, future, quantiles)

    def _raw(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        return self.chosen_._forecast(panel, h, future, quantiles)

    def _calibrated(self, forecast: Forecast, panel: Panel, quantiles: Array) -> Forecast:
        return self.chosen_._calibrated(forecast, panel, quantiles)

    def _recalibrate(self, calibration: Calibration | None) -> None:
        self.chosen_.calibration_ = calibration

    def _go_on(self, panel: Panel, steps: int) -> None:
        chosen = copy.copy(self.chosen_)
        chosen._go_on(panel, steps)
        self.chosen_ = chosen

    def _live(self, panel: Panel) -> Live:
        live = self.chosen_._live(panel)
        live.name = self.name
        return live


def _is_all(models: Any) -> bool:
    return isinstance(models, str) and models == "all"


def _complexity(model: BaseForecaster) -> int:
    return _RULES.index(type(model)) if type(model) in _RULES else len(_RULES)


def _row(
    name: str, error: float = np.nan, seconds: float = 0.0, why: str = "", **cover: float
) -> dict[str, Any]:
    cover = {f"cover {level}": cover.get(f"cover {level}", float("nan")) for level in _COVER}
    return {"model": name, "mase": error, **cover, "seconds": seconds, "why": why}


def _unit(y: Array, season: int) -> float:
    """What errors of a series are counted in, never 0."""
    for steps in (season, 1):
        unit = unit_of(y, steps)
        if unit > 1e-10 * np.nanmax(np.abs(y), initial=0.0):
            return unit
    level = float(np.nanmean(np.abs(y))) if np.isfinite(y).any() else 0.0
    return level if level > 0 else 1.0


def _by_series(seen: _Seen) -> tuple[Array, Array]:
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
