"""How surprising the points of a series are, by forecasts that did not know them."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame
from fastlstm.forecasting.calibration import QUANTILES
from fastlstm.forecasting.intervals import band_names, check_level, quantiles_of
from fastlstm.forecasting.writing import write_points
from fastlstm.validation import real_number, whole_number

if TYPE_CHECKING:
    from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]

# Normal scores beyond this have probabilities that are not numbers any more.
_FARTHEST = 37.0
# Levels of a copy that learns, where the forecaster has none.
_USUAL = (80, 95)


class Anomalies:
    """Method of the forecasters that tells what is not as it was."""

    def anomaly_scores(
        self: Any,
        df: Any = None,
        *,
        last: int | None = None,
        h: int | None = None,
        level: float = 99,
        leave_out: float | None = None,
        static_df: Any = None,
    ) -> Any:
        """Tell how surprising the last points of each series are.

        They are forecast h steps at a time, each time from all that came before. The score of a
        point is how improbable it was that it would be as far from the median as it is, or farther,
        on either side: ``-log10(P)``, where P is told by how wide the intervals are. 0 is the
        median, 1.3 as far from it as half of the 95 % interval is wide, 2 that of 99 %; of a
        forecaster whose intervals hold what they promise, one point in 1000 has 3 or more. Beyond
        the widest interval the distribution goes on as a normal one does. Both sides are taken
        together, since the tail of one alone is told by few values, and a width is the mean of the
        interval's and of the usual one so far: of faults put into loads of electricity that finds
        more than each end by itself.

        Parameters
        ----------
        df : optional
            Series whose last points are scored by the forecaster as it is, as for ``predict``. By
            default those of ``fit``, by a copy that learns from what comes before these points.
        last : int, optional
            How many points of each series; a quarter of the shortest one by default.
        h : int, optional
            Steps forecast at a time; the constructor's by default. With 1 each point is compared to
            the one before it, so that an unusual stretch surprises at its beginning only.
        level : float
            Coverage in per cent of the interval that is shown beside.
        leave_out : float, optional
            Points with a greater score are missing to the forecasts of those after them, so that a
            fault does not spoil what is expected next: 3, say, or a high quantile of the scores of
            a stretch without faults. Of more than ``h`` such points in a row, as many as the
            constructor says, the later ones are taken as they are: a level that stays is learned.
            Forecasts are made one after the other then. By default all points are taken as they
            are.
        static_df : data frame, optional
            Of the series in ``df``.

        Returns
        -------
        data frame or dict of str to ndarray
            A row for each of these points: the columns of ids, stamps and the target, the forecast
            ``<model>`` with ``<model>-lo-99`` and ``<model>-hi-99``, and ``anomaly``, NaN where the
            target is missing or nothing came before. Of arrays a dict of these columns, (last,) or
            (series, last).

        Examples
        --------
        >>> from fastlstm.forecasting import Naive
        >>> y = np.random.default_rng(0).normal(size=200).cumsum()
        >>> y[190:] += 40.0
        >>> found = Naive(h=1).fit(y).anomaly_scores(last=20)
        >>> found["anomaly"].argmax().item(), bool(found["anomaly"].max() > 6)
        (10, True)
        """
        self._check_fitted()
        h = self.h if h is None else whole_number(h, "h")
        levels = check_level(level)
        if len(levels) != 1:
            raise ValueError(f"level expects one coverage in per cent, such as 99, got {level!r}")
        [one] = levels
        panel, like = self.panel_, self._like
        if df is not None:
            panel = self._read(df, self._columns, static_df, self.panel_)
            like = frame.kind_of(df)
        shortest = int(panel.lengths.min())
        last = max(1, shortest // 4) if last is None else whole_number(last, "last")
        if leave_out is not None:
            leave_out = real_number("leave_out", leave_out)
        if last >= shortest:
            raise ValueError(
                f"last expects fewer points than there are of each series, {shortest} of the "
                f"shortest, got {last}"
            )
        left = h * np.arange(-(-last // h), 0, -1)
        model = self
        if df is None:
            model = self._copy(level=check_level(self.level) or _USUAL, verbose=0)
            model._learn(panel.until(panel.lengths - last))
        columns = _scored(model, panel, left, h, one, leave_out)
        columns = {name: values[:, values.shape[1] - last :] for name, values in columns.items()}
        return write_points(like, panel, columns, self._columns)


def surprise(y: npt.ArrayLike, values: npt.ArrayLike, quantiles: npt.ArrayLike) -> Array:
    """How improbable it is to be so far from the median, as ``-log10`` of the probability.

    Distances are compared with half the widths of the intervals between quantiles, q and 1 - q.

    Parameters
    ----------
    y : array_like
        (...) what came.
    values : array_like
        (..., Q) quantiles of its distribution.
    quantiles : array_like
        (Q,) their levels, rising, an odd number that lie evenly around 0.5.

    Returns
    -------
    ndarray
        (...) from 0 on; NaN where ``y`` is.

    Examples
    --------
    >>> normal = NormalDist()
    >>> levels = [0.025, 0.5, 0.975]
    >>> surprise([0.0, normal.inv_cdf(0.975)], [[normal.inv_cdf(q) for q in levels]] * 2, levels)
    array([0.     , 1.30103])
    """
    came, rising = np.asarray(y, np.float64), np.sort(np.asarray(values, np.float64), axis=-1)
    levels = np.ravel(np.asarray(quantiles, np.float64))
    pairs = len(levels) // 2
    away = np.abs(came - np.median(rising, axis=-1))
    # Half the width of each interval, from the narrowest on, and the normal score of its end.
    half = 0.5 * (rising[..., ::-1] - rising)[..., pairs - 1 :: -1]
    scores = np.array([NormalDist().inv_cdf(float(q)) for q in levels[len(levels) - pairs :]])
    # Intervals that are the same have some width, or all else would be infinitely far away.
    whole = half[..., -1]
    least = 1e-3 * whole + 1e-9 * np.abs(rising).max(axis=-1) + 1e-300
    z = np.zeros(away.shape)
    inner, below = np.zeros(away.shape), 0.0
    for n, score in enumerate(scores):
        # Where the distance lies between two intervals; beyond the last one in proportion to it.
        part = (away - inner) / np.maximum(half[..., n] - inner, least)
        z = np.where(away > inner, below + np.minimum(part, 1.0) * (score - below), z)
        inner, below = half[..., n], score
    beyond = away > np.maximum(whole, least)
    z = np.where(beyond, scores[-1] * away / np.maximum(whole, least), z)
    z = np.where(np.isnan(came), np.nan, z)
    z = np.clip(np.abs(z), 0.0, _FARTHEST)
    tails = np.vectorize(math.erfc, otypes=[np.float64])(z / math.sqrt(2.0))
    made: Array = np.maximum(-np.log10(tails), 0.0)
    return made


def _scored(
    model: Any, panel: Panel, left: Array, h: int, level: float, leave_out: float | None
) -> dict[str, Array]:
    """(S, W h) columns from the first cutoff on; that without a name is the target."""
    wanted = np.union1d(QUANTILES, quantiles_of([level]))
    at = np.searchsorted(wanted, quantiles_of([level]))
    known = np.searchsorted(wanted, QUANTILES)
    name = model.name
    # All at once, or one cutoff after the other, between which points are left out.
    parts = [left] if leave_out is None else list(left[:, np.newaxis])
    sieve = None if leave_out is None else _Sieve(panel, leave_out, model.h)
    usual, columns = _Usual(panel), dict[str, Array]()
    for part in parts:
        seen = panel if sieve is None else sieve.panel
        series, ends = model._ends(panel, part)
        if not len(series):
            continue
        forecast, came = model._foresee_from(seen, series, ends, h, wanted)
        found = {"": came, name: forecast.point}
        for place, column in band_names(name, [level]):
            found[column] = forecast.bands[..., at[place]]
        bands = usual.mixed_with(series, part, ends, forecast.bands[..., known])
        found["anomaly"] = surprise(came, bands, QUANTILES)
        if sieve is not None:
            sieve.take(series, ends, found["anomaly"])
        # Windows back to where they are in their series.
        cutoff = np.searchsorted(-left, -(panel.lengths[series] - ends))
        for column, values in found.items():
            if column not in columns:
                columns[column] = np.full((len(panel), len(left), h), np.nan)
            columns[column][series, cutoff] = values
    return {column: values.reshape(len(panel), -1) for column, values in columns.items()}


class _Usual:
    """How wide the intervals of each series are usually, as far as it has come.

    Networks tell widths step by step, some of which are off: half of each is the usual one.
    """

    def __init__(self, panel: Panel) -> None:
        self._lengths = panel.lengths
        self._sum = np.zeros((len(panel), len(QUANTILES)))
        self._count = np.zeros(len(panel), np.int64)

    def mixed_with(self, series: Array, left: Array, ends: Array, bands: Array) -> Array:
        """(M, h, Q) of windows from these cutoffs, evenly around their medians."""
        bands = np.sort(bands, axis=2)
        middle = bands.shape[2] // 2
        half = 0.5 * (bands - bands[..., ::-1])
        cutoff = np.searchsorted(-left, -(self._lengths[series] - ends))
        means = np.zeros((len(self._lengths), len(left), bands.shape[2]))
        means[series, cutoff] = half.mean(axis=1)
        there = np.zeros(means.shape[:2], np.int64)
        there[series, cutoff] = 1
        sums = self._sum[:, np.newaxis] + np.cumsum(means, axis=1)
        counts = self._count[:, np.newaxis] + np.cumsum(there, axis=1)
        self._sum, self._count = sums[:, -1], counts[:, -1]
        usual = sums / np.maximum(counts, 1)[..., np.newaxis]
        made: Array = bands[..., middle : middle + 1] + 0.5 * (
            half + usual[series, cutoff][:, np.newaxis]
        )
        return made


class _Sieve:
    """Series without the points that surprised.

    Parameters
    ----------
    panel : Panel
        The series as they are.
    limit : float
        Points with a greater score are left out.
    longest : int
        How many in a row, at most.
    """

    def __init__(self, panel: Panel, limit: float, longest: int) -> None:
        self.panel = replace(panel, y=panel.y.copy())
        self._limit, self._longest = limit, longest
        self._run = np.zeros(len(panel), np.int64)

    def take(self, series: Array, ends: Array, scores: Array) -> None:
        """Leave out what surprised of the points after ``ends``; scores are (M, h)."""
        first = self.panel.offsets[series] + ends
        for step, surprising in enumerate((scores > self._limit).T):
            self._run[series] = np.where(surprising, self._run[series] + 1, 0)
            out = surprising & (self._run[series] <= self._longest)
            self.panel.y[first[out] + step] = np.nan
