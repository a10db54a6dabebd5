"""What a model says of the steps to come."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

Array = npt.NDArray[Any]


class Forecast(NamedTuple):
    """What a model says of the steps to come.

    Attributes
    ----------
    point : ndarray
        (S, h) the forecast itself: the median, unless the model says otherwise.
    bands : ndarray
        (S, h, Q) the quantiles asked for, in rising order.
    """

    point: Array
    bands: Array
