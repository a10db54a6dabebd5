"""How the time of a training step grows with T, B, the layers and H: one figure.

    python bench/scaling.py --out scaling.png

One size at a time is varied around a base; the dashed lines show what growing in proportion to
it, or to its square, would look like.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

if __package__ in (None, ""):  # run as a file: the folder above is where imports start
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import ours
from bench.shapes import Row

BASE = Row("base", batch=32, steps=50, features=16, units=(64,))
FEWEST_CALLS = 5


@dataclass(frozen=True)
class Sweep:
    """One size, the values it takes, and the powers of it that are drawn for comparison."""

    label: str
    field: str
    values: tuple[Any, ...]
    powers: tuple[int, ...] = (1,)

    def row(self, value: Any) -> Row:
        return replace(BASE, **{self.field: value})

    def size(self, value: Any) -> int:
        """Where the value stands on the axis."""
        if self.field != "units":
            return value
        return len(value) if self.label.startswith("layers") else value[0]


SWEEPS = (
    Sweep("time steps T", "steps", (12, 25, 50, 100, 200, 400, 800)),
    Sweep("batch B", "batch", (1, 4, 8, 16, 32, 64, 128, 256)),
    Sweep("layers", "units", tuple((64,) * count for count in (1, 2, 3, 4, 6, 8))),
    Sweep("units H", "units", tuple((h,) for h in (8, 16, 32, 64, 128, 256, 512)), (1, 2)),
)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", required=True, metavar="FILE", help="the figure")
    parser.add_argument("--seconds", type=float, default=2, help="for each point")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(ours.prepare(arguments.threads))
    times = {}
    for sweep in SWEEPS:
        times[sweep] = [step_seconds(sweep.row(value), arguments.seconds) for value in sweep.values]
        points = zip(sweep.values, times[sweep], strict=True)
        print(sweep.label, *(f"{sweep.size(v)}: {s * 1e3:.3g} ms" for v, s in points), sep="  ")
    draw(times, arguments.threads, arguments.out)


def step_seconds(row: Row, seconds: float) -> float:
    """Median over training steps, after the first ones, which prepare."""
    run, _ = ours.train(row)
    run()
    run()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < FEWEST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        samples.append(time.perf_counter() - start)
    return median(samples)


def draw(times: dict[Sweep, list[float]], threads: int, path: str) -> None:
    """Four panels, logarithmic both ways, on one scale of times."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(9, 7), sharey=True, layout="constrained")
    for panel, (sweep, seconds) in zip(panels.flat, times.items(), strict=True):
        _draw_sweep(panel, sweep, seconds)
    for panel in panels[:, 0]:
        panel.set_ylabel("training step, ms")
    base = f"B={BASE.batch}, T={BASE.steps}, D={BASE.features}, H={BASE.units[0]}, one layer"
    figure.suptitle(f"One size varied at a time; else {base}; {threads} threads")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_sweep(panel: Any, sweep: Sweep, seconds: list[float]) -> None:
    from matplotlib.ticker import NullLocator

    sizes = [sweep.size(value) for value in sweep.values]
    panel.loglog(sizes, [1e3 * s for s in seconds], "o-", color="C0", zorder=3, label="measured")
    for power, style in zip(sweep.powers, ("--", ":"), strict=False):
        # Through the last point, where what a call costs whatever its size shows least.
        slope = [1e3 * seconds[-1] * (size / sizes[-1]) ** power for size in sizes]
        name = "in proportion" if power == 1 else "to the square"
        panel.loglog(sizes, slope, style, color="0.45", label=name)
    panel.set_xlabel(sweep.label)
    panel.set_xticks(sizes, [str(size) for size in sizes])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter("{x:g}")
    panel.grid(True, color="0.9")
    panel.legend(frameon=False, loc="upper left")


if __name__ == "__main__":
    main()
