"""What all forecasters share: tables and arrays in and out, cross-validation, updates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame
from fastlstm.forecasting.anomalies import Anomalies
from fastlstm.forecasting.calibration import (
    QUANTILES,
    Calibration,
    calibrated,
    past_cutoffs,
)
from fastlstm.forecasting.frequency import Frequency
from fastlstm.forecasting.intervals import band_names, check_level, quantiles_of
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.parameters import Parameters
from fastlstm.forecasting.views import Views
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# Points of the past that are forecast from at a time, of all windows together.
_AT_ONCE = 1 << 22
# A series whose least value is nearer to zero than this part of the mean is not one of ratios.
_NEAR_ZERO = 0.01


class Forecast(NamedTuple):
    """What a model says of the steps to come.

    Attributes
    ----------
    point : ndarray
        (S, h) the forecast itself: the median, unless the model says otherwise.
    bands : ndarray
        (S, h, Q) the quantiles asked for, in rising order.
    """

    point: Array
    bands: Array


class BaseForecaster(Parameters, Views, Anomalies, ABC):
    """Base class of the forecasters.

    A forecaster is a class with the constructor's arguments ``h, freq=None, input_size=None,
    level=None, seed=0, verbose=1`` and more of its own, and the methods ``_fit(panel)`` and
    ``_forecast(panel, h, future, quantiles)``.

    Attributes
    ----------
    panel_ : Panel
        The series, as of the last ``fit`` or ``update``.
    calibration_ : Calibration or None
        How much wider intervals are than the model's own.
    """

    h: int
    freq: Any
    input_size: int | None
    level: Sequence[float] | None
    seed: int
    verbose: int
    alias: str | None = None
    # Whether intervals are calibrated; those of simple rules are made of errors of the past anyway.
    conformal: bool | None = False
    # Of the updates that training would take; less where models are only compared.
    _part_of_steps: float = 1.0

    @property
    def name(self) -> str:
        """Name of the column of forecasts."""
        return self.alias or type(self).__name__

    # -- what a model does -------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, panel: Panel) -> None:
        """Learn from the series."""

    @abstractmethod
    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        """Forecast the h steps after the end of each series, which need not be those of ``fit``."""

    # -- what users call ---------------------------------------------------------------------------

    def fit(
        self,
        df: Any,
        *,
        futr_exog: Sequence[str] = (),
        hist_exog: Sequence[str] = (),
        static_exog: Sequence[str] = (),
        static_df: Any = None,
        id_col: str = "unique_id",
        time_col: str = "ds",
        target_col: str = "y",
    ) -> Any:
        """Learn from series.

        Parameters
        ----------
        df : data frame, array_like, mapping or sequence of array_like
            A long table of pandas, polars or PyArrow: a row for each series and stamp. Or plain
            numbers: (time,), (series, time), or several series of unequal length, by ids in a
            mapping. NaN is a value that is missing; so is a stamp that is not there.
        futr_exog, hist_exog : sequence of str
            Columns that are known for the steps to forecast too, and those that are not.
        static_exog : sequence of str
            Columns of ``static_df``.
        static_df : data frame, optional
            One row for each series, with its id.
        id_col, time_col, target_col : str
            Names of these columns. Without a column of ids the table is one series.

        Returns
        -------
        The forecaster itself.

        Raises
        ------
        ValueError, TypeError
            If the data or the constructor's arguments do not fit; what was fitted before is still
            there then.
        """
        self._check()
        columns = frame.Columns(
            id_col, time_col, target_col, tuple(futr_exog), tuple(hist_exog), tuple(static_exog)
        )
        panel = self._read(df, columns, static_df)
        # Rules do not mind.
        if self.verbose and "conformal" in self._names():
            for remark in _remarks(panel, self.h):
                print(f"{self.name}: {remark}")
        before = dict(self.__dict__)
        try:
            self._learn(panel)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        self.panel_, self._columns, self._like = panel, columns, frame.kind_of(df)
        return self

    def predict(
        self,
        df: Any = None,
        *,
        h: int | None = None,
        futr_df: Any = None,
        static_df: Any = None,
        level: Sequence[float] | None = None,
    ) -> Any:
        """Forecast what comes after the end of each series.

        Parameters
        ----------
        df : optional
            Series to go on from, of the kind that ``fit`` takes; they may be others than those
            learned from. By default those of ``fit``.
        h : int, optional
            Steps; the constructor's by default.
        futr_df : data frame, optional
            The columns ``futr_exog`` for the steps to forecast, which these models need.
        static_df : data frame, optional
            Of series in ``df``.
        level : sequence of float, optional
            Coverage of prediction intervals in per cent, such as [80, 95]; the constructor's by
            default.

        Returns
        -------
        data frame, ndarray or dict of str to ndarray
            A table of the kind that came in, with the columns of ids and stamps, ``<model>``, and
            ``<model>-lo-80``, ``<model>-hi-80`` and so on. Of arrays: (h,) for one series, or
            (series, h); with levels a dict of these by the names of the columns.
        """
        self._check_fitted()
        h = self.h if h is None else whole_number(h, "h")
        level = check_level(self.level if level is None else level)
        panel, like = self.panel_, self._like
        if df is not None:
            panel = self._read(df, self._columns, static_df, self.panel_)
            like = frame.kind_of(df)
        columns = self._columns_ahead(panel, h, futr_df, level)
        return frame.write_forecast(like, panel, h, columns, self._columns)

    def cross_validation(
        self,
        df: Any = None,
        *,
        n_windows: int = 1,
        step_size: int | None = None,
        refit: bool = False,
        h: int | None = None,
        level: Sequence[float] | None = None,
        static_df: Any = None,
    ) -> Any:
        """Forecast from several points in the past, each time without what comes after.

        Parameters
        ----------
        df : optional
            As for ``fit``, whose columns are meant; by default the series of the last ``fit``.
        n_windows : int
            How many cutoffs, the last one h steps before the end of each series.
        step_size : int, optional
            Steps from one cutoff to the next; h by default.
        refit : bool
            Learn anew at each cutoff; otherwise once, at the first one.
        h, level
            As for ``predict``.
        static_df : data frame, optional
            Of the series in ``df``.

        Returns
        -------
        data frame or dict of str to ndarray
            As from ``predict``, with the columns ``cutoff``, the last stamp that was known, and
            the target itself. Of arrays a dict of these: "cutoff", (series, windows) numbers of
            steps, and (series, windows, h) the others; without the first axis for one series. The
            forecaster itself is as before.

        Raises
        ------
        ValueError
            If a series is too short.
        """
        self._check()
        if df is None:
            self._check_fitted()
        columns = getattr(self, "_columns", frame.Columns())
        panel = self.panel_ if df is None else self._read(df, columns, static_df)
        like = self._like if df is None else frame.kind_of(df)
        h = self.h if h is None else whole_number(h, "h")
        step = h if step_size is None else whole_number(step_size, "step_size")
        windows = whole_number(n_windows, "n_windows")
        level = check_level(self.level if level is None else level)
        parts = [
            (known, self._columns_of(forecast, level), came)
            for known, forecast, came in self._backtest(panel, windows, step, refit, h, level)
        ]
        return frame.write_cross_validation(like, parts, h, columns)

    def update(self, df: Any, *, static_df: Any = None) -> Any:
        """Let the series go on by new rows, without learning anew.

        Parameters
        ----------
        df : optional
            As for ``fit``: what came after the end of the series, and series that are new.
        static_df : data frame, optional
            Of series that are new.

        Returns
        -------
        The forecaster itself.

        Raises
        ------
        ValueError
            If rows do not go on where their series ended.
        """
        self._check_fitted()
        new = self._read(df, self._columns, static_df, self.panel_)
        if frame.kind_of(df) is None:
            new = new.after(self.panel_)
        self.panel_ = self.panel_.append(new)
        return self

    # -- within ------------------------------------------------------------------------------------

    def _check(self) -> None:
        """An error where the constructor's arguments do not fit."""
        whole_number(self.h, "h")
        if self.input_size is not None:
            whole_number(self.input_size, "input_size")
        check_level(self.level)
        whole_number(self.seed, "seed", 0)

    def _backtest(
        self, panel: Panel, windows: int, step: int, refit: bool, h: int, level: Sequence[float]
    ) -> Iterator[tuple[Panel, Forecast, Array]]:
        """Go through the cutoffs: the series up to there, the forecast, and (S, h) what came."""
        held = h + step * (windows - 1)
        short = panel.lengths <= held
        if short.any():
            some = ", ".join(repr(name) for name in panel.ids[short][:5])
            raise ValueError(
                f"{windows} windows of {h} steps, {step} apart, need series of more than {held} "
                f"points; {short.sum()} are shorter: {some}"
            )
        model, every = None, np.arange(len(panel))
        for left in range(held, h - 1, -step):
            known = panel.until(panel.lengths - left)
            if model is None or refit:
                model = self._copy(level=self.level or level)
                model._learn(known)
            futr, came = panel.following(every, known.lengths, h)
            yield known, model._foresee(known, h, futr, quantiles_of(level)), came

    def _copy(self, **changes: Any) -> Any:
        """One that is not fitted, with these arguments other than this one's."""
        return type(self)(**{**self.get_params(), **changes})

    def _learn(self, panel: Panel) -> None:
        """``_fit``, after a copy that has not seen the last points told how wide intervals are."""
        wanted = bool(check_level(self.level)) if self.conformal is None else self.conformal
        calibration = None
        if wanted:
            try:
                calibration = self._calibrated(panel)
            except ValueError as trouble:
                if self.conformal:
                    raise ValueError(
                        f"conformal=True forecasts the last points by a copy that has not seen "
                        f"them, which these series are too short for: {trouble}. Take "
                        "conformal=False for the intervals of the network itself"
                    ) from None
                if self.verbose:
                    print(f"{self.name}: intervals are not calibrated: {trouble}")
        self._fit(panel)
        self.calibration_ = calibration

    def _calibrated(self, panel: Panel) -> Calibration:
        left = past_cutoffs(panel, self.h)
        copy = self._copy(level=(*check_level(self.level), *(50, 80, 90, 95)), verbose=0)
        known = panel.take(np.flatnonzero(panel.lengths > left[0]))
        if not len(known):
            raise ValueError(
                f"none has more than {left[0]} points, the last of which were held out"
            )
        copy._fit(known.until(known.lengths - left[0]))
        series, ends = copy._ends(known, left)
        forecast, came = copy._foresee_from(known, series, ends, self.h, QUANTILES)
        point, bands = _around_the_median(forecast, QUANTILES)
        return calibrated(came, point, bands, positive_series(known)[series])

    def _foresee(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        """``_forecast``, calibrated where there is a calibration."""
        forecast = self._forecast(panel, h, future, quantiles)
        calibration: Calibration | None = getattr(self, "calibration_", None)
        if calibration is None or len(quantiles) == 1:
            return forecast
        point, _ = _around_the_median(forecast, quantiles)
        bands = calibration.applied(point, forecast.bands, quantiles, positive_series(panel))
        return Forecast(forecast.point, bands)

    def _ends(self, panel: Panel, left: Array) -> tuple[Array, Array]:
        """(M,) series and how many points are known, so many before the ends of them all."""
        series = np.tile(np.arange(len(panel)), len(left))
        ends = (panel.lengths - left[:, np.newaxis]).ravel()
        return series[ends > 0], ends[ends > 0]

    def _foresee_from(
        self, panel: Panel, series: Array, ends: Array, h: int, quantiles: Array
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

    def _reach(self) -> int | None:
        """How many points before the end a forecast looks at; None if all of them."""
        return None

    def _check_fitted(self) -> None:
        if not hasattr(self, "panel_"):
            raise ValueError(f"{type(self).__name__} is not fitted yet; call fit(df) first")

    def _read(
        self, df: Any, columns: frame.Columns, static_df: Any, known: Panel | None = None
    ) -> Panel:
        if frame.kind_of(df) is None:
            frame.check_no_columns(columns, static_df)
            freq = Frequency.of(1 if self.freq is None else self.freq)
            return Panel.of_arrays(df, freq)
        return frame.read_panel(df, columns, freq=self.freq, static_df=static_df, known=known)

    def _columns_ahead(
        self, panel: Panel, h: int, futr_df: Any, level: Sequence[float]
    ) -> dict[str, Array]:
        """Columns of what comes after the end of each series."""
        future = frame.read_future(futr_df, panel, h, self._columns)
        return self._columns_of(self._foresee(panel, h, future, quantiles_of(level)), level)

    def _columns_of(self, forecast: Forecast, level: Sequence[float]) -> dict[str, Array]:
        """Columns of the table, each (S, h)."""
        columns = {self.name: forecast.point}
        for place, name in band_names(self.name, level):
            columns[name] = forecast.bands[..., place]
        return columns


def _around_the_median(forecast: Forecast, quantiles: Array) -> tuple[Array, Array]:
    """(S, h) medians, and (S, h, Q) quantiles in rising order."""
    bands = np.sort(forecast.bands, axis=2)
    return bands[..., int(np.searchsorted(quantiles, 0.5))], bands


def positive_series(panel: Panel) -> Array:
    """(S,) of bool: series that are so far above zero that their errors go in proportion."""
    present = np.isfinite(panel.y)
    begins = panel.offsets[:-1]
    least = np.minimum.reduceat(np.where(present, panel.y, np.inf), begins)
    total = np.add.reduceat(np.where(present, np.abs(panel.y), 0.0), begins)
    count = np.maximum(np.add.reduceat(present.astype(np.int64), begins), 1)
    positive: Array = (least > _NEAR_ZERO * total / count) & np.isfinite(least)
    return positive


def _changes(values: Array) -> Array:
    """Places where a value differs from the one before."""
    return np.flatnonzero(np.diff(values)) + 1


def _remarks(panel: Panel, h: int) -> list[str]:
    """What a network cannot learn from."""
    present, begins = np.isfinite(panel.y), panel.offsets[:-1]
    least = np.minimum.reduceat(np.where(present, panel.y, np.inf), begins)
    most = np.maximum.reduceat(np.where(present, panel.y, -np.inf), begins)
    told = []
    for which, what in (
        (most <= least, "constant, and teach a network nothing"),
        (panel.lengths <= h, f"no longer than h={h}, and are forecast without being learned from"),
    ):
        if which.any():
            some = ", ".join(repr(name) for name in panel.ids[which][:3])
            more = ", ..." if which.sum() > 3 else ""
            told.append(f"{which.sum()} of {len(panel)} series are {what}: {some}{more}")
    return told
