"""The forecaster that chooses: networks and simple rules, by what they said of the recent past."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster, Forecast
from fastlstm.forecasting.baselines import Naive, Ridge, SeasonalNaive
from fastlstm.forecasting.mqrnn import MQRNN
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.scores import mase
from fastlstm.forecasting.streaming import Live
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]


class Forecaster(BaseForecaster):
    """Forecast with whichever model was best on the last points of the series.

    Each model learns from all but the last points, and forecasts these. The one with the least mean
    absolute scaled error then learns from all points. Simple rules are among them, so a network is
    only chosen where it is better than those; ``selection_`` tells how good each was.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``MQRNN``.
    models : sequence of forecasters, optional
        Those to choose from; by default the naive and the seasonal naive rule, ridge regression on
        lags, and ``MQRNN``. Their ``h`` and other common arguments are those given here.
    n_windows : int
        How many times the last points are forecast, h further back each time.
    alias : str, optional
        Name of the column of forecasts.

    Attributes
    ----------
    chosen_ : BaseForecaster
        The one chosen.
    selection_ : list of dict
        For each model: "model", its name; "mase" on the points held out, nan where it could not
        be fitted; "seconds"; and "why" where it could not. From the best on.
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
        models: Sequence[BaseForecaster] | None = None,
        n_windows: int = 1,
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.models = seed, verbose, models
        self.n_windows, self.alias = n_windows, alias

    def _check(self) -> None:
        super()._check()
        whole_number(self.n_windows, "n_windows")
        for model in self.models or ():
            if not isinstance(model, BaseForecaster):
                raise TypeError(f"models expects forecasters, got {model!r}")

    def _candidates(self) -> list[BaseForecaster]:
        given = self.models
        if given is None:
            given = [Naive(self.h), SeasonalNaive(self.h), Ridge(self.h), MQRNN(self.h)]
        common = {
            "h": self.h,
            "freq": self.freq,
            "level": self.level,
            "seed": self.seed,
            "verbose": 0,
        }
        if self.input_size is not None:
            common["input_size"] = self.input_size
        return [type(model)(**{**model.get_params(), **common}) for model in given]

    def _fit(self, panel: Panel) -> None:
        scored = [(self._score(model, panel), model) for model in self._candidates()]
        scored.sort(key=lambda pair: np.nan_to_num(pair[0]["mase"], nan=np.inf))
        self.selection_ = [row for row, _ in scored]
        best, model = scored[0]
        if np.isnan(best["mase"]):
            reasons = "; ".join(f"{row['model']}: {row['why']}" for row in self.selection_)
            raise ValueError(f"none of the models could learn from these series. {reasons}")
        self.chosen_ = model
        model._fit(panel)
        if self.verbose:
            print(self.explanation())

    def explanation(self) -> str:
        """Which model was chosen, and why.

        Returns
        -------
        str
        """
        rows = [
            f"  {row['model']:<16} {row['mase']:8.3f} {row['seconds']:8.1f} s"
            + (f"  {row['why']}" if row["why"] else "")
            for row in self.selection_
        ]
        points = self.h * self.n_windows
        return "\n".join(
            [
                f"{self.selection_[0]['model']} is chosen: mean absolute scaled error of the last "
                f"{points} points, which no model had seen:",
                *rows,
            ]
        )

    def _score(self, model: BaseForecaster, panel: Panel) -> dict[str, Any]:
        began, errors, why = time.perf_counter(), [], ""
        try:
            for window in range(self.n_windows, 0, -1):
                known = panel.until(np.maximum(panel.lengths - window * self.h, 0))
                rest = panel.since(known.lengths)
                enough = np.flatnonzero(known.lengths > 0)
                known = known.take(enough)
                if window == self.n_windows:
                    model._fit(known)
                futr, y = _head(rest.take(enough), self.h)
                point = model._forecast(known, self.h, futr, np.array([0.5])).point
                errors.append(self._error(known, y, point))
            error = float(np.mean(errors))
        except (ValueError, ImportError) as trouble:
            error, why = np.nan, str(trouble)
        seconds = time.perf_counter() - began
        return {"model": model.name, "mase": error, "seconds": seconds, "why": why}

    def _error(self, known: Panel, y: Array, point: Array) -> float:
        season = known.frequency.season
        each = [mase(y[s], point[s], known.series(s), season) for s in range(len(known))]
        return float(np.nanmean(each))

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        return self.chosen_._forecast(panel, h, future, quantiles)

    def _go_on(self, panel: Panel, steps: int) -> None:
        chosen = copy.copy(self.chosen_)
        chosen._go_on(panel, steps)
        self.chosen_ = chosen

    def _live(self, panel: Panel) -> Live:
        live = self.chosen_._live(panel)
        live.name = self.name
        return live


def _head(panel: Panel, h: int) -> tuple[Array, Array]:
    """The first h steps of each series: (S, h, F) columns and (S, h) values."""
    at = panel.offsets[:-1, np.newaxis] + np.arange(h)
    return panel.futr[at], panel.y[at]
