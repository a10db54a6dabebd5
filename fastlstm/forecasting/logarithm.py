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
    least = [np.nanmin(panel.series(s)) for s in range(len(panel))]
    if log is None:
        middle = [np.nanmedian(panel.series(s)) for s in range(len(panel))]
        return np.array([positive(low, m) for low, m in zip(least, middle, strict=True)])
    if log:
        wrong = [name for name, low in zip(panel.ids, least, strict=True) if low <= 0]
        if wrong:
            some = ", ".join(repr(name) for name in wrong[:5])
            raise ValueError(
                f"log=True expects values greater than 0; {len(wrong)} series have others: {some}. "
                "Leave log=None to take logarithms where they can be taken"
            )
    return np.full(len(panel), log)


def positive(least: float, middle: float) -> bool:
    """Whether a series with this least value and this median is well above zero."""
    return 0 < middle * _NEAR_ZERO < least


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
