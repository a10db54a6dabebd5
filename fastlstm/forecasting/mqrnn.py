"""MQRNN: a recurrent encoder, and all steps to come from its last state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.logarithm import logarithms, powers, switches
from fastlstm.forecasting.network import NetworkForecaster, Sizes
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.seasonal import relative, repeated
from fastlstm.forecasting.windows import Windows
from fastlstm.layers import GRU, Add, Concatenate, Dense, Input, RepeatVector, Reshape
from fastlstm.models import Model

Array = npt.NDArray[Any]

# A window of more steps than these is read a season at a time.
_STEP_BY_STEP = 64
# Where seasons differ by this part of the level, scaled and relative errors count alike.
_ALIKE = 1 / 8


class MQRNN(NetworkForecaster):
    """Direct forecasts of quantiles, all steps at once.

    A GRU reads the window, a long one a whole season at each step. From its last state dense layers
    make the quantiles of all steps to come, to which a linear function of the window is added.
    Where something is known of the steps to come, the state makes a context for each of them, which
    becomes a third part together with what is known. All of this is by how much the last season
    should be corrected, in units of how much seasons differ.

    Series whose values are all well above zero are taken by their logarithms, since they mostly
    grow and swing in proportion. Errors count in units of how much seasons differ, and again in
    proportion to the level, so that very regular series are not all that is learned.

    Sources: Wen, Torkkola, Narayanaswamy, Madeka, "A Multi-Horizon Quantile Recurrent Forecaster",
    arXiv:1711.11053, 2017; seasons as steps: Lin et al., "SegRNN: Segment Recurrent Neural Network
    for Long-Term Time Series Forecasting", arXiv:2308.11200, 2023; the linear part: Zeng, Chen,
    Zhang, Xu, "Are Transformers Effective for Time Series Forecasting?", AAAI 2023.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``NetworkForecaster``, as are the others.
    log : bool or None
        Take logarithms, which needs positive values; by default (None) of each series whose values
        are all greater than a hundredth of their median, unless there is a ``transform``.
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
        log: bool | None = None,
        units: int = 128,
        max_steps: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        members: int = 1,
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
        self.log = log

    def _check(self) -> None:
        super()._check()
        if self.log not in (None, True, False):
            raise ValueError(f"log expects True, False or None, got {self.log!r}")
        if self.log and self.transform is not None:
            raise ValueError(
                f"log=True is a transform too: leave it out, or transform={self.transform!r}"
            )

    def _transformed(self, panel: Panel) -> Panel:
        if self.transform is not None:
            self._taken = np.full(len(panel), self.transform == "log1p")
            return super()._transformed(panel)
        self._taken = switches(panel, self.log)
        return logarithms(panel, self._taken)

    def _restored(self, values: Array, panel: Panel) -> Array:
        if self.transform is not None:
            return super()._restored(values, panel)
        return powers(values, switches(panel, self.log))

    def _scales(self, windows: Windows) -> tuple[Array, Array]:
        return repeated(windows.past, self.season_, self.h)

    def _weights(self, windows: Windows, scale: Array) -> Array:
        return 0.5 + 0.5 * relative(windows.past, scale, self._taken[windows.series]) / _ALIKE

    def _inputs(self, windows: Windows, base: Array, unit: Array) -> dict[str, Array]:
        shift, scale = self._scaled(windows)
        inputs = super()._inputs(windows, shift, scale)
        scales = [_comparison(unit, scale), _comparison(scale, np.abs(shift))]
        static = np.concatenate([*scales, inputs.get("static", scales[0][:, :0])], axis=1)
        return {**inputs, "static": static.astype(np.float32)}

    def _network(self, sizes: Sizes) -> Model:
        past = Input((sizes.look_back, sizes.past), name="past")
        static = Input((sizes.static,), name="static")
        inputs = [past, static]
        answers = sizes.horizon * sizes.outputs
        state = Concatenate()([GRU(self.units)(_steps(past, sizes)), static])
        state = Dense(2 * self.units, activation="relu")(state)
        parts = [Dense(answers)(state), Dense(answers)(past[:, :, 0])]
        made = Reshape((sizes.horizon, sizes.outputs))(Add()(parts))
        if sizes.future:
            future = Input((sizes.horizon, sizes.future), name="future")
            inputs.append(future)
            context = max(8, self.units // 8)
            overall = RepeatVector(sizes.horizon)(Dense(context, activation="relu")(state))
            known = Concatenate()([overall, future])
            known = Dense(self.units // 2, activation="relu")(known)
            made = Add()([made, Dense(sizes.outputs)(known)])
        return Model(inputs, made)


def _steps(past: Any, sizes: Sizes) -> Any:
    """The window, step by step or season by season."""
    season = sizes.season
    if sizes.look_back <= _STEP_BY_STEP or season == 1 or sizes.look_back % season:
        return past
    return Reshape((sizes.look_back // season, season * sizes.past))(past)


def _comparison(one: Array, other: Array) -> Array:
    """How much larger one is than the other, in about single digits, also where one is 0."""
    least = 1e-3 * (one + other) + 1e-30
    return 0.3 * np.log((one + least) / (other + least))
