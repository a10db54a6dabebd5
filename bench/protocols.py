"""Data and protocols of ``accuracy.py``: what is forecast, from where on, and how it is scored.

``m4``: M4/Hourly-train.csv, Hourly-test.csv and, where it is there, Hourly-naive2.csv, of
https://github.com/Mcompetitions/M4-methods (Dataset and Point Forecasts). 414 series, the 48 hours
after the end of each; sMAPE, MASE, and their mean in proportion to those of Naive2 (OWA).

``ett``: ETTh1.csv of https://github.com/zhouhaoyi/ETDataset, by the protocol of Zhou et al.,
"Informer: Beyond Efficient Transformer for Long Sequence Time-Series Forecasting", AAAI 2021: hours
[0, 8640) to train, [8640, 11520) to validate, [11520, 14400) to test, in units of the training
part's mean and standard deviation. A forecast starts at every hour of the test part that leaves
room for it, none is left out, and windows may reach back before it.

``prices``: electricity-short-with-ex-vars.csv of
https://github.com/Nixtla/transfer-learning-time-series (datasets). Four markets with two columns of
load forecasts and the days of the week, which are known a day ahead; each of the last days is
forecast from the end of the day before, learned once from what lies before the first of them.

``synthetic``: daily seasons with noise, so that this can be tried without data.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import scores

Array = npt.NDArray[Any]

DAY = 24
TRAINED, VALIDATED, TESTED = 8640, 11520, 14400
# sMAPE and MASE of Naive2 on Hourly, as the organisers gave them.
NAIVE2 = (18.383, 2.395)
PENALTIES = (1e0, 1e1, 1e2, 1e3, 1e4)


class Data(NamedTuple):
    """Hourly series, of which the ends are forecast.

    Attributes
    ----------
    name : str
        Of the protocol, with the steps ahead if there are several.
    series : dict of str to ndarray
        (n,) each, in the order of their names.
    h : int
        Steps ahead.
    windows, step : int
        Forecasts of each series, and steps from one to the next; the last ends with the series.
    score : callable
        From (S, W, h) forecasts, (S, W, h) values that came, and what was known before the first.
    validation : int
        Points before the first forecast that are not to be trained on, but validated.
    look_back : int or None
        Steps of the past to see, where the protocol says that.
    stamps : dict of str to ndarray
        Of the series; empty where nobody knows them.
    columns : dict of str to dict of str to ndarray
        Of each series, what is known of its future too, by name.
    """

    name: str
    series: Mapping[str, Array]
    h: int
    windows: int
    step: int
    score: Callable[[Array, Array, list[Array]], dict[str, float]]
    validation: int = 0
    look_back: int | None = None
    stamps: Mapping[str, Array] = {}
    columns: Mapping[str, Mapping[str, Array]] = {}

    @property
    def held(self) -> int:
        """Points from the first forecast to the end of a series."""
        return self.h + self.step * (self.windows - 1)

    def lefts(self) -> range:
        """Points that come after each of the origins."""
        return range(self.held, self.h - 1, -self.step)

    def known(self, left: int) -> dict[str, Array]:
        """The series without their last points."""
        return {name: y[: len(y) - left] for name, y in self.series.items()}

    def came(self) -> Array:
        """(S, W, h) values to forecast."""
        parts = [
            [y[len(y) - left : len(y) - left + self.h] for left in self.lefts()]
            for y in self.series.values()
        ]
        return np.array(parts)

    def frame(self, left: int, count: int | None = None) -> Any:
        """A long table of the series without their last points, or of so many that follow these."""
        import pandas as pd

        parts = []
        for name, y in self.series.items():
            last = len(y) - left
            rows = slice(0, last) if count is None else slice(last, last + count)
            stamps = self.stamps[name] if self.stamps else np.arange(len(y))
            columns = {"ds": stamps[rows], "y": y[rows]}
            for column, values in self.columns.get(name, {}).items():
                columns[column] = values[rows]
            parts.append(pd.DataFrame(columns).assign(unique_id=name))
        table = pd.concat(parts, ignore_index=True)
        return table.drop(columns="y") if count is not None else table

    def known_ahead(self) -> list[str]:
        """Names of the columns that are known of the future."""
        return list(next(iter(self.columns.values()), {}))

    def without_columns(self) -> Data:
        """The same, by the series alone."""
        return self._replace(columns={}, name=f"{self.name}, no columns")


# -- protocols -------------------------------------------------------------------------------------


def m4(folder: Path, count: int | None = None) -> Data:
    """M4 Hourly; the folder has its files. Of some of the series, so many of them, far apart."""
    train, test = (_m4_rows(folder / f"Hourly-{part}.csv") for part in ("train", "test"))
    naive2, all_of_them = NAIVE2, len(train)
    if count is not None and count < all_of_them:
        names = sorted(train)
        kept = [names[place] for place in np.linspace(0, len(names) - 1, count).astype(int)]
        train = {name: train[name] for name in kept}
    if (folder / "Hourly-naive2.csv").exists():
        rows = _m4_rows(folder / "Hourly-naive2.csv")
        forecast = np.array([rows[name] for name in train])[:, np.newaxis]
        came = np.array([test[name] for name in train])[:, np.newaxis]
        naive2 = _smape_and_mase(forecast, came, list(train.values()))
    elif len(train) < all_of_them:
        raise ValueError(f"the OWA of some series needs {folder / 'Hourly-naive2.csv'}")

    def score(forecast: Array, came: Array, known: list[Array]) -> dict[str, float]:
        smape, mase = _smape_and_mase(forecast, came, known)
        owa = 0.5 * (smape / naive2[0] + mase / naive2[1])
        return {"OWA": owa, "sMAPE": smape, "MASE": mase}

    series = {name: np.concatenate([y, test[name]]) for name, y in sorted(train.items())}
    name = "m4" if len(series) == all_of_them else f"m4, {len(series)} series"
    return Data(name, series, 48, 1, 48, score)


def ett(folder: Path, h: int, look_back: int = 336, univariate: bool = False) -> Data:
    """ETTh1, all seven columns or its oil temperature alone."""
    values = etth1(folder, univariate)
    name = f"ett{' OT' if univariate else ''} {h} of {look_back}"
    series = {str(number): y for number, y in enumerate(values)}
    windows = TESTED - VALIDATED - h + 1
    return Data(name, series, h, windows, 1, _squares, VALIDATED - TRAINED, look_back)


def prices(folder: Path, weeks: int = 4) -> Data:
    """Electricity prices a day ahead, with columns that are known then."""
    with open(folder / "electricity-short-with-ex-vars.csv") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["unique_id"] for row in rows})
    others = [name for name in rows[0] if name not in ("unique_id", "ds", "y")]
    series, stamps, columns = {}, {}, {}
    for name in names:
        own = sorted((row for row in rows if row["unique_id"] == name), key=lambda row: row["ds"])
        series[name] = np.array([float(row["y"]) for row in own])
        stamps[name] = np.array([row["ds"] for row in own], "datetime64[us]")
        columns[name] = {column: np.array([float(row[column]) for row in own]) for column in others}
    return Data("prices", series, DAY, 7 * weeks, DAY, _absolutes, stamps=stamps, columns=columns)


def synthetic(count: int = 3, n: int = 240, h: int = DAY) -> Data:
    """Sines of a day with noise, of several levels, and a column that says something of them."""
    generator = np.random.default_rng(0)
    t = np.arange(n)
    series, stamps, columns = {}, {}, {}
    for number in range(count):
        name, known = f"s{number}", generator.standard_normal(n)
        series[name] = 10 * (number + 1) + np.sin(2 * np.pi * t / DAY) + 0.3 * known
        stamps[name] = np.datetime64("2024-01-01", "us") + t * np.timedelta64(1, "h")
        columns[name] = {"known": known}
    return Data("synthetic", series, h, 2, h, _absolutes, stamps=stamps, columns=columns)


# -- scores ----------------------------------------------------------------------------------------


def _squares(forecast: Array, came: Array, known: list[Array]) -> dict[str, float]:
    return {"MSE": scores.mse(came, forecast), "MAE": scores.mae(came, forecast)}


def _absolutes(forecast: Array, came: Array, known: list[Array]) -> dict[str, float]:
    return {"MAE": scores.mae(came, forecast), "RMSE": scores.rmse(came, forecast)}


def _smape_and_mase(forecast: Array, came: Array, known: list[Array]) -> tuple[float, float]:
    """Means over series."""
    pairs = list(zip(forecast, came, known, strict=True))
    smape = np.mean([scores.smape(y, f) for f, y, _ in pairs])
    mase = np.mean([scores.mase(y, f, before, DAY) for f, y, before in pairs])
    return float(smape), float(mase)


# -- files -----------------------------------------------------------------------------------------


def _m4_rows(path: Path) -> dict[str, Array]:
    """Series of a file of the competition, by their names."""
    with open(path) as file:
        rows = csv.reader(file)
        next(rows)
        return {
            row[0]: np.array([float(v) for v in row[1:] if v not in ("", "NA")]) for row in rows
        }


def etth1(folder: Path, univariate: bool = False) -> Array:
    """(columns, hours) of ETTh1 that the protocol uses, scaled; or its oil temperature alone."""
    columns = (7,) if univariate else range(1, 8)
    path = folder / "ETTh1.csv"
    raw = np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns, ndmin=2).T[:, :TESTED]
    train = raw[:, :TRAINED]
    scaled: Array = (raw - train.mean(axis=1, keepdims=True)) / train.std(axis=1, keepdims=True)
    return scaled


# -- a regression whose penalty is chosen by validation --------------------------------------------


def tuned_ridge(data: Data) -> Array:
    """One linear map for all series, of windows less their mean; its penalty by validation.

    Returns
    -------
    ndarray
        (S, W, h) forecasts.
    """
    values = np.stack(list(data.series.values()))
    look_back, last = data.look_back or 7 * DAY, values.shape[1]
    tested, trained = last - data.held, last - data.held - data.validation
    x, y, shift = [], [], []
    for first, end in ((look_back, trained), (trained, tested), (tested, last)):
        inside = values[:, first - look_back : end]
        view = np.lib.stride_tricks.sliding_window_view(inside, look_back + data.h, axis=1)
        past, future = view[..., :look_back], view[..., look_back:]
        shift.append(past.mean(axis=2, keepdims=True))
        x.append(past - shift[-1])
        y.append(future - shift[-1])
    rows, targets = x[0].reshape(-1, look_back), y[0].reshape(-1, data.h)
    centre, level = rows.mean(axis=0), targets.mean(axis=0)
    size, axes = np.linalg.eigh((rows - centre).T @ (rows - centre))
    turned = axes.T @ ((rows - centre).T @ (targets - level))
    maps = [axes @ (turned / (size + penalty)[:, np.newaxis]) for penalty in PENALTIES]
    held = [np.mean(((x[1] - centre) @ weights + level - y[1]) ** 2) for weights in maps]
    forecast: Array = (x[2] - centre) @ maps[int(np.argmin(held))] + level + shift[2]
    return forecast
