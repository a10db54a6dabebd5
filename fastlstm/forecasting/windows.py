"""Windows of many series: what a network sees of the past and of the future, and what comes."""

from __future__ import annotations

from collections.abc import Callable
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
    whole : bool
        Whether all values of ``past`` are known to be there.
    cells : ndarray, optional
        (B, L, 2 + D) single precision: room for a value, whether it is there, and ``past_x``, which
        is a part of it. Whoever reads windows to show them to a network may fill it in.
    number : ndarray, optional
        (B,) by which ``memory`` knows them.
    memory : Memory, optional
        What was found out of them before.
    """

    past: Array
    past_x: Array
    future_x: Array
    static: Array
    target: Array
    series: Array
    ids: Array
    whole: bool = False
    cells: Array | None = None
    number: Array | None = None
    memory: Memory | None = None

    def take(self, rows: Array) -> Windows:
        """Those with these places."""
        parts: dict[str, Any] = {
            name: array[rows]
            for name, array in self._asdict().items()
            if isinstance(array, np.ndarray)
        }
        return self._replace(**parts)

    def known(self, what: str, find: Callable[[], tuple[Array, ...]]) -> tuple[Array, ...]:
        """(B, 1) numbers of each window, which ``find`` says unless they are remembered."""
        if self.memory is None or self.number is None:
            return find()
        return self.memory.of(what, self.number, find)


class Memory:
    """Numbers that were found out of windows, such as their mean, for the next time.

    Parameters
    ----------
    count : int
        How many windows there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._tables: dict[str, Array] = {}

    def of(self, what: str, number: Array, find: Callable[[], tuple[Array, ...]]) -> Any:
        """(B, 1) each, of these windows; what is not known of all of them is found anew."""
        table = self._tables.get(what)
        if table is not None:
            rows = table[number]
            if rows[:, 0].all():
                return tuple(rows[:, n : n + 1] for n in range(1, rows.shape[1]))
        found = find()
        if table is None:
            # A first column says which windows are known.
            table = self._tables[what] = np.zeros((self._count, 1 + len(found)))
        table[number] = np.concatenate([np.ones((len(number), 1)), *found], axis=1)
        return found


class WindowList:
    """Windows to train on, by their numbers.

    Parameters
    ----------
    reader : WindowReader
    series, origins : ndarray
        (n,) each, as ``WindowReader.read`` takes them.
    reads : int
        How many windows will be read in all: what each of them says of itself is only kept where
        they come more than once.
    """

    def __init__(self, reader: WindowReader, series: Array, origins: Array, reads: int) -> None:
        self.reader, self.series, self.origins = reader, series, origins
        self.memory = Memory(len(series)) if reads > len(series) else None

    def __len__(self) -> int:
        return len(self.series)

    def read(self, number: Array) -> Windows:
        """Those with these numbers."""
        windows = self.reader.read(self.series[number], self.origins[number])
        return windows._replace(number=number, memory=self.memory)


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
        cells = np.zeros((size, 2 + hist + futr + calendar.shape[1]), np.float32)
        there = np.isfinite(self._y)
        cells[:, 1] = there
        x = cells[:, 2:]
        x[rows, :hist], x[rows, hist : hist + futr] = panel.hist, panel.futr
        if future is not None:
            x[behind, hist : hist + futr] = future
        if calendar.shape[1]:
            both = ranges(self._begins, lengths + horizon)
            x[both, hist + futr :] = calendar[places]
        # All windows of values, of the past and of what is known of the future.
        self._values = _rows_from(self._y[:, np.newaxis], look_back + horizon)[..., 0]
        self._pasts = _rows_from(cells, look_back)
        self._futures = _rows_from(x[:, hist:], horizon)
        # Of how many values there are up to each place, the difference is how many lie between.
        self._counted = np.concatenate([[0], np.cumsum(there)])

    def read(self, series: Array, origins: Array) -> Windows:
        """The windows whose forecast begins at step ``origins`` of these series, (B,) each."""
        starts = self._begins[series] + origins - self.look_back
        ends = starts + self.look_back
        values, cells = self._values[starts], self._pasts[starts]
        return Windows(
            values[:, : self.look_back],
            cells[:, :, 2:],
            self._futures[ends],
            self.panel.static[series],
            values[:, self.look_back :],
            series,
            self.panel.ids[series],
            bool((self._counted[ends] - self._counted[starts] == self.look_back).all()),
            cells,
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
        at = self._begins[series] + origins
        present = self._counted[at + self.horizon] > self._counted[at]
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
