"""Many series, one after another in flat arrays."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.columns import has_stamps
from fastlstm.forecasting.frequency import Frequency, written
from fastlstm.validation import numeric_array

Array = npt.NDArray[Any]

# Beyond this, sums of squares overflow.
LARGEST = 1e145


class Names(NamedTuple):
    """Names of the columns beside the target: known in the future, historic only, of a series."""

    futr: tuple[str, ...] = ()
    hist: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    def unused(self) -> tuple[str, ...]:
        """What a model that reads the target alone should tell of them."""
        beside = ", ".join(map(repr, (*self.futr, *self.hist, *self.static)))
        return (f"columns beside the target are not used: {beside}",) if beside else ()


@dataclass(frozen=True)
class Panel:
    """Series of unequal lengths and starts, each on a regular grid of stamps.

    Attributes
    ----------
    ids : ndarray
        (S,) of objects, the series' names.
    offsets : ndarray
        (S + 1,) int64: series s is what stands from ``offsets[s]`` to ``offsets[s + 1]``.
    y : ndarray
        (N,) float64; NaN where a value is missing.
    starts : ndarray
        (S,) first stamps, datetime64[us] or int64.
    frequency : Frequency
        Steps of the grid.
    futr, hist : ndarray
        (N, F) and (N, K): what is known in the future too, and what is not.
    static : ndarray
        (S, C).
    names : Names
        Of the columns in these.
    notes : tuple of str
        What was done to the data while it was read.
    zone : str or None
        Time zone of the table; stamps are in UTC then, those of whole days on local clocks.
    """

    ids: Array
    offsets: Array
    y: Array
    starts: Array
    frequency: Frequency
    futr: Array
    hist: Array
    static: Array
    names: Names = Names()  # noqa: RUF009
    notes: tuple[str, ...] = field(default=(), compare=False)
    zone: str | None = None

    @classmethod
    def of_arrays(
        cls, series: Any, frequency: Frequency | None = None, known: Panel | None = None
    ) -> Panel:
        """Series that are plain arrays, with stamps 0, 1, 2 ...

        Parameters
        ----------
        series : array_like, mapping or sequence of array_like
            (time,), one series; (series, time); several of unequal lengths; or these by their ids.
        frequency : Frequency, optional
            Of which the season counts here; none by default.
        known : Panel, optional
            Series that these may go on from, so that they need not have a value of their own.

        Raises
        ------
        ValueError, TypeError
            If there is no number in a series, or it is infinite, or has other axes.
        """
        _check_kind(series)
        if isinstance(series, Mapping):
            ids, rows = list(series), list(series.values())
        else:
            rows = list(series) if has_rows(series) else [series]
            ids = list(range(len(rows)))
        goes_on = set() if known is None else set(known.ids)
        try:
            values = [_one_series(row, name, goes_on) for name, row in zip(ids, rows, strict=True)]
        except TypeError as error:
            if not isinstance(series, Mapping):
                raise
            raise TypeError(
                f"{error}; if these are columns of a table, pandas.DataFrame(columns) makes it one"
            ) from None
        if not values:
            raise ValueError("expected at least one series, got none")
        offsets = np.concatenate([[0], np.cumsum([len(v) for v in values])]).astype(np.int64)
        count = len(values)
        return cls(
            ids=as_objects(ids),
            offsets=offsets,
            y=np.concatenate(values),
            starts=np.zeros(count, np.int64),
            frequency=(frequency or Frequency.of(1)).of_numbers(),
            futr=np.empty((offsets[-1], 0)),
            hist=np.empty((offsets[-1], 0)),
            static=np.empty((count, 0)),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Array:
        """(S,) points of each series, the missing ones included."""
        return np.diff(self.offsets)

    @property
    def ends(self) -> Array:
        """(S,) last stamps."""
        return self.frequency.at(self.starts, self.lengths - 1)

    def series(self, s: int) -> Array:
        """(n,) values of a series, a view."""
        return self.y[self.offsets[s] : self.offsets[s + 1]]

    def stamps(self, s: int) -> Array:
        """(n,) stamps of a series."""
        return self.frequency.stamps(self.starts[s], 0, int(self.lengths[s]))

    def future_stamps(self, h: int) -> Array:
        """(S, h) stamps that follow."""
        steps = self.lengths[:, np.newaxis] + np.arange(h)
        return self.frequency.at(self.starts[:, np.newaxis], steps)

    def take(self, index: npt.ArrayLike) -> Panel:
        """Some of the series, in this order."""
        index = np.asarray(index, np.int64)
        return self._cut(index, np.zeros(len(index), np.int64), self.lengths[index])

    def until(self, counts: npt.ArrayLike) -> Panel:
        """The first points of each series, so many of each."""
        counts = np.asarray(counts, np.int64)
        index = np.arange(len(self))
        return self._cut(index, np.zeros(len(self), np.int64), np.minimum(counts, self.lengths))

    def since(self, counts: npt.ArrayLike) -> Panel:
        """What comes after so many points of each series."""
        counts = np.minimum(np.asarray(counts, np.int64), self.lengths)
        cut = self._cut(np.arange(len(self)), counts, self.lengths)
        return replace(cut, starts=self.frequency.at(self.starts, counts))

    def windows(self, series: Array, ends: Array, reach: int | None = None) -> Panel:
        """Series as they were in the past: the first ``ends`` points of these, the same one often.

        Parameters
        ----------
        series, ends : ndarray
            (M,) numbers of series, and how many of their points are known.
        reach : int, optional
            How many points before the end are kept; all by default.
        """
        first = np.zeros_like(ends) if reach is None else np.maximum(ends - reach, 0)
        cut = self._cut(series, first, ends)
        return replace(cut, starts=self.frequency.at(self.starts[series], first))

    def following(self, series: Array, ends: Array, h: int) -> tuple[Array, Array]:
        """(M, h, F) columns known in the future and (M, h) values, after these ends."""
        at = (self.offsets[series] + ends)[:, np.newaxis] + np.arange(h)
        return self.futr[at], self.y[at]

    def _cut(self, index: Array, first: Array, last: Array) -> Panel:
        lengths = last - first
        rows = ranges(self.offsets[index] + first, lengths)
        return replace(
            self,
            ids=self.ids[index],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            y=self.y[rows],
            starts=self.starts[index],
            futr=self.futr[rows],
            hist=self.hist[rows],
            static=self.static[index],
        )

    def extended(self, values: Array, futr: Array | None = None) -> Panel:
        """These series, each followed by (S, h) values, and (S, h, F) columns known beside them.

        Historic columns, of which nothing is known there, keep their last values.
        """
        count, h = values.shape
        offsets = self.offsets + h * np.arange(count + 1)
        old = np.arange(self.offsets[-1]) + np.repeat(h * np.arange(count), self.lengths)
        new = (offsets[1:] - h)[:, np.newaxis] + np.arange(h)
        y = np.empty(offsets[-1])
        y[old], y[new] = self.y, values
        others = []
        for column, later in ((self.futr, futr), (self.hist, None)):
            if later is None:
                later = np.repeat(column[self.offsets[1:] - 1][:, np.newaxis], h, axis=1)
            longer = np.empty((offsets[-1], column.shape[1]))
            longer[old], longer[new] = column, later
            others.append(longer)
        return replace(self, offsets=offsets, y=y, futr=others[0], hist=others[1])

    def after(self, other: Panel) -> Panel:
        """These series, with stamps that go on where those of ``other`` with their ids end."""
        places = {name: s for s, name in enumerate(self.ids)}
        starts = self.starts.astype(other.starts.dtype)
        for name, stamp in zip(other.ids, other.future_stamps(1)[:, 0], strict=True):
            if name in places:
                starts[places[name]] = stamp
        return replace(self, starts=starts)

    def append(self, other: Panel) -> Panel:
        """These series, each followed by its rows in ``other``; series that are new come last.

        Raises
        ------
        ValueError
            If columns or frequency differ, or a series does not go on with its next stamp.
        """
        if other.names != self.names:
            raise ValueError(
                f"new rows expect the columns that there were, {self._columns()}, "
                f"got {other._columns()}"
            )
        if other.frequency != self.frequency:
            raise ValueError(
                f"new rows expect the frequency {self.frequency.alias!r}, "
                f"got {other.frequency.alias!r}"
            )
        if (other.zone is None) != (self.zone is None):
            raise ValueError(zones_differ("new rows", self.zone, other.zone))
        places = {name: s for s, name in enumerate(other.ids)}
        known = {name: s for s, name in enumerate(self.ids)}
        wanted = self.future_stamps(1)[:, 0]
        wrong = [
            f"{name!r} from {written(other.starts[places[name]])}, expected {written(wanted[s])}"
            for name, s in known.items()
            if name in places and other.starts[places[name]] != wanted[s]
        ]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise ValueError(
                "new rows expect to go on where the series ended: "
                + "; ".join(wrong[:5]) + more + ". Leave out rows that are known already"
            )  # fmt: skip
        # Behind each series its new rows, none for some; then the series that are new.
        mine = np.array([places.get(name, -1) for name in self.ids], np.int64)
        fresh = np.array([n for name, n in places.items() if name not in known], np.int64)
        later = np.where(mine >= 0, other.lengths[mine], 0)
        lengths = np.concatenate([self.lengths + later, other.lengths[fresh]])
        begins = np.stack([self.offsets[:-1], len(self.y) + other.offsets[mine]], axis=1)
        counts = np.stack([self.lengths, later], axis=1)
        rows = ranges(
            np.concatenate([begins.ravel(), len(self.y) + other.offsets[fresh]]),
            np.concatenate([counts.ravel(), other.lengths[fresh]]),
        )
        return replace(
            self,
            ids=np.concatenate([self.ids, other.ids[fresh]]),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            y=np.concatenate([self.y, other.y])[rows],
            starts=np.concatenate([self.starts, other.starts[fresh]]),
            futr=np.concatenate([self.futr, other.futr])[rows],
            hist=np.concatenate([self.hist, other.hist])[rows],
            static=np.concatenate([self.static, other.static[fresh]]),
            notes=self.notes + other.notes,
        )

    def _columns(self) -> list[str]:
        return [*self.names.futr, *self.names.hist, *self.names.static]


def ranges(begins: Array, lengths: Array) -> Array:
    """Numbers from each of these on, so many of each."""
    ends = np.cumsum(lengths)
    rows: Array = np.repeat(begins - ends + lengths, lengths) + np.arange(lengths.sum())
    return rows


def has_rows(series: Any) -> bool:
    """Whether plain arrays, not by ids, have an axis of series, even of a single one."""
    if isinstance(series, Mapping):
        return False
    if isinstance(series, Sequence):
        return len(series) > 0 and not np.isscalar(series[0]) and series[0] is not None
    return np.ndim(series) == 2


def as_objects(values: Sequence[Any]) -> Array:
    """(n,) array of objects, whatever they are."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _check_kind(series: Any) -> None:
    """An error for what is neither a table nor an array."""
    expected = "expected a data frame, numbers of a series, or several of these in a list or by ids"
    if isinstance(series, (str, bytes, os.PathLike)):
        raise TypeError(f"{expected}, got {series!r}; a file is read first, as by pandas.read_csv")
    if isinstance(series, Sequence) and any(isinstance(row, Mapping) for row in series):
        raise TypeError(f"{expected}, got rows of a table; pandas.DataFrame(rows) makes it one")
    known = (Mapping, Sequence, numbers.Number)
    if not isinstance(series, known) and not hasattr(series, "__array__"):
        raise TypeError(f"{expected}, got {type(series).__name__}")


def _one_series(row: Any, name: Any, goes_on: set[Any]) -> Array:
    if has_stamps(row):
        raise TypeError(
            f"series {name!r} has stamps as its index, which several series have in a long table "
            "only: pandas.concat(by_ids, names=['unique_id', 'ds']).rename('y').reset_index()"
        )
    values = numeric_array(f"series {name!r}", row)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"series {name!r} expects shape (time,) with at least one step, got {values.shape}"
        )
    values = values.astype(np.float64)
    check_values(values, name, may_be_empty=name in goes_on)
    return values


def zones_differ(what: str, wanted: str | None, got: str | None) -> str:
    """Text of an error, where stamps without time zone meet others."""
    names = [repr(zone) if zone else "no time zone" for zone in (wanted, got)]
    return (
        f"{what} expect stamps in {names[0]}, as there were, got {names[1]}; convert them, for "
        "instance with column.dt.tz_localize in pandas or .dt.replace_time_zone in polars"
    )


def check_values(values: Array, name: Any, may_be_empty: bool = False) -> None:
    """An error where a series is infinite somewhere, or has no value at all."""
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise ValueError(
            f"series {name!r} is infinite at {infinite.size} steps, the first one number "
            f"{infinite[0]}; put NaN where a value is missing"
        )
    large = np.abs(values) > LARGEST
    if large.any():
        raise ValueError(
            f"series {name!r} has {values[large][0]:g}, and squares of values beyond "
            f"{LARGEST:g} are not finite; put NaN where a value is missing, or scale the series"
        )
    if not may_be_empty and np.isnan(values).all():
        raise ValueError(f"series {name!r} has no value: all {values.size} are NaN; leave it out")
