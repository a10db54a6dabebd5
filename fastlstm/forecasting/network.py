"""Forecasters whose network maps a window of the past to all steps to come at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster, Forecast
from fastlstm.forecasting.fitting import Batch, train
from fastlstm.forecasting.intervals import between, quantiles_of
from fastlstm.forecasting.logarithm import logarithms, powers, switches
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.scaling import window_scaler
from fastlstm.forecasting.seasonal import relative, repeated
from fastlstm.forecasting.windows import WindowReader, Windows
from fastlstm.losses import Quantile
from fastlstm.models import Model
from fastlstm.optimizers import Adam
from fastlstm.optimizers.schedules import CosineDecay
from fastlstm.randomness import drawing_from
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# Those that are learned whatever is asked for; others are taken from between them.
_QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
# Updates by default, and how often a window is seen at most.
_FEWEST_STEPS, _MOST_STEPS, _PASSES = 200, 4000, 100
# Windows that tell what is usual.
_SAMPLE = 4096
# Windows that are forecast at a time.
_TOGETHER = 1024


class Sizes(NamedTuple):
    """What a network is made for: steps, horizon, columns of each input, outputs of a step."""

    look_back: int
    horizon: int
    season: int
    past: int
    future: int
    static: int
    outputs: int


class NetworkForecaster(BaseForecaster):
    """Base class of the forecasters that are networks over windows.

    Series whose values are all well above zero are taken by their logarithms, since they mostly
    grow and swing in proportion. A window is scaled by itself, so that series of any level are
    alike. The network answers by how much the last season should be corrected, in units of how much
    seasons differ, and is trained on the pinball loss of several quantiles at once. Half of a
    window's weight is for errors in these units, half for errors in proportion to its level, so
    that neither very regular nor very irregular series are all that counts. Where more steps are
    asked for than the network gives, it goes on from its own medians.

    Parameters
    ----------
    h : int
        Steps to forecast.
    freq : str or int, optional
        Of the stamps, as pandas writes it ("h", "D", "MS", "15min"), or steps of whole numbers;
        found out by default.
    input_size : int, optional
        Steps of the past that a forecast sees; by default from the season and ``h``.
    level : sequence of float, optional
        Coverage of prediction intervals in per cent, such as [80, 95].
    seed : int
        Where initial weights and the order of the windows come from; the same seed gives the same
        bits.
    verbose : int
        1 a progress bar, 0 nothing.
    scaler : str or None
        How the window that the network sees is scaled: "standard", "robust", "mean", "last", None.
    season : int, optional
        Steps after which the series repeat, by default what the frequency suggests: a day of hours,
        a year of months. Of stamps that are whole numbers it is 1, so say it if there is one.
    log : bool or None
        Take logarithms, which needs positive values; by default (None) of each series whose values
        are all greater than a hundredth of their median.
    units : int
        Size of the recurrent state.
    max_steps : int, optional
        Updates. By default 4000, or as many as see each window 100 times if these are fewer, but at
        least 200.
    batch_size : int
        Windows of each.
    learning_rate : float
        Of Adam at the beginning; it falls to nothing along a cosine.
    members : int
        Networks, each from weights of its own, whose quantiles are averaged.
    patience : int, optional
        Hold out the last ``h`` points of each series and stop when that loss has failed to improve
        so often, of 20 looks; the best weights come back. By default train on all points.
    alias : str, optional
        Name of the column of forecasts; the class's by default.

    Attributes
    ----------
    models_ : list of Model
        The networks.
    history_ : list of dict of str to list of float
        Of each network "loss" and "val_loss" on the way, and "step".
    """

    def __init__(
        self,
        h: int,
        freq: str | int | None = None,
        input_size: int | None = None,
        level: Sequence[float] | None = None,
        seed: int = 0,
        verbose: int = 1,
        *,
        scaler: str | None = "standard",
        season: int | None = None,
        log: bool | None = None,
        units: int = 128,
        max_steps: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        members: int = 1,
        patience: int | None = None,
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.scaler, self.units = seed, verbose, scaler, units
        self.season, self.log, self.members = season, log, members
        self.max_steps, self.batch_size, self.learning_rate = max_steps, batch_size, learning_rate
        self.patience, self.alias = patience, alias

    @abstractmethod
    def _network(self, sizes: Sizes) -> Model:
        """A network from "past" (L, D), "future" (h, F) and "static" (C,) to (h, Q).

        Inputs without columns are left out.
        """

    def _check(self) -> None:
        super()._check()
        for name in ("units", "batch_size", "members"):
            whole_number(getattr(self, name), name)
        for name in ("season", "max_steps", "patience"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name)
        if self.log not in (None, True, False):
            raise ValueError(f"log expects True, False or None, got {self.log!r}")
        window_scaler(self.scaler)

    def _fit(self, panel: Panel) -> None:
        generator = np.random.default_rng(self.seed)
        self.season_ = self.season or panel.frequency.season
        self.input_size_ = self.input_size or usual_look_back(panel, self.h, self.season_)
        self.quantiles_ = np.union1d(_QUANTILES, quantiles_of(self.level or ()))
        self._scaler = window_scaler(self.scaler)
        self._binary = _binary_columns(panel)
        self._static = _spread_of(panel.static)
        held = 0 if self.patience is None else self.h
        self._taken = switches(panel, self.log)
        reader = WindowReader(logarithms(panel, self._taken), self.input_size_, self.h)
        series, origins = reader.origins(min(self.input_size_, 2 * self.h), held)
        if not len(series):
            raise ValueError(self._too_short(panel, held))
        some = np.linspace(0, len(series) - 1, min(len(series), _SAMPLE)).astype(np.int64)
        sample = reader.read(series[some], origins[some])
        usual = float(self._relative(sample, repeated(sample.past, self.season_, self.h)[1]).mean())
        self._usual = usual or 1.0
        x, _, _ = self._batch(reader.read(series[:1], origins[:1]))
        sizes = Sizes(
            self.input_size_,
            self.h,
            self.season_,
            x["past"].shape[-1],
            x["future"].shape[-1] if "future" in x else 0,
            x["static"].shape[-1],
            len(self.quantiles_),
        )
        validation = None
        if held:
            ends = panel.lengths - held
            fits = np.flatnonzero(ends > 0)
            validation = self._batch(reader.read(fits, ends[fits]))
        steps = self.max_steps or usual_steps(len(series), self.batch_size)
        self.models_, self.history_ = [], []
        for _ in range(self.members):
            with drawing_from(generator):
                model = self._network(sizes)
            rate = CosineDecay(self.learning_rate, steps)
            model.compile(Adam(rate, global_clipnorm=1.0), Quantile(self.quantiles_.tolist()))
            history = train(
                model,
                lambda index: self._batch(reader.read(series[index], origins[index])),
                len(series),
                steps=steps,
                batch_size=self.batch_size,
                generator=generator,
                validation=validation,
                patience=self.patience,
                verbose=self.verbose,
            )
            self.models_.append(model)
            self.history_.append(history)

    def _batch(self, windows: Windows) -> Batch:
        """Inputs, targets and weights of windows, scaled."""
        base, unit = repeated(windows.past, self.season_, self.h)
        weight = 0.5 + 0.5 * self._relative(windows, unit) / self._usual
        return (
            self._inputs(windows, unit),
            _filled((windows.target - base) / unit)[..., np.newaxis],
            (np.isfinite(windows.target) * weight).astype(np.float32),
        )

    def _relative(self, windows: Windows, unit: Array) -> Array:
        return relative(windows.past, unit, self._taken[windows.series])

    def _inputs(self, windows: Windows, unit: Array) -> dict[str, Array]:
        present = np.isfinite(windows.past)
        shift, scale = self._scaler.fit(windows.past, present)
        past_x, future_x = self._scaled_columns(windows, present)
        values = _filled((windows.past - shift) / scale)
        past = np.concatenate(
            [values[..., np.newaxis], present[..., np.newaxis], past_x], axis=2, dtype=np.float32
        )
        mean, spread = self._static
        scales = [_comparison(unit, scale), _comparison(scale, np.abs(shift))]
        static = np.concatenate([*scales, (windows.static - mean) / spread], axis=1)
        inputs = {"past": past, "static": static.astype(np.float32)}
        if future_x.shape[2]:
            inputs["future"] = future_x
        return inputs

    def _scaled_columns(self, windows: Windows, present: Array) -> tuple[Array, Array]:
        """The other columns, those that are no flags in units of their spread in the window."""
        past, future = windows.past_x.copy(), windows.future_x.copy()
        began = np.logical_or.accumulate(present, axis=1)[..., np.newaxis]
        count = np.maximum(began.sum(axis=1, keepdims=True), 1)
        free = ~self._binary
        columns = past[..., : len(free)][..., free]
        mean = np.where(began, columns, 0).sum(axis=1, keepdims=True) / count
        spread = np.sqrt(
            (np.where(began, columns - mean, 0) ** 2).sum(axis=1, keepdims=True) / count
        )
        spread[spread < 1e-6 * (1 + np.abs(mean))] = 1.0
        places = np.flatnonzero(free)
        past[..., places] = np.where(began, (columns - mean) / spread, 0)
        hist = past.shape[2] - future.shape[2]
        for n, place in enumerate(places):
            if place >= hist:
                column = future[..., place - hist]
                future[..., place - hist] = (column - mean[..., n]) / spread[..., n]
        return past, future

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        points, bands = [], []
        for first in range(0, h, self.h):
            given = None
            if future is not None and future.shape[2]:
                given = np.zeros((len(panel), self.h, future.shape[2]))
                given[:, : h - first] = future[:, first : first + self.h]
            point, band = self._block(panel, given, quantiles)
            points.append(point)
            bands.append(band)
            if first + self.h < h:
                panel = panel.extended(point, given)
        return Forecast(np.concatenate(points, axis=1)[:, :h], np.concatenate(bands, axis=1)[:, :h])

    def _block(self, panel: Panel, future: Array | None, quantiles: Array) -> tuple[Array, Array]:
        """The next h steps of each series: median and quantiles."""
        taken = switches(panel, self.log)
        reader = WindowReader(logarithms(panel, taken), self.input_size_, self.h, future)
        windows = reader.last()
        base, unit = repeated(windows.past, self.season_, self.h)
        given = self._inputs(windows, unit)
        each = [
            np.sort(model.predict(given, batch_size=_TOGETHER, verbose=0), axis=2)
            for model in self.models_
        ]
        answers = np.mean(each, axis=0, dtype=np.float64)
        made = powers(answers * unit[..., np.newaxis] + base[..., np.newaxis], taken)
        middle = int(np.searchsorted(self.quantiles_, 0.5))
        return made[..., middle], between(made, self.quantiles_, quantiles)

    def _too_short(self, panel: Panel, held: int) -> str:
        needed = min(self.input_size_, 2 * self.h) + self.h + held
        return (
            f"{type(self).__name__} with h={self.h} needs a series of at least {needed} points to "
            f"learn from, but the longest of {len(panel)} has {panel.lengths.max()}"
        )


def usual_look_back(panel: Panel, h: int, season: int | None = None) -> int:
    """Steps of the past to see: whole seasons, more than are forecast, if there are so many."""
    season = season or panel.frequency.season
    wanted = max(2 * h, 7 * season if season in (24, 48, 96) else 2 * season)
    seasons = -(-wanted // season) * season
    longest = int(panel.lengths.max()) - h
    return max(1, min(seasons, longest))


def usual_steps(windows: int, batch_size: int) -> int:
    """Updates that so many windows are worth."""
    return int(np.clip(-(-_PASSES * windows // batch_size), _FEWEST_STEPS, _MOST_STEPS))


def _binary_columns(panel: Panel) -> Array:
    """(K + F,) of historic and future columns, which are only 0 and 1."""
    columns = np.concatenate([panel.hist, panel.futr], axis=1)
    return np.asarray(np.isin(columns, (0.0, 1.0)).all(axis=0))


def _filled(values: Array) -> Array:
    """Zero where there is no value, in single precision."""
    filled: Array = np.nan_to_num(values, nan=0.0).astype(np.float32)
    return filled


def _spread_of(columns: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of columns, 1 where they do not vary."""
    spread = columns.std(axis=0)
    varies = spread > 1e-10 * np.abs(columns).max(axis=0)
    return columns.mean(axis=0), np.where(varies, spread, 1.0)


def _comparison(one: Array, other: Array) -> Array:
    """How much larger one is than the other, in about single digits, also where one is 0."""
    least = 1e-3 * (one + other) + 1e-30
    return 0.3 * np.log((one + least) / (other + least))
