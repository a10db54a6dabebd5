"""The pinball loss, whose minimum is a quantile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastlstm.kernels import equations, rowlosses
from fastlstm.kernels import losses as kernels
from fastlstm.losses.base import ERROR_WORK, MEAN, Call, Loss, LossArrays


class Quantile(Loss):
    """q(t - y) where y is too low, (1 - q)(y - t) where it is too high: least at the q-quantile.

    With several quantiles, each target has so many predictions, side by side in the last axis: C
    targets take C · Q outputs, the Q quantiles of the first target, then those of the second. So
    with one target, ``Dense(Q)`` has one output a quantile. The outputs come back apart with
    ``y.reshape(*y.shape[:-1], C, Q)``. The loss is the mean over targets and quantiles. Nothing
    keeps the quantiles from crossing: ``np.sort`` along the last axis puts them in order.

    Source: Koenker and Bassett, "Regression quantiles", Econometrica 46(1), 1978.

    Parameters
    ----------
    quantiles : float or iterable of float
        One or several, each greater than 0 and less than 1, in rising order.
    reduction, name
        As for ``Loss``.
    """

    def __init__(
        self,
        quantiles: float | Iterable[float] = 0.5,
        reduction: str | None = MEAN,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(reduction, name, **rest)
        levels = np.array(quantiles, float, ndmin=1)
        fits = levels.ndim == 1 and levels.size and 0.0 < levels.min() <= levels.max() < 1.0
        if not fits or (np.diff(levels) <= 0.0).any():
            raise ValueError(
                "Quantile expects one quantile, or several in rising order, each between 0 and 1, "
                f"got {quantiles!r}"
            )
        self.quantiles = quantiles if isinstance(quantiles, float) else levels.tolist()
        self._levels = levels

    def target_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the targets, (..., C), for predictions of shape (..., C · Q)."""
        count = len(self._levels)
        if shape[-1] % count:
            raise ValueError(
                f"{self.name} of {count} quantiles expects so many outputs for each target, got "
                f"predictions of shape {shape}: give the last layer {count} units, or a multiple"
            )
        return (*shape[:-1], shape[-1] // count)

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        work = ERROR_WORK * arrays.y_pred.size
        if len(self._levels) > 1:
            return rowlosses.quantiles, (*arrays, self._levels), work
        args = (equations.Pinball(), *arrays, float(self._levels[0]))
        return kernels.elementwise, args, work

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"quantiles": self.quantiles, **super().get_config()}
