"""How surprising the points of a series are, by forecasts that did not know them."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import frame
from fastlstm.forecasting.calibration import QUANTILES
from fastlstm.forecasting.intervals import band_names, check_level, quantiles_of
from fastlstm.forecasting.writing import write_points
from fastlstm.validation import whole_number

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
        static_df: Any = None,
    ) -> Any:
        """Tell how surprising the last points of each series are.

        They are forecast h steps at a time, each time from all that came before. The score of a
        point is how improbable it was that it would be as far from the median as it is, or farther,
        on its side: ``-log10(2 min(F, 1 - F))``, F being the part of the forecast's distribution
        below the point. 0 is the median, 1.3 the end of the 95 % interval, 2 that of 99 %; of a
        forecaster whose intervals hold what they promise, one point in 1000 has 3 or more. Beyond
        the outermost quantiles the distribution goes on as a normal one does.

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
        columns = _scored(model, panel, left, h, one)
        columns = {name: values[:, values.shape[1] - last :] for name, values in columns.items()}
        return write_points(like, panel, columns, self._columns)


def surprise(y: npt.ArrayLike, values: npt.ArrayLike, quantiles: npt.ArrayLike) -> Array:
    """How improbable values are, as ``-log10`` of the probability on both sides.

    Parameters
    ----------
    y : array_like
        (...) what came.
    values : array_like
        (..., Q) quantiles of its distribution.
    quantiles : array_like
        (Q,) their levels, rising.

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
    scores = np.array([NormalDist().inv_cdf(float(q)) for q in np.ravel(quantiles)])
    place = (rising <= came[..., np.newaxis]).sum(axis=-1) - 1
    place = np.clip(place, 0, len(scores) - 2)
    low, high = (
        np.take_along_axis(rising, at[..., np.newaxis], axis=-1)[..., 0]
        for at in (place, place + 1)
    )
    # Quantiles that are the same have some width, or all else would be infinitely far away.
    whole = rising[..., -1] - rising[..., 0]
    least = 1e-3 * whole + 1e-9 * np.abs(rising).max(axis=-1) + 1e-300
    away = (came - low) / np.maximum(high - low, least)
    z = scores[place] + away * (scores[place + 1] - scores[place])
    z = np.clip(np.abs(z), 0.0, _FARTHEST)
    tails = np.vectorize(math.erfc, otypes=[np.float64])(z / math.sqrt(2.0))
    made: Array = np.maximum(-np.log10(tails), 0.0)
    return made


def _scored(model: Any, panel: Panel, left: Array, h: int, level: float) -> dict[str, Array]:
    """(S, W h) columns from the first cutoff on; that without a name is the target."""
    wanted = np.union1d(QUANTILES, quantiles_of([level]))
    series, ends = model._ends(panel, left)
    forecast, came = model._foresee_from(panel, series, ends, h, wanted)
    at = np.searchsorted(wanted, quantiles_of([level]))
    known = np.searchsorted(wanted, QUANTILES)
    name = model.name
    found = {"": came, name: forecast.point}
    for place, column in band_names(name, [level]):
        found[column] = forecast.bands[..., at[place]]
    found["anomaly"] = surprise(came, forecast.bands[..., known], QUANTILES)
    # Windows back to where they are in their series.
    cutoff = np.searchsorted(-left, -(panel.lengths[series] - ends))
    columns = {}
    for column, values in found.items():
        whole = np.full((len(panel), len(left), h), np.nan)
        whole[series, cutoff] = values
        columns[column] = whole.reshape(len(panel), -1)
    return columns
