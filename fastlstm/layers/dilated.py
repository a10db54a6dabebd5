"""Recurrent layers that go on from a state of several steps ago."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.time_distributed import Reader
from fastlstm.layers.wrapper import Wrapper, check_inside
from fastlstm.memory import Plan
from fastlstm.registry import serialize
from fastlstm.validation import whole_number


class Dilated(Wrapper):
    """A recurrent layer whose states before a step are those of ``dilation`` steps ago.

    Every ``dilation``-th step is a sequence of its own, and all of them have the same weights. They
    are rows of a batch that is so many times larger, of arrays that stay where they are, since time
    comes first: so it is faster than without.

    Source: Chang et al., "Dilated Recurrent Neural Networks", NeurIPS 2017.

    Parameters
    ----------
    layer : Recurrent
        With ``return_sequences``, and without states that come in or go out.
    dilation : int
        The steps of a sequence must be a multiple of it.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = ("dilation",)
    prefixes = ("",)
    by_parts = False

    def __init__(
        self,
        layer: Any,
        dilation: int,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        self.layer = Reader.read(layer) if isinstance(layer, dict) else layer
        self.dilation = whole_number(dilation, "Dilated dilation")
        check_inside("Dilated", self.layers)
        inner = self.layer
        kept = inner.stateful or inner.return_state or inner.go_backwards
        if kept or not inner.return_sequences:
            raise ValueError(
                "Dilated expects a layer with return_sequences=True that is not stateful, does not "
                f"return its state and goes forward, got {inner!r}"
            )
        rest["dtype"] = inner.dtype.name
        super().__init__(name=name, input_shape=input_shape, trainable=trainable, **rest)

    @property
    def layers(self) -> Sequence[Any]:
        return (self.layer,)

    @property
    def causal(self) -> bool:
        """Its steps come in groups."""
        return self.dilation == 1

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        super().check_input(shape)
        if shape[1] is not None and shape[1] % self.dilation:
            raise ValueError(
                f"Dilated {self.name!r} expects a multiple of dilation={self.dilation} steps, got "
                f"{shape[1]}: pad the sequences at their ends"
            )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        made: tuple[int | None, ...] = self.layer.compute_output_shape(input_shape)
        return made

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> DilatedOp:
        return DilatedOp(self, x, mask, plan, saving=saving, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize(self.layer)}


class DilatedOp(Op):
    """Dilated bound to arrays: the layer inside, on the same ones in another shape."""

    causal = False

    def __init__(
        self,
        layer: Dilated,
        x: np.ndarray,
        mask: np.ndarray,
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> None:
        self.dilation, self.made_mask = layer.dilation, mask[:0]
        rows = self._rows(x)
        self._inner: Op = layer.layer.bind(rows, mask[:0], plan, saving=saving, training=training)
        self.y = self._inner.y.reshape(*x.shape[:2], -1)
        self.unpacked = self._inner.unpacked

    def _rows(self, array: np.ndarray) -> np.ndarray:
        """The same numbers, with so many sequences side by side."""
        steps, batch, size = array.shape
        return array.reshape(steps // self.dilation, batch * self.dilation, size)

    @property
    def forward_weights(self) -> Sequence[Any]:
        return self._inner.forward_weights

    @property
    def backward_weights(self) -> list[Any]:
        return self._inner.backward_weights

    @property
    def seeds(self) -> list[np.ndarray]:
        return self._inner.seeds

    def start(self, resume: bool = False) -> None:
        self._inner.start()

    def record_start(self, program: Program) -> None:
        self._inner.record_start(program)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        self._inner.record_forward(program)

    def omit_initial_gradients(self) -> None:
        self._inner.omit_initial_gradients()

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self._inner.bind_backward(self._rows(d_y), plan, need_d_x)
        inner = self._inner.d_x
        self.d_x = None if inner is None else inner.reshape(*d_y.shape[:2], -1)

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        self._inner.adds = self.adds
        self._inner.record_backward(program)
