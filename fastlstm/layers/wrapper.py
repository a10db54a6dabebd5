"""Layers made of layers, whose weights are theirs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.freezing import FreezableGroup
from fastlstm.memory import aligned


class Wrapper(FreezableGroup, Layer):
    """Base class of layers made of others; the weights of all stand one after the other."""

    @property
    @abstractmethod
    def layers(self) -> Sequence[Layer]:
        """The layers inside, in the order of their weights."""

    @property
    @abstractmethod
    def prefixes(self) -> Sequence[str]:
        """What the names of each one's weights begin with."""

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        for layer in self.layers:
            layer.check_input(shape)

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        return [
            spec._replace(name=prefix + spec.name)
            for prefix, layer in zip(self.prefixes, self.layers, strict=True)
            for spec in layer.weight_specs(input_shape)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for layer in self.layers:
            layer.build(input_shape)
        super().build(input_shape)

    def initialize(self) -> None:
        if self.built:  # if not, the layers have just drawn their weights
            for layer in self.layers:
                layer.initialize()
            self.changed()

    def _place(self) -> None:
        if self._grads.size != self._params.size:
            self._grads = aligned(self._params.shape, self.dtype, np.zeros)
        at = 0
        for layer in self.layers:
            end = at + layer.weight_count
            layer.adopt(self, self._params[at:end], self._grads[at:end])
            at = end

    def changed(self) -> None:
        super().changed()
        self._age()

    def _age(self) -> None:
        for layer in self.layers:
            layer.version += 1
            if isinstance(layer, Wrapper):
                layer._age()

    @property
    def lock(self) -> Any:
        """Held while anything is computed with the weights or gradients."""
        return self.runner.lock


def check_inside(kind: str, layers: Sequence[Any]) -> None:
    """An error where the outputs of a layer inside another one are penalised."""
    for layer in layers:
        if layer.activity_regularizer is not None:
            raise TypeError(
                f"{kind} takes no layer with an activity_regularizer: give it to {kind} itself, "
                f"as in {kind}({type(layer).__name__}(...), activity_regularizer=...)"
            )
