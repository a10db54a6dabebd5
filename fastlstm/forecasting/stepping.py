"""Values that arrive one by one: the forecaster's side of ``streaming``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.streaming import Live

Array = npt.NDArray[Any]


class Stepping:
    """Methods of a forecaster that take one value of each series after another."""

    def step(self: Any, y: Any, *, futr: Any = None, level: Sequence[float] | None = None) -> Any:
        """Take the next value of each series, and forecast what comes after it.

        The same bits as of ``update`` and ``predict``, without tables: made for values that arrive
        one by one. Windows slide along, so that a network over windows takes some tenths of a
        millisecond for a series, and a simple rule some hundredths. DeepAR draws its paths anew,
        which takes some milliseconds for each series (less with fewer ``n_paths`` or a smaller
        ``h``), and intervals of rules are worked out anew from their errors. Every h-th step takes
        longer where intervals are calibrated. ``panel_`` has all values when it is looked at next.

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

    def _live(self: Any, panel: Panel) -> Live:
        """What takes one value after another and forecasts, from the end of these series on."""
        return Live(self, panel, self._reach())

    def _reach(self: Any) -> int | None:
        """How many points before the end a forecast looks at; None if all of them."""
        return None
