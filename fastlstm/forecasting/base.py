"""What all forecasters share: tables and arrays in and out, cross-validation, updates."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame
from fastlstm.forecasting.frequency import Frequency
from fastlstm.forecasting.intervals import band_names, check_level, quantiles_of
from fastlstm.forecasting.panel import Panel, has_rows
from fastlstm.forecasting.parameters import Parameters
from fastlstm.forecasting.views import Views
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]


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


class BaseForecaster(Parameters, Views, ABC):
    """Base class of the forecasters.

    A forecaster is a class with the constructor's arguments ``h, freq=None, input_size=None,
    level=None, seed=0, verbose=1`` and more of its own, and the methods ``_fit(panel)`` and
    ``_forecast(panel, h, future, quantiles)``.

    Attributes
    ----------
    panel_ : Panel
        The series, as of the last ``fit`` or ``update``.
    notes_ : tuple of str
        What ``fit`` did to the data or left out, and the frequency if it was found out. Told on
        stderr unless ``verbose`` is 0.
    """

    h: int
    freq: Any
    input_size: int | None
    level: Sequence[float] | None
    seed: int
    verbose: int
    alias: str | None = None
    # Whether series came as plain arrays with an axis of series.
    _rows = False

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
        notes = (*panel.notes, *self._remarks(panel))
        if self.verbose:
            for note in notes:
                print(f"{self.name}: {note}", file=sys.stderr)
        before = dict(self.__dict__)
        try:
            self._fit(panel)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        self.panel_, self._columns, self._like = panel, columns, frame.kind_of(df)
        self.notes_, self._rows = notes, self._like is None and has_rows(df)
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
            ``<model>-lo-80``, ``<model>-hi-80`` and so on. Of arrays: (h,) of (time,) or of a
            mapping of one series, otherwise (series, h); with levels a dict of these by the names
            of the columns.
        """
        self._check_fitted()
        h = self.h if h is None else whole_number(h, "h")
        level = check_level(self.level if level is None else level)
        panel, like, rows = self.panel_, self._like, self._rows
        if df is not None:
            panel = self._read(df, self._columns, static_df, self.panel_)
            like = frame.kind_of(df)
            rows = like is None and has_rows(df)
        columns = self._columns_ahead(panel, h, futr_df, level)
        return frame.write_forecast(like, panel, h, columns, self._columns, rows)

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
        **columns: Any,
    ) -> Any:
        """Forecast from several points in the past, each time without what comes after.

        Parameters
        ----------
        df : optional
            As for ``fit``, which need not be called before; by default the series of the last
            ``fit``.
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
        **columns
            ``futr_exog``, ``hist_exog``, ``static_exog``, ``id_col``, ``time_col``, ``target_col``:
            which columns of ``df`` are what, as for ``fit``; by default those of the last ``fit``.

        Returns
        -------
        data frame or dict of str to ndarray
            As from ``predict``, with the columns ``cutoff``, the last stamp that was known, and
            the target itself. Of arrays a dict of these: "cutoff", (series, windows) numbers of
            steps, and (series, windows, h) the others; without the first axis where ``predict`` has
            none. The forecaster itself is as before.

        Raises
        ------
        ValueError
            If a series is too short.
        """
        self._check()
        if df is None:
            self._check_fitted()
        names = frame.named(columns, getattr(self, "_columns", frame.Columns()))
        if columns and df is None:
            raise ValueError(
                f"{', '.join(columns)} name columns of a table, but df is None: pass the table too"
            )
        panel = self.panel_ if df is None else self._read(df, names, static_df)
        like = self._like if df is None else frame.kind_of(df)
        h = self.h if h is None else whole_number(h, "h")
        step = h if step_size is None else whole_number(step_size, "step_size")
        windows = whole_number(n_windows, "n_windows")
        level = check_level(self.level if level is None else level)
        parts = [
            (known, self._columns_of(forecast, level), came)
            for known, forecast, came in self._backtest(panel, windows, step, refit, h, level)
        ]
        rows = self._rows if df is None else like is None and has_rows(df)
        return frame.write_cross_validation(like, parts, h, names, rows)

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

    def _remarks(self, panel: Panel) -> tuple[str, ...]:
        """What users should know of how this model takes these series."""
        return ()

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
        model = None
        for left in range(held, h - 1, -step):
            known = panel.until(panel.lengths - left)
            if model is None or refit:
                model = type(self)(**self.get_params())
                model._fit(known)
            at = (panel.offsets[:-1] + known.lengths)[:, np.newaxis] + np.arange(h)
            yield known, model._forecast(known, h, panel.futr[at], quantiles_of(level)), panel.y[at]

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
        return self._columns_of(self._forecast(panel, h, future, quantiles_of(level)), level)

    def _columns_of(self, forecast: Forecast, level: Sequence[float]) -> dict[str, Array]:
        """Columns of the table, each (S, h)."""
        columns = {self.name: forecast.point}
        for place, name in band_names(self.name, level):
            columns[name] = forecast.bands[..., place]
        return columns
