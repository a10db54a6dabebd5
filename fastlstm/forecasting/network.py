"""Forecasters whose network maps a window of the past to all steps to come at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.each import OneForEach
from fastlstm.forecasting.fitting import Batch, go_on, train
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.inputs import Inputs, binary_columns, spread_of
from fastlstm.forecasting.intervals import between, quantiles_of
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.sliding import WindowLive
from fastlstm.forecasting.streaming import Live
from fastlstm.forecasting.transforming import (
    SERIES_SCALERS,
    Transforms,
    check_scaler,
    check_transform,
)
from fastlstm.forecasting.updates import Updates
from fastlstm.forecasting.windows import WindowList, WindowReader, Windows
from fastlstm.losses import Quantile
from fastlstm.models import Model
from fastlstm.optimizers import Adam
from fastlstm.optimizers.schedules import CosineDecay
from fastlstm.randomness import drawing_from
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# Those that are learned whatever is asked for; others are taken from between them.
_QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
# Windows that are forecast at a time.
_TOGETHER = 1024


class Sizes(NamedTuple):
    """What a network is made for: steps, columns of each input, outputs of a step, series."""

    look_back: int
    horizon: int
    season: int
    past: int
    future: int
    static: int
    outputs: int
    series: int


class NetworkForecaster(Inputs, Updates, BaseForecaster):
    """Base class of the forecasters that are networks over windows.

    A window is scaled by itself, so that series of any level are alike. The network answers in
    units of the window, and is trained on the pinball loss of several quantiles at once. Where more
    steps are asked for than the network gives, it goes on from its own medians.

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
        How the values that the network sees are scaled:

        ====================  ============================================================
        "standard"            each window by itself: less its mean, over its deviation
        "robust"              each window: less its median, over the quartiles' distance
        "mean"                each window: over the mean of its absolute values
        "last"                each window: less its last value, over its deviation
        "series_standard"     all windows of a series alike, by the series' mean and deviation
        "series_robust"       the same by median and quartiles
        "series_minmax"       the same, its least value 0 and its largest 1
        None                  not at all
        ====================  ============================================================
    season_length : int, optional
        Steps after which the series repeat, by default what the frequency suggests: a day of hours,
        a year of months. Of stamps that are whole numbers it is 1, so say it if there is one.
    units : int, optional
        Size of the recurrent state; by default 128, and 16 of a network for one series.
    max_steps : int, optional
        Updates. By default 4000, or as many as see each window 10 times if these are fewer, but at
        least 200. Of series that have fewer values in all than the network has weights, so that it
        could learn them by heart, these are the most: a first network learns without the last fifth
        of each series, and as many are taken as forecast that fifth best.
    batch_size : int, optional
        Windows of each; by default 256, and 32 of a network for one series.
    learning_rate : float
        Of Adam at the beginning; it falls to nothing along a cosine.
    members : int
        Networks, each from weights of its own, whose quantiles are averaged.
    patience : int, optional
        Hold out the last ``h`` points of each series and stop when that loss has failed to improve
        so often, of 20 looks; the best weights come back. By default train on all points.
    conformal : bool, optional
        Calibrate intervals: a copy of the network learns without the last points of each series and
        forecasts them; intervals become so much wider or narrower, step by step, that they would
        have held there what they promise. That takes as long again as the fit. Where values come
        later, in ``cross_validation``, ``update`` and ``step``, intervals follow how many of these
        they held. By default where ``level`` is given.
    transform : str, optional
        What is done to the values of each series before all else, and taken back in forecasts:
        "log1p", log(1 + y) of values from 0 on; "boxcox", of positive values, their likeliest
        power; "difference", changes from one season to the next. By default nothing.
    alias : str, optional
        Name of the column of forecasts; the class's by default.

    Attributes
    ----------
    models_ : list of Model
        The networks.
    history_ : list of dict of str to list of float
        Of each network "loss" and "val_loss" on the way, and "step".
    steps_ : int
        Updates that were taken, unless ``patience`` ended them.
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
        season_length: int | None = None,
        units: int | None = None,
        max_steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 2e-3,
        members: int = 1,
        patience: int | None = None,
        conformal: bool | None = None,
        transform: str | None = None,
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.scaler, self.season_length = (
            seed,
            verbose,
            scaler,
            season_length,
        )
        self.units, self.max_steps, self.batch_size = units, max_steps, batch_size
        self.learning_rate, self.members = learning_rate, members
        self.patience, self.conformal, self.alias = patience, conformal, alias
        self.transform = transform

    units: Any
    batch_size: Any
    models_: list[Any]

    # Whether one network learns from all series; otherwise each has one of its own.
    pooled = True

    @property
    def _units(self) -> int:
        """Size of the recurrent state."""
        return self.units or (128 if self.pooled else 16)

    @property
    def _batch_size(self) -> int:
        """Windows of an update."""
        return self.batch_size or (256 if self.pooled else 32)

    @abstractmethod
    def _network(self, sizes: Sizes) -> Model:
        """A network from "past" (L, D), "future" (h, F) and "static" (C,) to (h, Q).

        Inputs without columns are left out.
        """

    def _check(self) -> None:
        super()._check()
        whole_number(self.members, "members")
        for name in ("units", "batch_size", "season_length", "max_steps", "patience"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name)
        if self.conformal not in (None, True, False):
            raise ValueError(f"conformal expects True, False or None, got {self.conformal!r}")
        check_transform(self.transform)
        self._check_scaler()

    def _check_scaler(self) -> None:
        check_scaler(self.scaler)

    def _fit(self, panel: Panel) -> None:
        generator = np.random.default_rng(self.seed)
        self.season_ = self.season_length or panel.frequency.season
        self.input_size_ = self.input_size or usual_look_back(panel, self.h, self.season_)
        self.quantiles_ = self._learned()
        self._binary = binary_columns(panel)
        self._static = spread_of(panel.static)
        held = self._held()
        self._transforms = Transforms.of(self.transform, panel, self.season_)
        transformed = self._transformed(panel)
        if self.scaler in SERIES_SCALERS:
            kind = SERIES_SCALERS[self.scaler]
            self._series_scalers = Transforms.of(kind, transformed.take([]), self.season_)
        self._meet(transformed)
        reader = WindowReader(transformed, self.input_size_, self.h)
        series, origins = reader.origins(min(self.input_size_, 2 * self.h), held)
        counts = np.bincount(series, minlength=len(panel))
        if not (counts.any() if self.pooled else counts.all()):
            raise ValueError(self._too_short(panel, held, counts))
        x, _, _ = self._batch(reader.read(series[:1], origins[:1]))
        sizes = self._sizes(x, len(panel))

        validation = None
        if held:
            validation = self._batch(reader.read(*self._held_out(panel, reader, held)))
        windows = len(series) if self.pooled else int(np.median(counts))
        steps = self._steps_of(windows)
        reads = self.members * steps * self._batch_size
        trained = WindowList(reader, series, origins, reads)

        def batch_of(index: Array) -> Batch:
            return self._batch(trained.read(index))

        self._look_at(trained)
        self.models_, self.history_ = [], []

        def made(steps: int) -> Model:
            model = self._network(sizes)
            rate, loss = CosineDecay(self.learning_rate, steps), Quantile(self.quantiles_.tolist())
            model.compile(Adam(rate, global_clipnorm=1.0), loss)
            return model

        self.steps_ = self._steps_that_hold(transformed, reader, made, steps)
        for _ in range(self.members):
            with drawing_from(generator):
                model = made(self.steps_)
                if not self.pooled:
                    each = OneForEach(model, panel.ids, counts)
                    self.history_ += each.train(
                        batch_of,
                        steps=steps,
                        batch_size=self._batch_size,
                        seed=int(generator.integers(2**32)),
                        validation=validation,
                        patience=self.patience,
                        verbose=self.verbose,
                    )
                    self.models_.append(each)
                    continue
                history = train(
                    model,
                    batch_of,
                    len(series),
                    steps=self.steps_,
                    batch_size=self._batch_size,
                    generator=generator,
                    validation=validation,
                    patience=self.patience,
                    verbose=self.verbose,
                    ahead=True,
                )
            self.models_.append(model)
            self.history_.append(history)

    def _sizes(self, x: dict[str, Array], series: int) -> Sizes:
        """What a network is made for, by the inputs of a window and the number of series."""
        return Sizes(
            self.input_size_,
            self.h,
            self.season_,
            x["past"].shape[-1],
            x["future"].shape[-1] if "future" in x else 0,
            x["static"].shape[-1] if "static" in x else 0,
            len(self.quantiles_),
            series if self.pooled else 1,
        )

    def _go_on(self, panel: Panel, steps: int) -> None:
        seen = self._transformed(panel)
        self._meet(seen)
        reader = WindowReader(seen, self.input_size_, self.h)
        self.models_ = go_on(self, reader, steps=steps, batch_size=self._batch_size)

    # -- what a model may do its own way -----------------------------------------------------------

    def _transformed(self, panel: Panel) -> Panel:
        """The series as the network sees them, before windows are scaled."""
        return self._transforms.transform(panel)

    def _restored(self, values: Array, panel: Panel) -> Array:
        """(S, h, Q) values of the series, from those of the series that the network sees."""
        middle = int(np.searchsorted(self.quantiles_, 0.5))
        return self._transforms.quantiles_back(values, panel, middle)

    def _meet(self, seen: Panel) -> None:
        """Take note of series, as the network sees them, that were not there in ``fit``."""
        if self.scaler in SERIES_SCALERS:
            self._series_scalers.fitted.update(self._series_scalers.each(seen))

    def _learned(self) -> Array:
        """(Q,) the quantiles that the network learns, in rising order."""
        return np.union1d(_QUANTILES, quantiles_of(self.level or ()))

    def _look_at(self, windows: WindowList) -> None:
        """Find out what the network should know of the windows before it learns from them."""

    def _held(self) -> int:
        """Points at the end of each series that are not trained on."""
        return 0 if self.patience is None else self.h

    def _held_out(self, panel: Panel, reader: WindowReader, held: int) -> tuple[Array, Array]:
        """Series and steps of the windows to validate on: one at the end of each series."""
        ends = panel.lengths - held
        fits = np.flatnonzero(ends > 0)
        return fits, ends[fits]

    def _reach(self) -> int | None:
        return self.input_size_ + (self.season_ if self.transform == "difference" else 0)

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
        windows, (shift, scale) = self._last(panel, future)
        given = self._inputs(windows, shift, scale)
        each = [self._answers(model, given, windows.ids) for model in self.models_]
        answers = np.mean([np.sort(one, axis=2) for one in each], axis=0, dtype=np.float64)
        made = self._restored(answers * scale[..., np.newaxis] + shift[..., np.newaxis], panel)
        middle = int(np.searchsorted(self.quantiles_, 0.5))
        return made[..., middle], between(made, self.quantiles_, quantiles)

    def _last(self, panel: Panel, future: Array | None) -> tuple[Windows, tuple[Array, Array]]:
        """The window at the end of each series, and how it is scaled."""
        seen = self._transformed(panel)
        self._meet(seen)
        # All that is not in a window may be long.
        seen = seen.since(np.maximum(seen.lengths - self.input_size_, 0))
        windows = WindowReader(seen, self.input_size_, self.h, future).last()
        return windows, self._scales(windows)

    def _answers(self, model: Any, given: dict[str, Array], ids: Array) -> Array:
        """(B, h, Q) what a network, or that of each of these series, makes of windows."""
        if self.pooled:
            made: Array = model.predict(given, batch_size=_TOGETHER, verbose=0)
            return made
        answers: Array = model.predict(given, ids)
        return answers

    def _live(self, panel: Panel) -> Live:
        networks = all(isinstance(model, Model) for model in self.models_)
        # These are done to whole series, as is what a class does in a way of its own.
        whole = self.transform is not None or self.scaler in SERIES_SCALERS
        own = type(self)._transformed is not NetworkForecaster._transformed
        if not networks or whole or (own and not hasattr(self, "log")):
            return Live(self, panel)
        return WindowLive(self, panel, getattr(self, "log", False))

    def _too_short(self, panel: Panel, held: int, counts: Array) -> str:
        needed = min(self.input_size_, 2 * self.h) + self.h + held
        name = type(self).__name__
        if not self.pooled and counts.any():
            short = np.flatnonzero(counts == 0)
            some = ", ".join(f"{panel.ids[s]!r} has {panel.lengths[s]}" for s in short[:5])
            return (
                f"{name} with pooled=False and h={self.h} learns from each series by itself, which "
                f"takes {needed} points; {len(short)} of {len(panel)} have too few, or no values: "
                f"{some}. Leave these out, or fit with pooled=True"
            )
        if panel.lengths.max() >= needed:
            return (
                f"{name} with h={self.h} needs a series that has values beyond its first "
                f"{needed - self.h - held} points to learn from, but of {len(panel)} none has: "
                "all that come later are missing"
            )
        return (
            f"{name} with h={self.h} needs a series of at least {needed} points to "
            f"learn from, but the longest of {len(panel)} has {panel.lengths.max()}"
        )


def usual_look_back(panel: Panel, h: int, season: int | None = None) -> int:
    """Whole seasons of the past to see, more steps than to forecast, if there are so many."""
    season = season or panel.frequency.season
    wanted = max(2 * h, 7 * season if season in (24, 48, 96) else 2 * season)
    seasons = -(-wanted // season) * season
    longest = int(panel.lengths.max()) - h
    return max(1, min(seasons, longest))
