"""Attention bound to arrays: scores, weights, and the mean of values that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastlstm.kernels import attention, dense, layout
from fastlstm.kernels.masks import clear_masked
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.products import scratch_size
from fastlstm.kernels.program import Program
from fastlstm.layers.attention_masks import Counted
from fastlstm.layers.draws import Draws
from fastlstm.layers.dropout import DropoutOp
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.memory import Plan


@dataclass(frozen=True)
class How:
    """What sets the kinds of attention apart.

    Attributes
    ----------
    scale : ndarray
        What scores are multiplied by, (1,); of additive ones (D,), for each feature.
    d_scale : ndarray or None
        Its gradient, where it is trained.
    additive : bool
        Whether scores are sums of tanh(q + k) rather than products.
    heads : int
        Parts of the features that look by themselves.
    causal : bool
        Whether no step looks at later ones.
    dropout : float
        Fraction of the weights to drop; 0 where nothing is trained.
    draws : Draws, optional
        Where what is dropped comes from.
    clears : bool
        Whether steps of the query that do not count give zeros.
    hides : bool
        Whether the weights of keys that a query does not look at are zero even where these are
        all; otherwise they are all alike there.
    """

    scale: np.ndarray
    d_scale: np.ndarray | None
    additive: bool = False
    heads: int = 1
    causal: bool = False
    dropout: float = 0.0
    draws: Draws | None = None
    clears: bool = True
    hides: bool = False


class AttentionOp(Op):
    """Queries (Q, B, H·D), keys (S, B, H·D) and values (S, B, H·E) bound to one another."""

    causal = False

    def __init__(
        self,
        how: How,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        counted: Counted,
        plan: Plan,
    ) -> None:
        self._how, self._arrays, self._counted = how, (q, k, v), counted
        self._asked, self._mask = counted.asked, counted.keys
        queries, batch, _ = q.shape
        steps, heads = len(k), how.heads
        dtype = q.dtype
        self.weights = plan.array((queries, batch, heads * steps), dtype)
        self._rows = self.weights.reshape(-1, steps)
        self._dropout: DropoutOp | None = None
        self._used = self.weights
        if how.dropout > 0:
            self._dropout = DropoutOp(how.dropout, self.weights, plan, active=True, draws=how.draws)
            self._used = self._dropout.y
        self.y = plan.array((queries, batch, v.shape[2]), dtype)
        self.gives_weights = False
        sizes = (scratch_size(queries, steps, x.shape[2] // heads, dtype.itemsize) for x in (q, v))
        self._scratch = plan.array((get_num_threads(), max(sizes)), dtype)
        self._work = 2.0 * q.size * steps

    @property
    def ys(self) -> list[np.ndarray]:
        return [self.y, self.weights] if self.gives_weights else [self.y]

    def give_states(self, plan: Plan) -> None:
        self.gives_weights = True

    @property
    def seeds(self) -> list[np.ndarray]:
        return [] if self._dropout is None else self._dropout.seeds

    def start(self, resume: bool = False) -> None:
        if self._dropout is not None:
            self._dropout.start()

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        how, (q, k, v) = self._how, self._arrays
        self._counted.record(program)
        asked = self._asked[:0] if how.clears else self._asked
        counts = self._mask, asked, self._counted.seen, how.causal
        if how.additive:
            sums = self.weights, q, k, how.scale, *counts
            program.add(attention.additive_scores, *sums, work=10.0 * self._work)
        else:
            args = self.weights, self._scratch, q, k, how.scale, *counts
            program.add(attention.dot_scores, *args, how.heads, work=self._work)
        program.add(dense.softmax, self._rows, work=20.0 * self._rows.size)
        if how.hides and self._counted.hides:
            work = 1.0 * self.weights.size
            program.add(attention.hide, self.weights, *counts, how.heads, work=work)
        if self._dropout is not None:
            self._dropout.record_forward(program)
        work = 2.0 * v.size * len(q)
        program.add(attention.mix, self.y, self._scratch, self._used, v, how.heads, work=work)
        self._record_clearing(program, self.y)

    def _record_clearing(self, program: Program, array: np.ndarray) -> None:
        if self._how.clears and len(self._asked):
            rows = array.reshape(-1, array.shape[2])
            program.add(clear_masked, rows, self._asked.reshape(-1), work=1.0 * rows.size)

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        q, k, v = self._arrays
        self._d_y, self._d_given = d_ys[0], d_ys[1:]
        self._d_arrays = [plan.array(x.shape, x.dtype) for x in (q, k, v)]
        self._d_weights = plan.array(self.weights.shape, q.dtype)
        how, batch = self._how, q.shape[1]
        rows, columns = (batch, q.shape[2]) if how.additive else (batch * how.heads, 1)
        self._parts = plan.array((rows, columns), q.dtype if how.additive else np.float64)
        if self._dropout is not None:
            self._dropout.bind_backward(self._d_weights, plan, True)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.bind_gradients([d_y], plan, [need_d_x] * 3)

    @property
    def d_xs(self) -> list[Any]:
        """Gradients of the queries, keys and values."""
        return self._d_arrays

    @staticmethod
    def record_sum(program: Program, total: np.ndarray, part: np.ndarray) -> None:
        """Record: total += part."""
        program.add(layout.add, total, part, work=1.0 * total.size)

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        how, (q, k, v), (d_q, d_k, d_v) = self._how, self._arrays, self._d_arrays
        self._record_clearing(program, self._d_y)
        args = self._d_weights, d_v, self._scratch, self._d_y, self._used, v, False, how.heads
        program.add(attention.mix_gradients, *args, work=4.0 * v.size * len(q))
        if self._dropout is not None:
            self._dropout.record_backward(program)
        for given in self._d_given:
            program.add(layout.add, self._d_weights, given, work=1.0 * given.size)
        d_rows = self._d_weights.reshape(self._rows.shape)
        program.add(dense.softmax_gradient, d_rows, self._rows, work=4.0 * d_rows.size)
        if how.additive:
            arrays = d_q, d_k, self._parts, self._d_weights, q, k, how.scale
            program.add(attention.additive_gradients, *arrays, work=20.0 * self._work)
        else:
            parts = self._parts.reshape(-1)
            bound = d_q, d_k, parts, self._scratch, self._d_weights, q, k, how.scale
            program.add(attention.dot_gradients, *bound, how.heads, work=2.0 * self._work)
        if how.d_scale is not None:
            program.add(attention.sum_parts, how.d_scale, self._parts, self.adds)
