"""Weights that training leaves as they are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np


class Freezable:
    """What has weights, some or all of which may be left alone by training."""

    # Changes of ``trainable``, of anything: where it has not moved on, nothing was frozen or freed.
    freezes: ClassVar[int] = 0
    _trainable: bool = True

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; set it at any time, the next step heeds it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        Freezable.freezes += 1

    @property
    @abstractmethod
    def weights(self) -> list[np.ndarray]:
        """Read-only views of the weights."""

    @property
    @abstractmethod
    def trained(self) -> list[bool]:
        """Which of the weights training changes."""

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """Read-only views of the weights that training changes."""
        return [w for w, trained in zip(self.weights, self.trained, strict=True) if trained]

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """Read-only views of those that it does not change by gradients."""
        return [w for w, trained in zip(self.weights, self.trained, strict=True) if not trained]

    @property
    def variables(self) -> list[np.ndarray]:
        """The weights, as Keras names them too."""
        return self.weights

    @property
    def trainable_variables(self) -> list[np.ndarray]:
        """The same as ``trainable_weights``."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[np.ndarray]:
        """The same as ``non_trainable_weights``."""
        return self.non_trainable_weights


class FreezableGroup(Freezable):
    """What is made of ``layers``: frozen, all of them are."""

    @property
    def _inside(self) -> Sequence[Freezable]:
        inside: Sequence[Freezable] = self.layers  # type: ignore[attr-defined]
        return inside

    @property
    def _parts(self) -> Sequence[Freezable]:
        """What is frozen with it; of models, the models inside too."""
        return self._inside

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; to set it sets it for every layer inside.

        As in Keras, a layer inside one that is frozen has to wait for that one.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._parts:
            layer.trainable = value
        Freezable.freezes += 1

    @property
    def weights(self) -> list[np.ndarray]:
        """Read-only views of the weights, layer by layer."""
        return [weight for layer in self._inside for weight in layer.weights]

    @property
    def trained(self) -> list[bool]:
        """Which of the weights training changes."""
        return [self.trainable and trained for layer in self._inside for trained in layer.trained]
