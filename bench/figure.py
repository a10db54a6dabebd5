"""Draw what compare.py measured under the machine's roofline.

    python bench/figure.py --out fastlstm/kernels/roofline.png

Each row of ``bench/results.json`` is a point: how many operations its call does for each byte of
weights and data that it touches, and how many a second it reached.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

if __package__ in (None, ""):  # run as a file: the folder above is where imports start
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.report import Report, Result
from bench.roofline import compulsory_bytes
from bench.shapes import ROWS

RESULTS = Path(__file__).with_name("results.json")
MARKS = {"train": ("o", "training step"), "forward": ("^", "forward"), "step": ("s", "stream")}
# Where a point's name goes, in turn, so that neighbours' do not meet.
PLACES = ((0, -24), (-24, 26), (14, -40), (20, 34), (0, -56), (-44, 48))
INK, SHADE = "#1f3b4d", {"train": "#c8553d", "forward": "#28799e", "step": "#7a9e3f"}


def main() -> None:
    """Draw the figure into the file that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", default="roofline.png", help="file to write")
    arguments = parser.parse_args()
    draw(Report.from_json(json.loads(RESULTS.read_text())), Path(arguments.out))


def draw(report: Report, path: Path) -> None:
    """Write the figure of a report."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    machine = report.machine
    intensity = np.geomspace(0.05, 9000, 200)
    roof = np.minimum(machine.peak_gflops, machine.bandwidth_gbs * intensity)
    axes.plot(intensity, roof, color=INK, lw=2)
    axes.text(
        8000, machine.peak_gflops * 1.08, f"peak {machine.peak_gflops:.0f} GFLOP/s", ha="right",
        color=INK,
    )  # fmt: skip
    axes.text(
        0.24, machine.bandwidth_gbs * 0.38, f"memory {machine.bandwidth_gbs:.0f} GB/s", color=INK,
        rotation=38,
    )  # fmt: skip
    seen = set()
    named = sorted((r for r in report.results if r.mode != "forward"), key=_intensity)
    for result in report.results:
        marker, label = MARKS[result.mode]
        x = _intensity(result)
        axes.plot(
            x, result.gflops, marker, color=SHADE[result.mode], ms=7,
            label=None if label in seen else label,
        )  # fmt: skip
        seen.add(label)
        if result in named:
            place = PLACES[named.index(result) % len(PLACES)]
            axes.annotate(
                result.row, (x, result.gflops), xytext=place, textcoords="offset points",
                fontsize=8, ha="center", arrowprops={"arrowstyle": "-", "lw": 0.4},
            )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlabel="operations for each byte touched",
        ylabel="GFLOP/s reached", ylim=(0.2, machine.peak_gflops * 8), xlim=(0.05, 9000),
        title=f"fastlstm on {report.host}",
    )  # fmt: skip
    axes.grid(alpha=0.25, which="both", lw=0.5)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)


def _intensity(result: Result) -> float:
    """Operations a byte, as if nothing stayed in a cache from call to call."""
    return result.flops / compulsory_bytes(ROWS[result.row], result.mode, cache=0)


if __name__ == "__main__":
    main()
