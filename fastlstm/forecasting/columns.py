"""Columns of data frames as arrays: ids, stamps, numbers."""

from __future__ import annotations

import datetime
import decimal
import difflib
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.frequency import as_stamps
from fastlstm.forecasting.zones import stamps_in_zone, zone_of

Array = npt.NDArray[Any]

# Dates and times that can be read in one way only.
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_NAMED = 5
# Rows of a column from which on it pays to look at what is in several of them once.
_LONG = 10_000


class Columns(NamedTuple):
    """Which columns of a table are what."""

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"
    futr: tuple[str, ...] = ()
    hist: tuple[str, ...] = ()
    static: tuple[str, ...] = ()


_ARGUMENTS = {
    "id_col": "id_col",
    "time_col": "time_col",
    "target_col": "target_col",
    "futr_exog": "futr",
    "hist_exog": "hist",
    "static_exog": "static",
}


def named(arguments: Mapping[str, Any], known: Columns) -> Columns:
    """Columns by the arguments of ``fit``; those that are not among them are as they were."""
    wrong = [name for name in arguments if name not in _ARGUMENTS]
    if wrong:
        raise TypeError(f"expected {', '.join(_ARGUMENTS)}, got {wrong[0]!r}")
    changes: dict[str, Any] = {
        _ARGUMENTS[name]: value if name.endswith("_col") else _several(name, value)
        for name, value in arguments.items()
    }
    return known._replace(**changes)


def _several(argument: str, names: Any) -> tuple[str, ...]:
    """Names of columns; of a text each letter would be one."""
    if isinstance(names, str):
        raise TypeError(f"{argument} expects a list of names, got {names!r}; write [{names!r}]")
    return tuple(names)


def as_frame(df: Any) -> Any:
    """A narwhals data frame, or None for what is no table.

    A pandas index that has a name is a column. A pandas Series with stamps as its index is a table
    of the columns "ds" and "y".

    Raises
    ------
    TypeError
        For tables that are not in memory, and series of pandas that have periods as their index.
    """
    frame = nw.from_native(df, pass_through=True, allow_series=True)
    if isinstance(frame, nw.LazyFrame):
        raise TypeError("expected a table in memory, got a lazy one; call .collect() on it first")
    if isinstance(frame, nw.Series):
        if has_stamps(df):
            return nw.from_native(df.rename("y").rename_axis("ds").reset_index())
        return None
    if not isinstance(frame, nw.DataFrame):
        return None
    names = getattr(getattr(df, "index", None), "names", None) or ()
    if any(name is not None and name not in frame.columns for name in names):
        frame = nw.from_native(df.reset_index())
    return frame


def has_stamps(series: Any) -> bool:
    """Whether the index of this, if it has one, has stamps, as of a pandas Series it may.

    Raises
    ------
    TypeError
        If it has periods, which are no stamps.
    """
    dtype = getattr(getattr(series, "index", None), "dtype", None)
    if _of_periods(dtype):
        raise TypeError(
            "the index expects stamps, got periods; series.to_timestamp() makes stamps of them"
        )
    return getattr(dtype, "kind", "") == "M"


def _of_periods(dtype: Any) -> bool:
    return str(dtype).startswith("period[")


def check_columns(frame: Any, wanted: Iterable[tuple[str, str]], what: str = "the table") -> None:
    """An error for columns that are not there; ``wanted`` has pairs of name and argument."""
    missing = [(name, argument) for name, argument in wanted if name not in frame.columns]
    if not missing:
        return
    listed = ", ".join(f"{name!r} ({argument})" for name, argument in missing)
    there = [str(name) for name in frame.columns]
    folded = {name.casefold(): name for name in there}
    near = [
        folded[close]
        for name, _ in missing
        for close in difflib.get_close_matches(str(name).casefold(), folded, 1)
    ]
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
    index = getattr(nw.to_native(frame), "index", None)
    if getattr(getattr(index, "dtype", None), "kind", "") == "M":
        hint += "; stamps that are the index become a column by .rename_axis('ds').reset_index()"
    if {"target_col", "time_col"} & {argument for _, argument in missing} and len(there) > 3:
        hint += "; a table with a column for each series becomes a long one by melt or unpivot"
    raise ValueError(
        f"{what} has no column {listed}; it has {', '.join(map(repr, there)) or 'none'}{hint}"
    )


def ids_of(frame: Any, name: str) -> Array:
    """(n,) ids as Python's own objects."""
    column = frame[name]
    _check_no_null(column, name, "ids")
    few = few_texts(column)
    if few is not None:
        return np.array(few[0], object)[few[1]]
    array = np.empty(len(column), object)
    array[:] = column.to_list()
    return array


def few_texts(column: Any) -> tuple[list[str], Array] | None:
    """Texts of a long column that has few, as they come first, and (n,) which of them rows have.

    None of other columns. Millions of Python's strings would take more memory than the table.
    """
    if column.dtype != nw.String or len(column) < _LONG:
        return None
    distinct = column.unique(maintain_order=True)
    if len(distinct) > len(column) // 4:
        return None
    texts, places = distinct.to_list(), list(range(len(distinct)))
    return texts, np.asarray(column.replace_strict(texts, places, return_dtype=nw.Int64).to_numpy())


def numbers_of(frame: Any, name: str) -> Array:
    """(n,) float64, NaN where there is none."""
    column = frame[name]
    if column.dtype == nw.Object:
        values = column.to_list()
        kinds = (numbers.Real, decimal.Decimal)
        if all(value is None or isinstance(value, kinds) for value in values):
            return np.array([np.nan if value is None else value for value in values], np.float64)
    if column.dtype != nw.Boolean and not column.dtype.is_numeric():
        raise TypeError(
            f"column {name!r} is of {column.dtype}, expected numbers; convert it, for instance "
            "with pandas.to_numeric or, for names of kinds, pandas.get_dummies"
        )
    if column.dtype == nw.Boolean or column.dtype.is_decimal():
        column = column.cast(nw.Float64)
    return np.asarray(column.to_numpy(), np.float64)


def stamps_of(frame: Any, name: str, local: bool | None) -> Array:
    """(n,) stamps, datetime64[us] without zone or int64.

    Parameters
    ----------
    frame : narwhals.DataFrame
    name : str
        The column: of datetimes, dates, whole numbers, or strings in ISO's notation.
    local : bool or None
        Of stamps with a time zone, see ``stamps_in_zone``.
    """
    column = frame[name]
    _check_no_null(column, name, "stamps")
    dtype = column.dtype
    if zone_of(column) is not None:
        return stamps_in_zone(column, local)
    if dtype == nw.String:
        few = few_texts(column)
        stamps = _parsed(name, column.to_list() if few is None else few[0])
        return stamps if few is None else stamps[few[1]]
    if dtype in (nw.Date, nw.Datetime):
        return as_stamps(column.cast(nw.Datetime("us")).to_numpy())
    if dtype.is_integer():
        return as_stamps(np.asarray(column.to_numpy(), np.int64))
    if dtype == nw.Object:
        return _of_objects(name, column.to_list())
    if _of_periods(getattr(nw.to_native(column), "dtype", None)):
        raise TypeError(
            f"column {name!r} expects stamps, got periods; column.dt.to_timestamp() makes stamps "
            "of them"
        )
    raise TypeError(
        f"column {name!r} is of {dtype}, expected datetimes, dates, whole numbers, or strings such "
        f"as '2024-01-31' or '2024-01-31 12:00'; convert it, for instance with pandas.to_datetime"
    )


def _parsed(name: str, texts: Sequence[str]) -> Array:
    wrong = [text for text in texts if not _ISO.fullmatch(text)]
    try:
        if not wrong:
            return np.array(texts, "datetime64[us]")
        reason = ""
    except ValueError as error:
        reason = f" ({error})"
    raise ValueError(
        f"column {name!r} has strings that are no stamps such as '2024-01-31' or "
        f"'2024-01-31 12:00': {some_of(wrong or texts)}{reason}; convert it, for instance with "
        "pandas.to_datetime, with utc=True where the strings have offsets"
    )


def _of_objects(name: str, values: Sequence[Any]) -> Array:
    """Stamps of a column of Python's dates or datetimes."""
    kinds = {type(value).__name__ for value in values}
    if not all(isinstance(value, datetime.date) for value in values):
        raise TypeError(
            f"column {name!r} has objects of {', '.join(sorted(kinds))}, expected datetimes; "
            "convert it, for instance with pandas.to_datetime"
        )
    if any(getattr(value, "tzinfo", None) is not None for value in values):
        raise ValueError(
            f"column {name!r} has stamps with time zones that differ from row to row; convert it "
            "to one, for instance with pandas.to_datetime(column, utc=True)"
        )
    return np.array(values, "datetime64[us]")


def _check_no_null(column: Any, name: str, what: str) -> None:
    empty = np.asarray(column.is_null().to_numpy(), bool)
    if column.dtype.is_float():
        empty = empty | np.asarray(column.is_nan().fill_null(True).to_numpy(), bool)
    if empty.any():
        raise ValueError(
            f"column {name!r} expects {what} in all rows, but {empty.sum()} of {len(empty)} have "
            f"none: rows {some_of(np.flatnonzero(empty).tolist())}; leave these rows out"
        )


def some_of(values: Iterable[Any], text: Callable[[Any], str] = repr) -> str:
    """The first few of them, and how many more there are."""
    values = list(values)
    more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
    return ", ".join(map(text, values[:_NAMED])) + more
