"""What a fitted forecaster shows of itself: scores beside simple rules, pictures, a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame, plots, scores
from fastlstm.forecasting.intervals import band_names
from fastlstm.forecasting.report import write_report
from fastlstm.validation import whole_number

if TYPE_CHECKING:
    from fastlstm.forecasting.base import BaseForecaster

Array = npt.NDArray[Any]

# Coverages, in per cent, that a picture of calibration asks for.
_LEVELS = (10, 20, 30, 40, 50, 60, 70, 80, 90)


class Views:
    """Methods that need a fitted forecaster and change nothing."""

    def scores(
        self: Any,
        *,
        n_windows: int = 1,
        step_size: int | None = None,
        level: Sequence[float] = (80, 95),
    ) -> list[dict[str, Any]]:
        """Score this forecaster and the simple rules on the end of the series.

        All of them learn from what comes before the first cutoff, and forecast from each cutoff.

        Parameters
        ----------
        n_windows : int
            How many cutoffs, the last one h steps before the end of each series.
        step_size : int, optional
            Steps from one to the next; h by default.
        level : sequence of float
            Intervals whose coverage is told.

        Returns
        -------
        list of dict
            For each model "model", "mae", "rmse", "smape" (per cent), "mase", and "cover 80" and so
            on, in per cent: means over the series.
        """
        from fastlstm.forecasting.baselines import Drift, Naive, SeasonalNaive
        from fastlstm.forecasting.regression import Ridge

        self._check_fitted()
        rows = [_scores_of(self, self.panel_, n_windows, step_size, level)]
        for kind in (SeasonalNaive, Ridge, Drift, Naive):
            rule = kind(self.h, self.freq, seed=self.seed, verbose=0)
            if rule.name == self.name:
                continue
            try:
                rows.append(_scores_of(rule, self.panel_, n_windows, step_size, level))
            except ValueError:  # series too short for this rule
                continue
        return rows

    def plot_forecast(
        self: Any,
        ids: Sequence[Any] | None = None,
        *,
        history: int | None = None,
        futr_df: Any = None,
        level: Sequence[float] = (80, 95),
    ) -> Any:
        """Draw the end of some series and what comes.

        Parameters
        ----------
        ids : sequence, optional
            The series; by default the first ones, eight at most.
        history : int, optional
            Points of the past to show; four times h by default.
        futr_df : data frame, optional
            As for ``predict``.
        level : sequence of float
            Intervals to shade.

        Returns
        -------
        matplotlib Figure
        """
        self._check_fitted()
        columns = self._columns_ahead(self.panel_, self.h, futr_df, level)
        places = plots.places_of(self.panel_, ids)
        return plots.draw_forecasts(
            self.panel_, columns, places, history=history or 4 * self.h,
            target=self._columns.target_col, title=f"{self.name}: the next {self.h} steps",
        )  # fmt: skip

    def plot_cross_validation(
        self: Any,
        ids: Sequence[Any] | None = None,
        *,
        history: int | None = None,
        level: Sequence[float] = (80, 95),
    ) -> Any:
        """Draw a forecast of the last h points by a model that has not seen them, and what came.

        Parameters
        ----------
        ids, history, level
            As for ``plot_forecast``.

        Returns
        -------
        matplotlib Figure
        """
        self._check_fitted()
        known, forecast, came = next(
            iter(self._backtest(self.panel_, 1, self.h, False, self.h, level))
        )
        places = plots.places_of(known, ids)
        columns = self._columns_of(forecast, level)
        return plots.draw_forecasts(
            known, columns, places, history=history or 4 * self.h, came=came,
            target=self._columns.target_col,
            title=f"{self.name}: the last {self.h} steps, forecast without them",
        )  # fmt: skip

    def plot_calibration(self: Any, *, n_windows: int = 3, step_size: int | None = None) -> Any:
        """Draw how much lay within the intervals of 10 to 90 per cent, over cutoffs in the past.

        Each cutoff has intervals that were calibrated by what had come until then, as in
        ``cross_validation``. A few windows tell little: values of one are wrong together, so that
        of three windows shares that are ten per cent off are nothing unusual; take 30.

        Parameters
        ----------
        n_windows, step_size
            As for ``scores``.

        Returns
        -------
        matplotlib Figure
        """
        self._check_fitted()
        row = _scores_of(self, self.panel_, n_windows, step_size, _LEVELS)
        within = np.array([row[f"cover {one}"] for one in _LEVELS])
        return plots.draw_calibration(np.array(_LEVELS), within, self.name)

    def attention(self: Any, id: Any = None, *, futr_df: Any = None) -> Array:
        """Tell which steps of its past the forecast of a series looks at.

        Parameters
        ----------
        id : optional
            The series; the first one by default.
        futr_df : data frame, optional
            As for ``predict``.

        Returns
        -------
        ndarray
            (h, input_size) weights: a row for each step to come, which sums to 1, a column for each
            step of the past, the last one known at the end. 0 before the series began.

        Raises
        ------
        ValueError
            If the model has no attention, or there is no such series.
        """
        self._check_fitted()
        model = getattr(self, "chosen_", self)
        if not hasattr(model, "_attention"):
            raise ValueError(
                f"{model.name} has no attention to show; Seq2Seq has: "
                "fastlstm.forecasting.Seq2Seq(h).fit(df).attention()"
            )
        panel = self.panel_
        (place,) = plots.places_of(panel, [panel.ids[0] if id is None else id])
        future = frame.read_future(futr_df, panel, self.h, self._columns)
        chosen = None if future is None else future[[place]]
        weights: Array = model._attention(panel.take([place]), chosen)[0]
        return weights

    def plot_attention(self: Any, id: Any = None, *, futr_df: Any = None) -> Any:
        """Draw which steps of its past the forecast of a series looks at.

        Parameters
        ----------
        id, futr_df
            As for ``attention``.

        Returns
        -------
        matplotlib Figure
        """
        weights = self.attention(id, futr_df=futr_df)
        (place,) = plots.places_of(self.panel_, [self.panel_.ids[0] if id is None else id])
        return plots.draw_attention(self.panel_, place, weights, self.name)

    def plot_components(self: Any, ids: Sequence[Any] | None = None) -> Any:
        """Draw what the forecasts of some series are made of: level, seasons, and the network.

        Parameters
        ----------
        ids : sequence, optional
            The series; by default the first ones, three at most.

        Returns
        -------
        matplotlib Figure

        Raises
        ------
        ValueError
            If the model does not part series into level and seasons.
        """
        self._check_fitted()
        model = getattr(self, "chosen_", self)
        if not hasattr(model, "components"):
            raise ValueError(
                f"{model.name} has no components to draw, since it does not part a series into "
                "level and seasons; ESRNN does"
            )
        if model is not self:
            model.panel_ = self.panel_
        names = [self.panel_.ids[s] for s in plots.places_of(self.panel_, ids)]
        parts = {name: model.components(name) for name in names[: plots.SIDE_BY_SIDE]}
        return plots.draw_components(parts, model.name)

    def plot_training(self: Any) -> Any:
        """Draw the loss on the way.

        Returns
        -------
        matplotlib Figure

        Raises
        ------
        ValueError
            If the model was not trained by steps.
        """
        self._check_fitted()
        model = getattr(self, "chosen_", self)
        if not hasattr(model, "history_"):
            raise ValueError(f"{model.name} learns in one step: there is no training to draw")
        histories = model.history_ if isinstance(model.history_, list) else [model.history_]
        return plots.draw_training(histories, model.name)

    def report(
        self: Any,
        path: str | os.PathLike[str],
        *,
        n_windows: int = 1,
        ids: Any = None,
        futr_df: Any = None,
    ) -> None:
        """Write a page of HTML: forecasts, scores beside the simple rules, coverage, settings.

        Parameters
        ----------
        path : str or path
            Where to; one file, with all figures inside.
        n_windows : int
            As for ``scores``.
        ids, futr_df : optional
            As for ``plot_forecast``. Without ``futr_df`` a model that needs it shows no forecast.
        """
        self._check_fitted()
        panel = self.panel_
        about = (
            f"{len(panel)} series of {panel.lengths.min()} to {panel.lengths.max()} points, "
            f"frequency {panel.frequency.alias}; {self.h} steps ahead."
        )
        if len(panel) > 8 and ids is None:
            about += " Pictures show the first 8 series."
        parts: list[tuple[str, Any]] = [("The series", about)]
        notes = getattr(self, "notes_", panel.notes)
        if notes:
            parts.append(("What was done to the data", "; ".join(notes) + "."))
        if hasattr(self, "explanation"):
            parts.append(("The choice", self.selection_))
        if futr_df is not None or not panel.names.futr:
            parts.append(("What comes", self.plot_forecast(ids, futr_df=futr_df)))
        parts += [
            ("The last points, forecast without them", self.plot_cross_validation(ids)),
            ("Scores on the end of the series", self.scores(n_windows=n_windows)),
            (
                "How to read them",
                f"Each model learned from all but the last {self.h * n_windows} steps, and "
                f"forecast these {self.h} at a time; scores are means over the series. mae and "
                "rmse are in the units of the series, smape is in per cent, and mase below 1 means "
                "errors smaller than those of repeating the last season in the past. cover 80 is "
                "how many per cent of what came lay in the 80 per cent interval: near 80 is "
                "right, on as few steps as these not exactly. A model that is no better than the "
                "rules below it is not worth its trouble.",
            ),
        ]
        if hasattr(getattr(self, "chosen_", self), "history_"):
            parts.append(("Training", self.plot_training()))
        settings = [
            {"setting": name, "value": repr(value)} for name, value in self.get_params().items()
        ]
        write_report(path, f"Forecasts by {self.name}", [*parts, ("Settings", settings)])


def _scores_of(
    model: BaseForecaster, panel: Any, n_windows: int, step_size: int | None, level: Sequence[float]
) -> dict[str, Any]:
    """Means over cutoffs and series."""
    windows = whole_number(n_windows, "n_windows")
    step = model.h if step_size is None else whole_number(step_size, "step_size")
    season = panel.frequency.season
    found: dict[str, list[float]] = {}
    for known, forecast, came in model._backtest(panel, windows, step, False, model.h, level):
        places = {name: place for place, name in band_names("", level)}
        for s in range(len(known)):
            y, f = came[s], forecast.point[s]
            if np.isnan(y).all():
                continue
            one = {
                "mae": scores.mae(y, f),
                "rmse": scores.rmse(y, f),
                "smape": scores.smape(y, f),
                "mase": scores.mase(y, f, known.series(s), season),
            }
            for coverage in level:
                low, high = (
                    forecast.bands[s][:, places[f"-{side}-{coverage:g}"]] for side in ("lo", "hi")
                )
                one[f"cover {coverage:g}"] = 100 * scores.coverage(y, low, high)
            for name, value in one.items():
                found.setdefault(name, []).append(value)
    return {"model": model.name, **{name: float(np.nanmean(v)) for name, v in found.items()}}
