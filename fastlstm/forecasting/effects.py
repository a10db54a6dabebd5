"""What is known beforehand of a series: its hours of the week, and columns beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.algebra import solve
from fastlstm.forecasting.calendar import places_in_week
from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]

# Penalties: of a place in the week as if it had come so many times more without an effect, and of a
# column in units of its spread.
_WEEK, _COLUMN = 2.0, 10.0


class Known(NamedTuple):
    """What is known of the steps of a series, those to come too.

    Attributes
    ----------
    places : ndarray
        (n,) where in its week a step stands; empty where nobody knows that.
    in_week : int
        Steps of a week, or 0.
    columns : ndarray
        (n, F)
    """

    places: Array
    in_week: int
    columns: Array

    @classmethod
    def of(cls, panel: Panel, s: int, h: int = 0, future: Array | None = None) -> Known:
        """Of a series of a panel, and the h steps after its end with (h, F) columns."""
        rows = slice(panel.offsets[s], panel.offsets[s + 1])
        length = int(panel.lengths[s])
        stamps = panel.frequency.stamps(panel.starts[s], 0, length + h)
        places, in_week = places_in_week(stamps, panel.frequency, panel.zone)
        columns = np.empty((length + h, panel.futr.shape[1]))
        columns[:length] = panel.futr[rows]
        columns[length:] = 0.0 if future is None else future
        return cls(places, in_week, columns)


@dataclass(frozen=True)
class Effects:
    """A sum of what the place in the week and each column add to a series.

    Attributes
    ----------
    week : ndarray
        (K,) of each place; empty for none.
    slopes, mean : ndarray
        (F,) by how much a column's distance from its mean counts.
    """

    week: Array
    slopes: Array
    mean: Array

    def at(self, known: Known) -> Array:
        """(n,) what they add up to."""
        made: Array = ((known.columns - self.mean) * self.slopes).sum(axis=1)
        return made + self.week[known.places] if len(self.week) else made


def fit_effects(y: Array, known: Known, season: int) -> Effects:
    """Regress a series on what is known of it.

    Changes from one season to the next are regressed, so that a level which moves on is none of it.
    The week's effects then shrink, all of them by the part of their squares that chance would have
    made: of a series without a week little is left of them.

    Parameters
    ----------
    y : ndarray
        (n,) without gaps, in units of its spread.
    known : Known
        Of n steps.
    season : int

    Returns
    -------
    Effects

    References
    ----------
    Differences before a regression on columns: Box, Jenkins, "Time Series Analysis: Forecasting and
    Control", 1970. Shrinkage: James, Stein, "Estimation with quadratic loss", 4th Berkeley
    Symposium, 1961.
    """
    columns = known.columns
    mean, spread = columns.mean(axis=0), columns.std(axis=0)
    spread = np.where(spread > 1e-10 * np.abs(columns).max(axis=0, initial=0.0), spread, 1.0)
    # Of one week nobody knows what the next has in common with it.
    count = known.in_week if len(y) >= 2 * known.in_week + season else 0
    if len(y) <= season or not count + len(mean):
        return Effects(np.empty(0), np.zeros(len(mean)), mean)
    scaled = (columns - mean) / spread
    x, change = scaled[season:] - scaled[:-season], y[season:] - y[:-season]
    now, then = known.places[season:], known.places[:-season]
    square, cross = _products(x, change, now, then, count)
    penalties = np.concatenate([np.full(count, _WEEK), np.full(len(mean), _COLUMN)])
    weights = solve(square + np.diag(penalties), cross[:, np.newaxis])[:, 0]
    week, slopes = weights[:count], weights[count:]
    if count:
        week = week * _not_by_chance(change - (x * slopes).sum(axis=1), now, count)
    return Effects(week, slopes / spread, mean)


def _products(
    x: Array, change: Array, now: Array, then: Array, count: int
) -> tuple[Array, Array]:  # fmt: skip
    """X'X and X'y, where X has a column for each place, 1 now and -1 a season before, and then x.

    Those of the places are counted, so that X is never written out.
    """
    width = count + x.shape[1]
    square, cross = np.zeros((width, width)), np.zeros(width)
    columns = slice(count, width)
    # Sums and no products of matrices: their bits do not depend on threads.
    square[columns, columns] = (x[:, :, np.newaxis] * x[:, np.newaxis]).sum(axis=0)
    cross[columns] = (x * change[:, np.newaxis]).sum(axis=0)
    if not count:
        return square, cross

    def added(values: Array) -> Array:
        """(K,) sums at each place, less those of the season before."""
        made: Array = np.bincount(now, values, count) - np.bincount(then, values, count)
        return made

    pairs = np.bincount(now * count + then, minlength=count**2).reshape(count, count)
    times = np.bincount(now, minlength=count) + np.bincount(then, minlength=count)
    square[:count, :count] = np.diag(times) - pairs - pairs.T
    for f in range(x.shape[1]):
        square[:count, count + f] = square[count + f, :count] = added(x[:, f])
    cross[:count] = added(change)
    return square, cross


def _not_by_chance(change: Array, places: Array, count: int) -> float:
    """The part of the mean squares of changes at each place that is more than chance."""
    times = np.maximum(np.bincount(places, minlength=count), 1)
    mean = np.bincount(places, change, count) / times
    away = np.bincount(places, (change - mean[places]) ** 2, count)
    chance = (away / (np.maximum(times - 1, 1) * times)).sum()
    total = (mean**2).sum()
    return float(max(0.0, 1.0 - chance / total)) if total > 0 else 0.0
