"""What all forecasters share: tables and arrays in and out, cross-validation, updates."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from fastlstm.forecasting import frame
from fastlstm.forecasting.anomalies import Anomalies
from fastlstm.forecasting.backtesting import Backtests
from fastlstm.forecasting.checkpoint import Checkpoint, keeping
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.foresight import Foresight
from fastlstm.forecasting.frequency import Frequency
from fastlstm.forecasting.intervals import band_names, check_level, quantiles_of
from fastlstm.forecasting.panel import Panel, has_rows
from fastlstm.forecasting.parameters import Parameters
from fastlstm.forecasting.remarks import not_learned
from fastlstm.forecasting.saving import save
from fastlstm.forecasting.state import State
from fastlstm.forecasting.stepping import Stepping
from fastlstm.forecasting.views import Views
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]


class BaseForecaster(Parameters, Foresight, Views, Anomalies, Backtests, Stepping, State, ABC):
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
    # Whether intervals are calibrated.
    conformal: bool | None = False
    # Of the updates that training would take; less where models are only compared.
    _part_of_steps: float = 1.0
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

    def _go_on(self, panel: Panel, steps: int) -> None:
        """Learn from series that have become longer; what was learned stays if this fails."""
        self._fit(panel)

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
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Any:
        """Learn from series.

        Parameters
        ----------
        df : data frame, array_like, mapping or sequence of array_like
            A long table of pandas, polars or PyArrow: a row for each series and stamp. Or plain
            numbers: (time,), (series, time), or several series of unequal length, by ids in a
            mapping. NaN is a value that is missing; so is a stamp that is not there. A pandas
            Series with stamps as its index is a table of the columns "ds" and "y".
        futr_exog, hist_exog : sequence of str
            Columns that are known for the steps to forecast too, and those that are not.
        static_exog : sequence of str
            Columns of ``static_df``.
        static_df : data frame, optional
            One row for each series, with its id.
        id_col, time_col, target_col : str
            Names of these columns. Without a column of ids the table is one series.
        checkpoint : str or path, optional
            A file that training keeps up to date, every ten seconds (a large one less often) and
            at Ctrl-C. The same call goes on from it, if it is there, and ends with the bits of a
            fit without a break. It is deleted when the fit is done; one of other data or settings
            is an error.

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
        given = {"futr_exog": futr_exog, "hist_exog": hist_exog, "static_exog": static_exog}
        columns = frame.named(given, frame.Columns(id_col, time_col, target_col))
        panel = self._read(df, columns, static_df)
        kept = None
        if checkpoint is not None:
            settings = {**self.get_params(), "verbose": None, "alias": None}
            kept = Checkpoint(checkpoint, [type(self).__name__, settings], panel)
        notes = (*panel.notes, *self._remarks(panel))
        if self.verbose:
            for note in notes:
                print(f"{self.name}: {note}", file=sys.stderr)
        with self._or_as_before(), keeping(kept):
            self._learn(panel)
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
        frame.check_no_static(df, static_df)
        if df is not None:
            panel = self._read(df, self._columns, static_df, self.panel_)
            like = frame.kind_of(df)
            rows = like is None and has_rows(df)
        columns = self._columns_ahead(panel, h, futr_df, level)
        return frame.write_forecast(like, panel, h, columns, self._columns, rows)

    def update(self, df: Any, *, static_df: Any = None, steps: int = 0) -> Any:
        """Let the series go on by new rows, and learn from them if asked to.

        Intervals that are calibrated learn from new rows in any case: whenever h of them have come
        since they did so last, the model forecasts these from what it knew before, and intervals
        become wider if they held less than they promise, and narrower if they held more. Those of
        rules and regressions do so if ``fit`` was given a ``level``.

        Parameters
        ----------
        df : optional
            As for ``fit``: what came after the end of the series, and series that are new.
        static_df : data frame, optional
            Of series that are new.
        steps : int
            0 learns no weights: the same model goes on from later points. Otherwise a network goes
            on with so many updates, on windows of all points, new and old, at a tenth of the rate
            that it began with; and what is no network learns anew, however many they are.

        Returns
        -------
        The forecaster itself.

        Raises
        ------
        ValueError
            If rows do not go on where their series ended; nothing has changed then.
        """
        self._check_fitted()
        whole_number(steps, "steps", 0)
        new = self._read(df, self._columns, static_df, self.panel_, goes_on=True)
        if frame.kind_of(df) is None:
            new = new.after(self.panel_)
        known = self.panel_
        panel = known.append(new)
        with self._or_as_before():
            self._go_through(panel, known.lengths)
            if steps:
                self._go_on(panel, steps)
        self.panel_ = panel
        return self

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write this forecaster to one file, for ``fastlstm.forecasting.load``.

        The file holds all that was learned and the series themselves, in the safetensors format,
        whatever its name. Interrupted saving leaves the old file.

        Parameters
        ----------
        filepath : str or path
            Where to; folders that are missing are made.
        overwrite : bool
            Whether a file that is there may be replaced.

        Raises
        ------
        ValueError
            If the forecaster is not fitted.
        TypeError
            If it holds what no file can, such as a function.
        """
        self._check_fitted()
        save(self, filepath, overwrite=overwrite)

    def _remarks(self, panel: Panel) -> tuple[str, ...]:
        """What users should know of how this model takes these series."""
        # Rules do not mind.
        return tuple(not_learned(panel, self.h)) if "conformal" in self._names() else ()

    # -- within ------------------------------------------------------------------------------------

    def _check(self) -> None:
        """An error where the constructor's arguments do not fit."""
        whole_number(self.h, "h")
        if self.freq is not None:
            Frequency.of(self.freq)
        if self.input_size is not None:
            whole_number(self.input_size, "input_size")
        check_level(self.level)
        whole_number(self.seed, "seed", 0)

    def _copy(self, **changes: Any) -> Any:
        """One that is not fitted, with these arguments other than this one's."""
        return type(self)(**{**self.get_params(), **changes})

    def _check_fitted(self) -> None:
        if not hasattr(self, "panel_"):
            raise ValueError(f"{type(self).__name__} is not fitted yet; call fit(df) first")

    def _read(
        self,
        df: Any,
        columns: frame.Columns,
        static_df: Any,
        known: Panel | None = None,
        goes_on: bool = False,
    ) -> Panel:
        if frame.kind_of(df) is None:
            frame.check_no_columns(columns, static_df)
            freq = Frequency.of(1 if self.freq is None else self.freq)
            return Panel.of_arrays(df, freq, known if goes_on else None)
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
