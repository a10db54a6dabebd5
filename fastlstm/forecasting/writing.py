"""Forecasts as tables of the kind that came in, or as arrays."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.columns import Columns, as_frame
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.zones import in_utc, with_zone, zone_of

Array = npt.NDArray[Any]


class Kind(NamedTuple):
    """What is needed to make a table of the same kind again.

    Attributes
    ----------
    backend : narwhals.Implementation
        The library.
    dtypes : dict of str to narwhals' types
        Of the columns.
    own : dict of str to Any
        The library's own types of the columns, where it has several of one sort, as pandas.
    first : dict of str to Any
        Strings and objects in the first row, which tell how stamps are written.
    zones : dict of str to str
        Time zones of the columns that have one.
    """

    backend: Any
    dtypes: dict[str, Any]
    own: dict[str, Any]
    first: dict[str, Any]
    zones: dict[str, str]


def kind_of(df: Any) -> Kind | None:
    """The kind of a table; None for arrays, lists and mappings of these."""
    frame = as_frame(df)
    if frame is None:
        return None
    dtypes = dict(frame.schema)
    own = {}
    if frame.implementation.is_pandas_like():
        native = nw.to_native(frame)
        own = {name: native[name].dtype for name in frame.columns}
    first = {
        name: frame[name][0]
        for name, dtype in dtypes.items()
        if len(frame) and dtype in (nw.String, nw.Object)
    }
    zones = {name: zone for name in dtypes if (zone := zone_of(frame[name])) is not None}
    return Kind(frame.implementation, dtypes, own, first, zones)


def write_forecast(
    like: Kind | None,
    panel: Panel,
    h: int,
    columns: Mapping[str, Array],
    names: Columns,
    rows: bool = False,
) -> Any:
    """Forecasts after the end of each series.

    Parameters
    ----------
    like : Kind or None
        Of the table that the series are from; None for arrays.
    panel : Panel
    h : int
    columns : mapping of str to ndarray
        (S, h) each.
    names : Columns
        Of ids and stamps.
    rows : bool
        Keep the axis of series where there is a single one, of arrays.

    Returns
    -------
    data frame, ndarray or dict of str to ndarray
        A table with a row for each id and stamp. For arrays (S, h), or (h,) of a single series; a
        mapping of these if there are several columns.
    """
    if like is None:
        arrays = {
            name: values[0] if len(panel) == 1 and not rows else values
            for name, values in columns.items()
        }
        return arrays if len(arrays) > 1 else next(iter(arrays.values()))
    days = panel.frequency.whole_days
    table = _head(like, names, np.repeat(panel.ids, h), panel.future_stamps(h).ravel(), days)
    table += [_numbers(like, name, values.ravel()) for name, values in columns.items()]
    return _frame(table)


def write_cross_validation(
    like: Kind | None,
    parts: Sequence[tuple[Panel, Mapping[str, Array], Array]],
    h: int,
    names: Columns,
    rows: bool = False,
) -> Any:
    """Forecasts from several cutoffs, beside what came.

    Parameters
    ----------
    like : Kind or None
        Of the table that the series are from; None for arrays.
    parts : sequence of tuple
        For each cutoff the series as known there, columns of forecasts (S, h), and (S, h) values.
    h : int
    names : Columns
        Of ids, stamps and target.
    rows : bool
        As for ``write_forecast``.

    Returns
    -------
    data frame or dict of str to ndarray
        A table by ids, cutoffs and stamps, with the columns of forecasts between ``cutoff``, the
        last stamp that was known, and the target. For arrays a mapping: "cutoff", (S, W) numbers of
        steps; forecasts and target (S, W, h); of a single series without the first axis.
    """
    panel = parts[0][0]
    cutoffs = np.stack([known.ends for known, _, _ in parts], axis=1)
    forecasts = {
        name: np.stack([columns[name] for _, columns, _ in parts], axis=1) for name in parts[0][1]
    }
    values = np.stack([y for _, _, y in parts], axis=1)
    if like is None:
        arrays = {"cutoff": cutoffs, **forecasts, names.target_col: values}
        if len(panel) > 1 or rows:
            return arrays
        return {name: part[0] for name, part in arrays.items()}
    stamps = np.stack([known.future_stamps(h) for known, _, _ in parts], axis=1)
    days = panel.frequency.whole_days
    table = _head(like, names, np.repeat(panel.ids, len(parts) * h), stamps.ravel(), days)
    table.append(_stamps(like, names.time_col, np.repeat(cutoffs.ravel(), h), days).alias("cutoff"))
    table += [_numbers(like, name, part.ravel()) for name, part in forecasts.items()]
    table.append(_numbers(like, names.target_col, values.ravel()))
    return _frame(table)


def write_points(
    like: Kind | None, panel: Panel, columns: Mapping[str, Array], names: Columns
) -> Any:
    """What is said of the last points of each series.

    Parameters
    ----------
    like : Kind or None
        Of the table that the series are from; None for arrays.
    panel : Panel
    columns : mapping of str to ndarray
        (S, n) each; that without a name is the target.
    names : Columns
        Of ids, stamps and target.

    Returns
    -------
    data frame or dict of str to ndarray
        A table with a row for each id and stamp. For arrays a mapping of (S, n), or (n,) of a
        single series.
    """
    columns = {name or names.target_col: values for name, values in columns.items()}
    if like is None:
        return {name: part[0] if len(panel) == 1 else part for name, part in columns.items()}
    n = next(iter(columns.values())).shape[1]
    steps = (panel.lengths - n)[:, np.newaxis] + np.arange(n)
    stamps = panel.frequency.at(panel.starts[:, np.newaxis], steps)
    days = panel.frequency.whole_days
    table = _head(like, names, np.repeat(panel.ids, n), stamps.ravel(), days)
    table += [_numbers(like, name, values.ravel()) for name, values in columns.items()]
    return _frame(table)


def _head(like: Kind, names: Columns, ids: Array, stamps: Array, days: bool) -> list[Any]:
    """The columns of ids, if there was one, and stamps."""
    head = [_ids(like, names.id_col, ids)] if names.id_col in like.dtypes else []
    return [*head, _stamps(like, names.time_col, stamps, days)]


def _frame(columns: Sequence[Any]) -> Any:
    return nw.to_native(nw.concat([column.to_frame() for column in columns], how="horizontal"))


def _numbers(like: Kind, name: str, values: Array) -> Any:
    return nw.new_series(name, np.ascontiguousarray(values), backend=like.backend)


def _ids(like: Kind, name: str, ids: Array) -> Any:
    dtype = like.dtypes[name]
    if name in like.own:
        made = nw.new_series(name, ids.tolist(), backend=like.backend)
        return _of_own_type(made, like.own[name])
    # What polars may not read from objects at once.
    if dtype == nw.Categorical:
        return nw.new_series(name, ids.tolist(), nw.String, backend=like.backend).cast(dtype)
    return nw.new_series(name, ids.tolist(), dtype, backend=like.backend)


def _stamps(like: Kind, name: str, stamps: Array, days: bool) -> Any:
    """Stamps as they were: with their zone, unit, or way of writing."""
    dtype = like.dtypes[name]
    if stamps.dtype == np.int64:
        made = nw.new_series(name, stamps, nw.Int64, backend=like.backend)
        return _of_own_type(made, like.own[name]) if like.own else made.cast(dtype)
    first = like.first.get(name)
    if isinstance(first, str):
        texts = [
            text[: len(first)].replace("T", first[10:11])
            for text in np.datetime_as_string(stamps, "us").tolist()
        ]
        made = nw.new_series(name, texts, nw.String, backend=like.backend)
        return _of_own_type(made, like.own[name]) if like.own else made
    if isinstance(first, datetime.date):
        objects = [s if isinstance(first, datetime.datetime) else s.date() for s in stamps.tolist()]
        return _of_own_type(nw.new_series(name, objects, backend=like.backend), like.own[name])
    zone = like.zones.get(name)
    if zone is not None and days:
        stamps = in_utc(stamps, zone)
    made = nw.new_series(name, stamps, nw.Datetime("us"), backend=like.backend)
    if zone is not None:
        made = with_zone(made, zone)
    return _of_own_type(made, like.own[name]) if like.own else made.cast(dtype)


def _of_own_type(series: Any, dtype: Any) -> Any:
    categories = getattr(dtype, "categories", None)
    if categories is not None and not set(series.to_list()) <= set(categories):
        # A new name, for which there is no category.
        return series
    return nw.from_native(nw.to_native(series).astype(dtype), series_only=True)
