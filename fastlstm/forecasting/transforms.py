"""Transforms of a whole series before a model sees it, and back.

All of them but ``Difference`` rise, so quantiles may go back through ``inverse`` as values do.
Values that are missing are NaN and remain so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.rules import filled
from fastlstm.forecasting.scaling import window_scaler
from fastlstm.validation import numeric_array, whole_number

Array = npt.NDArray[Any]

# Powers among which that of Box and Cox is chosen.
_POWERS = np.round(np.linspace(-1.0, 2.0, 61), 2)
# The standard deviation of a normal distribution whose median distance from the median is 1; and
# how many times as large as that makes it, it is of tails that are heavy: 1.38 times of a double
# exponential distribution, 1.53 of Student's t with three degrees of freedom.
_NORMAL, _HEAVY = 1.4826022185056018, 1.4


class Transform(Protocol):
    """One that was fitted to a series; both ways elementwise, for arrays of any shape."""

    def transform(self, y: npt.ArrayLike) -> Array:
        """What a model sees of these values."""

    def inverse(self, z: npt.ArrayLike) -> Array:
        """The values that become these."""


@dataclass(frozen=True)
class Affine:
    """``(y - shift) / scale``."""

    shift: float
    scale: float

    def transform(self, y: npt.ArrayLike) -> Array:
        """What a model sees of these values."""
        return (np.asarray(y, np.float64) - self.shift) / self.scale

    def inverse(self, z: npt.ArrayLike) -> Array:
        """The values that become these."""
        return np.asarray(z, np.float64) * self.scale + self.shift


@dataclass(frozen=True)
class Arcsinh:
    """``arcsinh((y - shift) / scale)``: as it is near the shift, logarithms far from it."""

    shift: float
    scale: float

    def transform(self, y: npt.ArrayLike) -> Array:
        """What a model sees of these values."""
        return np.arcsinh((np.asarray(y, np.float64) - self.shift) / self.scale)

    def inverse(self, z: npt.ArrayLike) -> Array:
        """The values that become these."""
        return np.sinh(np.asarray(z, np.float64)) * self.scale + self.shift


@dataclass(frozen=True)
class Log1p:
    """``log(1 + y)``, for counts and other values from 0 on that grow in proportion."""

    def transform(self, y: npt.ArrayLike) -> Array:
        """What a model sees of these values, which are greater than -1."""
        values = np.asarray(y, np.float64)
        _check_above(values, -1.0, "log1p")
        return np.log1p(values)

    def inverse(self, z: npt.ArrayLike) -> Array:
        """The values that become these."""
        return np.expm1(np.asarray(z, np.float64))


@dataclass(frozen=True)
class BoxCox:
    """``(y^power - 1) / power``, or ``log(y)`` where the power is 0.

    Source: Box, Cox, "An analysis of transformations", Journal of the Royal Statistical Society B
    26(2), 1964.
    """

    power: float

    def transform(self, y: npt.ArrayLike) -> Array:
        """What a model sees of these values, which are positive."""
        values = np.asarray(y, np.float64)
        _check_above(values, 0.0, "boxcox")
        if self.power == 0.0:
            return np.log(values)
        return np.expm1(self.power * np.log(values)) / self.power

    def inverse(self, z: npt.ArrayLike) -> Array:
        """The values that become these; 0 or infinite beyond what any value becomes."""
        values = np.asarray(z, np.float64)
        if self.power == 0.0:
            return np.exp(values)
        with np.errstate(divide="ignore", over="ignore"):
            inner = np.maximum(self.power * values, -1.0)
            return np.exp(np.log1p(inner) / self.power)


@dataclass(frozen=True)
class Difference:
    """Changes from one season to the next.

    Attributes
    ----------
    season : int
        Steps of a season; 1 for changes from step to step.
    last : ndarray
        (season,) the values at the end of the series, from which forecasts go on.
    """

    season: int
    last: Array

    @classmethod
    def of(cls, y: npt.ArrayLike, season: int) -> Difference:
        """Fit to a series.

        Parameters
        ----------
        y : array_like
            (n,) of more than ``season`` values. For those that are missing at the end, the values
            a season before go on.
        season : int

        Raises
        ------
        ValueError
            If the series is too short.
        """
        values, season = _series(y, "difference"), whole_number(season, "difference")
        if len(values) <= season:
            raise ValueError(
                f"difference={season} expects a series of more than {season} values, "
                f"got {len(values)}"
            )
        return cls(season, filled(values, season)[-season:])

    def transform(self, y: npt.ArrayLike) -> Array:
        """(n,) changes; the first season has none and is NaN."""
        values = np.asarray(y, np.float64)
        made = np.full(values.shape, np.nan)
        made[self.season :] = values[self.season :] - values[: -self.season]
        return made

    def inverse(self, z: npt.ArrayLike, after: npt.ArrayLike | None = None) -> Array:
        """The values that follow ``after``, by their changes.

        Parameters
        ----------
        z : array_like
            (h,) changes.
        after : array_like, optional
            (season,) the values before; by default those at the end of the series.

        Returns
        -------
        ndarray
            (h,)
        """
        changes = np.asarray(z, np.float64)
        before = self.last if after is None else np.asarray(after, np.float64)
        if before.shape != (self.season,) or changes.ndim != 1:
            raise ValueError(
                f"changes expect shape (steps,) and the {self.season} values before them, got "
                f"{changes.shape} and {before.shape}"
            )
        rows = -(-len(changes) // self.season)
        grid = np.zeros((rows + 1, self.season))
        grid[0] = before
        grid[1:].reshape(-1)[: len(changes)] = changes
        return np.cumsum(grid, axis=0)[1:].reshape(-1)[: len(changes)]


def series_transform(name: str | None, y: npt.ArrayLike) -> Transform:
    """Fit the transform of this name to a series.

    Parameters
    ----------
    name : {"standard", "robust", "minmax", "log1p", "boxcox", None}
        "standard" and "robust" as for windows (``scaling.window_scaler``); "minmax" makes the
        smallest value 0 and the largest 1; "log1p" is log(1 + y). "boxcox" is the power, of -1 to 2
        in steps of 0.05, that makes the values most likely to be normal.
    y : array_like
        (n,) the series.

    Returns
    -------
    Transform

    Raises
    ------
    ValueError
        For another name, or a series that has values that the transform is not for.

    Examples
    --------
    >>> made = series_transform("minmax", [2.0, 4.0, 6.0])
    >>> made.transform([2.0, 5.0]).tolist()
    [0.0, 0.75]
    >>> made.inverse([0.75]).tolist()
    [5.0]
    """
    if not (name is None or isinstance(name, str)) or name not in _TRANSFORMS:
        names = ", ".join(repr(known) for known in _TRANSFORMS)
        raise ValueError(f"transform expects one of {names}; got {name!r}")
    values = _series(y, name)
    return _TRANSFORMS[name](values[~np.isnan(values)])


def tamed(y: npt.ArrayLike) -> Affine | Arcsinh:
    """A series in units of its spread; if it has heavy tails, by the inverse hyperbolic sine.

    Heavier than those of a double exponential distribution, that is: by the squares of spikes such
    a series would be little else. They are told by how much the standard deviation is more than
    what the median distance from the median makes of it.

    Parameters
    ----------
    y : array_like
        (n,) the series; NaN is left out.

    Returns
    -------
    Affine or Arcsinh

    References
    ----------
    Uniejewski, Weron, Ziel, "Variance stabilizing transformations for electricity spot price
    forecasting", IEEE Transactions on Power Systems 33(2), 2018.
    """
    values = np.asarray(y, np.float64)
    values = values[~np.isnan(values)]
    spread = float(values.std()) if values.size else 0.0
    if spread <= 1e-10 * np.abs(values).max(initial=0.0):
        return Affine(0.0, 1.0)
    middle = float(np.median(values))
    usual = _NORMAL * float(np.median(np.abs(values - middle)))
    # Where most values are the same there is no usual distance.
    if usual > 0.0 and spread > _HEAVY * usual:
        return Arcsinh(middle, usual)
    return Affine(0.0, spread)


# Of the values of a series that are not missing.


def _nothing(y: Array) -> Transform:
    return Affine(0.0, 1.0)


def _standard(y: Array) -> Transform:
    return _as_a_window("standard", y)


def _robust(y: Array) -> Transform:
    return _as_a_window("robust", y)


def _as_a_window(name: str, y: Array) -> Transform:
    shift, scale = window_scaler(name).fit(y[np.newaxis], np.ones((1, len(y)), bool))
    return Affine(float(shift[0, 0]), float(scale[0, 0]))


def _minmax(y: Array) -> Transform:
    low, high = float(y.min()), float(y.max())
    return Affine(low, high - low if high > low else 1.0)


def _log1p(y: Array) -> Transform:
    _check_above(y, -1.0, "log1p")
    return Log1p()


def _boxcox(y: Array) -> Transform:
    _check_above(y, 0.0, "boxcox")
    logs = np.log(y)
    # In units of their geometric mean, the likeliest power is that of the least spread.
    away = logs - logs.mean()
    if away.std() <= 1e-10 * np.abs(logs).max():
        return BoxCox(1.0)
    spreads = []
    for power in _POWERS:
        made = away if power == 0.0 else np.expm1(power * away) / power
        spreads.append(made.std())
    return BoxCox(float(_POWERS[int(np.argmin(spreads))]))


def _check_above(y: Array, bound: float, name: str) -> None:
    """An error where values are not greater than ``bound``."""
    wrong = y[~np.isnan(y) & ~(y > bound)]
    if wrong.size:
        wanted = "positive values" if bound == 0.0 else f"values greater than {bound:g}"
        raise ValueError(
            f"{name} expects {wanted}, but {wrong.size} are not, such as {wrong.min():g}; "
            + ("take 'log1p', if they are at least 0, or " if bound == 0.0 else "")
            + "leave it out, or add a constant first"
        )


def _series(y: npt.ArrayLike, name: Any) -> Array:
    values = numeric_array("y", y).astype(np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} expects one series, shape (time,), got {values.shape}")
    if np.isnan(values).all():
        raise ValueError(f"{name} expects a series with at least one value, got none")
    return values


_TRANSFORMS: dict[str | None, Callable[[Array], Transform]] = {
    "standard": _standard,
    "robust": _robust,
    "minmax": _minmax,
    "log1p": _log1p,
    "boxcox": _boxcox,
    None: _nothing,
}
