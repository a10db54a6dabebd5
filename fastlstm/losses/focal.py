"""Focal cross-entropies: what is predicted well already counts for less.

Source: Lin et al., "Focal loss for dense object detection", ICCV 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import equations, rowlosses
from fastlstm.kernels import losses as kernels
from fastlstm.losses.base import ENTROPY_WORK, MEAN, Call, LossArrays
from fastlstm.losses.crossentropy import Smoothed, ids_advice


class _Focal(Smoothed):
    """What both have in common: alpha and gamma."""

    def _set(self, alpha: float, gamma: float) -> None:
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"{self.name} expects alpha from 0 to 1, got {alpha!r}")
        if not 0.0 <= gamma < np.inf:
            raise ValueError(f"{self.name} expects gamma of at least 0 and finite, got {gamma!r}")
        self.alpha, self.gamma = float(alpha), float(gamma)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"alpha": self.alpha, "gamma": self.gamma, **super().get_config()}


class BinaryFocalCrossentropy(_Focal):
    """Mean of (1 - p_t)^gamma times the binary cross-entropy; p_t is that of the true answer.

    Parameters
    ----------
    apply_class_balancing : bool
        Whether targets of 1 weigh alpha, and those of 0 weigh 1 - alpha.
    alpha : float
        See above, from 0 to 1.
    gamma : float
        How much what is predicted well is played down, at least 0.
    from_logits : bool
        Whether predictions are logits, the sigmoid not yet taken.
    label_smoothing : float
        Moves targets towards ½ by this part of the way, in [0, 1].
    axis : int
        Only the last one, -1.
    reduction, name
        As for ``Loss``.
    """

    fuses = "sigmoid"
    unit_targets = True

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, **rest)
        self._set(alpha, gamma)
        self.apply_class_balancing = bool(apply_class_balancing)
        weight = (1.0 - self.alpha, 2.0 * self.alpha - 1.0) if apply_class_balancing else (1.0, 0.0)
        self._options = np.array([self.gamma, self.label_smoothing, *weight])

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        equation = equations.FocalLogits() if from_logits else equations.FocalProbabilities()
        args = (equation, *arrays, self._options)
        return kernels.elementwise, args, ENTROPY_WORK * arrays.y_pred.size

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"apply_class_balancing": self.apply_class_balancing, **super().get_config()}


class CategoricalFocalCrossentropy(_Focal):
    """-Σ alpha (1 - p)^gamma t log p over the classes of a row; targets are one-hot.

    Probabilities are divided by their sum and kept 1e-7 away from 0 and 1; logits are exact
    everywhere.

    Parameters
    ----------
    alpha : float
        Weight of the loss, from 0 to 1.
    gamma : float
        How much what is predicted well is played down, at least 0.
    from_logits : bool
        Whether predictions are logits, the softmax not yet taken.
    label_smoothing : float
        Moves targets towards 1 / C by this part of the way, in [0, 1].
    axis : int
        Only the last one, -1.
    reduction, name
        As for ``Loss``.
    """

    fuses = "softmax"

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, **rest)
        self._set(alpha, gamma)

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        kernel = rowlosses.focal_logits if from_logits else rowlosses.focal_probabilities
        args = (*arrays, self.alpha, self.gamma, self.label_smoothing)
        return kernel, args, 2.0 * ENTROPY_WORK * arrays.y_pred.size

    def _shape_advice(self, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
        return ids_advice(given, shape)
