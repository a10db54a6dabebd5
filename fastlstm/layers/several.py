"""Layers with several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.layers.base import Layer, WeightSpec, refuse_arrays
from fastlstm.layers.graph import Graph, Step
from fastlstm.layers.op import Op
from fastlstm.layers.runner import Runner
from fastlstm.layers.symbol import Call, Shape, Symbol, is_symbolic, symbols
from fastlstm.memory import Plan


class Several(Layer):
    """Base class of layers with several inputs, given as a list.

    A subclass says what comes of what in ``shapes_after``, binds itself in ``bind_inputs``, and
    says in ``specs_for`` which weights it has.
    """

    # How many inputs there may be.
    fewest: ClassVar[int] = 2
    most: ClassVar[int | None] = None

    def check_several(self, shapes: Sequence[Shape]) -> None:
        """An error unless there are as many inputs as there should be."""
        if len(shapes) < self.fewest or len(shapes) > (self.most or len(shapes)):
            wanted = (
                f"{self.fewest} inputs"
                if self.most == self.fewest
                else (f"at least {self.fewest} inputs")
            )
            raise ValueError(f"{type(self).__name__} expects a list of {wanted}, got {len(shapes)}")

    def specs_for(self, shapes: Sequence[Shape]) -> list[WeightSpec]:
        return []

    def build_for(self, shapes: Sequence[Shape], **options: Any) -> None:
        if not self.built:
            self.shapes_after(shapes, **options)
            self.make_weights(self.specs_for(shapes))

    def symbolic_call(self, inputs: list[Symbol], **options: Any) -> Any:
        shapes = [symbol.shape for symbol in inputs]
        made = self.shapes_after(shapes, **options)
        self.build_for(shapes, **options)
        return Call(self, inputs, made, options).result

    def call_with(self, inputs: Any, *, training: bool, **options: Any) -> Any:
        """The outputs for arrays or symbols, of a call that says more than its inputs."""
        if is_symbolic(inputs):
            refuse_arrays(training=training or None)
            return self.symbolic_call(symbols(inputs, type(self).__name__), **options)
        return self.runner_for(inputs, **options).call(inputs, training=training)

    def __call__(self, x: Any, *, mask: Any = None, training: bool = False) -> Any:
        """Output for a list of arrays, batch first, or of symbols.

        Parameters
        ----------
        x : list of array_like or Symbol
            The inputs.
        mask : array_like, optional
            (batch, time) of booleans, for the first input.
        training : bool
            Whether dropout is active.
        """
        if is_symbolic(x):
            refuse_arrays(mask=mask, training=training or None)
            return self.symbolic_call(symbols(x, type(self).__name__))
        return self.runner_for(x).call(x, mask=mask, training=training)

    def runner_for(self, x: Any, **options: Any) -> Runner:
        if not isinstance(x, (list, tuple)):
            raise TypeError(
                f"{type(self).__name__} expects a list of {self.fewest} inputs or more, got "
                f"{type(x).__name__}"
            )
        if not options:  # which may say that some of them are masks
            self.check_several(x)
        takes = tuple(range(len(x)))
        gives = tuple(range(len(x), len(x) + 1 + bool(options.get("return_attention_scores"))))
        step = Step(self, takes, gives, options)
        if self._runner is None or self._runner.graph.steps[0] != step:
            self._runner = Runner(Graph(takes, [step], gives), getattr(self._owner, "lock", None))
        return self._runner

    # -- what layers with one input have ------------------------------------------------------

    def check_input(self, shape: Shape) -> None:
        raise TypeError(f"{type(self).__name__} takes a list of inputs; build a Model with it")

    def weight_specs(self, input_shape: Shape) -> list[WeightSpec]:
        return self.specs_for([(None, *input_shape)])

    def compute_output_shape(self, input_shape: Any) -> Shape:
        made: Shape = self.shapes_after([(None, *shape) for shape in input_shape])[0][1:]
        return made

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> Op:
        return self.bind_inputs([x], [mask], plan, saving=saving, training=training)
