"""How good forecasts were. Steps where what came is NaN are left out of every score.

``y`` is what came and ``f`` the forecast, of one shape, whatever it is; a score is one number, the
mean of all of it: nan where there is nothing to take the mean of, and where a forecast is nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.validation import whole_number

Array = npt.NDArray[Any]


def mae(y: npt.ArrayLike, f: npt.ArrayLike) -> float:
    """Mean absolute error, in the units of the series.

    Parameters
    ----------
    y, f : array_like
        What came, and the forecast.

    Returns
    -------
    float
    """
    came, f = _known(y, f)
    return _mean(np.abs(came - f))


def mse(y: npt.ArrayLike, f: npt.ArrayLike) -> float:
    """Mean squared error.

    Parameters
    ----------
    y, f : array_like
        What came, and the forecast.

    Returns
    -------
    float
    """
    came, f = _known(y, f)
    return _mean((came - f) ** 2)


def rmse(y: npt.ArrayLike, f: npt.ArrayLike) -> float:
    """Root mean squared error, in the units of the series.

    Parameters
    ----------
    y, f : array_like
        What came, and the forecast.

    Returns
    -------
    float
    """
    return float(np.sqrt(mse(y, f)))


def smape(y: npt.ArrayLike, f: npt.ArrayLike) -> float:
    """Symmetric mean absolute percentage error, from 0 to 200 per cent.

    Parameters
    ----------
    y, f : array_like
        What came, and the forecast. A step where both are 0 counts as no error.

    Returns
    -------
    float

    References
    ----------
    Makridakis, Spiliotis, Assimakopoulos, "The M4 Competition: 100,000 time series and 61
    forecasting methods", International Journal of Forecasting 36(1), 2020.
    """
    came, f = _known(y, f)
    size = np.abs(came) + np.abs(f)
    return _mean(200.0 * np.abs(came - f) / np.where(size == 0.0, 1.0, size))


def mase(y: npt.ArrayLike, f: npt.ArrayLike, insample: npt.ArrayLike, season: int = 1) -> float:
    """Mean absolute scaled error of one series: below 1, it beats repeating the season in sample.

    Parameters
    ----------
    y, f : array_like
        What came, and the forecast.
    insample : array_like
        (n,) the series before, of which the mean absolute change from one season to the next is
        the unit of the error.
    season : int
        Steps of a season; 1 compares with the step before.

    Returns
    -------
    float
        nan where that unit is not known or is 0: for a series of no more than one season, or that
        repeats itself.

    References
    ----------
    Hyndman, Koehler, "Another look at measures of forecast accuracy", International Journal of
    Forecasting 22(4), 2006.
    """
    season = whole_number(season, "season")
    past = np.asarray(insample, np.float64)
    if past.ndim != 1:
        raise ValueError(
            f"mase expects the past of one series, shape (time,), got {past.shape}; take the mean "
            "over series of their scores"
        )
    unit = unit_of(past, season)
    return mae(y, f) / unit if unit > 0.0 else float("nan")


def unit_of(past: Array, season: int) -> float:
    """Mean absolute change of one series from one season to the next; nan of a shorter one."""
    changes = np.abs(past[season:] - past[:-season])
    return _mean(changes[~np.isnan(changes)])


def owa(smape: float, mase: float, naive_smape: float, naive_mase: float) -> float:
    """Overall weighted average of the M4 competition.

    Parameters
    ----------
    smape, mase : float
        Means over all series.
    naive_smape, naive_mase : float
        Those of the forecasts to compare with; in M4 of the naive forecast of series whose season
        was taken out.

    Returns
    -------
    float
        Below 1 where the forecast is the better one.

    References
    ----------
    As for ``smape``.
    """
    return 0.5 * (smape / naive_smape + mase / naive_mase)


def pinball(y: npt.ArrayLike, f: npt.ArrayLike, q: npt.ArrayLike) -> float:
    """Mean pinball loss of quantiles, in the units of the series.

    Parameters
    ----------
    y : array_like
        What came.
    f : array_like
        (..., Q) quantiles; of the shape of ``y`` where ``q`` is a number.
    q : float or array_like
        Their levels, (Q,), each between 0 and 1.

    Returns
    -------
    float
    """
    return _mean(_pinball(y, f, q))


def coverage(y: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> float:
    """Part of the steps that lie in their interval, from 0 to 1.

    Parameters
    ----------
    y, low, high : array_like
        What came, and the ends of the intervals, which count as inside.

    Returns
    -------
    float
    """
    came, below = _known(y, low)
    _, above = _known(y, high)
    inside = ((below <= came) & (came <= above)).astype(np.float64)
    return _mean(np.where(np.isnan(below) | np.isnan(above), np.nan, inside))


def crps(y: npt.ArrayLike, f: npt.ArrayLike, q: npt.ArrayLike) -> float:
    """Continuous ranked probability score, from quantiles; of one median it is ``mae``.

    Twice the integral of the pinball loss over all levels, where each quantile stands for the
    levels that are nearer to it than to the others. The more quantiles, the nearer it is.

    Parameters
    ----------
    y : array_like
        What came.
    f : array_like
        (..., Q) quantiles.
    q : array_like
        (Q,) their levels, rising.

    Returns
    -------
    float

    References
    ----------
    Gneiting, Ranjan, "Comparing density forecasts using threshold- and quantile-weighted scoring
    rules", Journal of Business & Economic Statistics 29(3), 2011.
    """
    levels = np.atleast_1d(np.asarray(q, np.float64))
    if (np.diff(levels) <= 0).any():
        raise ValueError(f"crps expects levels that rise, got {levels.tolist()}")
    values = np.asarray(f, np.float64)
    losses = _pinball(y, values[..., np.newaxis] if np.ndim(q) == 0 else values, levels)
    ends = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return 2.0 * _mean(losses @ np.diff(ends))


def _pinball(y: npt.ArrayLike, f: npt.ArrayLike, q: npt.ArrayLike) -> Array:
    """(n,) or (n, Q) losses of the steps that are known."""
    levels = np.asarray(q, np.float64)
    if levels.ndim > 1 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"q expects levels between 0 and 1, one or (Q,), got {q!r}")
    came, f = _known(y, f, levels.shape)
    above = (came[:, np.newaxis] if levels.ndim else came) - f
    return np.maximum(levels * above, (levels - 1.0) * above)


def _known(y: npt.ArrayLike, f: npt.ArrayLike, more: tuple[int, ...] = ()) -> tuple[Array, Array]:
    """(n,) what came, where it is known, and the forecasts of these steps."""
    came, forecast = np.asarray(y, np.float64), np.asarray(f, np.float64)
    if forecast.shape != came.shape + more:
        raise ValueError(
            f"a score of values {came.shape} expects forecasts {came.shape + more}, "
            f"got {forecast.shape}"
        )
    known = ~np.isnan(came)
    return came[known], forecast[known]


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")
