"""How long forecasts take: training beside NeuralForecast, many series at once, reading of windows.

    python bench/forecasting.py --peer-python OTHER_VENV/bin/python --rounds 3
    python bench/forecasting.py --parts predict,reading

``training`` starts a new process for fastlstm and one for NeuralForecast, in turn, round by round.
Both import what they need, and train and forecast with the same network, an LSTM of two layers and
two dense layers on its last states, the same number of windows and steps, by Adam on the mean
absolute error, a day ahead: 128 units over 128 windows of a week, and 64 units over 64 windows of
two days. A figure is the shortest whole life of a process, a ratio that of two such figures.
``predict`` forecasts a table of 10,000 series of 200 points, by models that learned from all of
them or from the first hundred. ``reading`` tells which part of training goes into making the
batches, by the processor's time of one thread, medians: of windows that are met for the first time,
and of those whose scales are known from an earlier pass, in the proportion that the model's own
number of steps has.
"""

from __future__ import annotations

import argparse
import inspect
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if __package__ in (None, ""):  # run as a file: the folder above is where imports start
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("training", "predict", "reading")
DAY, WEEK = 24, 168
# Seconds after which a forecast is not repeated.
PATIENCE = 10.0
MODELS = (
    *("MQRNN", "SegRNN", "Seq2Seq", "ESRNN", "DeepAR", "Ridge", "SeasonalNaive"),
    "Forecaster",
)
SERIES, POINTS, MANY, SHORT = 32, 1000, 10_000, 200


class Size(NamedTuple):
    """Of a network and its training."""

    units: int
    windows: int
    look_back: int


SIZES = {"large": Size(128, 128, WEEK), "small": Size(64, 64, 2 * DAY)}


def table(count: int, points: int) -> Any:
    """A long table of hourly series with a daily season."""
    import pandas as pd

    generator = np.random.default_rng(0)
    t = np.arange(points)
    y = 10 + np.sin(2 * np.pi * t / DAY) + 0.1 * generator.standard_normal((count, points))
    names = [f"s{number:05d}" for number in range(count)]
    stamps = pd.date_range("2024-01-01", periods=points, freq="h")
    return pd.DataFrame(
        {"unique_id": np.repeat(names, points), "ds": np.tile(stamps, count), "y": y.ravel()}
    )


# -- training --------------------------------------------------------------------------------------


def train_ours(size: Size, steps: int, threads: int) -> None:
    """The network in fastlstm, in a new process."""
    import fastlstm
    from fastlstm.forecasting.network import NetworkForecaster
    from fastlstm.layers import LSTM, Cropping1D, Dense, Input
    from fastlstm.models import Model

    class PlainLSTM(NetworkForecaster):
        def _learned(self) -> Any:
            return np.array([0.5])

        def _network(self, sizes: Any) -> Any:
            past = Input((sizes.look_back, sizes.past), name="past")
            inputs = [past]
            if sizes.future:
                inputs.append(Input((sizes.horizon, sizes.future), name="future"))
            x = LSTM(self.units, return_sequences=True)(past)
            x = LSTM(self.units, return_sequences=True)(x)
            x = Cropping1D((sizes.look_back - sizes.horizon, 0))(x)
            x = Dense(sizes.outputs)(Dense(self.units, activation="relu")(x))
            return Model([past], x)

        def _inputs(self, *given: Any) -> dict[str, Any]:
            return {"past": super()._inputs(*given)["past"]}

    fastlstm.set_num_threads(threads)
    model = PlainLSTM(
        DAY, "h", size.look_back, scaler="robust", units=size.units, max_steps=steps,
        batch_size=size.windows,
        learning_rate=1e-3, verbose=0,
    )  # fmt: skip
    assert len(model.fit(table(SERIES, POINTS)).predict()) == SERIES * DAY


def train_theirs(size: Size, steps: int, threads: int) -> None:
    """The same in NeuralForecast."""
    import logging
    import warnings

    import torch

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    model = LSTM(
        h=DAY, input_size=size.look_back, encoder_n_layers=2, encoder_hidden_size=size.units,
        decoder_hidden_size=size.units, decoder_layers=2, max_steps=steps, batch_size=SERIES,
        windows_batch_size=size.windows, learning_rate=1e-3, scaler_type="robust", logger=False,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    forecaster = NeuralForecast(models=[model], freq="h")
    forecaster.fit(table(SERIES, POINTS))
    assert len(forecaster.predict()) == SERIES * DAY


def training(given: argparse.Namespace) -> None:
    """Whole processes in turn."""
    pythons = {"ours": sys.executable, "theirs": given.peer_python}
    known = subprocess.run(
        [given.peer_python, "-c", "import neuralforecast"], capture_output=True, check=False
    )
    if known.returncode:
        print(f"training: skipped, neuralforecast is not installed for {given.peer_python}")
        return
    for kind in given.sizes.split(","):
        size = SIZES[kind]
        start_process(pythons["ours"], "ours", kind, 1, given.threads)  # compiled once, ever
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in pythons}
        for _ in range(given.rounds):
            for name, python in pythons.items():
                life = start_process(python, name, kind, given.steps, given.threads)
                seconds[name].append(life)
                told = f"  {name}: {life[0]:.1f} s, {life[1]:.1f} s of processors"
                print(told, file=sys.stderr, flush=True)
        for what, place in (("seconds", 0), ("seconds of processors", 1)):
            ours, theirs = (min(life[place] for life in seconds[name]) for name in pythons)
            print(
                f"training: {size.units} units, {given.steps} steps of {size.windows} windows of "
                f"{size.look_back}, from import to forecast, {what}: fastlstm {ours:.1f}, "
                f"NeuralForecast {theirs:.1f}, {theirs / ours:.1f} times"
            )


def start_process(
    python: str, name: str, kind: str, steps: int, threads: int
) -> tuple[float, float]:
    """Seconds of the whole life of a process, by the clock and of processors."""
    start, before = time.perf_counter(), os.times()
    subprocess.run(
        [
            python,
            __file__,
            "--life",
            name,
            "--sizes",
            kind,
            "--steps",
            str(steps),
            "--threads",
            str(threads),
        ],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = os.times()
    cpu = after.children_user + after.children_system
    return (
        time.perf_counter() - start,
        cpu - before.children_user - before.children_system,
    )


# -- many series, and reading ----------------------------------------------------------------------


def predict(given: argparse.Namespace) -> None:
    """A table of many series, met in the fit or not; networks are fitted for a few steps."""
    from fastlstm import forecasting

    frame = table(MANY, SHORT)
    some = frame[: 100 * SHORT]
    for name in given.models.split(","):
        kind = getattr(forecasting, name)
        options = {"max_steps": 2} if "max_steps" in inspect.signature(kind).parameters else {}
        for which, learned in (("known", frame), ("new", some)):
            if name == "Forecaster" and which == "known":
                continue  # its fit compares models on all of them, for minutes
            model = kind(DAY, "h", verbose=0, **options).fit(learned)
            model.predict(some)
            wall, cpu = [], []
            while len(wall) < given.rounds and sum(wall) < PATIENCE:
                start, began = time.perf_counter(), time.process_time()
                made = model.predict(frame)
                wall.append(time.perf_counter() - start)
                cpu.append(time.process_time() - began)
            assert len(made) == MANY * DAY
            print(
                f"predict: {MANY} series of {SHORT} points, {which}, by {name}: {min(wall):.2f} s, "
                f"{min(cpu):.2f} s of processors",
                flush=True,
            )


def reading(given: argparse.Namespace) -> None:
    """Processor time of a batch and of the step that it is for, on one thread."""
    import fastlstm
    from fastlstm import forecasting
    from fastlstm.forecasting.fitting import TOGETHER
    from fastlstm.forecasting.windows import WindowList, WindowReader

    fastlstm.set_num_threads(1)
    frame = table(400, 750)
    generator = np.random.default_rng(0)
    frame["one"], frame["other"] = generator.standard_normal((2, len(frame)))
    for name, columns in (("MQRNN", 0), ("MQRNN", 2), ("SegRNN", 0), ("SegRNN", 2)):
        model = getattr(forecasting, name)(2 * DAY, "h", max_steps=1, verbose=0)
        model.fit(frame, futr_exog=["one", "other"][:columns])
        reader = WindowReader(model._transformed(model.panel_), model.input_size_, model.h)
        series, origins = reader.origins(model.input_size_)
        windows = WindowList(reader, series, origins, 2 * len(series))
        size, network, rounds = model._batch_size, model.models_[0], 5 * given.rounds
        # As training does, several batches at a time.
        several = TOGETHER // size
        order = np.random.default_rng(0).permutation(len(series))[: TOGETHER * rounds]
        passes: dict[str, list[float]] = {"first": [], "later": []}
        steps = []
        for times in passes.values():
            for index in order.reshape(rounds, TOGETHER):
                before = time.process_time()
                x, y, weight = model._batch(windows.read(index))
                times.append((time.process_time() - before) / several)
                for first in range(0, TOGETHER, size):
                    rows = slice(first, first + size)
                    given_x = {name: one[rows] for name, one in x.items()}
                    data = network.prepare(given_x, y[rows], weight[rows])
                    before = time.process_time()
                    network.train_on_batch(data, None)
                    steps.append(time.process_time() - before)
        first, later, step = (float(np.median(times)) for times in (*passes.values(), steps))
        count = type(model)(model.h)._steps_of(len(series))
        new = min(1.0, len(series) / (count * size))
        batch = new * first + (1 - new) * later
        part = batch / (batch + step)
        print(
            f"reading: {name}, {columns} columns: a batch first {1e3 * first:.2f} ms, later "
            f"{1e3 * later:.2f}; its step {1e3 * step:.1f} ms: {100 * part:.1f} % of training, "
            f"{count} steps, of which {100 * new:.0f} % read windows for the first time"
        )


def main() -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--sizes", default=",".join(SIZES), help="of training")
    parser.add_argument("--steps", type=int, default=200, help="of training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default=",".join(MODELS), help="of predict")
    parser.add_argument("--peer-python", default=sys.executable, help="where NeuralForecast is")
    parser.add_argument("--life", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.life:
        life = {"ours": train_ours, "theirs": train_theirs}[given.life]
        life(SIZES[given.sizes], given.steps, given.threads)
        return
    for kind in given.sizes.split(","):
        if kind not in SIZES:
            parser.error(f"--sizes expects some of {','.join(SIZES)}, got {kind!r}")
    for part in given.parts.split(","):
        if part not in PARTS:
            parser.error(f"--parts expects some of {','.join(PARTS)}, got {part!r}")
        {"training": training, "predict": predict, "reading": reading}[part](given)


if __name__ == "__main__":
    main()
