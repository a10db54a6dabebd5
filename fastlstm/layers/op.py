"""What a layer becomes when it is bound to arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels.program import Program
from fastlstm.layers.feed import with_steps
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.packed import Packed
    from fastlstm.layers.recurrent_op import RecurrentOp
    from fastlstm.layers.vocabulary import Vocabulary


class Op(ABC):
    """A layer bound to arrays of one shape: everything it needs is allocated.

    What it records is for the steps that it was laid out for, or for a segment of a longer
    sequence, of as many steps or fewer. Segments go forward from the first to the last and back
    from the last to the first, and the bits are those of the sequence as a whole.

    Attributes
    ----------
    y : ndarray
        Output, (T, B, F) or (B, F), filled by the calls of ``record_forward``.
    d_x : ndarray or None
        Gradient of the input, filled by those of ``record_backward``.
    """

    y: np.ndarray
    d_x: np.ndarray | None = None
    # Whether the weights' gradients are added to what is there: another op has the same weights.
    adds = False
    # The gradients of the final states, to fill in, where ``take_final_gradients`` made room.
    d_final: Sequence[np.ndarray] = ()
    # Whether forward reads the weights as they are, and leaves the panels alone.
    unpacked = False
    # Whether the output is several arrays, column beside column.
    several = False
    # Whether what it gives for a step is a sequence, all numbers in a row: for another one alone.
    gives_sequences = False
    # Whether no step's output depends on a later step's input.
    causal = True
    # Which steps count in what comes after, (T, B), where this layer finds it out; or (0, B) after
    # a layer whose steps are not those of its input: the mask ends there.
    made_mask: np.ndarray | None = None
    # Whether it finds that out from the samples alone.
    says_lengths = False
    # What forward looks inputs up in, instead of multiplying them.
    vocabulary: Vocabulary | None = None

    @property
    def recurrent_ops(self) -> Sequence[RecurrentOp]:
        """The ops of recurrent layers that this one is, or is made of."""
        return []

    @property
    def forward_weights(self) -> Sequence[Packed | Vocabulary]:
        """Weights whose panels ``record_forward`` reads."""
        return []

    @property
    def backward_weights(self) -> list[Packed]:
        """Weights whose transposed panels ``record_backward`` reads."""
        return []

    @property
    def seeds(self) -> list[np.ndarray]:
        """What is drawn anew for each forward, (1,) of uint64 each."""
        return []

    def start(self, resume: bool = False) -> None:  # noqa: B027 - most layers have nothing to do
        """What Python does before each forward; ``resume`` from where the last ``commit`` was."""

    def record_start(self, program: Program) -> None:  # noqa: B027
        """Record what brings the states before the first step into place."""

    def record_advance(self, program: Program) -> None:  # noqa: B027
        """Record, in the place of ``record_start``: go on from where the last run ended."""

    @abstractmethod
    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        """Record what computes ``y``, from the states in ``states(0)``."""

    def record_output(self, program: Program, origin: np.ndarray) -> list[tuple[int, int]]:
        """Record what brings the output into the caller's order, batch first.

        ``origin`` is the place of each row in the batch, or (0,) where it is its own. The numbers
        of calls, each with the place of the argument that is the caller's array, of one row for
        each step of each sample.
        """
        return record_output(program, self.y, origin)

    @property
    def ys(self) -> Sequence[np.ndarray]:
        """All outputs: ``y``, and the final states after ``give_states``."""
        return [self.y]

    def give_states(self, plan: Plan) -> None:
        """Make room for the final states as outputs of their own."""
        raise ValueError("this layer has one output")

    def record_states(self, program: Program) -> None:  # noqa: B027 - most layers have none
        """Record, after forward, what brings the final states into their places among ``ys``."""

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        """As ``bind_backward``, for all outputs, and saying which inputs need their gradient."""
        self.bind_backward(d_ys[0], plan, needs[0])

    @property
    def d_xs(self) -> Sequence[np.ndarray | None]:
        """Gradients of all inputs."""
        return [self.d_x]

    @abstractmethod
    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        """Take the array that will hold the gradient of ``y``; lay out what backward needs."""

    def leave_out(self, mask: np.ndarray, *, unread: bool = False) -> None:  # noqa: B027
        """Record nothing for the steps that do not count, of (T, B), where that saves time.

        For training: their output does not matter, but is to be finite, unless it is ``unread``;
        and its gradient is zero, or not there at all. (0, B) leaves out none.
        """

    def record_lengths(
        self, program: Program, lengths: np.ndarray, source: np.ndarray, index: np.ndarray
    ) -> int:
        """Record, where it ``says_lengths``: how many steps count of the samples ``index``.

        The number of a call whose second argument is the ``source`` that they are taken from.
        """
        raise NotImplementedError

    def omit_initial_gradients(self) -> None:  # noqa: B027
        """Record a backward pass without the gradients of the states before the first step."""

    @abstractmethod
    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        """Record: from ``d_y``, which may be overwritten, ``d_x`` and the weights' gradients.

        Those of any segment but the last are added to what is there.
        """

    def record_update(self, program: Program) -> None:  # noqa: B027
        """Record what changes the layer, beside its gradients, once a step of training holds."""

    def states(self, step: int) -> list[np.ndarray]:
        """The states before a step, as ``record_forward`` reads and leaves them."""
        return []

    def set_initial_state(self, states: Any) -> None:
        """Start the next ``forward`` from these states; None for the layer's own choice."""
        if states is not None:
            raise ValueError(
                "initial_state is for recurrent layers; this layer has no states. Call the "
                "recurrent layer itself with initial_state=[...]"
            )

    def final_states(self) -> list[np.ndarray] | None:
        """Copies of the states after the last step, where the layer returns them."""
        return None

    def take_final_gradients(self, plan: Plan) -> None:  # noqa: B027
        """Make room for the gradients of the final states, where the layer returns them."""

    def initial_gradients(self) -> list[np.ndarray]:
        """Copies of the gradients of the states before the first step."""
        return []

    def parted(self, output: np.ndarray) -> list[np.ndarray]:
        """The caller's arrays, from an output of all of them, column beside column."""
        return [output]

    @property
    def carries_states(self) -> bool:
        """Whether there is anything to do besides the program: states come in, or go out."""
        return False

    def commit(self, resume: bool = False) -> None:  # noqa: B027 - most layers keep nothing
        """Keep the final states, where the layer is stateful or is to ``resume`` from them."""


def record_output(program: Program, y: np.ndarray, origin: np.ndarray) -> list[tuple[int, int]]:
    """Record the copying of an output into the caller's order; see ``Op.record_output``."""
    y = with_steps(y, y.ndim == 3)
    out = np.empty((0, y.shape[2]), y.dtype)
    return [(program.add(layout.scatter, out, y, origin, work=2.0 * y.size), 0)]
