"""What all forecasters share: tables and arrays in and out, cross-validation, updates."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame
from fastlstm.forecasting.anomalies import Anomalies
from fastlstm.forecasting.calibration import QUANTILES, Heights
from fastlstm.forecasting.checkpoint import Checkpoint, keeping
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.foresight import Foresight
from fastlstm.forecasting.frequency import Frequency
from fastlstm.forecasting.intervals import band_names, check_level, quantiles_of
from fastlstm.forecasting.panel import Panel, has_rows
from fastlstm.forecasting.parameters import Parameters
from fastlstm.forecasting.saving import save
from fastlstm.forecasting.streaming import Live
from fastlstm.forecasting.views import Views
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]


class BaseForecaster(Parameters, Foresight, Views, Anomalies, ABC):
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
        _check_no_static(df, static_df)
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
            Learn anew at each cutoff; otherwise once, at the first one. Intervals are calibrated at
            the first one, and from then on by what has come since, too: they become wider where
            they held less than they promise, and narrower where they held more.
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
        _check_no_static(df, static_df)
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

    def step(self, y: Any, *, futr: Any = None, level: Sequence[float] | None = None) -> Any:
        """Take the next value of each series, and forecast what comes after it.

        The same bits as of ``update`` and ``predict``, without tables: made for values that arrive
        one by one. Windows slide along, so that a network over windows takes some tenths of a
        millisecond for a series, and a simple rule some hundredths. DeepAR reads its window again
        and draws its paths anew, and intervals of rules are worked out anew from their errors,
        which takes longer; so does every h-th step, where intervals are calibrated. ``panel_`` has
        all values when it is looked at next.

        Parameters
        ----------
        y : float, array_like or mapping
            The value of a single series; (series,) in the order of ``panel_.ids``; or values by
            ids. NaN, None, and ids left out, are values that are missing.
        futr : array_like, optional
            (series, 1 + h, columns), of one series also (1 + h, columns): the columns ``futr_exog``
            at the stamp of y and at the h to forecast, which models that learned from such columns
            need.
        level : sequence of float, optional
            As for ``predict``.

        Returns
        -------
        ndarray or dict of str to ndarray
            (h,) for one series, or (series, h); with levels a dict of these by the names that the
            columns of ``predict`` have.

        Raises
        ------
        ValueError
            If y or futr do not fit; the series are as before then. And for models that learned from
            ``hist_exog``.

        Examples
        --------
        >>> from fastlstm.forecasting import SeasonalNaive
        >>> model = SeasonalNaive(h=2, season_length=3).fit([1.0, 2, 3, 4, 5, 6])
        >>> model.step(7.0)
        array([5., 6.])
        >>> model.step(8.0)
        array([6., 7.])
        """
        live = self.__dict__.get("_going")
        if live is None or live.h != self.h:
            self._check_fitted()
            live = self._live(self.panel_)
            self._going = live
        return live.step(y, futr, self.level if level is None else level)

    def _remarks(self, panel: Panel) -> tuple[str, ...]:
        """What users should know of how this model takes these series."""
        # Rules do not mind.
        return tuple(_not_learned(panel, self.h)) if "conformal" in self._names() else ()

    # -- within ------------------------------------------------------------------------------------

    @property
    def panel_(self) -> Panel:
        """The series, as of the last ``fit``, ``update`` or ``step``."""
        going = self.__dict__.get("_going")
        if going is not None:
            self._panel = going.panel()
        if "_panel" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no panel_ before fit")
        panel: Panel = self._panel
        return panel

    @panel_.setter
    def panel_(self, panel: Panel) -> None:
        self.__dict__.pop("_going", None)
        self._panel = panel

    @contextmanager
    def _or_as_before(self) -> Iterator[None]:
        """If what is done within fails, or is broken off, attributes are as they were."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _live(self, panel: Panel) -> Live:
        """What takes one value after another and forecasts, from the end of these series on."""
        return Live(self, panel, self._reach())

    def _reach(self) -> int | None:
        """How many points before the end a forecast looks at; None if all of them."""
        return None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "panel_")

    def __getstate__(self) -> dict[str, Any]:
        """Attributes that a copy has: all but the arrays of ``step``, which begins anew."""
        if self.__dict__.get("_going") is not None:
            self._panel = self.panel_
        return {name: value for name, value in self.__dict__.items() if name != "_going"}

    def _state(self) -> dict[str, Any]:
        """Attributes that a file holds."""
        state = self.__getstate__()
        like = state.get("_like")
        if like is not None:
            # Forecasts have columns of ids and stamps; the types of others do not matter.
            names = self._columns[:2]
            kept = [{name: part[name] for name in names if name in part} for part in like[1:]]
            state["_like"] = like._replace(**dict(zip(like._fields[1:], kept, strict=True)))
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        """Take attributes from a file."""
        self.__dict__.update(state)

    def _check(self) -> None:
        """An error where the constructor's arguments do not fit."""
        whole_number(self.h, "h")
        if self.freq is not None:
            Frequency.of(self.freq)
        if self.input_size is not None:
            whole_number(self.input_size, "input_size")
        check_level(self.level)
        whole_number(self.seed, "seed", 0)

    def _backtest(
        self, panel: Panel, windows: int, step: int, refit: bool, h: int, level: Sequence[float]
    ) -> Iterator[tuple[Panel, Forecast, Array]]:
        """Go through the cutoffs: the series up to there, the forecast, and (S, h) what came.

        Intervals are calibrated at the first cutoff, and after it by what came since then too.
        Those of rules follow their coverage only.
        """
        held = h + step * (windows - 1)
        short = panel.lengths <= held
        if short.any():
            some = ", ".join(repr(name) for name in panel.ids[short][:5])
            raise ValueError(
                f"{windows} windows of {h} steps, {step} apart, need series of more than {held} "
                f"points; {short.sum()} are shorter: {some}"
            )
        model, past, every = None, None, np.arange(len(panel))
        wanted = quantiles_of(level)
        asked = np.union1d(wanted, QUANTILES)
        for left in range(held, h - 1, -step):
            known = panel.until(panel.lengths - left)
            if model is None:
                model = self._copy(level=self.level or level)
                model._learn(known)
                past = model._own_past()
                if past is not None:
                    past = past.ending_at(-held)
            elif refit:
                model._fit(known)
            futr, came = panel.following(every, known.lengths, h)
            if past is None:
                yield known, model._foresee(known, h, futr, wanted), came
                continue
            past = past.followed(-left)
            calibration = past.calibration(-left)
            model._recalibrate(calibration)
            raw = model._raw(known, h, futr, asked)
            yield known, model._calibrated(_only(raw, asked, wanted), known, wanted), came
            if h >= self.h:
                bands = _only(raw, asked, QUANTILES).bands[:, : self.h]
                positive = Heights.of(known).positive()
                share = min(1.0, step / self.h)
                past = past.and_then(bands, came[:, : self.h], positive, -left, share, calibration)

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


def _only(forecast: Forecast, quantiles: Array, wanted: Array) -> Forecast:
    """Some of the quantiles of a forecast."""
    return forecast._replace(bands=forecast.bands[..., np.searchsorted(quantiles, wanted)])


def _not_learned(panel: Panel, h: int) -> list[str]:
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


def _check_no_static(df: Any, static_df: Any) -> None:
    """An error for columns of series that are not given."""
    if df is None and static_df is not None:
        raise ValueError(
            "static_df has a row for each series in df, but df is None: those of fit have their own"
        )
