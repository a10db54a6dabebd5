"""How many cars will pass in each of the next 24 hours? Two stacked LSTMs against seasonal naive.

Run: pip install ".[examples]" && pip install --no-deps autots && python examples/forecast.py

The series is two years of hourly traffic on the I-94 motorway near Minneapolis, 17,520 hours with
104 of them missing. It comes inside the autots package, of which only the data file is read.
Source: Minnesota Department of Transportation; J. Hogue, "Metro Interstate Traffic Volume", UCI
Machine Learning Repository, 2019, doi 10.24432/C5X60B.

What repeats is left to an average: ``usual`` is the mean of the same hour in the eight weeks
before. The network reads how unusual the last 24 hours were and forecasts how unusual the next 24
will be. Half a year that it never saw is forecast hour after hour, 24 hours ahead each time.
"""

import argparse
import csv
import importlib.util
import io
import zipfile
from pathlib import Path
from time import perf_counter

import numpy as np

from fastlstm.callbacks import EarlyStopping
from fastlstm.layers import LSTM, Dense, Input
from fastlstm.models import Sequential
from fastlstm.optimizers import Adam
from fastlstm.utils import set_random_seed

DAY, WEEK, WEEKS = 24, 168, 8
VALIDATION, TEST = np.datetime64("2018-01-01T00"), np.datetime64("2018-04-01T00")


def load() -> tuple[np.ndarray, np.ndarray]:
    """Hours, and cars in each; NaN where nothing was counted."""
    package = importlib.util.find_spec("autots")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the data are missing: pip install --no-deps autots")
    archive = Path(package.submodule_search_locations[0], "datasets/data/traffic_hourly.zip")
    with zipfile.ZipFile(archive) as file:
        text = file.read(file.namelist()[0]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    hours = np.array([row["datetime"] for row in rows], "datetime64[h]")
    return hours, np.array([float(row["traffic_volume"] or "nan") for row in rows])


def fill_gaps(cars: np.ndarray) -> np.ndarray:
    """Missing hours take the value of the same hour a week before, or a day in the first week."""
    filled = cars.copy()
    for i in np.flatnonzero(np.isnan(cars)):
        filled[i] = filled[i - WEEK] if i >= WEEK else filled[i - DAY]
    return filled


def usual(cars: np.ndarray) -> np.ndarray:
    """Mean of the same hour in the weeks before; NaN in the first ones."""
    out = np.full_like(cars, np.nan)
    past = [cars[(WEEKS - k) * WEEK : len(cars) - k * WEEK] for k in range(1, WEEKS + 1)]
    out[WEEKS * WEEK :] = np.mean(past, axis=0)
    return out


def features(
    hours: np.ndarray, deviation: np.ndarray, expected: np.ndarray, scale: float, level: float
) -> np.ndarray:
    """For each hour: its deviation, and what is known of the hour a day later, (hours, 7)."""
    later = hours + DAY
    days = later.astype("datetime64[D]")
    hour, weekday = (later - days).astype(int), (days.astype(int) + 3) % 7  # Monday is 0
    expected_later = np.append(expected[DAY:], np.full(DAY, np.nan))
    clock, week = 2 * np.pi * hour / 24, 2 * np.pi * weekday / 7
    columns = [
        deviation / scale, expected_later / level, np.sin(clock), np.cos(clock),
        np.sin(week), np.cos(week), weekday >= 5,
    ]  # fmt: skip
    return np.stack(columns, axis=1)


def origins(begin: int, end: int, stride: int) -> np.ndarray:
    """Last known hours of the windows whose 24 forecast hours lie from ``begin`` to ``end``."""
    return np.arange(max(begin, WEEKS * WEEK + DAY) - 1, end - DAY, stride)


def past(origin: np.ndarray) -> np.ndarray:
    """Indices of the 24 hours up to each origin."""
    return origin[:, None] + np.arange(1 - DAY, 1)


def future(origin: np.ndarray) -> np.ndarray:
    """Indices of the 24 hours after each origin."""
    return origin[:, None] + np.arange(1, DAY + 1)


def draw(path, hours, cars, origin, forecast, naive, naive_name) -> None:
    """Four days of history and three forecasts, with what came."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    first, last = origin[0], origin[-1]
    shown = np.arange(first - 4 * DAY, last + DAY + 1)
    axes.plot(hours[shown], cars[shown], color="0.35", lw=1.2, label="cars counted")
    for n, at in enumerate(origin):
        ahead = hours[future(np.array([at]))[0]]
        names = (f"seasonal naive, {naive_name}", "LSTM, 24 hours ahead") if n == 0 else ("", "")
        axes.plot(ahead, naive[n], color="tab:orange", lw=1.2, ls="--", label=names[0])
        axes.plot(ahead, forecast[n], color="tab:blue", lw=2, label=names[1])
        axes.axvline(hours[at], color="0.8", lw=0.8, zorder=0)
    axes.set(ylabel="cars an hour", title="I-94 westbound", ylim=(0, 1.2 * np.nanmax(cars[shown])))
    axes.legend(loc="upper left", ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    """Train, test and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="forecast.png", help="where the picture goes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = perf_counter()
    set_random_seed(arguments.seed)

    hours, counted = load()
    cars = fill_gaps(counted)
    expected = usual(cars)
    deviation = cars - expected
    validation, test = np.searchsorted(hours, [VALIDATION, TEST])
    scale, level = np.nanstd(deviation[:validation]), cars[:validation].std()
    inputs = features(hours, deviation, expected, scale, level)
    targets = deviation / scale
    train_at, validation_at = origins(0, validation, 2), origins(validation, test, 3)
    test_at = origins(test, len(cars), 1)

    model = Sequential(
        [
            Input((DAY, inputs.shape[1])),
            LSTM(32, return_sequences=True),
            LSTM(32),
            Dense(DAY),
        ]
    )
    model.compile(optimizer=Adam(3e-3, global_clipnorm=1.0), loss="mae")
    model.summary()
    model.fit(
        inputs[past(train_at)],
        targets[future(train_at)],
        batch_size=64,
        epochs=15,
        validation_data=(inputs[past(validation_at)], targets[future(validation_at)]),
        callbacks=[EarlyStopping(patience=4, restore_best_weights=True)],
    )
    forecast = model.predict(inputs[past(test_at)], batch_size=512) * scale
    forecast += expected[future(test_at)]

    def error(values: np.ndarray, at: np.ndarray) -> float:
        return float(np.nanmean(np.abs(values - counted[future(at)])))

    lag = min((DAY, WEEK), key=lambda n: error(cars[future(validation_at) - n], validation_at))
    naive_name = "the hour a week before" if lag == WEEK else "the hour a day before"
    naive, mean, ours = (
        error(values, test_at)
        for values in (cars[future(test_at) - lag], expected[future(test_at)], forecast)
    )
    print(f"\nMean absolute error over {len(test_at)} test windows of 24 hours, cars an hour")
    print(f"  seasonal naive, {naive_name:<24}{naive:7.1f}")
    print(f"  mean of the same hour in {WEEKS} weeks     {mean:7.1f}")
    print(f"  LSTM                                  {ours:7.1f}")
    print(f"The LSTM is {100 * (1 - ours / naive):.1f} % below seasonal naive,", end=" ")
    print(f"{100 * (1 - ours / mean):.1f} % below the mean ({perf_counter() - start:.0f} s in all)")

    # Three midnights in the middle of the test: what came next, and what was forecast.
    midnights = np.flatnonzero(hours[test_at] - hours[test_at].astype("datetime64[D]") == 23)
    chosen = midnights[len(midnights) // 2 :][:3]
    at = test_at[chosen]
    draw(arguments.output, hours, counted, at, forecast[chosen], cars[future(at) - lag], naive_name)


if __name__ == "__main__":
    main()
