"""Models some of whose weights stay as they are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from fastlstm.layers.freezing import FreezableGroup

if TYPE_CHECKING:
    from fastlstm.optimizers import Optimizer


class FreezableModel(FreezableGroup):
    """What trains layers, but for those that are not to be trained.

    A change of ``trainable``, of the model or of a layer, counts from the next step on. Keras wants
    another ``compile`` after it; here what the optimizer keeps of all other weights stays.
    """

    _followed = -1  # of ``freezes``

    @property
    def weight_names(self) -> list[str]:
        """Names of the weights, in the order of ``weights``."""
        raise NotImplementedError

    def tell_frozen(self, optimizer: Optimizer, params: np.ndarray) -> None:
        """Let an optimizer of these parameters know which ones it must not change."""
        self._followed = self.freezes
        names = self.weight_names
        frozen = [name for name, trained in zip(names, self.trained, strict=True) if not trained]
        if names and len(frozen) == len(names):
            warnings.warn(
                "the model has no trainable weights, so that training changes nothing: set "
                "trainable = True on it, or on some of its layers",
                stacklevel=2,
            )
        optimizer.freeze(frozen, params)

    def follow_freezing(self, optimizer: Optimizer | None, params: np.ndarray) -> None:
        """The same, where anything was frozen or freed since."""
        if optimizer is not None and self._followed != self.freezes:
            self.tell_frozen(optimizer, params)
