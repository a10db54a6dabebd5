"""ES-RNN: exponential smoothing of each series and one network of all, learned together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster, Forecast
from fastlstm.forecasting.fitting import Batch, train
from fastlstm.forecasting.intervals import between, quantiles_of
from fastlstm.forecasting.logarithm import logarithms, powers, switches
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.pieces import Pieces, Scale, first_coefficients, laid_out, scale_of
from fastlstm.forecasting.seasonal import relative
from fastlstm.layers import LSTM, Add, Dense, Embedding, Flatten, Input, Reshape
from fastlstm.layers.dilated import Dilated
from fastlstm.layers.smoothing import Smoothing
from fastlstm.losses import Quantile
from fastlstm.models import Model
from fastlstm.optimizers import Adam
from fastlstm.optimizers.schedules import CosineDecay
from fastlstm.randomness import drawing_from
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]
KNOBS = {"stride": None, "ahead": 0, "log_unit": False, "alpha": -1.0, "beta": -1.0, "nl": True, "weights": True, "penalty": None, "tau": None}

# Learned whatever is asked for, beside the forecast itself.
_QUANTILES = (0.025, 0.1, 0.9, 0.975)
# Series that are read at a time when they are forecast.
_TOGETHER = 64


class _Known(NamedTuple):
    """Where a series that was learned from began."""

    row: int
    stamp: Any
    values: Array
    front: int
    log: bool
    scale: Scale


class ESRNN(BaseForecaster):
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
        dilations: Sequence[Sequence[int]] | None = None,
        units: int = 40,
        tau: float = 0.48,
        level_penalty: float = 0.0,
        max_length: int | None = None,
        max_steps: int | None = None,
        batch_size: int = 32,
        learning_rate: float = 3e-3,
        series_rate: float = 1.0,
        members: int = 1,
        patience: int | None = None,
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.season_length, self.log = seed, verbose, season_length, log
        self.dilations, self.units, self.tau = dilations, units, tau
        self.level_penalty, self.max_length, self.max_steps = level_penalty, max_length, max_steps
        self.batch_size, self.learning_rate = batch_size, learning_rate
        self.series_rate, self.members = series_rate, members
        self.patience, self.alias = patience, alias

    def _check(self) -> None:
        super()._check()
        for name in ("units", "batch_size", "members"):
            whole_number(getattr(self, name), name)
        for name in ("max_steps", "patience", "max_length"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name)

    # -- training ----------------------------------------------------------------------------------

    def _fit(self, panel: Panel) -> None:
        generator = np.random.default_rng(self.seed)
        self.seasons_ = self._usual_seasons(panel)
        self.input_size_ = self.input_size or (self.seasons_[0] if self.seasons_ else self.h)
        self.quantiles_ = np.union1d(
            [self.tau, *_QUANTILES], [q for q in quantiles_of(self.level) if q != 0.5]
        )
        self._longest = self.max_length or max(
            8 * max(self.seasons_, default=1), 4 * (self.input_size_ + self.h)
        )
        taken = switches(panel, self.log)
        y = logarithms(panel, taken).y
        look_back, h = self.input_size_, self.h
        held = 0 if self.patience is None else h
        least = min(look_back, 2 * h) + h + held
        places = []
        self._known: dict[Any, _Known] = {}
        rows, parts, lengths, scales, fronts, weights = [], [], [], [], [], []
        for s, name in enumerate(panel.ids):
            n = int(panel.lengths[s])
            last = n
            while last >= least:
                first = max(0, last - self._longest)
                part = y[panel.offsets[s] + first : panel.offsets[s] + min(last + h, n)]
                values = part[: last - first]
                scale = scale_of(values[: len(values) - held], self._longest_season(len(values)))
                front = max(0, look_back + h + held - len(values))
                if last == n:
                    begins = panel.series(s)[first : first + look_back + h].copy()
                    stamp = panel.frequency.at(panel.starts[s], first)
                    self._known[name] = _Known(len(rows), stamp, begins, front, bool(taken[s]), scale)
                z = (values - scale.shift) / scale.unit
                rows.append(self._first(z, front))
                parts.append(part)
                lengths.append(len(values))
                scales.append(scale)
                fronts.append(front)
                unit = np.array([[scale.unit]])
                weights.append(0.5 + 0.5 * 8 * relative(values[np.newaxis], unit, taken[s : s + 1]))
                if first == 0:
                    break
                last = first + look_back
        if not rows:
            raise ValueError(
                f"{type(self).__name__} with h={h} needs a series of at least {least} points to "
                f"learn from, but the longest of {len(panel)} has {panel.lengths.max()}"
            )
        table = np.array(rows)
        weights = np.concatenate(weights)[:, 0] if KNOBS["weights"] else np.ones(len(rows))
        self.dilations_ = self._usual_dilations(max(lengths) - look_back)
        steps = self._steps(max(np.add(fronts, lengths)))
        pieces = laid_out(parts, lengths, scales, fronts, steps, h)
        self._stride = KNOBS["stride"] or self._usual_stride(len(rows), steps)
        origins = np.arange(look_back - 1, steps, self._stride)
        reads = origins[:, np.newaxis] + 1 + np.arange(h)

        def batch(index: Array, validate: bool = False) -> Batch:
            target = pieces.later[index][:, reads]
            there = np.isfinite(target)
            bound = (pieces.ends[index] - held)[:, np.newaxis, np.newaxis]
            if validate:
                there &= (reads >= bound) & (origins[:, np.newaxis] < bound)
            elif held:
                there &= reads < bound
            there = there * weights[index, np.newaxis, np.newaxis]
            x = {"values": pieces.values[index], "row": index[:, np.newaxis].astype(np.int32)}
            count = len(index)
            y = np.nan_to_num(target).reshape(count, -1, 1).astype(np.float32)
            return x, y, there.reshape(count, -1).astype(np.float32)

        validation = batch(np.arange(len(rows)), True) if held else None
        passes = self.max_steps or 600
        self.models_, self.history_ = [], []
        for _ in range(self.members):
            with drawing_from(generator):
                model = self._network(steps, table)
                rate = CosineDecay(self.learning_rate, passes)
                model.compile(Adam(rate, global_clipnorm=1.0), Quantile(self.quantiles_.tolist()))
                history = train(
                    model, batch, len(rows), steps=passes, batch_size=self.batch_size,
                    generator=generator, validation=validation, patience=self.patience,
                    verbose=self.verbose,
                )  # fmt: skip
            self.models_.append(model)
            self.history_.append(history)

    def _longest_season(self, length: int) -> int:
        return max((m for m in self.seasons_[:1] if 2 * m <= length), default=1)

    def _first(self, z: Array, front: int) -> Array:
        logits = [KNOBS["alpha"], KNOBS["beta"], KNOBS["beta"]]
        return first_coefficients(z, front, self.seasons_, logits)

    def _usual_seasons(self, panel: Panel) -> tuple[int, ...]:
        given = self.season_length
        if given is not None:
            return tuple(sorted({m for m in np.ravel(given).tolist() if m > 1}))
        season = panel.frequency.season
        longest = panel.lengths.max() - self.h
        usual = [season, 7 * season] if season in (24, 48, 96) else [season]
        return tuple(m for m in usual if m > 1 and longest >= 2 * m)

    def _usual_dilations(self, most: int) -> list[list[int]]:
        if self.dilations is not None:
            return [list(block) for block in self.dilations]
        if len(self.seasons_) > 1:
            first, second = self.seasons_
            blocks = [[1, max(2, first // 6)], [first, second]]
        elif not self.seasons_:
            blocks = [[1, 2], [4, 8]]
        elif self.seasons_[0] <= 8:
            blocks = [[1, 2], [self.seasons_[0], 2 * self.seasons_[0]]]
        else:
            (season,) = self.seasons_
            blocks = [[1, season // 4], [season // 2, season]]
        return blocks

    def _steps(self, least: int) -> int:
        multiple = math.lcm(*(d for block in self.dilations_ for d in block))
        origins = -(-(int(least) - self.input_size_ + 1) // multiple) * multiple
        return self.input_size_ - 1 + origins

    def _usual_stride(self, rows: int, steps: int) -> int:
        return 5 if steps > 200 else 1

    # -- the network -------------------------------------------------------------------------------

    def _network(self, steps: int, table: Array) -> Model:
        count = len(self.quantiles_)
        values = Input((steps, 2), name="values")
        row = Input((1,), name="row", dtype="int32")
        embedding = Embedding(*table.shape, weights=table / self.series_rate, name="series")
        coefficients = Flatten()(embedding(row)) * self.series_rate
        smoothing = Smoothing(
            self.input_size_, self.h, self.seasons_, count, KNOBS["ahead"], self._stride, self.level_penalty
        )
        seen, base = smoothing([values, coefficients])
        made = seen
        for number, block in enumerate(self.dilations_):
            before = made
            for n, dilation in enumerate(block):
                layer = LSTM(self.units, return_sequences=True)
                made = Dilated(layer, dilation, name=f"lstm_{number}_{n}")(made)
            if number:
                made = Add()([made, before])
        if self._stride > 1:
            made, seen = made[:, :: self._stride], seen[:, :: self._stride]
        if KNOBS["nl"]:
            made = Dense(self.units, activation="tanh", name="mixed")(made)
        answers = Dense(self.h * count, name="answers", kernel_initializer="zeros")(made)
        skip = Dense(self.h * count, name="skip", use_bias=False, kernel_initializer="zeros")(seen)
        made = Add()([answers, skip, base])
        return Model([values, row], Reshape((made.shape[1] * self.h, count))(made))

    def _reader(self, model: Model, steps: int) -> tuple[Model, Model]:
        """Views of a network: from values and coefficients to states and bases; to answers."""
        values = Input((steps, 2), name="values")
        coefficients = Input((4 + sum(self.seasons_),), name="coefficients")
        smoothing = Smoothing(self.input_size_, self.h, self.seasons_, 1, KNOBS["ahead"])
        seen, base = smoothing([values, coefficients])
        made = seen
        for number, block in enumerate(self.dilations_):
            before = made
            for n in range(len(block)):
                made = model.get_layer(f"lstm_{number}_{n}")(made)
            if number:
                made = Add()([made, before])
        state = Input((made.shape[-1],), name="state")
        answers = state
        if KNOBS["nl"]:
            answers = model.get_layer("mixed")(answers)
        answers = model.get_layer("answers")(answers)
        window = Input((seen.shape[-1],), name="window")
        answers = Add()([answers, model.get_layer("skip")(window)])
        return Model([values, coefficients], [made, seen, base]), Model([state, window], answers)

    # -- forecasts ---------------------------------------------------------------------------------

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        points, bands = [], []
        for first in range(0, h, self.h):
            point, band = self._block(panel, quantiles)
            points.append(point)
            bands.append(band)
            if first + self.h < h:
                panel = panel.extended(point)
        return Forecast(np.concatenate(points, axis=1)[:, :h], np.concatenate(bands, axis=1)[:, :h])

    def _block(self, panel: Panel, quantiles: Array) -> tuple[Array, Array]:
        taken = switches(panel, self.log)
        tables = [model.get_layer("series").get_weights()[0] * self.series_rate for model in self.models_]
        parts, fronts, scales, coefficients = [], [], [], []
        for s, name in enumerate(panel.ids):
            series = panel.series(s)
            known = self._known.get(name)
            at = self._goes_on(panel, s, known)
            if at is not None:
                assert known is not None
                taken[s] = known.log
                part = np.log(series[at:]) if known.log else series[at:]
                front, scale = known.front, known.scale
                coefficients.append([table[known.row] for table in tables])
            else:
                part = series[-self._longest :]
                part = np.log(part) if taken[s] else part
                scale = scale_of(part, self._longest_season(len(part)))
                front = max(0, self.input_size_ - len(part))
                mine = self._first((part - scale.shift) / scale.unit, front)
                each = []
                for table in tables:
                    row = table.mean(axis=0) if known is None else table[known.row]
                    each.append(np.concatenate([row[:3], mine[3:]]))
                coefficients.append(each)
            parts.append(part)
            fronts.append(front)
            scales.append(scale)
        lengths = [len(part) for part in parts]
        steps = self._steps(max(np.add(fronts, lengths)))
        pieces = laid_out(parts, lengths, scales, fronts, steps, self.h)
        each = []
        for n, model in enumerate(self.models_):
            starts = np.array([c[n] for c in coefficients], np.float32)
            each.append(self._answers(model, pieces, starts, steps))
        made = np.mean(each, axis=0, dtype=np.float64)
        made = made * pieces.units[:, None, None] + pieces.shifts[:, None, None]
        made = powers(made, taken)
        middle = int(np.searchsorted(self.quantiles_, self.tau))
        return made[..., middle], between(made, self.quantiles_, quantiles)

    def _answers(self, model: Model, pieces: Pieces, starts: Array, steps: int) -> Array:
        reader, answerer = self._reader(model, steps)
        found = []
        for first in range(0, len(starts), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            states, windows, bases = reader.predict(
                {"values": pieces.values[some], "coefficients": starts[some]},
                batch_size=_TOGETHER, verbose=0,
            )  # fmt: skip
            at = pieces.ends[some] - self.input_size_
            rows = np.arange(len(at))
            given = {"state": states[rows, at], "window": windows[rows, at]}
            answers = answerer.predict(given, batch_size=_TOGETHER, verbose=0)
            answers = answers.reshape(len(at), self.h, -1) + bases[rows, at][..., np.newaxis]
            found.append(np.sort(answers, axis=2))
        return np.concatenate(found)

    def _goes_on(self, panel: Panel, s: int, known: _Known | None) -> int | None:
        """Where in a series it began when it was learned from; None for another series."""
        if known is None:
            return None
        try:
            at = int(panel.frequency.positions(panel.starts[s], np.array([known.stamp]))[0])
        except ValueError:
            return None
        rest = panel.series(s)[at:] if 0 <= at else panel.series(s)[:0]
        size = len(known.values)
        if not size <= len(rest) <= 4 * max(self._longest, size):
            return None
        same = np.array_equal(rest[:size], known.values, equal_nan=True)
        if not same or (known.log and not np.nanmin(rest) > 0):
            return None
        return at
