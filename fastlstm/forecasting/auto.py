"""The forecaster that chooses: networks and simple rules, by what they said of the recent past."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.baselines import Naive, SeasonalNaive
from fastlstm.forecasting.calibration import (
    Calibration,
    Past,
)
from fastlstm.forecasting.candidates import RULES, candidates, check_models
from fastlstm.forecasting.comparison import COVER, Comparison, row_of
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.regression import Ridge
from fastlstm.forecasting.streaming import Live
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# What a network is always compared with.
_LEAST = (SeasonalNaive, Ridge)
# A simpler model is chosen if its error is larger by no more than this part.
_TIE = 0.01


class Forecaster(Comparison, BaseForecaster):
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
        Their ``h`` must be that given here, and other common arguments become those given here;
        each has a name, or ``alias``, of its own. Seasonal naive and ridge
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
        check_models(self.models, self.h)

    def _candidates(self, panel: Panel) -> list[BaseForecaster]:
        """Copies of those to choose from, the simplest first."""
        given = candidates(self.models, panel, self.h, self.input_size)
        return [self._alike(model) for model in given]

    def _alike(self, model: Any) -> Any:
        """A copy with the arguments that are common to all."""
        common: dict[str, Any] = {"h": self.h, "freq": self.freq, "seed": self.seed, "verbose": 0}
        common["level"] = self.level or COVER
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
            self.selection_ = [row_of(model.name, why="taken unseen: " + why)]
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
        if past is None and type(model) in RULES:
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
            told += "".join(f" {row[f'cover {one}']:6.1f} of {one} %" for one in COVER)
            lines.append(f"{told} {row['seconds']:8.1f} s" + f"  {row['why']}" * bool(row["why"]))
        better = [row["model"] for row in others if row["mase"] < first["mase"]]
        compared = {row["model"] for row in others if row["why"].startswith("to compare")}
        for name in better:
            if name in compared:
                lines.append(f"{name} was better, but is not among the models.")
            else:
                lines.append(f"{name} was better by less than 1 %, and is less simple.")
        return "\n".join(lines)

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
