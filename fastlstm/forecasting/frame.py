"""Tables of pandas, polars and PyArrow as panels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.columns import (
    Columns,
    as_frame,
    check_columns,
    ids_of,
    named,
    numbers_of,
    some_of,
    stamps_of,
)
from fastlstm.forecasting.frequency import Frequency, written
from fastlstm.forecasting.future import read_future
from fastlstm.forecasting.panel import LARGEST, Names, Panel, as_objects, check_values
from fastlstm.forecasting.writing import kind_of, write_cross_validation, write_forecast
from fastlstm.forecasting.zones import zone_of

__all__ = [
    "Columns",
    "check_no_columns",
    "kind_of",
    "named",
    "read_future",
    "read_panel",
    "write_cross_validation",
    "write_forecast",
]

Array = npt.NDArray[Any]

# Grids are refused that have so many points, of which hardly any is there.
_MANY, _SPARSE = 1_000_000, 100


def read_panel(
    df: Any,
    columns: Columns,
    *,
    freq: Any = None,
    static_df: Any = None,
    known: Panel | None = None,
) -> Panel:
    """The series of a long table, which has a row for each series and stamp.

    Stamps that are not there become missing values, so that each series is on a regular grid.
    Series come in the order of their ids. Stamps with a time zone are taken in UTC, those of days
    and longer steps in local time.

    Parameters
    ----------
    df : data frame
        Of pandas, polars or PyArrow, or of others that narwhals reads.
    columns : Columns
        Which column is what. Without a column of ids the table is one series.
    freq : str, int or Frequency, optional
        Of the stamps; that of the longest series by default.
    static_df : data frame, optional
        A row for each series, with its id and ``columns.static``.
    known : Panel, optional
        Series that were read before, whose frequency and static columns hold for these too.

    Raises
    ------
    ValueError, TypeError
        If columns are missing or of the wrong kind, ids or stamps are empty or not unique, stamps
        are beside the grid, values are infinite or a series has none, or a column beside the target
        has an empty place.
    """
    frame = as_frame(df)
    _check_names(frame, columns)
    rows = len(frame)
    if not rows:
        raise ValueError("the table expects at least one row, got none")
    frequency = known.frequency if known is not None else None
    if frequency is None and freq is not None:
        frequency = Frequency.of(freq)
    ids, codes = _series_of(frame, columns)
    local = None if frequency is None else frequency.whole_days
    stamps = stamps_of(frame, columns.time_col, local)
    notes: list[str] = []
    order = np.lexsort((stamps, codes))
    if (np.diff(order) < 0).any():
        notes.append("rows were sorted by id and stamp")
        codes, stamps = codes[order], stamps[order]
    _check_unique(ids, codes, stamps, columns, frame)
    bounds = np.searchsorted(codes, np.arange(len(ids) + 1))
    if frequency is None:
        longest = int(np.argmax(np.diff(bounds)))
        frequency = Frequency.infer(stamps[bounds[longest] : bounds[longest + 1]])
        _check_days(frame, columns.time_col, frequency)
        notes.append(f"the frequency is {frequency.alias}, by the stamps of {ids[longest]!r}")
    starts = stamps[bounds[:-1]]
    steps = _steps(frequency, ids, bounds, stamps)
    lengths = steps[bounds[1:] - 1] + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    total = int(offsets[-1])
    if total > _MANY and total > _SPARSE * rows:
        raise ValueError(
            f"freq={frequency.alias!r} makes {total} points of {rows} rows; pass the freq that "
            "most stamps are apart"
        )
    at = offsets[codes] + steps
    y = np.full(total, np.nan)
    y[at] = numbers_of(frame, columns.target_col)[order]
    goes_on = set(known.ids) if known is not None else set()
    suspect = ~(np.abs(y) <= LARGEST)
    for s in np.flatnonzero(np.logical_or.reduceat(suspect, offsets[:-1])).tolist():
        check_values(y[offsets[s] : offsets[s + 1]], ids[s], may_be_empty=ids[s] in goes_on)
    if total > rows:
        gaps = int((lengths > np.diff(bounds)).sum())
        notes.append(
            f"{total - rows} stamps that are not there, in {gaps} of {len(ids)} series, are "
            "missing values"
        )
    empty = int(np.isnan(y[at]).sum())
    if empty:
        notes.append(f"{empty} of {rows} rows have no value")
    others = [
        _beside(frame, names, order, at, total, notes) for names in (columns.futr, columns.hist)
    ]
    return Panel(
        ids=as_objects(ids),
        offsets=offsets,
        y=y,
        starts=starts,
        frequency=frequency,
        futr=others[0],
        hist=others[1],
        static=_static(static_df, columns, ids, known),
        names=Names(columns.futr, columns.hist, columns.static),
        notes=tuple(notes),
        zone=zone_of(frame[columns.time_col]),
    )


def check_no_columns(columns: Columns, static_df: Any = None) -> None:
    """An error where columns are named of series that are plain arrays, which have none."""
    named = [*columns.futr, *columns.hist, *columns.static]
    if named or static_df is not None:
        what = f"the columns {some_of(named)}" if named else "static_df"
        raise TypeError(
            f"{what} expect series in a data frame, with a column of ids, of stamps, and of "
            "the target; got plain arrays"
        )


def _check_names(frame: Any, columns: Columns) -> None:
    """An error for columns that are not there, or are used twice."""
    used = [columns.time_col, columns.target_col, *columns.futr, *columns.hist]
    twice = {name for name in used if used.count(name) > 1}
    if columns.id_col in used:
        twice.add(columns.id_col)
    if twice:
        raise ValueError(
            f"each column expects one use, got {some_of(sorted(twice))} for several of time_col, "
            "target_col, futr_exog and hist_exog"
        )
    check_columns(
        frame,
        [
            (columns.time_col, "time_col"),
            (columns.target_col, "target_col"),
            *((name, "futr_exog") for name in columns.futr),
            *((name, "hist_exog") for name in columns.hist),
        ],
    )


def _series_of(frame: Any, columns: Columns) -> tuple[list[Any], Array]:
    """Ids in order, and (n,) which of them each row has."""
    if columns.id_col not in frame.columns:
        return [columns.target_col], np.zeros(len(frame), np.int64)
    values = ids_of(frame, columns.id_col)
    # Rows of a series mostly stand together, so that few need be looked up.
    heads = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    ids = list(dict.fromkeys(values[heads]))
    try:
        ids.sort()
    except TypeError:
        ids.sort(key=lambda name: (type(name).__name__, str(name)))
    places = {name: s for s, name in enumerate(ids)}
    codes = np.array([places[name] for name in values[heads]], np.int64)
    return ids, np.repeat(codes, np.diff(np.append(heads, len(values))))


def _check_unique(
    ids: Sequence[Any], codes: Array, stamps: Array, columns: Columns, frame: Any
) -> None:
    twice = np.flatnonzero((np.diff(codes) == 0) & (stamps[1:] == stamps[:-1]))
    if not twice.size:
        return
    pairs = some_of((f"{ids[codes[n]]!r} at {written(stamps[n])}" for n in twice), str)
    advice = (
        "keep one of each or their mean; where clocks are put back, use stamps with a time zone"
    )
    others = [name for name in frame.columns if name not in columns[1:3]]
    if columns.id_col not in frame.columns and others:
        advice = f"if these are several series, name the column of their ids by id_col; {advice}"
    raise ValueError(
        f"each id and stamp expects one row, but {twice.size} rows repeat another's: {pairs}; "
        f"{advice}"
    )


def _check_days(frame: Any, name: str, frequency: Frequency) -> None:
    """An error for stamps that are days apart in UTC but not on local clocks."""
    zone = zone_of(frame[name])
    if zone is None or not frequency.whole_days:
        return
    wall = stamps_of(frame, name, True)
    if len(np.unique(wall - wall.astype("datetime64[D]"))) > 1:
        raise ValueError(
            f"column {name!r} has stamps that are {frequency.alias} apart in UTC, but not in their "
            f"time zone {zone!r}; convert them to UTC first"
        )


def _steps(frequency: Frequency, ids: Sequence[Any], bounds: Array, stamps: Array) -> Array:
    """(n,) how many steps after the first of its series each stamp is."""
    starts = np.repeat(stamps[bounds[:-1]], np.diff(bounds))
    try:
        return frequency.positions(starts, stamps)
    except ValueError:
        for s, name in enumerate(ids):
            rows = slice(bounds[s], bounds[s + 1])
            try:
                frequency.positions(stamps[bounds[s]], stamps[rows])
            except ValueError as error:
                raise ValueError(f"series {name!r}: {error}") from None
        raise


def _beside(
    frame: Any, names: tuple[str, ...], order: Array, at: Array, total: int, notes: list[str]
) -> Array:
    """(N, F) other columns; stamps that are not there have the values of the one before."""
    table = np.empty((total, len(names)))
    for place, name in enumerate(names):
        values = numbers_of(frame, name)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise ValueError(
                f"column {name!r} expects finite numbers, but {wrong.size} of {len(values)} rows "
                f"have none: rows {some_of(wrong.tolist())}; fill them first"
            )
        table[at, place] = values[order]
    if names and total > len(at):
        present = np.zeros(total, np.int64)
        present[at] = at
        table = table[np.maximum.accumulate(present)]
        notes.append(f"there {some_of(names)} have the value of the stamp before")
    return table


def _static(static_df: Any, columns: Columns, ids: Sequence[Any], known: Panel | None) -> Array:
    """(S, C) static columns: from the table, or of series that were read before."""
    table = np.full((len(ids), len(columns.static)), np.nan)
    found = np.zeros(len(ids), bool)
    places = {name: s for s, name in enumerate(ids)}
    if known is not None:
        for name, row in zip(known.ids, known.static, strict=True):
            if name in places:
                table[places[name]], found[places[name]] = row, True
    if static_df is not None:
        frame = as_frame(static_df)
        if frame is None:
            raise TypeError(f"static_df expects a data frame, got {type(static_df).__name__}")
        wanted = [(name, "static_exog") for name in columns.static]
        check_columns(frame, [(columns.id_col, "id_col"), *wanted], "static_df")
        if not columns.static:
            others = [name for name in frame.columns if name != columns.id_col]
            raise ValueError(
                "static_df is given, but none of its columns is named; name those to learn from in "
                f"fit(df, static_df=..., static_exog=[...]), of {some_of(others)}"
            )
        rows = ids_of(frame, columns.id_col)
        if len(set(rows)) < len(rows):
            twice = [name for name, n in Counter(rows).items() if n > 1]
            raise ValueError(
                f"static_df expects one row for each id, got several of {some_of(twice)}; where "
                "they are alike, static_df.drop_duplicates() (.unique() in polars) leaves one of "
                "each, and columns that change with time are futr_exog or hist_exog"
            )
        values = np.stack([numbers_of(frame, name) for name in columns.static], axis=1)
        for name, row in zip(rows, values, strict=True):
            if name in places:
                table[places[name]], found[places[name]] = row, True
    elif columns.static and not found.any():
        raise ValueError(
            f"static_df expects a row for each series with the columns {some_of(columns.static)} "
            "named by static_exog; got None. Of columns of df that do not change: "
            f"static_df=df[{[columns.id_col, *columns.static]}].drop_duplicates()"
        )
    if not columns.static:
        return table
    if not found.all():
        lost = [name for name, there in zip(ids, found, strict=True) if not there]
        raise ValueError(f"static_df expects a row for each id, but has none for {some_of(lost)}")
    wrong = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if wrong.size:
        lost = [ids[s] for s in wrong.tolist()]
        raise ValueError(f"static_df expects finite numbers, but has none for {some_of(lost)}")
    return table


def check_no_static(df: Any, static_df: Any) -> None:
    """An error for columns of series that are not given."""
    if df is None and static_df is not None:
        raise ValueError(
            "static_df has a row for each series in df, but df is None: those of fit have their own"
        )
