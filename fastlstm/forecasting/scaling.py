"""How a window of the past is scaled before a network sees it, each window by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Spreads that are less than this part of the largest value are rounding, not a signal.
_CONSTANT = 1e-10
# Distance of the quartiles of a normal distribution, in standard deviations.
_QUARTILES = 1.3489795003921634


@dataclass(frozen=True)
class WindowScaler:
    """Shift and scale of a window: ``(window - shift) / scale`` is what the network sees.

    What it answers becomes ``answer * scale + shift``.

    Attributes
    ----------
    name : str or None
        ``None`` leaves values as they are. "last" takes the last value away, "standard" the mean,
        and both divide by the standard deviation. "robust" takes the median away and divides by
        the distance of the quartiles, in units in which it is the standard deviation of a normal
        distribution. "mean" takes nothing away and divides by the mean of the absolute values.

    References
    ----------
    "standard" is the reversible instance normalisation, without weights, of Kim et al., "Reversible
    Instance Normalization for Accurate Time-Series Forecasting against Distribution Shift", ICLR
    2022; "mean" is from Salinas, Flunkert, Gasthaus, Januschowski, "DeepAR: Probabilistic
    forecasting with autoregressive recurrent networks", International Journal of Forecasting 36(3),
    2020.
    """

    name: str | None

    def fit(self, past: Array, present: Array) -> tuple[Array, Array]:
        """Shift and scale of each window.

        Parameters
        ----------
        past : ndarray
            (B, L) windows. What stands where a value is missing does not matter.
        present : ndarray
            (B, L) of bool, where there is a value.

        Returns
        -------
        shift, scale : ndarray
            (B, 1) each, float64. Scales are never 0: they are 1 where all values of a window are
            the same, and where it has none, whose shift is 0.
        """
        present = np.asarray(present, bool)
        known = past if present.all() else np.where(present, past, 0.0)
        values = known.astype(np.float64, copy=False)
        count = np.maximum(present.sum(axis=1, keepdims=True), 1)
        shift, scale = _SCALERS[self.name](values, present, count)
        largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
        return shift, np.where(scale > _CONSTANT * largest, scale, 1.0)


def window_scaler(name: str | None) -> WindowScaler:
    """The scaler of this name.

    Parameters
    ----------
    name : {"standard", "robust", "mean", "last", None}

    Returns
    -------
    WindowScaler

    Raises
    ------
    ValueError
        For another name.
    """
    if not (name is None or isinstance(name, str)) or name not in _SCALERS:
        names = ", ".join(repr(known) for known in _SCALERS)
        raise ValueError(f"scaler expects one of {names}; got {name!r}")
    return WindowScaler(name)


# Of (B, L) values, zero where none is present, and how many are: (B, 1) shifts and scales.


def _nothing(values: Array, present: Array, count: Array) -> tuple[Array, Array]:
    return np.zeros(count.shape), np.ones(count.shape)


def _last(values: Array, present: Array, count: Array) -> tuple[Array, Array]:
    _, spread = _standard(values, present, count)
    place = np.where(present, np.arange(values.shape[1]), 0).max(axis=1, keepdims=True, initial=0)
    return np.take_along_axis(values, place, axis=1), spread


def _mean(values: Array, present: Array, count: Array) -> tuple[Array, Array]:
    return np.zeros(count.shape), np.abs(values).sum(axis=1, keepdims=True) / count


def _standard(values: Array, present: Array, count: Array) -> tuple[Array, Array]:
    mean = values.sum(axis=1, keepdims=True) / count
    away = values - mean
    if not present.all():
        away[~present] = 0.0
    away *= away
    return mean, np.sqrt(away.sum(axis=1, keepdims=True) / count)


def _robust(values: Array, present: Array, count: Array) -> tuple[Array, Array]:
    whole = present.all()
    rising = np.sort(values if whole else np.where(present, values, np.inf), axis=1)
    quantile = _quantile_of_all if whole else _quantile
    low, median, high = (quantile(rising, count, q) for q in (0.25, 0.5, 0.75))
    some = present.any(axis=1, keepdims=True)
    median = np.where(some, median, 0.0)
    spread = np.subtract(high, low, where=some, out=np.zeros(count.shape)) / _QUARTILES
    # Quartiles that are equal, as of rare demand, say nothing of the spread.
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
    flat = spread <= _CONSTANT * largest
    return median, np.where(flat, _standard(values, present, count)[1], spread)


def _quantile(rising: Array, count: Array, q: float) -> Array:
    """Of the first ``count`` of each row, between two of them in proportion."""
    place = q * (count - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, count - 1)
    left, right = (np.take_along_axis(rising, at, axis=1) for at in (below, above))
    step = np.subtract(right, left, where=above > below, out=np.zeros(count.shape))
    return left + (place - below) * step


def _quantile_of_all(rising: Array, count: Array, q: float) -> Array:
    """The same, to the last bit, where no value is missing."""
    place = q * (rising.shape[1] - 1)
    below = int(place)
    above = min(below + 1, rising.shape[1] - 1)
    left = rising[:, below : below + 1]
    return left + (place - below) * (rising[:, above : above + 1] - left)


_SCALERS: dict[str | None, Callable[[Array, Array, Array], tuple[Array, Array]]] = {
    "standard": _standard,
    "robust": _robust,
    "mean": _mean,
    "last": _last,
    None: _nothing,
}
