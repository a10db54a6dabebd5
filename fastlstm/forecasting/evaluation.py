"""Scores of a table of forecasts beside what came, whichever models it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import scores
from fastlstm.forecasting.columns import as_frame, ids_of, numbers_of
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

_BAND = re.compile(r"(?P<model>.+)-(?P<end>lo|hi)-(?P<level>\d+(\.\d+)?)")


def evaluate(
    cv: Any,
    df: Any = None,
    *,
    season: int | None = None,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> list[dict[str, Any]]:
    """Score the forecasts of ``cross_validation``, of one model or several side by side.

    Parameters
    ----------
    cv : data frame or dict of str to ndarray
        As ``cross_validation`` gives it; tables of several models may be joined by ids, stamps and
        cutoffs. Intervals are columns ``<model>-lo-80`` and ``<model>-hi-80``.
    df : data frame, array_like or sequence of array_like, optional
        The series, as for ``fit``, for the mean absolute scaled error: its unit is the mean
        absolute change from one season to the next of each whole series.
    season : int, optional
        Steps of a season, for that; 1 by default.
    id_col, time_col, target_col : str
        Names of these columns.

    Returns
    -------
    list of dict
        For each model "model", "mae", "rmse", "smape" (per cent), "mase" if there is a ``df``, and
        "cover 80" and so on, in per cent: means over series of means over their points. From the
        least "mae" on.

    Examples
    --------
    >>> from fastlstm.forecasting import SeasonalNaive
    >>> y = np.tile([1.0, 5.0, 2.0, 8.0], 30) + np.random.default_rng(0).normal(size=120)
    >>> cv = SeasonalNaive(h=4, season_length=4).fit(y).cross_validation(n_windows=5, level=[80])
    >>> [row] = evaluate(cv, y, season=4)
    >>> list(row)
    ['model', 'mae', 'rmse', 'smape', 'mase', 'cover 80']
    """
    season = 1 if season is None else whole_number(season, "season")
    columns, ids = _columns(cv, id_col, time_col, target_col)
    y = columns.pop(target_col)
    units = None if df is None else _units(df, season, id_col, target_col)
    bands = {name: found for name in columns if (found := _BAND.fullmatch(name))}
    models = [name for name in columns if name not in bands]
    if not models:
        raise ValueError(f"evaluate expects columns of forecasts, got {sorted(columns)} alone")
    names, series = np.unique(ids, return_inverse=True)
    if units is not None and (missing := [name for name in names if name not in units]):
        raise ValueError(f"df expects the series of cv; these are missing: {missing[:5]}")
    parts = [np.flatnonzero(series == s) for s in range(len(names))]
    parts = [part for part in parts if np.isfinite(y[part]).any()]
    rows = []
    for model in models:
        each: dict[str, list[float]] = {}
        levels = sorted({float(b["level"]) for b in bands.values() if b["model"] == model})
        for part in parts:
            came, forecast = y[part], columns[model][part]
            one = {
                "mae": scores.mae(came, forecast),
                "rmse": scores.rmse(came, forecast),
                "smape": scores.smape(came, forecast),
            }
            if units is not None:
                unit = units[ids[part[0]]]
                one["mase"] = one["mae"] / unit if unit > 0 else float("nan")
            for level in levels:
                low, high = (columns[f"{model}-{end}-{level:g}"][part] for end in ("lo", "hi"))
                one[f"cover {level:g}"] = 100 * scores.coverage(came, low, high)
            for name, value in one.items():
                each.setdefault(name, []).append(value)
        means = {name: _mean(values) for name, values in each.items()}
        rows.append({"model": model, **means})
    return sorted(rows, key=lambda row: row["mae"])


def _columns(
    cv: Any, id_col: str, time_col: str, target_col: str
) -> tuple[dict[str, Array], Array]:
    """(n,) numbers by name, and ids of the rows."""
    others = (id_col, time_col, "cutoff", "")
    if isinstance(cv, Mapping):
        arrays = {name: np.asarray(v, np.float64) for name, v in cv.items() if name not in others}
        if target_col not in arrays:
            raise ValueError(f"evaluate expects the column {target_col!r}, got {sorted(arrays)}")
        shape = arrays[target_col].shape
        count = shape[0] if len(shape) == 3 else 1
        ids = np.repeat(np.arange(count), arrays[target_col].size // count)
        return {name: values.ravel() for name, values in arrays.items()}, ids
    table = as_frame(cv)
    if table is None:
        raise TypeError(f"evaluate expects what cross_validation gives, got {type(cv).__name__}")
    if target_col not in table.columns:
        raise ValueError(f"evaluate expects the column {target_col!r}, got {table.columns}")
    numbers = {name: numbers_of(table, name) for name in table.columns if name not in others}
    ids = ids_of(table, id_col) if id_col in table.columns else np.zeros(len(table), np.int64)
    return numbers, ids


def _units(df: Any, season: int, id_col: str, target_col: str) -> dict[Any, float]:
    """Mean absolute change of each series from one season to the next."""
    table = as_frame(df)
    if table is None:
        many = np.ndim(df[0]) > 0
        series = dict(enumerate(df)) if many else {0: df}
    else:
        y = numbers_of(table, target_col)
        ids = ids_of(table, id_col) if id_col in table.columns else np.zeros(len(y), np.int64)
        series = {name: y[ids == name] for name in np.unique(ids)}
    return {
        name: scores.unit_of(np.asarray(values, np.float64), season)
        for name, values in series.items()
    }


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
