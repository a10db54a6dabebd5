"""Forecasters to compare with: simple rules, Holt-Winters, and ridge regression on lags."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.intervals import conformal
from fastlstm.forecasting.network import usual_look_back
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.ridge import CENTERS, RidgeFit, fit_ridge
from fastlstm.forecasting.rolling import RuleLive, SeriesLive
from fastlstm.forecasting.rules import (
    drift_from,
    filled,
    naive_from,
    seasonal_naive_from,
    targets,
)
from fastlstm.forecasting.streaming import Live
from fastlstm.validation import real_number, whole_number

Array = npt.NDArray[Any]

# The last points of a series from which it is forecast again, to see how wide intervals must be.
_ORIGINS = 1000
# Of Holt-Winters, which takes longer.
_FEWER_ORIGINS = 200


class _Baseline(BaseForecaster):
    """Base class of forecasters that look at each series by itself.

    An interval is as wide as the errors would have been that were made from points of the past, of
    each step by itself: ``intervals.conformal``. Columns beside the target are not used, which
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

    def _fit(self, panel: Panel) -> None:
        """Nothing is learned."""

    def _live(self, panel: Panel) -> Live:
        return SeriesLive(self, panel)

    def _remarks(self, panel: Panel) -> tuple[str, ...]:
        beside = ", ".join(map(repr, (*panel.names.futr, *panel.names.hist, *panel.names.static)))
        return (f"columns beside the target are not used: {beside}",) if beside else ()

    @abstractmethod
    def _paths(self, panel: Panel, h: int, past: bool) -> list[tuple[Array, Array]]:
        """For each series (h,) the forecast, and (W, h) errors of those in the past if asked."""

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        wanted = bool((quantiles != 0.5).any())
        paths = self._paths(panel, h, wanted)
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


def _errors(
    y: Array, h: int, rule: Callable[[Array], Array], count: int = _ORIGINS, least: int = 1
) -> Array:
    """(W, h) what came less what ``rule`` makes of the last origins, each with ``least`` points."""
    origins = np.arange(max(least, len(y) - count), len(y))
    errors: Array = targets(y, h, origins) - rule(origins)
    return errors


class Naive(_Baseline):
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

    def _paths(self, panel: Panel, h: int, past: bool) -> list[tuple[Array, Array]]:
        return _by_rule(panel, h, past, lambda y, origins: naive_from(y, h, origins))

    def _live(self, panel: Panel) -> Live:
        return RuleLive(self, panel, 1)


class Drift(_Baseline):
    """The line through the first and the last value of a series; parameters as for ``Naive``."""

    def _paths(self, panel: Panel, h: int, past: bool) -> list[tuple[Array, Array]]:
        return _by_rule(panel, h, past, lambda y, origins: drift_from(y, h, origins))

    def _live(self, panel: Panel) -> Live:
        return RuleLive(self, panel, 1, line=True)


class _Seasonal(_Baseline):
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


class SeasonalNaive(_Seasonal):
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

    def _paths(self, panel: Panel, h: int, past: bool) -> list[tuple[Array, Array]]:
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
        errors = _errors(y, h, partial(rule, y)) if past else np.empty((0, h))
        paths.append((rule(y, np.array([len(y)]))[0], errors))
    return paths


class HoltWinters(_Seasonal):
    """Exponential smoothing of level, trend and season, by statsforecast.

    Its parameters are learned by ``fit``; those of a series that was not there then, or now begins
    elsewhere, when it is forecast. Values that are missing are filled from the seasons beside them.
    A series of less than two seasons is forecast by Holt's method, without a season, and one of
    less than 9 points by its last value.

    Parameters
    ----------
    h, freq, input_size, seed, verbose, alias
        As for ``Naive``.
    level : sequence of float, optional
        As for ``Naive``, from the last 200 points.
    season_length : int, optional
        As for ``SeasonalNaive``.

    Raises
    ------
    ImportError
        From ``fit``, where statsforecast is not installed.
    """

    def _fit(self, panel: Panel) -> None:
        _statsforecast()
        season = self._season(panel)
        self.models_ = {
            panel.ids[s]: (panel.starts[s], self._model(panel, s, season))
            for s in range(len(panel))
        }

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        if "models_" in state:
            state["models_"] = {
                name: (start, model and (type(model).__name__, _numbers_of(model)))
                for name, (start, model) in self.models_.items()
            }
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        if "models_" in state:
            self.models_ = {
                name: (start, given and _model_of(*given))
                for name, (start, given) in self.models_.items()
            }

    def _model(self, panel: Panel, s: int, season: int) -> Any:
        """A fitted model, or None for a series that is too short for one."""
        models, y = _statsforecast(), filled(panel.series(s), season)
        if season > 1 and len(y) >= max(2 * season, season + 7, 11):
            model = models.HoltWinters(season_length=season)
        elif len(y) >= 9:
            model = models.Holt(season_length=1)
        else:
            return None
        try:
            with np.errstate(all="ignore"):
                return model.fit(y)
        except Exception as error:  # statsforecast raises no other kind
            raise ValueError(
                f"statsforecast could not fit {type(model).__name__} to series {panel.ids[s]!r} of "
                f"{len(y)} points: {error}"
            ) from error

    def _paths(self, panel: Panel, h: int, past: bool) -> list[tuple[Array, Array]]:
        season, paths = self._season(panel), []
        for s in range(len(panel)):
            # States and seasons of a model are counted from the beginning of its series.
            start, model = self.models_.get(panel.ids[s], (None, None))
            if start != panel.starts[s]:
                model = self._model(panel, s, season)
            y, whole = panel.series(s), filled(panel.series(s), season)

            def rule(origins: Array, whole: Array = whole, model: Any = model) -> Array:
                if model is None:
                    return naive_from(whole, h, origins)
                with np.errstate(all="ignore"):
                    return np.stack([model.forward(whole[:o], h)["mean"] for o in origins])

            errors = np.empty((0, h))
            if past:
                errors = _errors(y, h, rule, _FEWER_ORIGINS, 1 if model is None else 5)
            paths.append((rule(np.array([len(y)]))[0], errors))
        return paths


def _numbers_of(model: Any) -> dict[str, Any]:
    """Attributes of a fitted model of statsforecast, but for its optimizer's own account."""
    state = dict(vars(model))
    if "model_" in state:
        state["model_"] = {**state["model_"], "fit": None}
    return state


def _model_of(name: str, state: dict[str, Any]) -> Any:
    """A model of statsforecast with the numbers of one that was fitted."""
    kinds = {kind: getattr(_statsforecast(), kind) for kind in ("HoltWinters", "Holt")}
    made = kinds[name](season_length=state.get("season_length", 1))
    made.__dict__.update(state)
    return made


def _statsforecast() -> Any:
    try:
        import statsforecast.models
    except ImportError as error:
        raise ImportError(
            "HoltWinters forecasts by statsforecast, which is not installed: "
            "pip install 'fastlstm[statsforecast]'; or take SeasonalNaive or Ridge"
        ) from error
    return statsforecast.models


class Ridge(_Baseline):
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
        quarter of the series, at most 1000 points, of a regression that knew only what was before.
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
    return min(max(n // 4, min(h, n // 2)), _ORIGINS)


def _windows(y: Array, fit: RidgeFit, origins: Array) -> Array:
    """(W, L) the last values before each origin, from the first value on where there are less."""
    look_back = len(fit.weights)
    longer = np.concatenate([np.full(look_back, y[0]), y])
    windows: Array = np.lib.stride_tricks.sliding_window_view(longer, look_back)[origins]
    return windows
