"""SegRNN: a recurrent network that reads and writes whole segments instead of single steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.algebra import product
from fastlstm.forecasting.fitting import Batch
from fastlstm.forecasting.intervals import quantiles_of
from fastlstm.forecasting.network import NetworkForecaster, Sizes
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.ridge import Moments, best_penalty
from fastlstm.forecasting.scaling import window_scaler
from fastlstm.forecasting.windows import WindowList, WindowReader, Windows
from fastlstm.layers import (
    GRU,
    Activation,
    Add,
    Cropping1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Multiply,
    Reshape,
    Subtract,
    ZeroPadding1D,
)
from fastlstm.models import Model
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]

_LAST = window_scaler("last")
_SERIES_SCALER = "series"
# A spread that is less than this part of the largest value is rounding, not a signal.
_CONSTANT = 1e-10
# Numbers that stand for a series.
_SERIES = 16
# Steps of a segment, unless said otherwise.
_SHORTEST, _LONGEST = 8, 48
# Windows to validate on, at most.
_LOOKED_AT = 4096
# What the network counts beside the regression, unless there is something to validate on.
_EQUAL = 0.5
# Windows that the linear part is regressed on, at most, and how many at a time; its penalties to
# choose from, and the part of the windows that they are compared on.
_REGRESSED, _TOGETHER = 32768, 4096
_PENALTIES = tuple(10.0**power for power in range(7))
_COMPARED = 0.2


class SegRNN(NetworkForecaster):
    """Long horizons from long windows, in few recurrent steps.

    The window, less its last value, is cut into segments of w steps. A dense layer with a ReLU
    makes a vector of each, and a GRU reads these. Each segment to come is one more step of a GRU
    from the last state, all of them at once: its input says which segment it is, which series, and
    what is known of its steps. A dense layer makes w values of the new state.

        x_j = relu(W segment_j + b)                       j = 1 .. L / w
        h = GRU(x_1 .. x_n)
        z, r = sigmoid(h U + place_k + series + future_k)
        c = tanh(r * (h U + b) + place_k + series + future_k)
        y_k = V (z * h + (1 - z) * c) + b + last value    k = 1 .. h / w

    Beside it stands a ridge regression of the same windows, less their last value, with the same
    weights for all series; its penalty is the one that was best on the last fifth of the windows.
    The forecast is the mean of the two, which are mostly wrong in different ways: a network that
    learns what the regression leaves was worse than that (electricity loads of PJM, and ETTh1
    before the hours that models are compared on). With ``val_size`` their parts are halfway from
    equal ones to those with the least squared error there.

    Every series is a series of its own for the one network. Without ``level`` it learns the median
    alone, by the mean absolute error, which forecasts better than many quantiles at once.

    Source: Lin, Lin, Wu, Zhao, Mo, Zhang, "SegRNN: Segment Recurrent Neural Network for Long-Term
    Time Series Forecasting", arXiv:2308.11200, 2023, with parallel multi-step forecasting. One GRU
    does both there; here the one that writes has weights of its own. Linear maps: Zeng, Chen,
    Zhang, Xu, "Are Transformers Effective for Time Series Forecasting?", AAAI 2023. Means: Bates,
    Granger, "The Combination of Forecasts", Operational Research Quarterly 20(4), 1969; parts
    that are drawn to equal ones: Stock, Watson, "Combination Forecasts of Output Growth in a
    Seven-Country Data Set", Journal of Forecasting 23(6), 2004.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``MQRNN``.
    segment : int, optional
        w, steps of a segment. By default two seasons, or half of ``h`` where stamps do not tell a
        season; one season, as the authors take for windows of 96 hours, where the window has less
        than six seasons and ``h`` at least four. But 8 to 48 steps, and no more than fit into ``h``
        and the window.
    dropout : float
        Part of each segment's state that is left out in training.
    linear : bool, optional
        Whether the forecast is the mean with the regression; otherwise it is the network's alone.
        By default where there are no columns beside the series, of which the regression knows
        nothing.
    val_size : int, optional
        Points at the end of each series to validate on, at all windows that they have room for; the
        weights that were best there come back, and the parts of the two in the forecast are chosen
        there. By default train on all points, or with ``patience`` validate on the last ``h``, and
        count both alike.
    scaler : str or None
        "series" takes the last value of a window away and divides by the standard deviation of the
        whole series, so that windows with large changes count for more; or as for ``MQRNN``, each
        window by itself.
    season_length, units, max_steps, batch_size, learning_rate, members, patience,
    conformal, transform, alias
        As for ``MQRNN``.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(400)
    >>> y = np.sin(2 * np.pi * t / 20) + 0.01 * t
    >>> model = SegRNN(h=20, input_size=40, segment=20, units=16, max_steps=20, verbose=0)
    >>> model.fit(y).predict().shape
    (20,)
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
        segment: int | None = None,
        dropout: float = 0.5,
        linear: bool | None = None,
        scaler: str | None = "series",
        season_length: int | None = None,
        units: int = 256,
        max_steps: int | None = 1000,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        members: int = 1,
        val_size: int | None = None,
        patience: int | None = None,
        conformal: bool | None = None,
        transform: str | None = None,
        alias: str | None = None,
    ) -> None:
        super().__init__(
            h,
            freq,
            input_size,
            level,
            seed,
            verbose,
            scaler=scaler,
            season_length=season_length,
            units=units,
            max_steps=max_steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            members=members,
            patience=patience,
            conformal=conformal,
            transform=transform,
            alias=alias,
        )
        self.segment, self.dropout, self.val_size = segment, dropout, val_size
        self.linear = linear

    def _check(self) -> None:
        super()._check()
        if self.segment is not None:
            whole_number(self.segment, "segment")
            largest = self.h if self.input_size is None else min(self.h, self.input_size)
            if self.segment > largest:
                raise ValueError(
                    f"segment expects at most h={self.h} and input_size={self.input_size} steps, "
                    f"got {self.segment}"
                )
        if self.val_size is not None and whole_number(self.val_size, "val_size") < self.h:
            raise ValueError(
                f"val_size expects at least h={self.h} points, a whole forecast, "
                f"got {self.val_size}"
            )
        if self.linear not in (None, True, False):
            raise ValueError(f"linear expects True, False or None, got {self.linear!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout expects 0 <= dropout < 1, got {self.dropout!r}")

    def _check_scaler(self) -> None:
        if self.scaler == _SERIES_SCALER:
            return
        try:
            super()._check_scaler()
        except ValueError as error:
            raise ValueError(f"{error}. {type(self).__name__} has 'series' besides") from None

    # -- training ----------------------------------------------------------------------------------

    def _fit(self, panel: Panel) -> None:
        self._spreads: dict[Any, float] = {}
        self._places = {name: n for n, name in enumerate(panel.ids, 1)}
        super()._fit(panel)
        held = self._batch_held_out(panel)
        for model in self.models_:
            self._join(model, held)
            if len(panel) > 1:
                # Series that are not learned from are like the average of those that are.
                table = model.get_layer("series_table")
                (rows,) = table.get_weights()
                rows[0] = rows[1:].mean(axis=0)
                table.set_weights([rows])

    def _batch_held_out(self, panel: Panel) -> Batch | None:
        """Windows that neither the network nor the regression has learned from."""
        if self.val_size is None or self._straight is None:
            return None
        reader = WindowReader(self._transformed(panel), self.input_size_, self.h)
        return self._batch(reader.read(*self._held_out(panel, reader, self.val_size)))

    def _join(self, model: Model, held: Batch | None) -> None:
        """Make the median the mean of the network's and the regression; bands move along."""
        if self._straight is None:
            return
        middle = int(np.searchsorted(self.quantiles_, 0.5))
        share = _EQUAL
        if held is not None:
            x, y, weight = held
            made = model.predict(x, batch_size=1024, verbose=0)[..., middle]
            straight = product(x["past"][:, :, 0], self._straight[:-1]) + self._straight[-1]
            share = _share(made, straight, y[..., 0], weight > 0)
        last, outputs = model.get_layer("values"), len(self.quantiles_)
        moved = []
        for weight in last.get_weights():
            each = weight.reshape(*weight.shape[:-1], -1, outputs)
            less = (1.0 - share) * each[..., middle : middle + 1]
            moved.append((each - less).reshape(weight.shape))
        last.set_weights(moved)
        *weights, intercept = (1.0 - share) * np.repeat(self._straight, outputs, axis=1)
        model.get_layer("straight").set_weights([np.array(weights), intercept])

    def _look_at(self, windows: WindowList) -> None:
        """Regress what is to come on the window, in the units in which the network sees both."""
        self._straight: Array | None = None
        if not (len(self._binary) == 0 if self.linear is None else self.linear):
            return
        # From how far into its series a window forecasts; those right before the last ones share
        # values with them.
        begins = np.flatnonzero(np.diff(windows.series, prepend=-1))
        lengths = np.diff(begins, append=len(windows))
        place = np.arange(len(windows)) - np.repeat(begins, lengths)
        cut = np.repeat((1.0 - _COMPARED) * lengths, lengths)
        part = np.where(place >= cut, 1, np.where(place < cut - self.h, 0, 2))
        numbers = np.arange(0, len(windows), -(-len(windows) // _REGRESSED))
        sums: list[Moments] = []
        for begin in range(0, len(numbers), _TOGETHER):
            some = numbers[begin : begin + _TOGETHER]
            x, y, weight = self._batch(windows.read(some))
            known = weight.all(axis=1)
            for number in range(3):
                rows = known & (part[some] == number)
                more = Moments(x["past"][rows, :, 0], y[rows, :, 0])
                if begin:
                    sums[number] += more
                else:
                    sums.append(more)
        learned, held, between = sums
        alpha = best_penalty(learned, held, _PENALTIES)
        if alpha is not None:
            learned += held
            learned += between
            self._straight = learned.solve(alpha)

    def _scales(self, windows: Windows) -> tuple[Array, Array]:
        if self.scaler != _SERIES_SCALER:
            return super()._scales(windows)
        past, ids = windows.past, windows.ids
        shift = past[:, -1:]
        if not np.isfinite(shift).all():
            shift, _ = _LAST.fit(past, np.isfinite(past))
        (spread,) = windows.known(
            "spread", lambda: (_column([self._spreads[name] for name in ids]),)
        )
        return shift, spread

    def _meet(self, seen: Panel) -> None:
        super()._meet(seen)
        # A series that was not learned from brings a spread of its own.
        new = [s for s, name in enumerate(seen.ids) if name not in self._spreads]
        if new:
            self._spreads = _spreads(seen.take(new)) | self._spreads

    def _learned(self) -> Array:
        return quantiles_of(self.level)

    def _held(self) -> int:
        return super()._held() if self.val_size is None else self.val_size

    def _held_out(self, panel: Panel, reader: WindowReader, held: int) -> tuple[Array, Array]:
        series, origins = reader.origins(1)
        late = np.flatnonzero(origins >= panel.lengths[series] - held)
        late = late[:: -(-len(late) // _LOOKED_AT)]
        return series[late], origins[late]

    # -- the network -------------------------------------------------------------------------------

    def _inputs(self, windows: Windows, shift: Array, scale: Array) -> dict[str, Array]:
        inputs = super()._inputs(windows, shift, scale)
        count = len(windows.past)
        inputs["place"] = np.tile(np.arange(self._segments, dtype=np.int32), (count, 1))
        if len(self._places) > 1:
            ids = windows.ids
            (place,) = windows.known(
                "place", lambda: (_column([self._places.get(name, 0) for name in ids]),)
            )
            inputs["series"] = place.astype(np.int32)
        return inputs

    @property
    def _width(self) -> int:
        """Steps of a segment."""
        if self.segment is not None:
            return self.segment
        season = self.season_
        single = season >= _SHORTEST and self.input_size_ < 6 * season and self.h >= 4 * season
        usual = self.h // 2 if season == 1 else season if single else 2 * season
        return min(max(usual, _SHORTEST), _LONGEST, self.h, self.input_size_)

    @property
    def _segments(self) -> int:
        """Segments to forecast."""
        return -(-self.h // self._width)

    def _network(self, sizes: Sizes) -> Model:
        w, count = self._width, self._segments
        past = Input((sizes.look_back, sizes.past), name="past")
        place = Input((count,), name="place", dtype="int32")
        inputs = [past, place]
        read = sizes.look_back // w
        rest = sizes.look_back - read * w
        segments = Reshape((read, w * sizes.past))(Cropping1D((rest, 0))(past) if rest else past)
        vectors = Dense(self.units, activation="relu", name="segments")(segments)
        state = GRU(self.units, name="reader")(vectors)
        # What a segment to come is told, beside the state: the same for all of them, or its own.
        told = {}
        if sizes.series > 1:
            series = Input((1,), name="series", dtype="int32")
            inputs.append(series)
            table = Embedding(sizes.series + 1, _SERIES, name="series_table")
            told["series"] = Flatten()(table(series))
        if sizes.static:
            told["static"] = Input((sizes.static,), name="static")
            inputs.append(told["static"])
        if sizes.future:
            future = Input((sizes.horizon, sizes.future), name="future")
            inputs.append(future)
            more = count * w - self.h
            whole = ZeroPadding1D((0, more))(future) if more else future
            known = Reshape((count, w * sizes.future))(whole)
            told["future"] = Dense(self.units, activation="relu", name="known")(known)

        def given(gate: str) -> list[Any]:
            """What a gate makes of it, with weights of its own."""
            place_of = Embedding(count, self.units, name=f"{gate}_place")
            others = [
                Dense(self.units, use_bias=False, name=f"{gate}_{what}")(x)
                for what, x in told.items()
            ]
            return [place_of(place), *others]

        of_state = {
            gate: Dense(self.units, name=f"{gate}_state")(state)
            for gate in ("update", "reset", "candidate")
        }
        update, reset = (
            Activation("sigmoid")(Add()([*given(gate), of_state[gate]]))
            for gate in ("update", "reset")
        )
        kept = Multiply()([reset, of_state["candidate"]])
        candidate = Activation("tanh")(Add()([*given("candidate"), kept]))
        new = Add()([candidate, Multiply()([update, Subtract()([state, candidate])])])
        steps = Dense(w * sizes.outputs, name="values")(Dropout(self.dropout)(new))
        steps = Reshape((count * w, sizes.outputs))(steps)
        if count * w > self.h:
            steps = Cropping1D((0, count * w - self.h))(steps)
        if self._straight is not None:
            # It takes no part in training: see _join.
            straight = Dense(
                self.h * sizes.outputs,
                kernel_initializer="zeros",
                trainable=False,
                name="straight",
            )(past[:, :, 0])
            steps = Add()([steps, Reshape((self.h, sizes.outputs))(straight)])
        return Model(inputs, steps)

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Any:
        if len(self.quantiles_) < len(quantiles) and len(self.quantiles_) == 1:
            raise ValueError(
                f"{type(self).__name__} has learned the median alone, since level=None when it was "
                f"made; write {type(self).__name__}(..., level=[80, 95]) and fit it for intervals"
            )
        return super()._forecast(panel, h, future, quantiles)


def _share(network: Array, straight: Array, came: Array, known: Array) -> float:
    """How much the network counts beside the regression, by (W, h) forecasts of both.

    Halfway from equal parts to those of least squares: windows overlap, so that there are fewer to
    choose by than it seems.
    """
    apart, missed = (np.where(known, one - straight, 0.0) for one in (network, came))
    total = float((apart**2).sum())
    best = float((apart * missed).sum()) / total if total else _EQUAL
    return 0.5 * (_EQUAL + min(max(best, 0.0), 1.0))


def _column(values: list[float]) -> Array:
    return np.array(values, np.float64)[:, np.newaxis]


def _spreads(panel: Panel) -> dict[Any, float]:
    """Standard deviation of each series, by its name; 1 where it is constant."""
    present = np.isfinite(panel.y)
    values, lengths, begins = np.where(present, panel.y, 0.0), panel.lengths, panel.offsets[:-1]
    count = np.maximum(np.add.reduceat(present, begins, dtype=np.int64), 1)
    mean = np.add.reduceat(values, begins) / count
    away = np.where(present, values - np.repeat(mean, lengths), 0.0)
    spread = np.sqrt(np.add.reduceat(away**2, begins) / count)
    largest = np.maximum.reduceat(np.abs(values), begins)
    scales = np.where(spread > _CONSTANT * largest, spread, 1.0)
    return dict(zip(panel.ids, scales.tolist(), strict=True))
