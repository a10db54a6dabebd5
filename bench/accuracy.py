"""How well fastlstm forecasts, beside simple rules: no figure is worth much without these.

    python bench/accuracy.py ett --data FOLDER
    python bench/accuracy.py ett --data FOLDER --univariate --horizons 96,192 --seeds 1

``ett`` reads FOLDER/ETTh1.csv of https://github.com/zhouhaoyi/ETDataset. Its protocol is that of
Zhou et al., "Informer: Beyond Efficient Transformer for Long Sequence Time-Series Forecasting",
AAAI 2021: hours [0, 8640) to train, [8640, 11520) to validate, [11520, 14400) to test, in units of
the training part's mean and standard deviation. A forecast starts at every hour of the test part
that leaves room for it, none is left out, and windows may reach back before it. What is shown is
the mean squared error over all of them and all columns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import fastlstm
from fastlstm.forecasting.segrnn import SegRNN

Array = npt.NDArray[Any]

TRAINED, VALIDATED, TESTED = 8640, 11520, 14400
DAY = 24
PENALTIES = (1e0, 1e1, 1e2, 1e3, 1e4)


class Row(NamedTuple):
    """A line of the table: errors of each run, and the mean seconds of one."""

    model: str
    h: int
    mse: list[float]
    mae: list[float]
    seconds: float


def etth1(folder: Path, univariate: bool = False) -> Array:
    """(columns, hours) of ETTh1 that the protocol uses, scaled; or its oil temperature alone."""
    columns = (7,) if univariate else range(1, 8)
    path = folder / "ETTh1.csv"
    raw = np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns, ndmin=2).T[:, :TESTED]
    train = raw[:, :TRAINED]
    scaled: Array = (raw - train.mean(axis=1, keepdims=True)) / train.std(axis=1, keepdims=True)
    return scaled


def windows(values: Array, first: int, last: int, look_back: int, h: int) -> tuple[Array, Array]:
    """Pasts (columns, B, look_back) and futures (columns, B, h), these within [first, last)."""
    inside = values[:, first - look_back : last]
    view = np.lib.stride_tricks.sliding_window_view(inside, look_back + h, axis=1)
    return view[..., :look_back], view[..., look_back:]


def errors(forecast: Array, actual: Array) -> tuple[float, float]:
    """Mean squared and mean absolute error."""
    away = forecast - actual
    return float((away**2).mean()), float(np.abs(away).mean())


def ridge(values: Array, look_back: int, h: int) -> tuple[float, float]:
    """One linear map for all columns, of windows less their mean; its penalty by validation."""
    x, y, shift = [], [], []
    for first, last in ((look_back, TRAINED), (TRAINED, VALIDATED), (VALIDATED, TESTED)):
        past, future = windows(values, first, last, look_back, h)
        shift.append(past.mean(axis=2, keepdims=True))
        x.append(past - shift[-1])
        y.append(future - shift[-1])
    rows, targets = x[0].reshape(-1, look_back), y[0].reshape(-1, h)
    centre, level = rows.mean(axis=0), targets.mean(axis=0)
    size, axes = np.linalg.eigh((rows - centre).T @ (rows - centre))
    turned = axes.T @ ((rows - centre).T @ (targets - level))
    maps = [axes @ (turned / (size + penalty)[:, np.newaxis]) for penalty in PENALTIES]
    held = [errors((x[1] - centre) @ weights + level, y[1])[0] for weights in maps]
    return errors((x[2] - centre) @ maps[int(np.argmin(held))] + level, y[2])


def rules(values: Array, look_back: int, h: int) -> list[Row]:
    """What needs no training, and ridge regression."""
    past, future = windows(values, VALIDATED, TESTED, look_back, h)
    repeated = np.broadcast_to(past[..., -1:], future.shape)
    day = past[..., look_back - DAY + np.arange(h) % DAY]
    rows = [
        Row("repeat the last value", h, *([error] for error in errors(repeated, future)), 0.0),
        Row("repeat the last day", h, *([error] for error in errors(day, future)), 0.0),
    ]
    start = time.perf_counter()
    mse, mae = ridge(values, look_back, h)
    return [*rows, Row("ridge", h, [mse], [mae], time.perf_counter() - start)]


def segrnn(values: Array, look_back: int, h: int, seeds: int, options: dict[str, Any]) -> Row:
    """SegRNN as it comes, the weights that are best on the validation part."""
    scores, start = [], time.perf_counter()
    for seed in range(seeds):
        model = SegRNN(
            h, input_size=look_back, val_size=VALIDATED - TRAINED, seed=seed, verbose=0, **options
        )
        made = model.cross_validation(values, n_windows=TESTED - VALIDATED - h + 1, step_size=1)
        scores.append(errors(made["SegRNN"], made["y"]))
        print(f"  h {h} seed {seed}: mse {scores[-1][0]:.4f} mae {scores[-1][1]:.4f}", flush=True)
    seconds = (time.perf_counter() - start) / seeds
    return Row("SegRNN", h, *map(list, zip(*scores, strict=True)), seconds)


def table(rows: Sequence[Row]) -> str:
    """Of Markdown: a line for each model and horizon."""
    lines = [
        "| h | model | MSE | spread | MAE | seconds |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        spread = f"{np.ptp(row.mse):.4f}" if len(row.mse) > 1 else ""
        lines.append(
            f"| {row.h} | {row.model} | {np.mean(row.mse):.4f} | {spread} "
            f"| {np.mean(row.mae):.4f} | {row.seconds:.0f} |"
        )
    return "\n".join(lines)


def ett(
    folder: Path,
    horizons: Sequence[int] = (96, 192, 336, 720),
    look_back: int = 336,
    seeds: int = 3,
    univariate: bool = False,
    **options: Any,
) -> list[Row]:
    """All rows of the table of ETTh1.

    Parameters
    ----------
    folder : Path
        Where ETTh1.csv is.
    horizons : sequence of int
    look_back : int
        Hours that ridge and SegRNN see.
    seeds : int
        Runs of SegRNN.
    univariate : bool
        The oil temperature alone.
    **options
        Of ``SegRNN``.
    """
    values = etth1(folder, univariate)
    rows = []
    for h in horizons:
        rows += rules(values, look_back, h)
        if seeds:
            rows.append(segrnn(values, look_back, h, seeds, options))
    return rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["ett"])
    parser.add_argument("--data", type=Path, required=True, help="folder with ETTh1.csv")
    parser.add_argument("--horizons", default="96,192,336,720")
    parser.add_argument("--look-back", type=int, default=336)
    parser.add_argument("--seeds", type=int, default=3, help="runs of SegRNN; 0 for none")
    parser.add_argument("--univariate", action="store_true")
    parser.add_argument("--threads", type=int, default=fastlstm.get_num_threads())
    given = parser.parse_args()
    fastlstm.set_num_threads(given.threads)
    horizons = [int(h) for h in given.horizons.split(",")]
    rows = ett(given.data, horizons, given.look_back, given.seeds, given.univariate)
    print(table(rows))


if __name__ == "__main__":
    main()
