"""Long short-term memory whose output is projected to fewer numbers."""

from __future__ import annotations

from typing import Any, ClassVar

from fastlstm import initializers
from fastlstm.activations import ActivationLike
from fastlstm.layers.base import WeightSpec
from fastlstm.layers.lstm import LSTM
from fastlstm.layers.packed import Packed
from fastlstm.layers.projected_op import BackwardsProjectedOp, ProjectedOp
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.validation import whole_number


class ProjectedLSTM(LSTM):
    """Long short-term memory with a recurrent projection (LSTMP).

    A step is that of ``LSTM``, and then h' = (o * tanh(c')) · projection: h, which is the output
    and goes into the next step, has ``proj_size`` numbers, and c has ``units``. As PyTorch's LSTM
    with ``proj_size``. Source: Sak, Senior and Beaufays, "Long short-term memory recurrent neural
    network architectures for large scale acoustic modeling", Interspeech 2014.

    Weights: kernel (features, 4·units), recurrent_kernel (proj_size, 4·units), bias (4·units),
    gates in the order i, f, c, o; projection (units, proj_size).

    Parameters
    ----------
    units : int
        Size of c.
    proj_size : int
        Size of h, and of the output.
    activation, recurrent_activation, use_bias
        As for ``LSTM``.
    projection_initializer : str or Initializer
        Initial values of the projection; Glorot uniform.
    **options
        As for ``LSTM``.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        *LSTM.config_names,
        "proj_size",
        "projection_initializer",
    )
    ops: tuple[type[RecurrentOp], type[RecurrentOp]] = (ProjectedOp, BackwardsProjectedOp)
    takes_words = False

    def __init__(
        self,
        units: int,
        proj_size: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        *,
        projection_initializer: Any = "glorot_uniform",
        **options: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        self.proj_size = whole_number(proj_size, f"{type(self).__name__} proj_size")
        self.projection_initializer = initializers.get(projection_initializer)

    @property
    def output_size(self) -> int:
        return self.proj_size

    @property
    def zone_rates(self) -> list[tuple[tuple[float, ...], int]]:
        # h is made by the projection, after the driver's step.
        return [((0.0, self.zoneout_cell), self.units), ((self.zoneout,), self.proj_size)]

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        shape = (self.units, self.proj_size)
        projection = WeightSpec("projection", shape, self.projection_initializer)
        return [*super().weight_specs(input_shape), projection]

    def _place(self) -> None:
        super()._place()
        self.packed_projection = Packed(self.param("projection"), 1)
