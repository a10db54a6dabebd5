"""Noise on the inputs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import noise
from fastlstm.kernels.program import Program
from fastlstm.layers.draws import Draws
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan
from fastlstm.validation import real_number


class GaussianNoise(Weightless):
    """Add normal noise to every number, in training.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise.
    seed : int, optional
        Makes the noise repeatable on its own; by default it comes from the generator that
        ``fastlstm.utils.set_random_seed`` seeds. Either way it differs from batch to batch.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("stddev", "seed")

    def __init__(
        self,
        stddev: float,
        seed: int | None = None,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.stddev = real_number("GaussianNoise stddev", stddev)
        self.draws = Draws(seed, "GaussianNoise")
        self.seed = self.draws.seed

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> GaussianNoiseOp:
        return GaussianNoiseOp(self, x, plan, active=training and self.stddev > 0)


class GaussianNoiseOp(Op):
    """GaussianNoise bound to arrays; where it is not active, output and input are one array."""

    def __init__(self, layer: GaussianNoise, x: np.ndarray, plan: Plan, *, active: bool) -> None:
        self.layer, self.x, self.active = layer, x, active
        self.y = plan.array(x.shape, x.dtype) if active else x
        self.seed = np.zeros(1, np.uint64)

    @property
    def seeds(self) -> list[np.ndarray]:
        return [self.seed] if self.active else []

    def start(self, resume: bool = False) -> None:
        if self.active:
            self.seed[0] = self.layer.draws.draw()

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.active:
            rows = segment.rows(self.x)
            program.add(
                noise.add_noise, segment.rows(self.y), rows, self.seed, self.layer.stddev,
                segment.start * self.x.shape[1], work=30.0 * rows.size,
            )  # fmt: skip

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_x = d_y

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        pass  # what is added has no part in the gradient
