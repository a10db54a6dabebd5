"""What layers without weights have in common."""

from __future__ import annotations

from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.shapes import check_rank


class Weightless(Layer):
    """Base class of layers without weights; the output has the input's shape unless they say."""

    # Ranks of the inputs, the batch included; and advice for those that have another.
    ranks: tuple[int, ...] = (2, 3)
    advice = ""

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        check_rank(self, shape, self.ranks, self.advice)

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        return []

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)
