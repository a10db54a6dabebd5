"""Ridge regression from the last values of a series to the next ones, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.algebra import product, solve
from fastlstm.validation import real_number, whole_number

Array = npt.NDArray[Any]

CENTERS = ("last", "mean")
# Penalties that are tried.
_ALPHAS = (1.0, 10.0, 100.0, 1000.0)
# Windows whose products are summed at a time.
_TOGETHER = 4096


@dataclass(frozen=True)
class RidgeFit:
    """Weights of a direct regression: one for each of the last values and each step to come.

    Attributes
    ----------
    weights : ndarray
        (L, h)
    intercept : ndarray
        (h,) in the units in which the series were regressed.
    center : {"last", "mean"}
        What is taken from a window, and given back to its forecast.
    """

    weights: Array
    intercept: Array
    center: str

    def predict(self, windows: npt.ArrayLike, h: int | None = None) -> Array:
        """Forecast what follows.

        Parameters
        ----------
        windows : array_like
            (W, L) the last values before each forecast.
        h : int, optional
            Steps. Those beyond the regression's own are forecast from its forecasts.

        Returns
        -------
        ndarray
            (W, h)
        """
        look_back, own = self.weights.shape
        known = np.asarray(windows, np.float64)
        if known.ndim != 2 or known.shape[1] != look_back:
            raise ValueError(
                f"this regression expects windows of {look_back} values, (windows, {look_back}), "
                f"got {known.shape}"
            )
        h = own if h is None else whole_number(h, "h")
        for _ in range(-(-h // own)):
            window = known[:, -look_back:]
            shift = _shift(window, self.center)
            block = product(window - shift, self.weights) + self.intercept + shift
            known = np.concatenate([known, block], axis=1)
        made: Array = known[:, look_back : look_back + h]
        return made


def fit_ridge(
    series: Sequence[npt.ArrayLike],
    look_back: int,
    h: int,
    alpha: float = 1.0,
    center: str = "last",
) -> RidgeFit:
    """Regress the next h values on the last ones, over all windows of one or several series.

        minimise  |Y - X B - 1 b|^2 + alpha |B|^2

    with a row of X and Y for each window. The intercept b bears no penalty: X and Y are taken from
    their means, and B solves (X'X + alpha) B = X'Y.

    Parameters
    ----------
    series : sequence of array_like
        (n,) each, without gaps. They should be in units in which they are alike, since the penalty
        is on weights for all of them, and ``alpha`` is in squares of these units.
    look_back, h : int
        Values that a forecast sees, and steps that it makes.
    alpha : float
        Penalty. With 0 it is least squares, of the smallest weights where there are several.
    center : {"last", "mean"}
        A window is taken from its last value or from its mean, and so are the values after it: the
        forecast moves as the series does.

    Returns
    -------
    RidgeFit

    Raises
    ------
    ValueError
        If no series is long enough for a window.

    References
    ----------
    Hoerl, Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics
    12(1), 1970. Differences from the window's last value as in Zeng, Chen, Zhang, Xu, "Are
    Transformers Effective for Time Series Forecasting?", AAAI 2023.
    """
    look_back, h = whole_number(look_back, "look_back"), whole_number(h, "h")
    alpha = real_number("alpha", alpha)
    if center not in CENTERS:
        raise ValueError(f"center expects 'last' or 'mean', got {center!r}")
    span = look_back + h
    views = [
        np.lib.stride_tricks.sliding_window_view(np.asarray(one, np.float64), span)
        for one in series
        if len(one) >= span  # type: ignore[arg-type]
    ]
    if not views:
        raise ValueError(
            f"a regression of {h} steps on {look_back} values expects a series of at least {span} "
            "values"
        )
    blocks = [view[n : n + _TOGETHER] for view in views for n in range(0, len(view), _TOGETHER)]
    # Means first, then products of what differs from them: sums of squares would cancel.
    count = sum(len(block) for block in blocks)
    mean = sum(_centered(block, look_back, center).sum(axis=0) for block in blocks) / count
    products = np.zeros((look_back, span))
    for block in blocks:
        rows = _centered(block, look_back, center) - mean
        products += product(rows[:, :look_back].T, rows)
    square, cross = products[:, :look_back].copy(), products[:, look_back:]
    square[np.diag_indices(look_back)] += alpha
    weights = solve(square, cross)
    intercept = mean[look_back:] - product(mean[np.newaxis, :look_back], weights)[0]
    return RidgeFit(weights, intercept, center)


def usual_alpha(
    series: Sequence[npt.ArrayLike], look_back: int, h: int, center: str = "last"
) -> float:
    """Of 1, 10, 100 and 1000, the penalty by which the last quarter is forecast best from before.

    The largest where nothing is forecast better than by ``center`` alone, or series are too short.

    Parameters
    ----------
    series, look_back, h, center
        As for ``fit_ridge``.
    """
    span = look_back + h
    none = np.empty((0, look_back)), np.empty((0, h))
    learned, held = Moments(*none), Moments(*none)
    for one in series:
        if len(one) < span:  # type: ignore[arg-type]
            continue
        view = np.lib.stride_tricks.sliding_window_view(np.asarray(one, np.float64), span)
        cut = len(view) - len(view) // 4
        # What is held out is in no window that is learned from.
        for moments, first, last in ((learned, 0, cut - h), (held, cut, len(view))):
            for n in range(first, last, _TOGETHER):
                rows = _centered(view[n : min(n + _TOGETHER, last)], look_back, center)
                moments += Moments(rows[:, :look_back], rows[:, look_back:])
    alpha = best_penalty(learned, held, _ALPHAS)
    return _ALPHAS[-1] if alpha is None else alpha


class Moments:
    """Sums of products of rows, out of which regressions with any penalty are solved and scored.

    Parameters
    ----------
    x, y : ndarray
        (n, L) and (n, h) rows, in units in which 0 is near the middle of them.
    """

    def __init__(self, x: Array, y: Array) -> None:
        rows = np.concatenate([x, np.ones((len(x), 1))], axis=1, dtype=np.float64)
        y = np.asarray(y, np.float64)
        self.count = len(x)
        self.square, self.cross = product(rows.T, rows), product(rows.T, y)
        self.total = float((y**2).sum())

    def __iadd__(self, other: Moments) -> Moments:
        self.count += other.count
        self.square += other.square
        self.cross += other.cross
        self.total += other.total
        return self

    def solve(self, alpha: float) -> Array:
        """(L + 1, h) weights for the least squares with this penalty, then the intercept."""
        made: Array = self.solve_each([alpha])[0]
        return made

    def solve_each(self, alphas: Sequence[float]) -> Array:
        """(A, L + 1, h) the same for each penalty, side by side."""
        square = np.repeat(self.square[np.newaxis], len(alphas), axis=0)
        places = np.arange(len(self.square) - 1)
        square[:, places, places] += np.array(alphas)[:, np.newaxis]
        return solve(square, np.repeat(self.cross[np.newaxis], len(alphas), axis=0))

    def loss(self, weights: Array) -> float:
        """Sum of the squared errors of the rows."""
        explained = (weights * (2.0 * self.cross - product(self.square, weights))).sum()
        return self.total - float(explained)


def best_penalty(learned: Moments, held: Moments, alphas: Sequence[float]) -> float | None:
    """The penalty with the least error on other rows; None where weights of 0 have no more."""
    if not (learned.count and held.count):
        return None
    losses = [held.loss(weights) for weights in learned.solve_each(alphas)]
    best = int(np.argmin(losses))
    return alphas[best] if losses[best] < held.total else None


def _centered(windows: Array, look_back: int, center: str) -> Array:
    return windows - _shift(windows[:, :look_back], center)


def _shift(window: Array, center: str) -> Array:
    """(W, 1) what is taken from each window."""
    if center == "last":
        return window[:, -1:]
    mean: Array = window.mean(axis=1, keepdims=True)
    return mean
