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
        warnings.filterwarnings("ignore")
        for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        given: dict[str, Any] = {
            "random_seed": seed,
            "futr_exog_list": data.known_ahead() or None,
            "enable_progress_bar": False,
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
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


PEERS: dict[str, Callable[[Data, int, dict[str, Any]], Any]] = {
    "NeuralForecast LSTM": lambda *given: NeuralForecastLSTM(*given, same=False),
    "NeuralForecast LSTM, a week": lambda *given: NeuralForecastLSTM(*given, same=True),
    "AutoETS": AutoETS,
}
# The same at any seed.
CERTAIN = ("Naive", "SeasonalNaive", "Drift", "HoltWinters", "Ridge", "AutoETS", "tuned ridge")


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
