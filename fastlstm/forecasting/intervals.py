"""Prediction intervals: levels, quantiles, the names of their columns, conformal widths."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def check_level(level: Any) -> tuple[int | float, ...]:
    """Levels in rising order, each once.

    Parameters
    ----------
    level : float, sequence of float or None
        Coverage of intervals in per cent; None for no intervals.

    Returns
    -------
    tuple of int or float
        Whole numbers as such, since they become part of the columns' names.

    Raises
    ------
    TypeError
        If they are no numbers.
    ValueError
        If one is not between 1 and 100, as a coverage such as 0.8 would be.
    """
    if level is None:
        return ()
    given = [level] if np.ndim(level) == 0 else list(level)
    for one in given:
        if isinstance(one, bool) or not isinstance(one, numbers.Real):
            raise TypeError(f"level expects numbers in per cent, such as [80, 95], got {level!r}")
        if not 1 <= float(one) < 100:
            raise ValueError(
                "level expects coverages in per cent, from 1 to less than 100, such as [80, 95], "
                f"got {one!r}"
                + (f"; for {float(one):g} write {100 * float(one):g}" if 0 < float(one) < 1 else "")
            )
    levels = sorted({float(one) for one in given})
    return tuple(int(one) if one.is_integer() else one for one in levels)


def quantiles_of(level: Sequence[float] | None) -> Array:
    """Quantiles at the ends of intervals, and the median.

    Parameters
    ----------
    level : sequence of float
        Coverages in per cent.

    Returns
    -------
    ndarray
        (Q,) rising, with 0.5 in the middle.

    Examples
    --------
    >>> quantiles_of([80, 95]).tolist()
    [0.025, 0.1, 0.5, 0.9, 0.975]
    """
    levels = check_level(level)
    # Hundredths as written: 80 gives the number 0.1, not one that is nearly so.
    lows = [round((100 - one) / 200, 12) for one in reversed(levels)]
    highs = [round((100 + one) / 200, 12) for one in levels]
    return np.array([*lows, 0.5, *highs])


def band_names(name: str, level: Sequence[float] | None) -> list[tuple[int, str]]:
    """Columns of intervals, from the lowest to the highest.

    Parameters
    ----------
    name : str
        Of the model.
    level : sequence of float
        Coverages in per cent.

    Returns
    -------
    list of (int, str)
        Place in ``quantiles_of(level)``, and the column's name.

    Examples
    --------
    >>> band_names("LSTM", [80, 95])
    [(0, 'LSTM-lo-95'), (1, 'LSTM-lo-80'), (3, 'LSTM-hi-80'), (4, 'LSTM-hi-95')]
    """
    levels = check_level(level)
    count = len(levels)
    lows = [(n, f"{name}-lo-{one}") for n, one in enumerate(reversed(levels))]
    highs = [(count + 1 + n, f"{name}-hi-{one}") for n, one in enumerate(levels)]
    return [*lows, *highs]


def between(values: npt.ArrayLike, known: npt.ArrayLike, wanted: npt.ArrayLike) -> Array:
    """Quantiles from those that are known.

    Between two of them they are linear in the normal score of the level, which is exact for a
    normal distribution; beyond the outermost ones they go on by the slope of the last two.

    Parameters
    ----------
    values : array_like
        (..., K) the quantiles known. Those that cross are put in order first.
    known, wanted : array_like
        (K,) their levels, rising, and (Q,) those wanted, all between 0 and 1.

    Returns
    -------
    ndarray
        (..., Q). A higher level is never lower.
    """
    rising = np.sort(np.asarray(values, np.float64), axis=-1)
    known, wanted = np.asarray(known, np.float64), np.asarray(wanted, np.float64)
    if rising.shape[-1] != len(known):
        raise ValueError(
            f"between expects values (..., {len(known)}), one for each level known, "
            f"got {rising.shape}"
        )
    if len(known) == 1:
        return np.repeat(rising, len(wanted), axis=-1)
    scores, sought = _normal_scores(known), _normal_scores(wanted)
    left = np.clip(np.searchsorted(scores, sought, side="right") - 1, 0, len(known) - 2)
    low, high = rising[..., left], rising[..., left + 1]
    part = (sought - scores[left]) / (scores[left + 1] - scores[left])
    # From the end that is nearer, so that a level that is known gives the value that is.
    made = np.where(part < 0.5, low + part * (high - low), high - (1.0 - part) * (high - low))
    inside = (part >= 0.0) & (part <= 1.0)
    return np.where(inside, np.clip(made, low, high), made)


def conformal(residuals: npt.ArrayLike, level: Any) -> Array:
    """Half widths of intervals that errors of the past would have kept, step by step.

    Split-conformal: of n errors, the interval is as wide as the one of rank ceil((n + 1) level),
    in the order of their sizes. If the next error is like those, exchangeable with them, then it
    lies in the interval with at least that probability, whatever its distribution. Errors of one
    series in the order of time are only nearly so.

    Parameters
    ----------
    residuals : array_like
        (W, ...) errors of forecasts that did not know what they forecast: W windows, and commonly h
        steps. NaN is left out.
    level : float or sequence of float
        Coverages in per cent, more than 0 and less than 100.

    Returns
    -------
    ndarray
        (V, ...) for V levels in the order given. Where there are too few errors for that rank, the
        size of the largest; NaN where there is none.

    References
    ----------
    Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, "Distribution-free predictive inference for
    regression", Journal of the American Statistical Association 113(523), 2018.

    Examples
    --------
    >>> conformal([[1.0], [-3.0], [2.0], [-4.0]], [50, 80]).tolist()
    [[3.0], [4.0]]
    """
    sizes = np.sort(np.abs(np.asarray(residuals, np.float64)), axis=0)
    levels = np.atleast_1d(np.asarray(level, np.float64))
    if not ((levels > 0) & (levels < 100)).all():
        raise ValueError(f"level expects coverages in per cent, such as [80, 95], got {level!r}")
    if not sizes.ndim or not len(sizes):
        return np.full((len(levels), *sizes.shape[1:]), np.nan)
    count = (~np.isnan(sizes)).sum(axis=0)
    widths = []
    for one in levels:
        # The share is rounded, or 0.8 of 10 errors could be 8.000000000000002 of them.
        rank = np.ceil(np.round((count + 1) * one / 100, 9)).astype(np.int64)
        place = np.clip(np.minimum(rank, count) - 1, 0, None)[np.newaxis]
        widths.append(np.take_along_axis(sizes, place, axis=0)[0])
    return np.stack(widths)


def uncross(quantiles: npt.ArrayLike) -> Array:
    """Quantiles in rising order along the last axis.

    Source: Chernozhukov, Fernandez-Val, Galichon, "Quantile and probability curves without
    crossing", Econometrica 78(3), 2010.

    Parameters
    ----------
    quantiles : array_like
        (..., Q)

    Returns
    -------
    ndarray
        (..., Q) the same numbers.
    """
    return np.sort(np.asarray(quantiles), axis=-1)


def _normal_scores(levels: Array) -> Array:
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(level)) for level in levels])
