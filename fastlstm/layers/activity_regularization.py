"""A penalty of what goes from one layer to the next."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels.activations import Linear
from fastlstm.layers.activation import ActivationOp
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan
from fastlstm.regularizers import L1L2


class ActivityRegularization(Weightless):
    """Pass the input on, and add l1 · sum of |x| + l2 · sum of x², over the samples, to the loss.

    Any other layer penalises its own output with ``activity_regularizer``.

    Parameters
    ----------
    l1, l2 : float
        Factors, at least 0.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("l1", "l2")

    def __init__(
        self,
        l1: float = 0.0,
        l2: float = 0.0,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(
            name=name,
            input_shape=input_shape,
            dtype=dtype,
            activity_regularizer=L1L2(l1, l2),
            **rest,
        )
        self.l1, self.l2 = (float(factor) for factor in (l1, l2))

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> ActivationOp:
        return ActivationOp(Linear(), x, plan)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activity_regularizer"]  # it is l1 and l2
        return config
