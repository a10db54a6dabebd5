"""What comes in the next 24 hours, asked anew each hour as values arrive?

Run: pip install ".[forecasting]" && pip install --no-deps autots && python examples/stream.py

The network learns once, from the cars on a motorway until the last four weeks: see tables.py. These
weeks then arrive hour by hour: ``update`` takes the value, ``predict`` tells the next 24 hours. How good
the hours' forecasts are is told by how far ahead they were, beside the same hour a week before, and
how long a value takes from its arrival to the forecast. An hour that was not counted is an update
with NaN: the clock goes on.
With --data PATH: hourly values with ds and y.
"""

import argparse
from time import perf_counter

import numpy as np
from tables import own, show, traffic

from fastlstm.forecasting import MQRNN

DAY, WEEK = 24, 168


def draw(path: str, y: np.ndarray, said: np.ndarray) -> None:
    """Three days: what came, and what was said 1 and 24 hours before."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    hours = np.arange(len(y) - 3 * DAY, len(y))
    axes.plot(hours, y[hours], color="0.25", label="cars")
    for ahead, color in ((1, "tab:blue"), (DAY, "tab:orange")):
        values = said[hours - ahead, ahead - 1]
        axes.plot(hours, values, color=color, ls="--", label=f"said {ahead} hours before")
    axes.set(xlabel="hours since the stream began", ylabel="cars an hour")
    axes.set_title("The last three days", loc="left")
    axes.set_ylim(0, 1.25 * np.nanmax(y[hours]))
    axes.legend(ncols=3, frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    """Learn once, then take value after value."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a CSV of yours")
    parser.add_argument("--plot", help="where to draw the last days (.png)")
    parser.add_argument("--weeks", type=int, default=4, help="how many arrive hour by hour")
    parser.add_argument("--steps", type=int, default=400, help="updates of the network")
    arguments = parser.parse_args()
    table = traffic(None) if arguments.data is None else own(arguments.data)
    values = table["y"].to_numpy(float)
    arrive = arguments.weeks * WEEK
    known, stream = values[:-arrive], values[-arrive:]

    model = MQRNN(h=DAY, freq="h", units=64, max_steps=arguments.steps, verbose=0)
    model.fit(known)
    said, seconds = [], []
    for value in stream:
        start = perf_counter()
        model.update([value])
        said.append(model.predict())
        seconds.append(perf_counter() - start)

    made = np.array(said)
    rows = {}
    for ahead in (1, 3, 6, 12, DAY):
        came = stream[ahead:]
        network = made[: len(came), ahead - 1]
        before = values[len(known) + ahead - WEEK :][: len(came)]
        rows[f"{ahead:2} hours ahead"] = {
            "MQRNN": float(np.nanmean(np.abs(came - network))),
            "week before": float(np.nanmean(np.abs(came - before))),
        }
    show(f"Mean absolute error over {arrive} hours, cars an hour", rows)
    print(
        f"\nFrom a value to its forecast: {1000 * np.median(seconds):.1f} ms, the median;", end=" "
    )
    print(f"{1000 * np.quantile(seconds, 0.99):.1f} ms in 99 of 100 hours")
    if arguments.plot:
        draw(arguments.plot, stream, made)


if __name__ == "__main__":
    main()
