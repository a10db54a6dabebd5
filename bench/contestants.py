"""Those that ``accuracy.py`` compares: fastlstm's forecasters by their names, and their peers.

A contestant is a class with ``fit(data, left)``, which learns from all but the last ``left``
points, and ``forecast(data, left)``, the (S, h) steps that follow these.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.protocols import DAY, Data
from fastlstm import forecasting

Array = Any
# Hours that a peer sees where it is given what fastlstm has.
WEEK = 7 * DAY
STEPS, WINDOWS = 1000, 256


class NotInstalledError(Exception):
    """The package of a peer is missing."""


class Ours:
    """A forecaster of fastlstm at its defaults, but for ``options``."""

    def __init__(self, name: str, data: Data, seed: int, options: dict[str, Any]) -> None:
        kind = getattr(forecasting, name)
        given: dict[str, Any] = {"freq": "h", "seed": seed, "verbose": 0}
        if data.look_back is not None:
            given["input_size"] = data.look_back
        takes = inspect.signature(kind).parameters
        self.validates = data.validation > 0 and "val_size" in takes
        if self.validates:
            given["val_size"] = data.validation
        options = {key: value for key, value in options.items() if key in takes}
        self.model = kind(data.h, **{**given, **options})

    def fit(self, data: Data, left: int) -> None:
        # One that validates by itself is given that part too.
        left += 0 if self.validates else data.validation
        if data.stamps:
            self.model.fit(data.frame(left), futr_exog=data.known_ahead())
        else:
            self.model.fit(data.known(left))

    def forecast(self, data: Data, left: int) -> Array:
        if not data.stamps:
            known = data.known(left)
            if data.windows > 1:
                # Each forecast sees no more than a window, and the lags before it.
                most = 2 * (data.look_back or WEEK)
                known = {name: y[-most:] for name, y in known.items()}
            return np.atleast_2d(self.model.predict(known))
        ahead = data.frame(left, data.h) if data.columns else None
        table = self.model.predict(data.frame(left), futr_df=ahead)
        return table[self.model.name].to_numpy().reshape(-1, data.h)

    @property
    def notes(self) -> str:
        """What an automatic model has chosen."""
        chosen = getattr(self.model, "chosen_", None)
        return "" if chosen is None else f"chose {chosen.name}"


class NeuralForecastLSTM:
    """NeuralForecast's LSTM as it comes; ``look_back`` and windows as fastlstm's, where asked."""

    notes = ""

    def __init__(self, data: Data, seed: int, options: dict[str, Any], same: bool) -> None:
        try:
            from neuralforecast import NeuralForecast
            from neuralforecast.models import LSTM
        except ImportError as error:
            raise NotInstalledError("pip install neuralforecast") from error
        _quiet_lightning()
        given: dict[str, Any] = {
            "random_seed": seed,
            "futr_exog_list": data.known_ahead() or None,
            **_SILENT,
        }
        if same:
            given.update(input_size=WEEK, max_steps=STEPS, windows_batch_size=WINDOWS)
        if "max_steps" in options:
            given["max_steps"] = options["max_steps"]
        self.model = NeuralForecast(
            models=[LSTM(h=data.h, **given)], freq="h" if data.stamps else 1
        )

    def fit(self, data: Data, left: int) -> None:
        self.model.fit(data.frame(left), val_size=0)

    def forecast(self, data: Data, left: int) -> Array:
        ahead = data.frame(left, data.h) if data.columns else None
        table = self.model.predict(df=data.frame(left), futr_df=ahead)
        return table.sort_values(["unique_id", "ds"])["LSTM"].to_numpy().reshape(-1, data.h)


class DartsLSTM:
    """Darts' LSTM of a week, with as many updates and windows as fastlstm's are by default.

    Its own defaults have no look-back, and train for a hundred passes through all windows, which
    takes days of M4. Series are scaled to [0, 1] as its guide advises. ``BlockRNNModel`` gives all
    steps at once but takes no columns of the future, so that with these ``RNNModel`` goes step by
    step.
    """

    notes = ""

    def __init__(self, data: Data, seed: int, options: dict[str, Any]) -> None:
        try:
            import pytorch_lightning  # noqa: F401  # without it Darts' classes are empty ones
            from darts import TimeSeries
            from darts.dataprocessing.transformers import Scaler
            from darts.models import BlockRNNModel, RNNModel
        except ImportError as error:
            raise NotInstalledError("pip install darts torch pytorch-lightning") from error
        _quiet_lightning()
        self.series_of = TimeSeries.from_times_and_values
        self.scaler, self.column_scaler = Scaler(), Scaler()
        shortest = min(len(y) for y in data.known(data.held).values())
        given: dict[str, Any] = {
            "model": "LSTM",
            "input_chunk_length": min(data.look_back or WEEK, shortest - data.h - 1),
            "batch_size": options.get("batch_size", WINDOWS),
            "n_epochs": 10**6,
            "random_state": seed,
            "pl_trainer_kwargs": {
                **_SILENT, "accelerator": "cpu", "max_steps": options.get("max_steps", STEPS),
            },
        }  # fmt: skip
        if data.columns:
            length = given["input_chunk_length"] + data.h
            self.model = RNNModel(training_length=length, **given)
        else:
            self.model = BlockRNNModel(output_chunk_length=data.h, **given)

    def _series(self, data: Data, values: dict[str, Array]) -> list[Any]:
        """Darts' series of (n,) or (n, columns) values from the first stamp on."""
        import pandas as pd

        made = []
        for name, array in values.items():
            times = pd.RangeIndex(len(array))
            if data.stamps:
                times = pd.date_range(data.stamps[name][0], periods=len(array), freq="h")
            made.append(self.series_of(times, np.asarray(array, np.float32)))
        return made

    def _columns(self, data: Data, left: int, ahead: int) -> list[Any] | None:
        """What is known beside the series, that many steps beyond what is known of these."""
        if not data.columns:
            return None
        tables = {}
        for name, y in data.known(left).items():
            columns = data.columns[name].values()
            tables[name] = np.stack([column[: len(y) + ahead] for column in columns], axis=1)
        return self._series(data, tables)

    def fit(self, data: Data, left: int) -> None:
        scaled = self.scaler.fit_transform(self._series(data, data.known(left)))
        columns = self._columns(data, left, 0)
        if columns is None:
            self.model.fit(scaled)
        else:
            scaled_columns = self.column_scaler.fit_transform(columns)
            self.model.fit(scaled, future_covariates=scaled_columns)

    def forecast(self, data: Data, left: int) -> Array:
        scaled = self.scaler.transform(self._series(data, data.known(left)))
        columns, given = self._columns(data, left, data.h), {}
        if columns is not None:
            given["future_covariates"] = self.column_scaler.transform(columns)
        made = self.model.predict(data.h, series=scaled, verbose=False, **given)
        restored = self.scaler.inverse_transform(made)
        return np.stack([one.values()[:, 0] for one in restored])


class AutoETS:
    """statsforecast's exponential smoothing, of each series by itself; it knows no columns."""

    notes = ""

    def __init__(self, data: Data, seed: int, options: dict[str, Any]) -> None:
        try:
            from statsforecast.models import AutoETS as Model
        except ImportError as error:
            raise NotInstalledError("pip install statsforecast") from error
        self.new = lambda: Model(season_length=DAY)

    def fit(self, data: Data, left: int) -> None:
        self.models = [self.new().fit(y) for y in data.known(left).values()]

    def forecast(self, data: Data, left: int) -> Array:
        known = data.known(left).values()
        pairs = zip(self.models, known, strict=True)
        return np.stack([model.forward(y, data.h)["mean"] for model, y in pairs])


# Of Lightning's trainer, what it would write or draw.
_SILENT = {
    "enable_progress_bar": False,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
}


def _quiet_lightning() -> None:
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


PEERS: dict[str, Callable[[Data, int, dict[str, Any]], Any]] = {
    "NeuralForecast LSTM": lambda *given: NeuralForecastLSTM(*given, same=False),
    "NeuralForecast LSTM, a week": lambda *given: NeuralForecastLSTM(*given, same=True),
    "Darts LSTM, a week": DartsLSTM,
    "AutoETS": AutoETS,
}
# These look at the series alone; and the same at any seed are these.
ALONE = ("Naive", "SeasonalNaive", "Drift", "HoltWinters", "AutoETS")
CERTAIN = (*ALONE, "Ridge", "tuned ridge")


def ours() -> list[str]:
    """Names of fastlstm's forecasters: the rules first, the one that chooses last."""
    names = [name for name in forecasting.MODELS if name in CERTAIN]
    names += [name for name in forecasting.MODELS if name not in CERTAIN]
    return [*names, "Forecaster"]


def contestant(name: str, data: Data, seed: int, options: dict[str, Any]) -> Any:
    """The one of this name, not fitted."""
    if name in PEERS:
        return PEERS[name](data, seed, options)
    return Ours(name, data, seed, options)
