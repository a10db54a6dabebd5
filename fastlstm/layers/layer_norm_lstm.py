"""Long short-term memory whose sums are normalised."""

from __future__ import annotations

from typing import Any, ClassVar

from fastlstm import initializers
from fastlstm.layers.base import WeightSpec
from fastlstm.layers.layer_norm_op import BackwardsLayerNormOp, LayerNormOp
from fastlstm.layers.lstm import LSTM
from fastlstm.layers.packed import Packed
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.validation import real_number


class LayerNormLSTM(LSTM):
    """Long short-term memory with layer normalization.

    A step is that of ``LSTM``, but that x·W and h·U are normalised before they are added, each over
    its 4·units numbers, and c where h is made of it. Equations and their source:
    ``fastlstm.kernels.normalized_lstm``. As TensorFlow Addons' LayerNormLSTMCell, but for c, which
    goes on to the next step as it is, as in the paper, and there as normalised.

    Weights: kernel (features, 4·units), recurrent_kernel (units, 4·units), bias (4·units), gates in
    the order i, f, c, o; then gamma and beta of each of the three: kernel_gamma, kernel_beta,
    recurrent_gamma, recurrent_beta (4·units each), state_gamma, state_beta (units each).

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias
        As for ``LSTM``.
    norm_gamma_initializer, norm_beta_initializer : str or Initializer
        Initial values of what is multiplied with, and of what is added, after normalization; ones
        and zeros.
    norm_epsilon : float
        What is added to each variance.
    **options
        As for ``LSTM``.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        *LSTM.config_names,
        "norm_gamma_initializer",
        "norm_beta_initializer",
        "norm_epsilon",
    )
    ops: tuple[type[RecurrentOp], type[RecurrentOp]] = (LayerNormOp, BackwardsLayerNormOp)
    takes_words = False

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        *,
        norm_gamma_initializer: Any = "ones",
        norm_beta_initializer: Any = "zeros",
        norm_epsilon: float = 1e-3,
        **options: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        self.norm_gamma_initializer = initializers.get(norm_gamma_initializer)
        self.norm_beta_initializer = initializers.get(norm_beta_initializer)
        self.norm_epsilon = real_number("LayerNormLSTM norm_epsilon", norm_epsilon)

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        specs = super().weight_specs(input_shape)
        columns = 4 * self.units
        for name, size in (("kernel", columns), ("recurrent", columns), ("state", self.units)):
            specs.append(WeightSpec(f"{name}_gamma", (size,), self.norm_gamma_initializer))
            specs.append(WeightSpec(f"{name}_beta", (size,), self.norm_beta_initializer))
        return specs

    def _place(self) -> None:
        # Their products are rows, which are normalised, rather than panels.
        self.packed_kernel = Packed(self.param("kernel"), 1)
        self.packed_recurrent = Packed(self.param("recurrent_kernel"), 1)
        self.packed_biases = []
