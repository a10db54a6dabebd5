"""Intervals that are as wide as the past says: what a model's own were worth, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.intervals import quantiles_of
from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]

# Coverages, in per cent, that are measured; those between are taken from between them.
LEVELS = (50, 80, 90, 95, 99)
QUANTILES = quantiles_of(LEVELS)
# Forecasts of the past that are looked at, of all series together.
_WANTED = 256
# Windows that do not overlap, by how many of which widths are found where there are more.
_COUNTED = 64
# A series whose least value is nearer to zero than this part of the mean is not one of ratios.
_NEAR_ZERO = 0.01
# The part of a series that may be held out for them.
_PART = 5
# An end nearer to the median than this part of the interval is not measured against.
_NEAREST = 0.05
# Intervals are made no wider or narrower than this many times.
_MOST = 10.0


class Heights:
    """How high series are, as they go on: what tells whether errors go in proportion.

    Parameters
    ----------
    least, total, count : ndarray
        (S,) smallest value, sum of absolute values, and number of values.
    """

    def __init__(self, least: Array, total: Array, count: Array) -> None:
        self._least, self._total, self._count = least, total, count

    @classmethod
    def of(cls, panel: Panel) -> Heights:
        """Of these series."""
        present, begins = np.isfinite(panel.y), panel.offsets[:-1]
        return cls(
            np.minimum.reduceat(np.where(present, panel.y, np.inf), begins),
            np.add.reduceat(np.where(present, np.abs(panel.y), 0.0), begins),
            np.add.reduceat(present.astype(np.int64), begins),
        )

    def take(self, values: Array) -> None:
        """Go on by (S,) values, NaN where one is missing."""
        present = np.isfinite(values)
        self._least = np.fmin(self._least, values)
        self._total = self._total + np.where(present, np.abs(values), 0.0)
        self._count = self._count + present

    def positive(self) -> Array:
        """(S,) of bool: series that are so far above zero that their errors go in proportion."""
        mean = self._total / np.maximum(self._count, 1)
        positive: Array = (self._least > _NEAR_ZERO * mean) & np.isfinite(self._least)
        return positive


@dataclass(frozen=True)
class Calibration:
    """How many times wider intervals must be to keep what they promise.

    Attributes
    ----------
    factors : ndarray
        (V, h) for each of ``LEVELS`` and each step.
    """

    factors: Array

    def applied(self, point: Array, bands: Array, quantiles: Array, positive: Array) -> Array:
        """Quantiles whose distance from the median is so many times larger.

        Parameters
        ----------
        point : ndarray
            (S, h) medians, which remain.
        bands : ndarray
            (S, h, Q) quantiles.
        quantiles : ndarray
            (Q,) their levels, rising, with 0.5 among them.
        positive : ndarray
            (S,) of bool: series of which distances are ratios.

        Returns
        -------
        ndarray
            (S, h, Q). A higher level is never lower.
        """
        middle, ends = _on_scale(point, bands, positive)
        known = np.array([_score(0.5 + level / 200) for level in LEVELS])
        wanted = np.array([abs(_score(q)) for q in quantiles])
        steps = np.minimum(np.arange(point.shape[1]), self.factors.shape[1] - 1)
        factors = np.stack([np.interp(wanted, known, self.factors[:, k]) for k in steps])
        away = (ends - middle) * factors
        # Of two levels the wider interval holds the other, whatever their factors are.
        half = int(np.searchsorted(quantiles, 0.5))
        away[..., half:] = np.maximum.accumulate(np.maximum(away[..., half:], 0.0), axis=2)
        lower = np.minimum(away[..., half::-1], 0.0)
        away[..., half::-1] = np.minimum.accumulate(lower, axis=2)
        logs = positive[:, np.newaxis, np.newaxis]
        made: Array = middle + away
        with np.errstate(over="ignore"):
            np.exp(made, out=made, where=np.broadcast_to(logs, made.shape))
        return made


@dataclass(frozen=True)
class Past:
    """Forecasts of values that the model had not seen, and how long ago they were made.

    Attributes
    ----------
    y, point, bands, positive : ndarray
        Of M windows, as for ``calibrated``.
    made : ndarray
        (M,) places in time at which they were made; only differences matter.
    share : ndarray
        (M,) how much each counts: less than 1 where windows overlap.
    stretch : int
        Steps after which a window counts half.
    """

    y: Array
    point: Array
    bands: Array
    positive: Array
    made: Array
    share: Array
    stretch: int

    def calibration(self, now: int | None = None) -> Calibration:
        """What those of which something has come by ``now`` say together."""
        y = self.y
        if now is not None:
            later = self.made[:, np.newaxis] + np.arange(y.shape[1]) >= now
            y = np.where(later, np.nan, y)
        weight = self.share * 0.5 ** ((self.made.max() - self.made) / self.stretch)
        return calibrated(y, self.point, self.bands, self.positive, weight=weight)

    def ending_at(self, place: int) -> Past:
        """The same with times counted so that the series ended there."""
        return replace(self, made=self.made + place)

    def and_then(self, bands: Array, y: Array, positive: Array, made: int, share: float) -> Past:
        """These and forecasts made later; bands are (S, h, Q) of ``QUANTILES``."""
        bands = np.sort(bands, axis=2)
        return Past(
            np.concatenate([self.y, y]),
            np.concatenate([self.point, bands[..., len(LEVELS)]]),
            np.concatenate([self.bands, bands]),
            np.concatenate([self.positive, positive]),
            np.concatenate([self.made, np.full(len(y), made)]),
            np.concatenate([self.share, np.full(len(y), share)]),
            self.stretch,
        )


def past_of(bands: Array, y: Array, positive: Array, made: Array, left: Array) -> Past:
    """Forecasts, (M, h, Q), from so many points before the end of each series, to calibrate by.

    Windows that overlap count by what is new in each. What was long ago says less of what comes:
    by half after so many steps that some 64 windows side by side, of all series together, count.
    """
    h, bands = y.shape[1], np.sort(bands, axis=2)
    apart = h if len(left) == 1 else min(h, int(left[0] - left[1]))
    point = bands[..., len(LEVELS)]
    share = np.full(len(y), apart / h)
    series = max(1, len(y) // len(left))
    stretch = max(h, round(_COUNTED * np.log(2.0) * h / series))
    return Past(y, point, bands, positive, made, share, stretch)


def calibrated(
    y: Array,
    point: Array,
    bands: Array,
    positive: Array,
    smooth: int | None = None,
    weight: Array | None = None,
) -> Calibration:
    """Learn from forecasts of values that the model had not seen.

    A forecast's score is how many times wider its interval had to be to hold what came, and the
    factor the score of the rank that split-conformal prediction asks for, among all windows and a
    few neighbouring steps. If what comes is like what came, exchangeable with it, intervals then
    hold it with at least the probability that they promise.

    Parameters
    ----------
    y : ndarray
        (M, h) what came, of M windows; NaN is left out.
    point, bands : ndarray
        (M, h) medians, and (M, h, Q) the quantiles ``QUANTILES``.
    positive : ndarray
        (M,) of bool: series of which distances are ratios.
    smooth : int, optional
        Steps before and after each whose scores count for it; an eighth of h by default.
    weight : ndarray, optional
        (M,) how much a window counts, in units of the one to come; 1 by default.

    Returns
    -------
    Calibration

    References
    ----------
    Romano, Patterson, Candès, "Conformalized quantile regression", NeurIPS 2019; scores in units of
    the distance from the median: Sesia, Candès, "A comparison of some conformal quantile regression
    methods", Stat 9(1), 2020; weights: Barber, Candès, Ramdas, Tibshirani, "Conformal prediction
    beyond exchangeability", Annals of Statistics 51(2), 2023.
    """
    h = y.shape[1]
    weight = np.ones(len(y)) if weight is None else weight
    smooth = max(1, h // 8) if smooth is None else smooth
    middle, ends = _on_scale(point, bands, positive)
    with np.errstate(invalid="ignore", divide="ignore"):
        came = np.where(positive[:, np.newaxis], np.log(np.maximum(y, 1e-300)), y)
    away = came - middle[..., 0]
    factors = np.ones((len(LEVELS), h))
    for place, level in enumerate(LEVELS):
        low = (middle - ends)[..., len(LEVELS) - 1 - place]
        high = (ends - middle)[..., len(LEVELS) + 1 + place]
        least = _NEAREST * (low + high)
        with np.errstate(invalid="ignore", divide="ignore"):
            score = np.abs(away) / np.maximum(np.where(away < 0, low, high), least)
        score[~np.isfinite(score)] = np.nan
        for k in range(h):
            near = score[:, max(0, k - smooth) : k + smooth + 1]
            factors[place, k] = _weighted(near, weight, level)
    factors = np.where(np.isnan(factors), 1.0, factors)
    return Calibration(np.clip(factors, 1 / _MOST, _MOST))


def _weighted(scores: Array, weight: Array, level: float) -> float:
    """The score that this part of the weight does not exceed, one more of weight 1 above them all.

    With equal weights it is that of rank ceil((n + 1) level); NaN where there is none.
    """
    known = np.isfinite(scores)
    order = np.argsort(scores[known], kind="stable")
    if not order.size:
        return float("nan")
    weights = np.broadcast_to(weight[:, np.newaxis], scores.shape)[known][order]
    below = np.cumsum(weights)
    # Rounded, or 0.8 of 10 could be 8.000000000000002 of them.
    wanted = np.round((below[-1] + 1.0) * level / 100, 9)
    place = int(np.searchsorted(np.round(below, 9), wanted))
    return float(scores[known][order[min(place, order.size - 1)]])


def past_cutoffs(panel: Panel, h: int, wanted: int = _WANTED) -> Array:
    """Points that are left out at the end of each series, to forecast them.

    As many as make ``wanted`` forecasts of all series together, h steps apart at most, in the last
    fifth of the series or their last h points.

    Returns
    -------
    ndarray
        (W,) falling; the last one is h.
    """
    windows = -(-wanted // len(panel))
    room = max(0, int(np.median(panel.lengths)) // _PART - h)
    windows = min(windows, room + 1)
    step = min(h, room // (windows - 1)) if windows > 1 else 1
    return h + step * np.arange(windows - 1, -1, -1)


def _on_scale(point: Array, bands: Array, positive: Array) -> tuple[Array, Array]:
    """(M, h, 1) medians and (M, h, Q) quantiles, of positive series their logarithms."""
    logs = positive[:, np.newaxis, np.newaxis]
    middle = point[..., np.newaxis]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (
            np.where(logs, np.log(np.maximum(middle, 1e-300)), middle),
            np.where(logs, np.log(np.maximum(bands, 1e-300)), bands),
        )


def _score(q: float) -> float:
    return NormalDist().inv_cdf(float(q))
