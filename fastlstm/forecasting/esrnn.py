"""ES-RNN: exponential smoothing of each series and one network of all, learned together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.calibration import past_cutoffs
from fastlstm.forecasting.cutting import Cutter, Learned, Read
from fastlstm.forecasting.decomposition import smoothed
from fastlstm.forecasting.fitting import Batch, train
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.intervals import between, quantiles_of
from fastlstm.forecasting.lessons import Lessons
from fastlstm.forecasting.logarithm import powers
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.pieces import Piece
from fastlstm.forecasting.smoothing_network import Readers, SmoothingLive, SmoothingNetwork
from fastlstm.forecasting.streaming import Live
from fastlstm.forecasting.updates import steps_like
from fastlstm.losses import Quantile
from fastlstm.models import Model
from fastlstm.optimizers import Adam
from fastlstm.optimizers.schedules import CosineDecay
from fastlstm.randomness import drawing_from
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

# Quantiles that are learned whatever is asked for, beside the forecast itself.
_QUANTILES = (0.025, 0.1, 0.9, 0.975)
# Days of a week, where a day is the first season.
_WEEK, _DAYS = 7, (24, 48, 96)
# Of pieces of more steps than these, a forecast is made once a season.
_EACH_UP_TO = 200
# Steps of a piece, at least.
_PIECE = 400
# Updates by default, and how often a series is seen.
_FEWEST_STEPS, _MOST_STEPS, _PASSES = 200, 1500, 60
# Size of each layer by default, where there are so many pieces to learn from, and where not.
_UNITS, _FEWER_UNITS, _MANY_PIECES = 64, 32, 64
# Values that are enough to take all updates: about as many as the smaller network has weights.
_ENOUGH = 100_000
# The part of a piece, at most, that is held out to count updates; looks in a row, of 20, that may
# fail to improve.
_PART, _PATIENCE = 4, 5
# Series that are read at a time when they are forecast.
_TOGETHER = 64


class ESRNN(SmoothingNetwork, BaseForecaster):
    """Exponential smoothing with a network for what it leaves, the winner of the M4 competition.

    Each series has a level and seasons of its own, which follow it by rates of its own. What is
    left of its last ``input_size`` values, without seasons and level, is read by dilated LSTM
    layers that go along the series, the same for all series, a season at each step. What they
    answer is added to the last level and the seasons to come. All of it is learned at once by the
    pinball loss: the rates and first seasons of each series, and the network.

        l_t = l_(t-1) + a (z_t - s_t - u_t - l_(t-1))        level, and two seasons likewise
        x_t = ((z_(t-L+1) .. z_t) - (their seasons) - l_t, seasons to come) / spread of the window
        z_(t+k) = l_t + s_(t+k) + u_(t+k) + network(.. x_(t-m), x_t)_k

    z are logarithms where a series is well above zero, so that level and seasons multiply, else the
    values themselves; ``log`` says otherwise. The rates begin as those, of a few dozen, by which
    the series was forecast best in the past, with a level that follows faster if that was no worse
    than by chance.

    Source: Smyl, "A hybrid method of exponential smoothing and recurrent neural networks for time
    series forecasting", International Journal of Forecasting 36(1), 2020. Differences: values are
    scaled by how much they change from season to season; steps to come have the seasons that are
    known at the origin; the network goes along a long series by seasons, and not by single steps,
    from a first one that is drawn anew each time; it sees the seasons too; the window is also read
    by a linear layer; errors count by half in these units and by half in proportion to the level;
    several quantiles are learned beside the forecast.

    Parameters
    ----------
    h, freq, level, seed, verbose
        As for every forecaster: see ``MQRNN``.
    input_size : int, optional
        Steps of a window, by default the longest season, and no fewer than 8.
    season_length : int or sequence of int, optional
        Steps after which the series repeat, one or two lengths; by default what the frequency
        suggests, with a week beside a day: hours have 24 and 168. Seasons of which the longest
        series has less than two are left out. Of stamps that are whole numbers there is none, so
        say it if there is one. 1 is none.
    log : bool, optional
        Whether level and seasons multiply: of all series or of none. By default of those whose
        values are all greater than a hundredth of their median.
    stride : int, optional
        Steps from one forecast that is learned from, and one step of the LSTM layers, to the next.
        By default the first season, and 1 where no piece has more than 200 steps.
    dilations : sequence of sequence of int, optional
        Of the LSTM layers, a sequence for each block, in strides; after the first one, what a block
        reads is added to what it gives. By default [[1, 2]] by seasons, and two blocks by steps,
        whose dilations are parts of the season.
    units : int, optional
        Size of each layer; by default 64, and 32 where there are fewer than 64 pieces.
    tau : float
        The quantile that is the forecast itself, the median by default. Smyl takes a bit less, as
        networks of logarithms tend to be too high.
    level_penalty : float
        Weight of the mean square of the level's second differences.
    max_length : int, optional
        Steps of a piece: longer series are cut, and each piece has coefficients of its own, which
        for the forecast are those of the last one. By default 8 of the longest seasons, and no
        fewer than 400 and than four times ``input_size + h``.
    max_steps : int, optional
        Updates. By default 1500, or as many as see each piece 60 times if these are fewer, but at
        least 200. Where there are fewer than 100,000 values, only as many of these as forecast the
        end of each series best, which one more network finds out.
    batch_size : int
        Pieces of each; where there are fewer and ``stride`` is more than 1, each several times,
        with forecasts from other steps.
    learning_rate : float
        Of Adam at the beginning; it falls to nothing along a cosine.
    series_rate : float
        How much faster than the network the coefficients of the series learn; slower below 1, so
        that they do not learn by heart what a series did only once.
    members : int
        Networks, each with coefficients and weights of its own, whose quantiles are averaged.
    patience : int, optional
        Hold out the last ``h`` points of each series and stop when that loss has failed to improve
        so often, of 20 looks; the best weights come back. By default train on all points.
    conformal : bool, optional
        Calibrate intervals by forecasts of the last points, which a copy has not seen; see
        ``MQRNN``. By default where ``level`` is given.
    alias : str, optional
        Name of the column of forecasts; the class's by default.

    Attributes
    ----------
    seasons_ : tuple of int
        The seasons, the shorter first.
    steps_ : int
        Updates.
    models_ : list of Model
        The networks.
    history_ : list of dict of str to list of float
        Of each network "loss" and "val_loss" on the way, and "step".

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(120)
    >>> y = (50 + t) * (1 + 0.2 * np.sin(2 * np.pi * t / 12))
    >>> model = ESRNN(h=12, season_length=12, units=8, max_steps=5, verbose=0).fit(y)
    >>> model.predict().shape
    (12,)
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
        season_length: int | Sequence[int] | None = None,
        log: bool | None = None,
        stride: int | None = None,
        dilations: Sequence[Sequence[int]] | None = None,
        units: int | None = None,
        tau: float = 0.5,
        level_penalty: float = 0.0,
        max_length: int | None = None,
        max_steps: int | None = None,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        series_rate: float = 0.2,
        members: int = 1,
        patience: int | None = None,
        conformal: bool | None = None,
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.season_length, self.log = seed, verbose, season_length, log
        self.stride, self.dilations = stride, dilations
        self.units, self.tau = units, tau
        self.level_penalty, self.max_length, self.max_steps = level_penalty, max_length, max_steps
        self.batch_size, self.learning_rate = batch_size, learning_rate
        self.series_rate, self.members = series_rate, members
        self.patience, self.conformal, self.alias = patience, conformal, alias

    def _check(self) -> None:
        super()._check()
        for name in ("batch_size", "members"):
            whole_number(getattr(self, name), name)
        for name in ("units", "stride", "max_length", "max_steps", "patience"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name)
        seasons = [] if self.season_length is None else np.ravel(self.season_length).tolist()
        for season in seasons:
            whole_number(season, "season_length")
        if len(seasons) > 2:
            raise ValueError(f"season_length expects one or two lengths, got {seasons}")
        for block in self.dilations or ():
            for dilation in block:
                whole_number(dilation, "a dilation")
        for name in ("log", "conformal"):
            if getattr(self, name) not in (None, True, False):
                raise ValueError(f"{name} expects True, False or None, got {getattr(self, name)!r}")
        if not 0.0 < self.tau < 1.0:
            raise ValueError(f"tau expects a quantile between 0 and 1, got {self.tau!r}")
        if self.level_penalty < 0 or self.series_rate <= 0:
            raise ValueError(
                "expected level_penalty >= 0 and series_rate > 0, got "
                f"{self.level_penalty!r} and {self.series_rate!r}"
            )

    def _remarks(self, panel: Panel) -> tuple[str, ...]:
        return (*super()._remarks(panel), *panel.names.unused())

    # -- training ----------------------------------------------------------------------------------

    def _fit(self, panel: Panel) -> None:
        generator = np.random.default_rng(self.seed)
        self.seasons_ = self._usual_seasons(panel)
        self.input_size_ = self.input_size or max(8, *self.seasons_, 1)
        levels = [q for q in quantiles_of(self.level) if q != 0.5]
        self.quantiles_ = np.union1d([self.tau, *_QUANTILES], levels)
        usual = max(8 * max(self.seasons_, default=1), 4 * (self.input_size_ + self.h), _PIECE)
        self._longest = self.max_length or usual
        held = 0 if self.patience is None else self.h
        learned = self._cutter.learned_from(panel, held)
        self._known = learned.known
        many = len(learned.pieces) >= _MANY_PIECES
        self.units_ = self.units or (_UNITS if many else _FEWER_UNITS)
        self.stride_ = self._usual_stride(learned.pieces)
        self.dilations_ = self._usual_dilations()
        lessons = self._lessons(learned, held)
        validation = lessons.held_out() if held else None
        self.steps_ = self._steps_that_hold(panel, self._usual_steps(len(lessons)))
        self.models_, self.history_ = [], []
        for _ in range(self.members):
            model, history = self._trained(
                lessons, self.steps_, generator, validation, self.patience
            )
            self.models_.append(model)
            self.history_.append(history)

    def _lessons(self, learned: Learned, held: int) -> Lessons:
        along = self._cutter.origins(learned.pieces, self.stride_, self._all_dilations)
        return Lessons(learned, along, self.batch_size if self.stride_ > 1 else 1, held)

    def _trained(
        self,
        lessons: Lessons,
        steps: int,
        generator: np.random.Generator,
        validation: Batch | None,
        patience: int | None,
    ) -> tuple[Model, dict[str, list[float]]]:
        """A network that has learned, and its history."""
        with drawing_from(generator):
            model = self._network(lessons.along.steps, lessons.table)
            rate = CosineDecay(self.learning_rate, steps)
            model.compile(Adam(rate, global_clipnorm=1.0), Quantile(self.quantiles_.tolist()))
            history = train(
                model,
                lambda index: lessons.batch(index, generator),
                len(lessons),
                steps=steps,
                batch_size=self.batch_size,
                generator=generator,
                validation=validation,
                patience=patience,
                verbose=self.verbose,
            )
        return model, history

    def _usual_steps(self, pieces: int) -> int:
        wanted = -(-_PASSES * pieces // self.batch_size)
        steps = self.max_steps or int(np.clip(wanted, _FEWEST_STEPS, _MOST_STEPS))
        return max(1, round(self._part_of_steps * steps))

    def _steps_that_hold(self, panel: Panel, steps: int) -> int:
        """How many of these updates to take: fewer where they would learn the series by heart.

        One network is trained without the end of each series, and forecasts it on the way.
        """
        if self.max_steps is not None or self.patience is not None:
            return steps
        if np.isfinite(panel.y).sum() >= _ENOUGH:
            return steps
        held = min(int(past_cutoffs(panel, self.h)[0]), self._longest // _PART)
        try:
            learned = self._cutter.learned_from(panel, held)
        except ValueError:  # too short for it
            return steps
        lessons = self._lessons(learned, held)
        generator = np.random.default_rng([self.seed, 1])
        _, history = self._trained(lessons, steps, generator, lessons.held_out(), _PATIENCE)
        return steps_like(history, steps)

    @property
    def _cutter(self) -> Cutter:
        return Cutter(self.input_size_, self.h, self.seasons_, self._longest, self.log)

    def _usual_seasons(self, panel: Panel) -> tuple[int, ...]:
        if self.season_length is not None:
            seasons = {int(season) for season in np.ravel(self.season_length)}
        else:
            day = panel.frequency.season
            seasons = {day, _WEEK * day} if day in _DAYS else {day}
        longest = panel.lengths.max()
        return tuple(sorted(m for m in seasons if m > 1 and 2 * m <= longest))

    def _usual_stride(self, pieces: Sequence[Piece]) -> int:
        """A season, unless there is none, or too few of it to learn from."""
        if self.stride is not None:
            return self.stride
        most = max(piece.steps for piece in pieces)
        return self._cutter.unit_season if most > _EACH_UP_TO else 1

    def _usual_dilations(self) -> list[list[int]]:
        if self.dilations is not None:
            return [[int(d) for d in block] for block in self.dilations]
        if self.stride_ > 1:
            return [[1, 2]]
        season = self._cutter.unit_season
        if season == 1:
            return [[1, 2], [4, 8]]
        if season <= 8:
            return [[1, 2], [season, 2 * season]]
        return [[1, season // 4], [season // 2, season]]

    @property
    def _all_dilations(self) -> list[int]:
        return [dilation for block in self.dilations_ for dilation in block]

    # -- forecasts ---------------------------------------------------------------------------------

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        return self._forecast_by({}, panel, h, quantiles)

    def _forecast_by(self, readers: Readers, panel: Panel, h: int, quantiles: Array) -> Forecast:
        """The same by views of the networks that are made once."""
        points, bands = [], []
        middle = int(np.searchsorted(self.quantiles_, self.tau))
        for first in range(0, h, self.h):
            read = self._read_series(panel)
            answers, bases = self._answers(read, readers)
            made = powers(self._restored(answers + bases[..., np.newaxis], read), read.taken)
            points.append(made[..., middle])
            bands.append(between(made, self.quantiles_, quantiles))
            if first + self.h < h:
                panel = panel.extended(points[-1])
        return Forecast(np.concatenate(points, axis=1)[:, :h], np.concatenate(bands, axis=1)[:, :h])

    def _restored(self, values: Array, read: Read) -> Array:
        """(P, ...) values of the series, or their logarithms, from scaled ones."""
        more = (slice(None), *(np.newaxis for _ in values.shape[1:]))
        shifts, units = read.pieces.shifts[:, 0], read.pieces.units[:, 0]
        return np.asarray(values * units[more] + shifts[more])

    def _read_series(self, panel: Panel) -> Read:
        tables = [
            model.get_layer("series").get_weights()[0].astype(np.float64) * self.series_rate
            for model in self.models_
        ]
        return self._cutter.read(panel, self._known, tables, self.stride_, self._all_dilations)

    def _answers(self, read: Read, readers: Readers) -> tuple[Array, Array]:
        """What the networks add, (P, h, Q) in rising order, and level and seasons, (P, h)."""
        pieces, count = read.pieces, len(read.taken)
        answers = np.zeros((count, self.h, len(self.quantiles_)))
        bases = np.zeros((count, self.h))
        at, starts = read.origins.ending(pieces.ends)
        steps = pieces.values.shape[1]
        for number, coefficients in enumerate(read.starts):
            if (number, steps) not in readers:
                readers[number, steps] = self._readers(self.models_[number], steps)
            reader, answerer = readers[number, steps]
            for first in range(0, count, _TOGETHER):
                some = slice(first, first + _TOGETHER)
                given = {
                    "values": pieces.values[some],
                    "coefficients": coefficients[some],
                    "starts": starts[some, np.newaxis].astype(np.float32),
                }
                found = reader.predict(given, batch_size=_TOGETHER, verbose=0)
                state, window, base = (array[np.arange(len(array)), at[some]] for array in found)
                given = {"state": state, "window": window}
                made = answerer.predict(given, batch_size=_TOGETHER, verbose=0)
                answers[some] += np.sort(made.reshape(len(made), self.h, -1), axis=2)
                bases[some] += base
        return answers / len(self.models_), bases / len(self.models_)

    def _live(self, panel: Panel) -> Live:
        return SmoothingLive(self, panel, self._reach())

    # -- what a forecast is made of ----------------------------------------------------------------

    def components(self, id: Any = None) -> dict[str, Array]:
        """Level, seasons and what the network adds, of one series.

        Parameters
        ----------
        id : optional
            Of the series; not needed where there is one.

        Returns
        -------
        dict of str to ndarray
            All (n + h,), along the steps that were smoothed and h to come: "stamp"; "y", NaN from
            the end on; "level", from the end on the last one; "season_12" and so on for each
            season; "network", NaN up to the end; "forecast", the same. "multiplicative", a bool:
            whether the forecast is the product of level, seasons and network, or their sum.

        Raises
        ------
        ValueError
            For an id that there is not, and where there are several series and none is named.
        """
        self._check_fitted()
        panel = self.panel_
        if id is None and len(panel) > 1:
            raise ValueError(f"components expects the id of one of {len(panel)} series")
        names = list(panel.ids)
        if id is not None and id not in names:
            some = ", ".join(map(repr, names[:5]))
            raise ValueError(f"there is no series {id!r}; there are {len(names)}: {some} ...")
        s = 0 if id is None else names.index(id)
        panel = panel.take([s])
        read = self._read_series(panel)
        answers, bases = self._answers(read, {})
        end, n, h = int(read.pieces.ends[0]), int(read.lengths[0]), self.h
        each = [smoothed(read.pieces.values[0], starts[0], self.seasons_) for starts in read.starts]
        level, *seasons = (np.mean(parts, axis=0)[end - n :] for parts in zip(*each, strict=True))
        level = np.concatenate([level[:n], np.full(h, level[n - 1])])
        seasons = [
            np.concatenate([season[:n], season[n + np.arange(h) % m]])
            for season, m in zip(seasons, self.seasons_, strict=True)
        ]
        nothing, middle = np.full(n, np.nan), int(np.searchsorted(self.quantiles_, self.tau))
        unit, multiplicative = read.pieces.units[0, 0], bool(read.taken[0])
        back = np.exp if multiplicative else np.positive
        first = int(panel.lengths[0]) - n
        made = self._restored(answers[..., middle] + bases, read)[0]
        return {
            "stamp": panel.frequency.stamps(panel.starts[0], first, n + h),
            "y": np.concatenate([panel.series(0)[first:], np.full(h, np.nan)]),
            "level": back(level * unit + read.pieces.shifts[0, 0]),
            **{
                f"season_{m}": back(season * unit)
                for m, season in zip(self.seasons_, seasons, strict=True)
            },
            "network": np.concatenate([nothing, back(answers[0, :, middle] * unit)]),
            "forecast": np.concatenate([nothing, back(made)]),
            "multiplicative": np.array(multiplicative),
        }
