"""Networks that say by how much the last season is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.logarithm import logarithms, powers, switches
from fastlstm.forecasting.network import NetworkForecaster, Sizes
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.seasonal import last_season, relative, unit_between
from fastlstm.forecasting.windows import Windows
from fastlstm.layers import Reshape, ZeroPadding1D

Array = npt.NDArray[Any]

# A window of more steps than these is read a season at a time.
_STEP_BY_STEP = 64
# Where seasons differ by this part of the level, scaled and relative errors count alike.
_ALIKE = 1 / 8


class SeasonCorrector(NetworkForecaster):
    """Base class of the networks whose answer is a correction of the last season.

    An answer of 0 is the last season again, and its unit is how much seasons differ. The window is
    scaled by itself, and two columns say how these scales compare.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``NetworkForecaster``, as are the others.
    log : bool or None
        Take logarithms, which needs positive values; by default (None) of each series whose values
        are all greater than a hundredth of their median, unless there is a ``transform``.
    pooled : bool
        One network for all series, which forecasts others too. Otherwise a small one for each, all
        of them trained side by side: for series that have little in common, and are long enough to
        be learned from alone. A series that was not there in ``fit`` cannot be forecast then. With
        ``input_size`` and ``max_steps`` given, the forecast of a series without other columns does
        not depend on the series beside it.
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
        pooled: bool = True,
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
        self.log, self.pooled = log, pooled

    def _check(self) -> None:
        super()._check()
        if self.log not in (None, True, False):
            raise ValueError(f"log expects True, False or None, got {self.log!r}")
        if self.log and self.transform is not None:
            raise ValueError(
                f"log=True is a transform too: leave it out, or transform={self.transform!r}"
            )
        if self.pooled not in (True, False):
            raise ValueError(f"pooled expects True or False, got {self.pooled!r}")

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
        past, season = windows.past, self.season_
        (unit,) = windows.known("unit", lambda: (unit_between(past, season),))
        return last_season(past, season, self.h), unit

    def _weights(self, windows: Windows, scale: Array) -> Array:
        taken = self._taken[windows.series]
        (part,) = windows.known("relative", lambda: (relative(windows.past, scale, taken),))
        return 0.5 + 0.5 * part / _ALIKE

    def _inputs(self, windows: Windows, base: Array, unit: Array) -> dict[str, Array]:
        shift, scale = self._scaled(windows)
        inputs = super()._inputs(windows, shift, scale)
        scales = [_comparison(unit, scale), _comparison(scale, np.abs(shift))]
        static = np.concatenate([*scales, inputs.get("static", scales[0][:, :0])], axis=1)
        return {**inputs, "static": static.astype(np.float32)}


def steps_at_once(sizes: Sizes) -> int:
    """How many steps of a window are read at a time: a whole season of a long one."""
    long = sizes.look_back > _STEP_BY_STEP and sizes.look_back % sizes.season == 0
    return sizes.season if long else 1


def side_by_side(steps: Any, at_once: int) -> Any:
    """So many steps in one; behind the last ones zeros, where they are too few."""
    if at_once == 1:
        return steps
    count, columns = steps.shape[1:]
    rows = -(-count // at_once)
    more = rows * at_once - count
    whole = ZeroPadding1D((0, more))(steps) if more else steps
    return Reshape((rows, at_once * columns))(whole)


def _comparison(one: Array, other: Array) -> Array:
    """How much larger one is than the other, in about single digits, also where one is 0."""
    least = 1e-3 * (one + other) + 1e-30
    return 0.3 * np.log((one + least) / (other + least))
