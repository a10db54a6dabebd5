"""Logarithms of those series that are well above zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]

# Values nearer to zero than this part of the median would be far away by their logarithms.
_NEAR_ZERO = 0.01


def switches(panel: Panel, log: bool | None) -> Array:
    """(S,) of bool, which series are taken by their logarithms.

    Parameters
    ----------
    panel : Panel
    log : bool or None
        All of them, none, or those whose values are all greater than a hundredth of their median.

    Raises
    ------
    ValueError
        If all should be, but some have values of 0 or less.
    """
    if log is False:
        return np.zeros(len(panel), bool)
    least, middle = _least_and_middle(panel)
    if log is None:
        return np.asarray(positive(least, middle))
    wrong = panel.ids[least <= 0]
    if len(wrong):
        some = ", ".join(repr(name) for name in wrong[:5])
        raise ValueError(
            f"log=True expects values greater than 0; {len(wrong)} series have others: {some}. "
            "Leave log=None to take logarithms where they can be taken"
        )
    return np.ones(len(panel), bool)


def _least_and_middle(panel: Panel) -> tuple[Array, Array]:
    """(S,) smallest value of each series, and the median; NaN of one without values."""
    least, middle = np.full((2, len(panel)), np.nan)
    lengths = panel.lengths
    # Series of a length are sorted together, missing values last.
    for length in np.unique(lengths[lengths > 0]):
        index = np.flatnonzero(lengths == length)
        rising = np.sort(panel.y[panel.offsets[index][:, np.newaxis] + np.arange(length)], axis=1)
        count = np.isfinite(rising).sum(axis=1)
        rows = np.arange(len(index))
        least[index] = rising[:, 0]
        below, above = (count - 1) // 2, count // 2
        # Of no value at all both are NaN.
        middle[index] = 0.5 * (rising[rows, below] + rising[rows, np.minimum(above, length - 1)])
    return least, middle


def positive(least: Any, middle: Any) -> Any:
    """Whether a series with this least value and this median is well above zero."""
    return (middle * _NEAR_ZERO > 0) & (middle * _NEAR_ZERO < least)


def logarithms(panel: Panel, taken: Array) -> Panel:
    """The panel with logarithms in the place of the values of these series."""
    y = panel.y.copy()
    for s in np.flatnonzero(taken):
        y[panel.offsets[s] : panel.offsets[s + 1]] = np.log(panel.series(int(s)))
    return replace(panel, y=y)


def powers(values: Array, taken: Array) -> Array:
    """(S, ...) values, what their logarithms stood for."""
    back = values.copy()
    back[taken] = np.exp(values[taken])
    return back
