"""A linear-chain conditional random field at the end of a model that tags sequences."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.kernels import crf, crf_slopes, layout, sequences, viterbi
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.op import Op
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import check_rank
from fastlstm.memory import Plan
from fastlstm.validation import whole_number

_OUTPUTS = ("tags", "marginals")


class CRF(Layer):
    """The best tags of a whole sequence, by scores of each tag at each step and of transitions.

    The input is the emissions, (batch, time, tags): what a ``Dense(tags)`` without an activation
    makes of each step. The layer adds a score for going from one tag to the next, for the first tag
    and for the last, and is the last of a model that is compiled with ``loss="crf"``: minus the
    logarithm of the probability of each sequence's tags, class ids (batch, time). Steps that a
    mask leaves out are skipped as though they were not there.

    ``predict`` gives the tags as one-hot rows, (batch, time, tags), 0 where a step is skipped:
    ``model.predict(x).argmax(-1)`` are their ids, and ``metrics=["accuracy"]`` counts how many of
    them are right. With ``gives="marginals"`` it gives the probability of each tag at each step.
    The weights are those that the functions in ``fastlstm.crf`` take, in their order.

    Parameters
    ----------
    tags : int
        Kinds of tags, K.
    gives : {"tags", "marginals"}
        What ``predict`` gives; it makes no difference to training with ``loss="crf"``. Gradients
        go through marginals, to losses of each step, to layers above, and in ``vjp``.
    use_boundary : bool
        Whether beginning and ending with a tag have scores.
    transitions_initializer, boundary_initializer : str or Initializer
        Initial values of transitions (K, K), from row to column, and of start and end (K,).
    transitions_regularizer : str or Regularizer, optional
        A penalty that is part of the loss, such as "l2".
    transitions_constraint : str or Constraint, optional
        What brings the transitions back after each update.
    name, input_shape, dtype, trainable
        As for every layer.

    Source: Lafferty, McCallum and Pereira, "Conditional Random Fields", ICML 2001; over an LSTM:
    Huang, Xu and Yu, "Bidirectional LSTM-CRF models for sequence tagging", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm import Sequential
    >>> from fastlstm.layers import CRF, LSTM, Bidirectional, Dense, Input
    >>> layers = [Bidirectional(LSTM(8, return_sequences=True)), Dense(3), CRF(3)]
    >>> model = Sequential([Input((None, 5)), *layers])
    >>> model.compile("adam", loss="crf", metrics=["accuracy"])
    >>> model.predict(np.zeros((2, 7, 5)), verbose=0).argmax(-1).shape
    (2, 7)
    """

    by_parts = False
    not_penalised = "its outputs are tags; give one to the layer below"
    config_names: ClassVar[tuple[str, ...]] = (
        "tags",
        "gives",
        "use_boundary",
        "transitions_initializer",
        "boundary_initializer",
        "transitions_regularizer",
        "transitions_constraint",
    )

    def __init__(
        self,
        tags: int,
        gives: str = "tags",
        use_boundary: bool = True,
        transitions_initializer: Any = "glorot_uniform",
        boundary_initializer: Any = "zeros",
        *,
        transitions_regularizer: Any = None,
        transitions_constraint: Any = None,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        super().__init__(
            name=name, input_shape=input_shape, dtype=dtype, trainable=trainable, **rest
        )
        self.tags = whole_number(tags, "CRF tags")
        if gives not in _OUTPUTS:
            raise ValueError(f"CRF gives expects 'tags' or 'marginals', got {gives!r}")
        self.gives = gives
        self.use_boundary = bool(use_boundary)
        self.transitions_initializer = initializers.get(transitions_initializer)
        self.boundary_initializer = initializers.get(boundary_initializer)
        self.transitions_regularizer = regularizers.get(transitions_regularizer)
        self.transitions_constraint = constraints.get(transitions_constraint)

    @property
    def causal(self) -> bool:
        return False

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        check_rank(self, shape, (3,), "it tags every step: return_sequences=True")
        if shape[-1] != self.tags:
            raise ValueError(
                f"CRF {self.name!r} expects a score for each of its {self.tags} tags at each step, "
                f"(batch, time, {self.tags}), got {tuple(shape)}; put Dense({self.tags}) in front"
            )

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        count = self.tags
        specs = [WeightSpec("transitions", (count, count), self.transitions_initializer)]
        if self.use_boundary:
            specs += [
                WeightSpec(name, (count,), self.boundary_initializer) for name in ("start", "end")
            ]
        return with_rules(self, specs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> CRFOp:
        return CRFOp(self, x, mask, plan)


class CRFOp(Op):
    """CRF bound to arrays.

    Set ``scored`` where the loss reads the emissions, and writes their gradient into ``d_y``:
    forward then leaves ``y`` alone, which ``record_finish`` fills in.
    """

    causal = False

    def __init__(self, layer: CRF, x: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
        self.layer, self.x, self.mask = layer, x, mask
        self.scored = False
        self.y = plan.array(x.shape, layer.dtype)
        (steps, batch, tags), threads = x.shape, get_num_threads()
        if layer.gives == "marginals":
            requests = crf.scratch(steps, batch, tags, layer.dtype, threads, gradient=True)
            self._crf = crf.Scratch(*plan.scratch(*requests))
        else:
            ends = ((steps, batch), np.int32), ((batch,), layer.dtype)
            others = viterbi.scratch(steps, batch, tags, layer.dtype, threads)
            self._best, self._scores, *rest = plan.scratch(*ends, *others)
            self._viterbi = viterbi.Scratch(*rest)

    @property
    def scores(self) -> list[np.ndarray]:
        """Transitions, start and end; (0,) for those that there are not."""
        return self._all_of(self.layer.views())

    @property
    def d_scores(self) -> list[np.ndarray]:
        """The gradients of ``scores``, which the loss fills in."""
        return self._all_of(self.layer.grads())

    def _all_of(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        nothing = np.empty(0, self.layer.dtype)
        return arrays if self.layer.use_boundary else [*arrays, nothing, nothing]

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if not self.scored:
            self.record_finish(program)

    def record_finish(self, program: Program) -> None:
        """Record what makes ``y`` of the emissions."""
        given = (self.x, self.mask, *self.scores)
        if self.layer.gives == "marginals":
            crf.record_marginals(program, self._crf, self.y, *given)
            return
        viterbi.record(program, self._viterbi, self._best, self._scores, *given)
        program.add(sequences.one_hot, self.y, self._best, self.mask, work=1.0 * self.y.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = self.d_x = d_y
        if self.layer.gives == "marginals":
            self.d_x = plan.array(self.x.shape, self.layer.dtype)
            self._slopes = crf_slopes.Scratch(*plan.scratch(*crf_slopes.scratch(*self.x.shape)))

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.scored:
            if self.adds:
                raise ValueError(
                    f"CRF {self.layer.name!r} is called again after the call whose output has "
                    "loss='crf'; make that the last call, or another layer"
                )
            layout.record_copies(program, [self.d_x], [self.d_y])
            return
        if self.layer.gives == "tags":
            raise ValueError(
                f"CRF {self.layer.name!r} has no gradient but that of its own loss, since its tags "
                "do not change little by little: make it the last layer, and compile with "
                "loss='crf'; or let it give probabilities, gives='marginals'"
            )
        d_transitions, d_start, d_end = self.d_scores
        transitions, start, end = self.scores
        crf_slopes.record(
            program, self._slopes, self.d_x, d_transitions, d_start, d_end,
            self.y, self.d_y, self.x, self.mask, transitions, start, end, self.adds,
        )  # fmt: skip
