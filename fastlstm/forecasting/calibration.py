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
WANTED = 256
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
# By how much the logarithm of a width grows after a window that held nothing at all; by less where
# a window is of fewer values than these.
_RATE, _FEW = 0.4, 4
# A window counts as if it had missed no more than so many times what it may.
_WORST = 5.0


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
        middle, ends, logs = _on_scale(point, bands, positive)
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
        made: Array = middle + away
        with np.errstate(over="ignore"):
            np.exp(made, out=made, where=np.broadcast_to(logs, made.shape))
        return made


@dataclass(frozen=True)
class Issued:
    """Intervals that were given out, of which not all has come yet.

    Attributes
    ----------
    made, share, scores
        As of ``Past``, of windows made at one place.
    factors : ndarray
        (V, h) by which they were widened.
    """

    made: int
    share: float
    scores: Array
    factors: Array


@dataclass(frozen=True)
class Past:
    """How good intervals were that were given for values not seen, and how long ago that was.

    Two things are learned from it. Factors are ranks of the scores of all windows, which need many
    of them, and windows like those to come. They may not be: those of a copy that knew less, or of
    another season. So each coverage is followed besides: whenever all of a window has come, the
    factors of a level become larger if it held less than it promised, and smaller if it held more.

    Attributes
    ----------
    scores : ndarray
        (M, V, h) how many times wider intervals had to be to hold what came; NaN of what did not.
    made : ndarray
        (M,) places in time at which they were made; only differences matter.
    share : ndarray
        (M,) how much each counts: less than 1 where windows overlap.
    stretch : int
        Steps after which a window counts half.
    shift : ndarray
        (V,) logarithms of what following coverage has made of the factors.
    waiting : tuple of Issued
        Windows that are not followed yet.
    only_followed : bool
        Whether factors are 1 but for that: of intervals that are made of errors of the past anyway.

    References
    ----------
    Gibbs, Candès, "Adaptive conformal inference under distribution shift", NeurIPS 2021;
    Angelopoulos, Candès, Tibshirani, "Conformal PID control for time series prediction", NeurIPS
    2023, of which it is quantile tracking, on the logarithm of the width.
    """

    scores: Array
    made: Array
    share: Array
    stretch: int
    shift: Array
    waiting: tuple[Issued, ...] = ()
    only_followed: bool = False

    @classmethod
    def empty(cls, h: int) -> Past:
        """Of one whose intervals are followed only."""
        none, levels = np.empty(0), len(LEVELS)
        return cls(np.empty((0, levels, h)), none, none, h, np.zeros(levels), only_followed=True)

    def calibration(self, now: int | None = None) -> Calibration | None:
        """What those of which something has come by ``now`` say; None if that is nothing."""
        if self.only_followed and not self.shift.any():
            return None
        factors = np.ones(self.scores.shape[1:])
        if not self.only_followed:
            scores = self.scores
            if now is not None:
                later = self.made[:, np.newaxis] + np.arange(scores.shape[2]) >= now
                scores = np.where(later[:, np.newaxis], np.nan, scores)
            age = self.made.max() - self.made
            factors = _factors(scores, self.share * 0.5 ** (age / self.stretch))
        factors = factors * np.exp(self.shift)[:, np.newaxis]
        return Calibration(np.clip(factors, 1 / _MOST, _MOST))

    def ending_at(self, place: int) -> Past:
        """The same with times counted so that the series ended there."""
        return replace(self, made=self.made + place)

    def and_then(
        self,
        bands: Array,
        y: Array,
        positive: Array,
        made: int,
        share: float,
        calibration: Calibration | None,
    ) -> Past:
        """These and forecasts made later, of (S, h, Q) bands before they were calibrated so."""
        scores = _scores(y, bands, positive)
        factors = np.ones(scores.shape[1:]) if calibration is None else calibration.factors
        more = replace(self, waiting=(*self.waiting, Issued(made, share, scores, factors)))
        if self.only_followed:
            return more
        # What counts a millionth is let go.
        recent = self.made > made - 20 * self.stretch
        return replace(
            more,
            scores=np.concatenate([self.scores[recent], scores]),
            made=np.concatenate([self.made[recent], np.full(len(y), made)]),
            share=np.concatenate([self.share[recent], np.full(len(y), share)]),
        )

    def followed(self, now: int) -> Past:
        """With what windows that have come by ``now`` say of how much was held."""
        shift, waiting = self.shift, []
        for one in self.waiting:
            if one.made + one.scores.shape[2] <= now:
                shift = shift + _too_narrow(one.scores, one.factors, one.share)
            else:
                waiting.append(one)
        return replace(self, shift=shift, waiting=tuple(waiting))


def past_of(bands: Array, y: Array, positive: Array, made: Array, left: Array) -> Past:
    """Forecasts, (M, h, Q), from so many points before the end of each series, to calibrate by.

    Windows that overlap count by what is new in each. What was long ago says less of what comes:
    by half after so many steps that some 64 windows side by side, of all series together, count.
    """
    h = y.shape[1]
    apart = h if len(left) == 1 else min(h, int(left[0] - left[1]))
    share = apart / h
    stretch = _stretch(h, max(1, len(y) // len(left)))
    scores, shift = _scores(y, bands, positive), np.zeros(len(LEVELS))
    past = Past(scores, made, np.full(len(y), share), stretch, shift)
    # As if their intervals had been given out one after the other, by the factors of them all.
    factors: Any = past.calibration()
    for place in np.unique(made):
        now = factors.factors * np.exp(shift)[:, np.newaxis]
        shift = shift + _too_narrow(scores[made == place], now, share)
    return replace(past, shift=shift)


def _stretch(h: int, series: int) -> int:
    return max(h, round(_COUNTED * np.log(2.0) * h / series))


def _too_narrow(scores: Array, factors: Array, share: float) -> Array:
    """(V,) by how much the logarithms of factors should grow, by what these intervals held."""
    known = np.isfinite(scores)
    count = known.sum(axis=(0, 2))
    missed = (known & (scores > factors)).sum(axis=(0, 2)) / np.maximum(count, 1)
    rate, wanted = _RATE * share * np.minimum(1.0, count / _FEW), 1.0 - np.array(LEVELS) / 100
    # A day unlike all others would widen the outermost for months.
    made: Array = rate * (np.minimum(missed, _WORST * wanted) - wanted)
    return made


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
    return Calibration(_factors(_scores(y, bands, positive), weight, smooth))


def _scores(y: Array, bands: Array, positive: Array) -> Array:
    """(M, V, h) how many times wider intervals had to be to hold what came."""
    bands = np.sort(bands, axis=2)
    middle, ends, logs = _on_scale(bands[..., len(LEVELS)], bands, positive)
    with np.errstate(invalid="ignore", divide="ignore"):
        came = np.where(logs[..., 0], np.log(np.maximum(y, 1e-300)), y)
    away = came - middle[..., 0]
    scores = np.empty((len(y), len(LEVELS), y.shape[1]))
    for place in range(len(LEVELS)):
        low = (middle - ends)[..., len(LEVELS) - 1 - place]
        high = (ends - middle)[..., len(LEVELS) + 1 + place]
        least = _NEAREST * (low + high)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores[:, place] = np.abs(away) / np.maximum(np.where(away < 0, low, high), least)
    scores[~np.isfinite(scores)] = np.nan
    return scores


def _factors(scores: Array, weight: Array | None = None, smooth: int | None = None) -> Array:
    """(V, h) scores of the rank that split-conformal prediction asks for."""
    h = scores.shape[2]
    weight = np.ones(len(scores)) if weight is None else weight
    smooth = max(1, h // 8) if smooth is None else smooth
    factors = np.ones((len(LEVELS), h))
    for place, level in enumerate(LEVELS):
        for k in range(h):
            near = scores[:, place, max(0, k - smooth) : k + smooth + 1]
            factors[place, k] = _weighted(near, weight, level)
    factors = np.where(np.isnan(factors), 1.0, factors)
    return np.clip(factors, 1 / _MOST, _MOST)


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


def past_cutoffs(panel: Panel, h: int, wanted: int = WANTED) -> Array:
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


def _on_scale(point: Array, bands: Array, positive: Array) -> tuple[Array, Array, Array]:
    """(M, h, 1) medians and (M, h, Q) quantiles, or logarithms of these; (M, h, 1) where.

    They are of positive series, whose quantiles are no further down than they are themselves.
    """
    middle = point[..., np.newaxis]
    logs = positive[:, np.newaxis, np.newaxis] & (middle > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        lowest = np.maximum(bands, _NEAR_ZERO * middle)
        return (
            np.where(logs, np.log(np.maximum(middle, 1e-300)), middle),
            np.where(logs, np.log(np.maximum(lowest, 1e-300)), bands),
            logs,
        )


def _score(q: float) -> float:
    return NormalDist().inv_cdf(float(q))
