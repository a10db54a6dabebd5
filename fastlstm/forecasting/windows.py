"""Windows of many series: what a network sees of the past and of the future, and what comes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.calendar import features
from fastlstm.forecasting.panel import Panel, ranges

Array = npt.NDArray[Any]


class Windows(NamedTuple):
    """Windows side by side, B of them: L steps of the past, then h to forecast.

    Attributes
    ----------
    past : ndarray
        (B, L) values, NaN where they are missing or before the series began.
    past_x : ndarray
        (B, L, D) what else is known of these steps: historic columns, then those of ``future_x``.
    future_x : ndarray
        (B, h, F) columns known in the future, then those of the calendar.
    static : ndarray
        (B, C) of the series.
    target : ndarray
        (B, h) what came, NaN where it is missing or not known.
    series : ndarray
        (B,) numbers of the series in the panel.
    ids : ndarray
        (B,) their names.
    """

    past: Array
    past_x: Array
    future_x: Array
    static: Array
    target: Array
    series: Array
    ids: Array


class WindowReader:
    """Reads windows of a panel, wherever they begin.

    All series stand in one array, with room between them for what lies before and behind each, so
    that a window is a view, and a batch of windows is the only copy.

    Parameters
    ----------
    panel : Panel
    look_back, horizon : int
        L and h.
    future : ndarray, optional
        (S, horizon, F) columns known beyond the ends of the series; zeros by default.
    """

    def __init__(
        self, panel: Panel, look_back: int, horizon: int, future: Array | None = None
    ) -> None:
        self.panel, self.look_back, self.horizon = panel, look_back, horizon
        count, lengths = len(panel), panel.lengths
        gaps = look_back + horizon
        # Where each series begins, the room before it counted.
        self._begins = panel.offsets[:-1] + look_back + gaps * np.arange(count)
        size = int(panel.offsets[-1]) + gaps * count
        rows = np.arange(panel.offsets[-1]) + np.repeat(self._begins - panel.offsets[:-1], lengths)
        behind = (self._begins + lengths)[:, np.newaxis] + np.arange(horizon)
        self._y = np.full(size, np.nan)
        self._y[rows] = panel.y
        hist, futr = panel.hist.shape[1], panel.futr.shape[1]
        calendar, places, self.calendar_names = _calendar(panel, horizon)
        self._x = np.zeros((size, hist + futr + calendar.shape[1]), np.float32)
        self._x[rows, :hist], self._x[rows, hist : hist + futr] = panel.hist, panel.futr
        if future is not None:
            self._x[behind, hist : hist + futr] = future
        if calendar.shape[1]:
            both = ranges(self._begins, lengths + horizon)
            self._x[both, hist + futr :] = calendar[places]
        self._hist = hist

    def read(self, series: Array, origins: Array) -> Windows:
        """The windows whose forecast begins at step ``origins`` of these series, (B,) each."""
        starts = self._begins[series] + origins - self.look_back
        span = self.look_back + self.horizon
        values = _rows_from(self._y[:, np.newaxis], span)[..., 0][starts]
        others = _rows_from(self._x, span)[starts]
        return Windows(
            values[:, : self.look_back],
            others[:, : self.look_back],
            others[:, self.look_back :, self._hist :],
            self.panel.static[series],
            values[:, self.look_back :],
            series,
            self.panel.ids[series],
        )

    def last(self) -> Windows:
        """The window at the end of each series."""
        return self.read(np.arange(len(self.panel)), self.panel.lengths)

    def origins(self, first: int, held: int = 0) -> tuple[Array, Array]:
        """Series and steps of all windows to train on.

        Parameters
        ----------
        first : int
            Points of a series before its first window.
        held : int
            Points at the end of each series that no target may have.

        Returns
        -------
        series, origins : ndarray
            Those whose target lies in the series and has a value.
        """
        lasts = self.panel.lengths - held - self.horizon
        counts = np.maximum(lasts - first + 1, 0)
        series = np.repeat(np.arange(len(self.panel)), counts)
        origins = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first
        # Of how many values there are up to each place, the difference is how many lie between.
        counted = np.concatenate([[0], np.cumsum(np.isfinite(self._y))])
        at = self._begins[series] + origins
        present = counted[at + self.horizon] > counted[at]
        return series[present], origins[present]


def _rows_from(table: Array, span: int) -> Array:
    """(n, span, D) view of an (N, D) table: so many rows from each on."""
    (count, width), strides = table.shape, table.strides
    shape = (max(count - span + 1, 0), span, width)
    return np.lib.stride_tricks.as_strided(table, shape, (strides[0], *strides), writeable=False)


def _calendar(panel: Panel, horizon: int) -> tuple[Array, Array, tuple[str, ...]]:
    """Columns of the stamps of all series and of those to come, once for each stamp.

    Returns
    -------
    table : ndarray
        (n, k) single precision.
    places : ndarray
        Rows of it, of the points of each series and the ``horizon`` steps behind them.
    names : tuple of str
        Of the columns.
    """
    lengths, frequency = panel.lengths + horizon, panel.frequency
    begin = panel.starts.min()
    try:
        first = frequency.positions(begin, panel.starts)
        # Steps of one grid, unless the series are far apart.
        shared = (first + lengths).max() <= lengths.sum()
    except ValueError:
        shared = False
    if shared:
        stamps = frequency.stamps(begin, 0, int((first + lengths).max()))
        places = ranges(first, lengths)
    else:
        steps = ranges(np.zeros(len(panel), np.int64), lengths)
        stamps = frequency.at(np.repeat(panel.starts, lengths), steps)
        places = np.arange(len(stamps))
    table, names = features(stamps, frequency, panel.zone)
    return table.astype(np.float32), places, names
