"""Windows of many series: what a network sees of the past and of the future, and what comes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.calendar import features
from fastlstm.forecasting.panel import Panel

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
        known = [np.concatenate([panel.stamps(s), later]) for s, later in enumerate(self._later())]
        calendar, self.calendar_names = features(np.concatenate(known), panel.frequency, panel.zone)
        self._x = np.zeros((size, hist + futr + calendar.shape[1]), np.float32)
        self._x[rows, :hist], self._x[rows, hist : hist + futr] = panel.hist, panel.futr
        if future is not None:
            self._x[behind, hist : hist + futr] = future
        both = np.concatenate(
            [np.arange(b, b + n + horizon) for b, n in zip(self._begins, lengths, strict=True)]
        )
        self._x[both, hist + futr :] = calendar
        self._hist = hist

    def _later(self) -> Array:
        return self.panel.future_stamps(self.horizon)

    def read(self, series: Array, origins: Array) -> Windows:
        """The windows whose forecast begins at step ``origins`` of these series, (B,) each."""
        starts = self._begins[series] + origins - self.look_back
        span = self.look_back + self.horizon
        view = np.lib.stride_tricks.sliding_window_view(self._y, span)
        values = view[starts]
        others = self._x[starts[:, np.newaxis] + np.arange(span)]
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
        view = np.lib.stride_tricks.sliding_window_view(self._y, self.horizon)
        at = self._begins[series] + origins
        present = np.isfinite(view[at]).any(axis=1)
        return series[present], origins[present]
