"""Forecasts from points in the past, each without what comes after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame
from fastlstm.forecasting.calibration import QUANTILES, Heights
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.intervals import check_level, quantiles_of
from fastlstm.forecasting.panel import Panel, has_rows
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]


class Backtests:
    """Methods that forecast what is known already, by ``_learn`` and ``_foresee``."""

    def cross_validation(
        self: Any,
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
        frame.check_no_static(df, static_df)
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

    def _backtest(
        self: Any,
        panel: Panel,
        windows: int,
        step: int,
        refit: bool,
        h: int,
        level: Sequence[float],
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


def _only(forecast: Forecast, quantiles: Array, wanted: Array) -> Forecast:
    """Some of the quantiles of a forecast."""
    return forecast._replace(bands=forecast.bands[..., np.searchsorted(quantiles, wanted)])
