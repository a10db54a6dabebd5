"""DeepAR: a recurrent network that forecasts one step, and goes on from what it drew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame, recursion
from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.distributions import distribution
from fastlstm.forecasting.fitting import go_on, train
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.inputs import spread_of
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.paths import PathLive, Paths, quantiles_of_paths
from fastlstm.forecasting.scaling import window_scaler
from fastlstm.forecasting.steps import ColumnScales, Steps
from fastlstm.forecasting.streaming import Live
from fastlstm.forecasting.transforming import (
    SERIES_SCALERS,
    Transforms,
    check_scaler,
    check_transform,
)
from fastlstm.forecasting.updates import usual_steps
from fastlstm.optimizers import Adam
from fastlstm.optimizers.schedules import CosineDecay
from fastlstm.randomness import drawing_from
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# Usual look-backs are not longer.
_LONGEST_LOOK_BACK = 336
# Paths of each series: of real numbers, and of counts.
_PATHS = 50, 100


class DeepAR(Steps, BaseForecaster):
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
    n_paths : int, optional
        How many paths are drawn for each series. By default 50, and of counts 100, whose draws are
        independent: those of the other distributions are spread evenly over their range, so that
        quantiles of 50 are closer to those of very many than quantiles of 100 independent ones.
    lags : sequence of int, optional
        Steps back of the values that are read, without the last one, which always is; by default
        one season and two.
    scaler : str or None
        How values are scaled: as for ``MQRNN``, each window by itself ("standard", "robust",
        "mean", "last"), all of a series alike ("series_standard", "series_robust",
        "series_minmax"), or not at all (None). Counts are divided by 1 + their mean instead.
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
        n_paths: int | None = None,
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
        for name in ("units", "layers", "batch_size"):
            whole_number(getattr(self, name), name)
        for name in ("n_paths", "season_length", "max_steps", "patience"):
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
        check_scaler(self.scaler)
        if distribution(self.distribution).counts and self.scaler in SERIES_SCALERS:
            raise ValueError(
                f"distribution={self.distribution!r} is one of counts, which are divided by 1 + "
                f"their mean in the window: leave out scaler={self.scaler!r}"
            )

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
        self._columns_of_fit = ColumnScales(spread_of(panel.futr), spread_of(panel.static))
        if self.scaler in SERIES_SCALERS:
            kind = SERIES_SCALERS[self.scaler]
            self._series_scalers = Transforms.of(kind, panel.take([]), self.season_)
            self._meet(panel)
        else:
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
                ahead=True,
            )
        self.models_, self.history_ = [model], [history]

    def _go_on(self, panel: Panel, steps: int) -> None:
        seen = self._transforms.transform(panel)
        self._meet(seen)
        reader = self._reader(seen, self.h)
        self.models_ = go_on(self, reader, steps=steps, batch_size=self.batch_size)

    def _meet(self, seen: Panel) -> None:
        """Take note of series, as the network sees them, that were not there in ``fit``."""
        if self.scaler in SERIES_SCALERS:
            self._series_scalers.fitted.update(self._series_scalers.each(seen))

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
        return np.concatenate([paths for _, paths in self._drawn(panel, h, future)])

    def _forecast(
        self, panel: Panel, h: int, future: Array | None, quantiles: Array
    ) -> Forecast:  # fmt: skip
        return quantiles_of_paths(self._drawn(panel, h, future), len(panel), h, quantiles)

    def _drawn(
        self, panel: Panel, h: int, future: Array | None, paths: Paths | None = None
    ) -> Iterator[tuple[Array, Array]]:
        """Numbers of some series, and (series, paths, h) futures of theirs, until all are there."""
        seen = self._transforms.transform(panel)
        self._meet(seen)
        windows = self._reader(seen, h, future).last()
        for index, made in (paths or Paths(self, len(panel))).drawn(windows, h):
            yield index, self._transforms.paths_back(made, panel.take(index))

    @property
    def _paths(self) -> int:
        return self.n_paths or _PATHS[self._law.counts]

    def _live(self, panel: Panel) -> Live:
        return PathLive(self, panel, self._reach())


def _usual_look_back(panel: Panel, h: int, season: int) -> int:
    longest = int(panel.lengths.max()) - h
    return max(1, min(max(h, 2 * season), longest, _LONGEST_LOOK_BACK))
