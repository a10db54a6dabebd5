"""What all recurrent layers share: weights, states, and the way to the driver."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.kernels.cell import is_apart
from fastlstm.layers.backwards import BackwardsOp
from fastlstm.layers.base import WeightSpec
from fastlstm.layers.draws import Draws
from fastlstm.layers.dropout import DropoutOp, check_rate
from fastlstm.layers.packed import Packed, PackedGates
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.layers.with_states import WithStates
from fastlstm.memory import Plan
from fastlstm.validation import as_floats, whole_number


class Recurrent(WithStates):
    """Base class of the recurrent layers; ``cell`` is what sets them apart.

    Parameters
    ----------
    units : int
        Size of each state.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
        Initial values; Glorot uniform, orthogonal, and zeros.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are part of the loss, such as "l2"; see ``fastlstm.regularizers``.
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
        What brings the weights back after each update; see ``fastlstm.constraints``.
    return_sequences : bool
        Return h of every step rather than of the last one.
    return_state : bool
        Return the final states as well.
    go_backwards : bool
        Take the steps from the last to the first, and return them in that order.
    stateful : bool
        Start each batch from the final states of the one before.
    dropout : float
        Fraction of the inputs to drop in training, the same ones at each step of a sequence.
    recurrent_dropout : float
        Fraction of h to drop on its way to the recurrent product in training, the same units at
        each step of a sequence and for all gates. What else a cell does with h sees all of it.
        Source: Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent
        neural networks", NeurIPS 2016, with tied weights; Keras' LSTM and GRU draw for each gate.
    zoneout : float
        Probability that a unit of h stays what it was before a step, in training, drawn for each
        step and unit; else h is the mean of the two, so weighted. Source: Krueger et al., "Zoneout:
        Regularizing RNNs by randomly preserving hidden activations", ICLR 2017.
    zoneout_cell : float
        The same for c, of layers that have a memory cell. h is made from what c would be without.
    seed : int, optional
        Makes what both draw repeatable on its own; see ``GaussianNoise``.
    zero_output_for_mask : bool
        With ``return_sequences``: whether steps that a mask leaves out give zeros, as behind the
        ends of PyTorch's packed sequences, rather than h again.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    **rest
        What Keras has besides: accepted where it changes nothing, such as ``unroll``
        or ``kernel_regularizer=None``; else an error says what to do instead.
    """

    cell: Any
    # What it becomes when it is bound, forward and backwards.
    ops: tuple[type[RecurrentOp], type[RecurrentOp]] = (RecurrentOp, BackwardsOp)
    # Whether the state after h is a memory cell, which zoneout may hold by itself.
    has_memory_cell: ClassVar[bool] = False
    # Whether all of x·W may be looked up before the steps.
    takes_words: bool = True
    config_names: ClassVar[tuple[str, ...]] = (
        "units",
        "use_bias",
        "kernel_initializer",
        "recurrent_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "recurrent_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "recurrent_constraint",
        "bias_constraint",
        "return_sequences",
        "return_state",
        "go_backwards",
        "stateful",
        "dropout",
        "recurrent_dropout",
        "zoneout",
        "zoneout_cell",
        "seed",
        "zero_output_for_mask",
    )

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        *,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_cell: float = 0.0,
        seed: int | None = None,
        zero_output_for_mask: bool = False,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        super().__init__(
            name=name, input_shape=input_shape, dtype=dtype, trainable=trainable, **rest
        )
        self.units = whole_number(units, f"{type(self).__name__} units")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.dropout = check_rate(dropout, f"{type(self).__name__} dropout")
        what = f"{type(self).__name__} recurrent_dropout"
        self.recurrent_dropout = check_rate(recurrent_dropout, what)
        self.draws = Draws(seed, type(self).__name__)
        self.seed = self.draws.seed
        # Cells that take options are made later; they all have a product with h.
        seen = getattr(getattr(type(self), "cell", None), "recurrent", True)
        if self.recurrent_dropout > 0 and not seen:
            raise ValueError(
                f"{what} has nothing to drop: no weights of this layer see h; dropout=... drops "
                "inputs"
            )
        self.zoneout = check_rate(zoneout, f"{type(self).__name__} zoneout")
        what = f"{type(self).__name__} zoneout_cell"
        self.zoneout_cell = check_rate(zoneout_cell, what)
        if self.zoneout_cell > 0 and not self.has_memory_cell:
            raise ValueError(
                f"{what} is for layers with a memory cell c, such as LSTM, and this layer has none "
                "that can be held by itself; zoneout=... holds units of h"
            )
        # By the number of a call, where that goes on from there; None where the layer is stateful.
        self._states: dict[int | None, tuple[np.ndarray, np.ndarray]] = {}

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        kind = type(self).__name__
        if len(shape) != 3:
            hint = "; add a feature axis with x[..., None]" if len(shape) == 2 else ""
            raise ValueError(
                f"{kind} expects input (batch, time, features), got shape {_shown(shape)}{hint}"
            )
        if shape[2] is None:
            raise ValueError(
                f"{kind} {self.name!r} needs to know the number of features, got {_shown(shape)}"
            )
        if self.built and shape[2] != self.features:
            raise ValueError(
                f"{kind} {self.name!r} was built for {self.features} features, got input of shape "
                f"{_shown(shape)} with {shape[2]}; expected (batch, time, {self.features})"
            )

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        features, columns = int(input_shape[1] or 0), self.cell.blocks * self.units
        specs = [
            WeightSpec("kernel", (features, columns), self.kernel_initializer),
        ]
        if self.recurrent:
            shape = (self.output_size, columns)
            specs.append(WeightSpec("recurrent_kernel", shape, self.recurrent_initializer))
        if self.use_bias:
            sides = (2, columns) if is_apart(self.cell) else (columns,)
            specs.append(WeightSpec("bias", sides, self.initial_bias))
        return with_rules(self, specs)

    @property
    def recurrent(self) -> bool:
        """Whether h goes through weights of its own."""
        return getattr(self.cell, "recurrent", True)

    def initial_bias(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Values that the bias starts with."""
        return np.asarray(self.bias_initializer(shape, dtype))

    @property
    def output_size(self) -> int:
        """Size of h, which is the output."""
        return self.units

    @property
    def state_sizes(self) -> list[int]:
        """Sizes of all states, of which h is the first."""
        return [self.output_size, *[self.units] * (self.cell.states - 1)]

    @property
    def zone_rates(self) -> list[tuple[tuple[float, ...], int]]:
        """Probabilities of zoneout, of the states that the driver makes; and sizes of those."""
        return [((self.zoneout, self.zoneout_cell), self.units)]

    @property
    def fused_count(self) -> int:
        """How many of the weights have a column for each unit of each block; the first ones."""
        fused = "kernel", "recurrent_kernel", "bias"
        return sum(math.prod(spec.shape) for spec in self._specs if spec.name in fused)

    @property
    def own_weights(self) -> np.ndarray:
        """Weights of each unit's own, (N, units), beside the products; none for most cells."""
        return np.empty((0, self.units), self.dtype)

    def output_shapes(self, input_shape: Any) -> list[tuple[int | None, ...]]:
        states = [(size,) for size in self.state_sizes] if self.return_state else []
        return [self.compute_output_shape(input_shape), *states]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        size = self.output_size
        return (input_shape[0], size) if self.return_sequences else (size,)

    @property
    def features(self) -> int:
        """Number of input features that the layer was built for."""
        return self._specs[0].shape[0]

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> RecurrentOp:
        dropout = None
        if training and self.dropout > 0:
            rate = self.dropout
            dropout = DropoutOp(rate, x, plan, active=True, by_sample=True, draws=self.draws)
            x = dropout.y
        kept = None
        if training and self.recurrent_dropout > 0:
            # Not in the arena, where the ones would not last.
            ones = np.ones((1, x.shape[1], self.output_size), self.dtype)
            rate = self.recurrent_dropout
            kept = DropoutOp(rate, ones, plan, active=True, by_sample=True, draws=self.draws)
        kind = self.ops[self.go_backwards]
        return kind(
            self, x, mask, plan, saving=saving, training=training, dropout=dropout, kept=kept
        )

    @property
    def causal(self) -> bool:
        """Whether no step's output depends on a later step's input."""
        return not self.go_backwards

    # -- weights as the kernels want them -----------------------------------------------------

    def _place(self) -> None:
        blocks = self.cell.blocks
        self.packed_kernel: Packed = PackedGates(self.param("kernel"), blocks)
        columns = blocks * self.units
        recurrent = np.empty((0, columns), self.dtype)
        if self.recurrent:
            recurrent = self.param("recurrent_kernel")
        self.packed_recurrent: Packed = PackedGates(recurrent, blocks)
        bias = np.zeros(columns, self.dtype)
        if self.use_bias:
            bias = self.param("bias")
        self.packed_biases: list[Packed] = [
            PackedGates(row[np.newaxis], blocks) for row in bias.reshape(-1, columns)
        ]

    # -- states -------------------------------------------------------------------------------

    def reset_states(self) -> None:
        """Forget the states carried from batch to batch."""
        self._states.clear()

    def carried_states(
        self, batch: int, call: int | None = None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """States to start from, in the kernels' order, or None for zeros.

        They are those that were kept: of that ``call``, where it is to go on from them, or by a
        stateful layer.
        """
        found = self._states.get(call)
        if found is None or (call is None and not self.stateful):
            return None
        if found[0].shape[0] != batch:
            raise ValueError(
                f"stateful {type(self).__name__} {self.name!r} carries states for a batch of "
                f"{found[0].shape[0]}, got a batch of {batch}; call reset_states() first, "
                "and choose a batch_size that divides the number of samples"
            )
        return found

    def keep_states(self, h: np.ndarray, carry: np.ndarray, call: int | None = None) -> None:
        """Carry copies of these states to the next batch, or to the next part of a call's."""
        found = self._states.get(call)
        if found is None or found[0].shape != h.shape:
            found = self._states[call] = (np.empty_like(h), np.empty_like(carry))
        np.copyto(found[0], h)
        np.copyto(found[1], carry)

    def check_states(self, states: Any, batch: int, what: str) -> list[np.ndarray]:
        """The states as a list of (batch, size) arrays."""
        if isinstance(states, np.ndarray) and states.ndim == 2:
            states = [states]
        names = list(getattr(self.cell, "state_names", ("h", "c")))[: self.cell.states]
        sizes = self.state_sizes
        shapes = " and ".join(f"({batch}, {size})" for size in dict.fromkeys(sizes))
        if not isinstance(states, (list, tuple)) or len(states) != len(names):
            count = len(states) if isinstance(states, (list, tuple)) else type(states).__name__
            raise ValueError(
                f"{what} of {type(self).__name__} expects a list of {len(names)} arrays "
                f"({', '.join(names)}), each (batch, units) = {shapes}, got {count}"
            )
        checked = []
        for name, state, size in zip(names, states, sizes, strict=True):
            value = as_floats(state, self.dtype, f"{what} {name}")
            if value.shape != (batch, size):
                raise ValueError(
                    f"{what} {name} expects shape (batch, units) = ({batch}, {size}), "
                    f"got {value.shape}"
                )
            checked.append(value)
        return checked

    def __call__(
        self, x: Any, *, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Output for arrays, batch first.

        Parameters
        ----------
        x : array_like
            (batch, time, features).
        initial_state : list of array_like, optional
            States before the first step, each (batch, units): h, and c for LSTM.
        mask : array_like, optional
            (batch, time) of booleans; where False, the step keeps the states and repeats h.
        training : bool
            Whether dropout is active.

        Returns
        -------
        ndarray or list
            (batch, time, units) where ``return_sequences``, else (batch, units); with
            ``return_state`` a list of that and the final states.
        """
        return self.called(x, initial_state, mask, training)


def _shown(shape: tuple[int | None, ...]) -> str:
    """The shape as text, where an unknown batch is called so."""
    return str(tuple(shape)).replace("(None", "(batch", 1)
