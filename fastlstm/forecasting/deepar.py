"""DeepAR: a recurrent network that forecasts one step, and goes on from what it drew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame, recursion
from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.distributions import distribution
from fastlstm.forecasting.fitting import Batch, go_on, train
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.network import spread_of, usual_steps
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.scaling import window_scaler
from fastlstm.forecasting.transforming import Transforms, check_transform
from fastlstm.forecasting.windows import WindowReader, Windows
from fastlstm.optimizers import Adam
from fastlstm.optimizers.schedules import CosineDecay
from fastlstm.randomness import drawing_from
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# Rows of a stream: as many paths of several series as go through it side by side.
_ROWS = 4096
# What the network sees of a draw is kept within this, in units of the window.
_FARTHEST = 1e6
# Usual look-backs are not longer.
_LONGEST_LOOK_BACK = 336


class _Columns(NamedTuple):
    """Mean and spread of the columns known in the future, and of those of a series."""

    known: tuple[Array, Array]
    static: tuple[Array, Array]


class DeepAR(BaseForecaster):
    """Probabilistic forecasts by paths that are drawn step by step.

    LSTM layers read, at each step, the value before it and those of one and two seasons before,
    with the calendar and what else is known of the step. From them come the parameters of the
    step's distribution, and training makes the values of all steps likely, those of the past too.
    To forecast, the layers read the past of a series once; then many paths go on from there, each
    step a draw that the next one reads. Quantiles are those of the paths, so that there is no limit
    to the number of steps, and a path is a future that holds together.

    Source: Salinas, Flunkert, Gasthaus, Januschowski, "DeepAR: Probabilistic forecasting with
    autoregressive recurrent networks", International Journal of Forecasting 36(3), 2020
    (arXiv:1704.04110). Differences: windows are drawn evenly; a window of real numbers is scaled as
    ``scaler`` says; of counts both parameters are exponentials, and the network sees log(1 + y).

    Parameters
    ----------
    h : int
        Steps to forecast. ``predict(h=...)`` may ask for more or fewer.
    freq : str or int, optional
        Of the stamps, as pandas writes it ("h", "D", "MS", "15min"), or steps of whole numbers;
        found out by default.
    input_size : int, optional
        Steps of the past that are read before the forecast, beside those one and two seasons before
        them; by default two seasons, and no fewer than ``h``, up to 336.
    level : sequence of float, optional
        Coverage of prediction intervals in per cent, such as [80, 95].
    seed : int
        Where initial weights, the order of the windows and the paths come from; the same seed gives
        the same bits. A series' paths depend on its id, not on the series beside it.
    verbose : int
        1 a progress bar, 0 nothing.
    distribution : str
        Of a step: "StudentT", "Normal", or "NegativeBinomial" for counts.
    n_paths : int
        How many paths are drawn for each series.
    lags : sequence of int, optional
        Steps back of the values that are read, without the last one, which always is; by default
        one season and two.
    scaler : str or None
        How a window is scaled: "standard", "robust", "mean", "last" or None. Counts are divided by
        1 + their mean instead.
    season_length : int, optional
        Steps after which the series repeat, by default what the frequency suggests: a day of hours,
        a year of months. Of stamps that are whole numbers it is 1, so say it if there is one.
    units, layers : int
        Size of the recurrent layers, and their number.
    dropout : float
        Part of what goes from one layer to the next that is dropped in training.
    max_steps : int, optional
        Updates. By default 4000, or as many as see each window 10 times if these are fewer, but at
        least 200.
    batch_size : int
        Windows of each.
    learning_rate : float
        Of Adam at the beginning; it falls to nothing along a cosine.
    patience : int, optional
        Hold out the last ``h`` points of each series and stop when their likelihood has failed to
        improve so often, of 20 looks; the best weights come back. By default train on all points.
    conformal : bool, optional
        Calibrate intervals, as ``MQRNN`` does; by default where ``level`` is given. Paths remain as
        they are.
    transform : str, optional
        As for ``MQRNN``; not of counts. Paths are futures of the series themselves.
    alias : str, optional
        Name of the column of forecasts; the class's by default.

    Attributes
    ----------
    models_ : list of Model
        The network, one, from the steps of a window to parameters.
    history_ : list of dict of str to list of float
        Of it, "loss" and "val_loss" on the way, and "step".
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
        distribution: str = "StudentT",
        n_paths: int = 100,
        lags: Sequence[int] | None = None,
        scaler: str | None = "standard",
        season_length: int | None = None,
        units: int = 64,
        layers: int = 2,
        dropout: float = 0.1,
        max_steps: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        patience: int | None = None,
        conformal: bool | None = None,
        transform: str | None = None,
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.distribution = seed, verbose, distribution
        self.n_paths, self.lags, self.scaler = n_paths, lags, scaler
        self.season_length = season_length
        self.units, self.layers = units, layers
        self.dropout, self.max_steps, self.batch_size = dropout, max_steps, batch_size
        self.learning_rate, self.patience = learning_rate, patience
        self.conformal, self.transform, self.alias = conformal, transform, alias

    def _check(self) -> None:
        super()._check()
        for name in ("n_paths", "units", "layers", "batch_size"):
            whole_number(getattr(self, name), name)
        for name in ("season_length", "max_steps", "patience"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name)
        for lag in [] if self.lags is None else np.ravel(self.lags).tolist():
            whole_number(lag, "a lag")
        check_transform(self.transform)
        if distribution(self.distribution).counts and self.transform is not None:
            raise ValueError(
                f"distribution={self.distribution!r} is one of counts, which are taken as they "
                f"are: leave out transform={self.transform!r}, or take 'StudentT'"
            )
        window_scaler(self.scaler)

    # -- training ----------------------------------------------------------------------------------

    def _fit(self, panel: Panel) -> None:
        if panel.hist.shape[1]:
            raise ValueError(
                "DeepAR goes on step by step, so that a column whose values are not known in the "
                f"future cannot be read: leave out hist_exog={list(panel.names.hist)}, name them "
                "as futr_exog if they are known, or use MQRNN"
            )
        self._law = distribution(self.distribution)
        if self._law.counts:
            self._law.loss.check_targets(panel.y[np.isfinite(panel.y)])
        generator = np.random.default_rng(self.seed)
        self.season_ = self.season_length or panel.frequency.season
        self.input_size_ = self.input_size or _usual_look_back(panel, self.h, self.season_)
        longest = int(panel.lengths.max()) - self.h
        if self.lags is None:
            lags = [lag for lag in (self.season_, 2 * self.season_) if lag <= longest]
        else:
            lags = np.ravel(self.lags).tolist()
        self._lags = sorted({1, *lags})
        self._transforms = Transforms.of(self.transform, panel, self.season_)
        panel = self._transforms.transform(panel)
        self._columns_of_fit = _Columns(spread_of(panel.futr), spread_of(panel.static))
        self._scaler = window_scaler(self.scaler)
        held = 0 if self.patience is None else self.h
        reader = self._reader(panel, self.h)
        first = min(self.input_size_, 2 * self.h)
        series, origins = reader.origins(first, held)
        if not len(series):
            raise ValueError(
                f"DeepAR with h={self.h} needs a series of at least {first + self.h + held} points "
                f"to learn from, but the longest of {len(panel)} has {panel.lengths.max()}"
            )
        x, _, _ = self._batch(reader.read(series[:1], origins[:1]))
        steps = self.max_steps or usual_steps(len(series), self.batch_size)
        steps = max(1, round(self._part_of_steps * steps))
        with drawing_from(generator):
            model = recursion.network(
                x[recursion.STEPS].shape[2],
                self._law.count,
                units=self.units,
                layers=self.layers,
                dropout=self.dropout,
                offsets=self._law.counts,
            )
            rate = CosineDecay(self.learning_rate, steps)
            model.compile(Adam(rate, global_clipnorm=1.0), self._law.loss)
            validation = None
            if held:
                ends = panel.lengths - held
                fits = np.flatnonzero(ends > 0)
                validation = self._batch(reader.read(fits, ends[fits]), past=False)
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
        self.models_, self.history_ = [model], [history]

    def _go_on(self, panel: Panel, steps: int) -> None:
        reader = self._reader(self._transforms.transform(panel), self.h)
        self.models_ = go_on(self, reader, steps=steps, batch_size=self.batch_size)

    def _reader(self, panel: Panel, h: int, future: Array | None = None) -> WindowReader:
        """Windows of what is read and of what the first of its steps looks back to."""
        return WindowReader(panel, self.input_size_ + self._lags[-1], h, future)

    def _batch(self, windows: Windows, *, past: bool = True) -> Batch:
        """Inputs, targets and weights of windows; ``past`` if the steps of the past count."""
        shift, scale = self._scale(windows)
        values = np.concatenate([windows.past, windows.target], axis=1)
        first = self._lags[-1]
        steps = self._steps(self._seen((values - shift) / scale), windows, first)
        x = {recursion.STEPS: steps}
        if self._law.counts:
            offsets = self._law.offsets(np.repeat(scale, steps.shape[1], axis=1))
            x[recursion.OFFSETS] = offsets.astype(np.float32)
        targets = values[:, first:] if self._law.counts else (values[:, first:] - shift) / scale
        weights = np.isfinite(targets)
        if not past:
            weights[:, : self.input_size_] = False
        targets = np.where(np.isfinite(targets), targets, 0.0)
        return x, targets[..., np.newaxis].astype(np.float32), weights.astype(np.float32)

    def _scale(self, windows: Windows) -> tuple[Array, Array]:
        """(B, 1) shift and scale of each window, of the steps that are read."""
        past = windows.past[:, self._lags[-1] :]
        present = np.isfinite(past)
        if self._law.counts:
            total = np.where(present, past, 0.0).sum(axis=1, keepdims=True)
            mean = total / np.maximum(present.sum(axis=1, keepdims=True), 1)
            return np.zeros(mean.shape), 1.0 + mean
        return self._scaler.fit(past, present)

    def _seen(self, values: Array) -> Array:
        """What the network sees of scaled values."""
        if self._law.counts:
            values = np.log1p(values)
        return np.clip(values, -_FARTHEST, _FARTHEST)

    def _steps(self, values: Array, windows: Windows, first: int) -> Array:
        """(B, T, D) float32, inputs of the steps from ``first`` to the last of (B, P) values."""
        last = values.shape[1]
        before = np.stack([values[:, first - lag : last - lag] for lag in self._lags], axis=2)
        known = self._known(windows)[:, first:]
        return np.concatenate(
            [_and_flags(before), known, self._static(windows, last - first)],
            axis=2,
            dtype=np.float32,
        )

    def _known(self, windows: Windows) -> Array:
        """(B, P, F) columns that are known of all steps, those of the data in units of theirs."""
        known = np.concatenate([windows.past_x, windows.future_x], axis=1)
        mean, spread = self._columns_of_fit.known
        known[..., : len(mean)] = (known[..., : len(mean)] - mean) / spread
        return known

    def _static(self, windows: Windows, steps: int) -> Array:
        """(B, steps, C) columns of the series, the same at each step."""
        mean, spread = self._columns_of_fit.static
        static = (windows.static - mean) / spread
        return np.repeat(static[:, np.newaxis], steps, axis=1)

    def _reach(self) -> int:
        season = self.season_ if self.transform == "difference" else 0
        return int(self.input_size_ + self._lags[-1] + season)

    # -- forecasts ---------------------------------------------------------------------------------

    def sample_paths(
        self, df: Any = None, *, h: int | None = None, futr_df: Any = None, static_df: Any = None
    ) -> Array:
        """Futures of each series, of which ``predict`` gives the quantiles.

        What takes several steps together, such as the sum of a week or the first step below a
        limit, is worked out in each path: its quantiles are not sums of quantiles.

        Parameters
        ----------
        df, h, futr_df, static_df
            As for ``predict``.

        Returns
        -------
        ndarray
            (series, n_paths, h), series in the order of ``panel_.ids``, or of those in ``df``.
        """
        self._check_fitted()
        h = self.h if h is None else whole_number(h, "h")
        panel = self.panel_
        if df is not None:
            panel = self._read(df, self._columns, static_df, self.panel_)
        future = frame.read_future(futr_df, panel, h, self._columns)
        return np.concatenate([paths for _, paths in self._paths(panel, h, future)])

    def _forecast(
        self, panel: Panel, h: int, future: Array | None, quantiles: Array
    ) -> Forecast:  # fmt: skip
        points, bands = np.empty((len(panel), h)), np.empty((len(panel), h, len(quantiles)))
        for index, paths in self._paths(panel, h, future):
            points[index] = np.median(paths, axis=1)
            bands[index] = np.moveaxis(np.quantile(paths, quantiles, axis=1), 0, -1)
        return Forecast(points, bands)

    def _paths(self, panel: Panel, h: int, future: Array | None) -> Iterator[tuple[Array, Array]]:
        """Numbers of some series, and (series, paths, h) futures of theirs, until all are there."""
        windows = self._reader(self._transforms.transform(panel), h, future).last()
        encoder, stepper, names = recursion.parts(self.models_[0])
        together = min(len(panel), max(1, _ROWS // self.n_paths))
        stream = stepper.stream(together * self.n_paths)
        for start in range(0, len(panel), together):
            index = np.arange(start, min(start + together, len(panel)))
            # A stream has as many rows for the last series, however few are left.
            rows = np.resize(index, together)
            some = windows.take(rows)
            shift, scale = self._scale(some)
            past = self._seen((some.past - shift) / scale)
            first = self._lags[-1]
            read = self._steps(past, some._replace(future_x=some.future_x[:, :0]), first)
            states = encoder.predict({recursion.STEPS: read}, batch_size=together, verbose=0)
            repeated = [np.repeat(state, self.n_paths, axis=0) for state in states]
            stream.reset(start=dict(zip(names, repeated, strict=True)))
            generators = [_generator(self.seed, panel.ids[s]) for s in index]
            paths = self._walk(stream, some, past, shift, scale, generators, h)
            yield index, self._transforms.paths_back(paths[: len(index)], panel.take(index))

    def _walk(
        self,
        stream: Any,
        windows: Windows,
        past: Array,
        shift: Array,
        scale: Array,
        generators: list[np.random.Generator],
        h: int,
    ) -> Array:
        """(B, paths, h) draws, step by step."""
        count, n, lags = len(past), self.n_paths, np.array(self._lags)
        draw = self._draws(generators, h)
        known, static = self._known(windows), self._static(windows, 1)[:, 0]
        # Each lag of a step is either of the past, the same for all paths, or has been drawn.
        values = np.full((count, n, past.shape[1] + h), np.nan)
        values[:, :, : past.shape[1]] = past[:, np.newaxis]
        drawn = np.zeros((count, n, h))
        given: dict[str, Array] = {}
        if self._law.counts:
            offsets = np.repeat(self._law.offsets(scale[:, 0]), n, axis=0)
            given[recursion.OFFSETS] = offsets.astype(np.float32)
        for step in range(h):
            at = past.shape[1] + step
            alike = np.concatenate([known[:, at], static], axis=1)
            x = np.concatenate(
                [
                    _and_flags(values[:, :, at - lags]).reshape(count * n, -1),
                    np.repeat(alike, n, axis=0),
                ],
                axis=1,
                dtype=np.float32,
            )
            given[recursion.STEPS] = x
            parameters = np.asarray(stream.step(given if len(given) > 1 else x), np.float64)
            now = drawn[:, :, step]
            now[: len(generators)] = draw(parameters.reshape(count, n, -1), step)
            values[:, :, at] = self._seen(now / scale if self._law.counts else now)
        if self._law.counts:
            return drawn
        return drawn * scale[..., np.newaxis] + shift[..., np.newaxis]

    def _draws(
        self, generators: list[np.random.Generator], h: int
    ) -> Callable[[Array, int], Array]:
        """Draws of a step from (series, paths, parameters), each series by its own generator."""
        count, law = len(generators), self._law
        if not law.uniforms:
            return lambda parameters, step: np.stack(
                [law.sample(*one) for one in zip(parameters, generators, strict=False)]
            )
        # All steps at once, in their order: what comes first does not depend on h.
        shape = (h, law.uniforms, self.n_paths)
        uniform = np.stack([generator.random(shape) for generator in generators], axis=2)
        return lambda parameters, step: law.made_of(parameters[:count], uniform[step])


def _and_flags(values: Array) -> Array:
    """Values, 0 where they are missing, and beside them whether they are there."""
    present = np.isfinite(values)
    return np.concatenate([np.where(present, values, 0.0), present], axis=-1)


def _usual_look_back(panel: Panel, h: int, season: int) -> int:
    longest = int(panel.lengths.max()) - h
    return max(1, min(max(h, 2 * season), longest, _LONGEST_LOOK_BACK))


def _generator(seed: int, name: Any) -> np.random.Generator:
    """Draws of one series, whatever the others are."""
    digest = hashlib.blake2b(str(name).encode(), digest_size=16).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])
