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
    target : ndarray
        (B, h) what came, NaN where it is missing or not known.
    steps : ndarray
        (N, W) single precision, of all series, which windows share: room for a value, whether it
        is there, and what else is known, first the historic columns, then those that are known in
        the future, those of the calendar last.
    starts : ndarray
        (B,) rows of ``steps`` where windows begin.
    later : ndarray
        (N, F) the part of ``steps`` that is known in the future, or a copy of it.
    static : ndarray
        (B, C) of the series.
    series : ndarray
        (B,) numbers of the series in the panel.
    ids : ndarray
        (B,) their names.
    whole : bool
        Whether all values of ``past`` are known to be there.
    memory : Recalled, optional
        What was found out of them before.
    """

    past: Array
    target: Array
    steps: Array
    starts: Array
    later: Array
    static: Array
    series: Array
    ids: Array
    whole: bool = False
    memory: Recalled | None = None

    def take(self, rows: Array) -> Windows:
        """Those with these places."""
        parts: dict[str, Any] = {
            name: array[rows]
            for name, array in self._asdict().items()
            if isinstance(array, np.ndarray) and name not in ("steps", "later")
        }
        return self._replace(**parts)

    def cells(self) -> Array:
        """(B, L, W) copies of their rows of ``steps``."""
        made: Array = _rows_from(self.steps, self.past.shape[1])[self.starts]
        return made

    def future(self) -> Array:
        """(B, h, F) copies of what is known of the steps to come."""
        look_back, h = self.past.shape[1], self.target.shape[1]
        made: Array = _rows_from(self.later, h)[self.starts + look_back]
        return made

    def columns(self) -> Array:
        """(B, L + h, F) the same of the past and the future."""
        count = self.past.shape[1] + self.target.shape[1]
        made: Array = _rows_from(self.later, count)[self.starts]
        return made

    def known(self, what: str, find: Callable[[], tuple[Array, ...]]) -> tuple[Array, ...]:
        """(B, 1) numbers of each window, which ``find`` says unless they are remembered."""
        return find() if self.memory is None else self.memory.of(what, find)


class Memory:
    """Numbers that were found out of windows, such as their mean, for the next time.

    Parameters
    ----------
    count : int
        How many windows there are.
    """

    def __init__(self, count: int) -> None:
        # Side by side, so that all that is known of a window is found in one place.
        self._table = np.zeros((count, 0))
        self._places: dict[str, slice] = {}

    def recall(self, number: Array) -> Recalled:
        """What is known of these windows."""
        return Recalled(self, number, self._table[number])

    def place(self, what: str) -> slice:
        """Columns of what has this name, the first of which is 1 where it is known."""
        return self._places.get(what, slice(0, 0))

    def keep(self, what: str, number: Array, found: tuple[Array, ...]) -> None:
        """Remember (B, 1) each, of these windows."""
        if what not in self._places:
            more = np.zeros((len(self._table), 1 + len(found)))
            width = self._table.shape[1]
            self._table = np.concatenate([self._table, more], axis=1)
            self._places[what] = slice(width, self._table.shape[1])
        known = np.ones((len(number), 1))
        self._table[number, self._places[what]] = np.concatenate([known, *found], axis=1)


class Recalled(NamedTuple):
    """What a memory knows of some windows."""

    memory: Memory
    number: Array
    rows: Array

    def of(self, what: str, find: Callable[[], tuple[Array, ...]]) -> tuple[Array, ...]:
        """(B, 1) each; what is not known of all of them is found anew."""
        rows = self.rows[:, self.memory.place(what)]
        if rows.shape[1] and rows[:, 0].all():
            return tuple(rows[:, n : n + 1] for n in range(1, rows.shape[1]))
        found = find()
        self.memory.keep(what, self.number, found)
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
        self.series, self.memory = series, Memory(len(series)) if reads > len(series) else None
        self._reader, self._starts = reader, reader.starts(series, origins)
        self._whole = reader.whole(self._starts)
        # Rows that are side by side are read much faster.
        self._later = np.ascontiguousarray(reader.later)

    def __len__(self) -> int:
        return len(self.series)

    def read(self, number: Array) -> Windows:
        """Those with these numbers."""
        series, starts, whole = self.series[number], self._starts[number], self._whole[number]
        windows = self._reader.windows(series, starts, bool(whole.all()))
        memory = None if self.memory is None else self.memory.recall(number)
        return windows._replace(later=self._later, memory=memory)


class WindowReader:
    """Reads windows of a panel, wherever they begin.

    All series stand in one array, with room between them for what lies before and behind each, so
    that a window is a view. What is known beside the values is not copied before it is asked for.

    Parameters
    ----------
    panel : Panel
    look_back, horizon : int
        L and h.
    future : ndarray, optional
        (S, horizon, F) columns known beyond the ends of the series; zeros by default.

    Attributes
    ----------
    later : ndarray
        As of ``Windows``.
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
        self._steps = np.zeros((size, 2 + hist + futr + calendar.shape[1]), np.float32)
        there = np.isfinite(self._y)
        self._steps[:, 1] = there
        x = self._steps[:, 2:]
        x[rows, :hist], x[rows, hist : hist + futr] = panel.hist, panel.futr
        if future is not None:
            x[behind, hist : hist + futr] = future
        if calendar.shape[1]:
            both = ranges(self._begins, lengths + horizon)
            x[both, hist + futr :] = calendar[places]
        self.later = x[:, hist:]
        # All windows of values.
        self._pasts = _rows_from(self._y[:, np.newaxis], look_back)[..., 0]
        self._targets = _rows_from(self._y[:, np.newaxis], horizon)[..., 0]
        # Of how many values there are up to each place, the difference is how many lie between.
        self._counted = np.concatenate([[0], np.cumsum(there)])

    def read(self, series: Array, origins: Array) -> Windows:
        """The windows whose forecast begins at step ``origins`` of these series, (B,) each."""
        starts = self.starts(series, origins)
        return self.windows(series, starts, bool(self.whole(starts).all()))

    def starts(self, series: Array, origins: Array) -> Array:
        """(B,) rows of all steps where these windows begin."""
        begins: Array = self._begins[series] + origins - self.look_back
        return begins

    def whole(self, starts: Array) -> Array:
        """(B,) whether all values of the past of these windows are there."""
        counts: Array = self._counted[starts + self.look_back] - self._counted[starts]
        return counts == self.look_back

    def windows(self, series: Array, starts: Array, whole: bool) -> Windows:
        """Those of these series that begin at these rows."""
        return Windows(
            self._pasts[starts],
            self._targets[starts + self.look_back],
            self._steps,
            starts,
            self.later,
            self.panel.static[series],
            series,
            self.panel.ids[series],
            whole,
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
