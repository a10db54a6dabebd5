"""What tables say of the steps that are to be forecast."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.columns import (
    Columns,
    as_frame,
    check_columns,
    ids_of,
    numbers_of,
    some_of,
    stamps_of,
)
from fastlstm.forecasting.frequency import written
from fastlstm.forecasting.panel import Panel, zones_differ
from fastlstm.forecasting.zones import zone_of

Array = npt.NDArray[Any]


def read_future(futr_df: Any, panel: Panel, h: int, columns: Columns) -> Array | None:
    """What is known of the h steps after the end of each series.

    Parameters
    ----------
    futr_df : data frame or None
        With the columns of ids, stamps and ``columns.futr``, in any order; other rows are left.
    panel : Panel
    h : int
    columns : Columns

    Returns
    -------
    ndarray or None
        (S, h, F) float64; None if there are no such columns.

    Raises
    ------
    ValueError, TypeError
        If rows are missing, which it lists, or not unique, or have empty places.
    """
    if not columns.futr:
        if futr_df is not None:
            raise ValueError(
                "futr_df is given, but the model learned from no column that is known in the "
                "future; name them in fit(df, futr_exog=[...])"
            )
        return None
    listed = ", ".join(map(repr, columns.futr))
    if futr_df is None:
        raise ValueError(
            f"futr_df expects the columns {listed} for the {h} stamps after the end of each "
            "series, since the model learned from these; got None"
        )
    frame = as_frame(futr_df)
    if frame is None:
        raise TypeError(f"futr_df expects a data frame, got {type(futr_df).__name__}")
    # A table of one series has no column of ids, unless it had one at first.
    single = len(panel) == 1 and columns.id_col not in frame.columns
    needed = [] if single else [(columns.id_col, "id_col")]
    needed += [(columns.time_col, "time_col"), *((name, "futr_exog") for name in columns.futr)]
    check_columns(frame, needed, "futr_df")
    codes = np.zeros(len(frame), np.int64)
    if not single:
        places = {name: s for s, name in enumerate(panel.ids)}
        codes = np.array([places.get(name, -1) for name in ids_of(frame, columns.id_col)], np.int64)
    zone = zone_of(frame[columns.time_col])
    if (zone is None) != (panel.zone is None):
        raise ValueError(zones_differ("rows of futr_df", panel.zone, zone))
    stamps = stamps_of(frame, columns.time_col, panel.frequency.whole_days)
    wanted = panel.future_stamps(h)
    # Of a stamp, its place among those wanted of its series.
    rows = np.flatnonzero(codes >= 0)
    steps = panel.frequency.positions(wanted[codes[rows], 0], stamps[rows])
    inside = (steps >= 0) & (steps < h)
    rows, steps = rows[inside], steps[inside]
    cells = codes[rows] * h + steps
    counts = np.bincount(cells, minlength=len(panel) * h)
    if (counts > 1).any():
        raise ValueError(
            "futr_df expects a row for each id and stamp, got several of "
            + _pairs(panel.ids, wanted, counts > 1)
        )
    if (counts == 0).any():
        raise ValueError(
            f"futr_df expects the {h} stamps after the end of each series, but "
            f"{(counts == 0).sum()} of {counts.size} rows are missing: "
            + _pairs(panel.ids, wanted, counts == 0)
        )
    future = np.empty((len(panel) * h, len(columns.futr)))
    for place, name in enumerate(columns.futr):
        future[cells, place] = numbers_of(frame, name)[rows]
    wrong = ~np.isfinite(future)
    if wrong.any():
        name = columns.futr[int(np.flatnonzero(wrong.any(axis=0))[0])]
        raise ValueError(
            f"futr_df has no finite number in column {name!r} for "
            + _pairs(panel.ids, wanted, wrong[:, columns.futr.index(name)])
        )
    return future.reshape(len(panel), h, -1)


def _pairs(ids: Array, stamps: Array, wrong: Array) -> str:
    """Ids and stamps of these (S * h,) places."""
    h = stamps.shape[1]
    return some_of(
        (
            f"{ids[place // h]!r} at {written(stamps[place // h, place % h])}"
            for place in np.flatnonzero(wrong)
        ),
        str,
    )
