"""Inputs that make some processors slow: denormal, saturated, zero and very large numbers.

    python bench/corners.py

Prints the time of a forward pass and of a training step for each, over that of ordinary numbers,
as medians of rounds taken in turn.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

if __package__ in (None, ""):  # run as a file: the folder above is where imports start
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import ours, work
from bench.shapes import ROWS

ROUNDS = 30
CORNERS = {
    "ordinary": lambda x: x,
    "denormal": lambda x: (x * 1e-40).astype(np.float32),
    "zero": lambda x: x * 0,
    "saturated": lambda x: x * 100,
    "very large": lambda x: x * np.float32(1e18),
}


def main() -> None:
    """Print a table."""
    print(f"{'row':14} {'mode':8}", *(f"{name:>11}" for name in list(CORNERS)[1:]))
    for name in ("forecast", "forecast-deep", "wide-batch"):
        row = ROWS[name]
        x, y = work.inputs(row), work.targets(row)
        inputs = {key: change(x) for key, change in CORNERS.items()}
        model = ours.build(row)
        # A learning rate of nothing: every round computes the same.
        model.optimizer.learning_rate = 0.0
        for mode in ("forward", "train"):
            times: dict[str, list[float]] = {key: [] for key in CORNERS}
            for _ in range(ROUNDS):
                for key, value in inputs.items():
                    start = time.perf_counter()
                    if mode == "train":
                        model.train_on_batch(value, y)
                    else:
                        model(value)
                    times[key].append(time.perf_counter() - start)
            usual = median(times["ordinary"][3:])
            ratios = [median(times[key][3:]) / usual for key in list(CORNERS)[1:]]
            print(f"{name:14} {mode:8}", *(f"{ratio:11.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
