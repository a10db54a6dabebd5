"""Linear-chain conditional random field: log-likelihood with its gradients, and marginals.

Lafferty, McCallum and Pereira, "Conditional Random Fields", ICML 2001. Tags y of a sequence score

    start[y[0]] + Σ x[t, y[t]] + Σ transitions[y[t-1], y[t]] + end[y[T-1]]

and a row's loss is log Z - score, where Z = Σ e**score over all tags that there could be. A masked
step is skipped as though it were not there: its neighbours are each other's. A row without any step
has a loss of 0.

α, what may come before a tag, and β, what may come after it, are kept as logarithms less their
largest, so no score is too large. Each step is a product of e**logarithms with e**transitions on
the register tile. Where such a sum is so small that terms may have been lost to underflow, it is
taken again term by term.

total          (1,) float64, receives the sum over rows of weight · row_loss / B
row_loss       (B,), each row's negative log-likelihood, without its weight
d_emissions    (T, B, K), gradient of the total; or (0, B, K): value only
d_transitions  (K, K); d_start, d_end (K,), or (0,) like what they are the gradients of
emissions      (T, B, K)
tags           (T, B) int32; where one is out of range the row's loss is NaN
mask           (T, B) uint8, 0 where a step is skipped; or (0, B)
transitions    (K, K), from row to column; start, end (K,), or (0,) for zeros
weights        (B,), or (0,) for ones

Threads take rows; sums over rows run in an order that the shape alone fixes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlstm.kernels import matmul
from fastlstm.kernels.cell import PLAIN, panel_units
from fastlstm.kernels.crf_messages import (
    BUFFERS,
    ROWS,
    add_rare_pairs,
    backward,
    forward,
    skipped,
)
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import inline
from fastlstm.kernels.math import exp
from fastlstm.kernels.program import Program, kernel
from fastlstm.kernels.rows import first_lanes, mean_of_rows, row_max, row_weight
from fastlstm.kernels.simd import fill, lanes, load, load_first, select, store, store_first
from fastlstm.kernels.team import share, take

# Operations a tag and step besides the products: exponentials and logarithms, by their time.
_WORK = 250.0


class Scratch(NamedTuple):
    """What the kernels work in; W is K up to whole vectors, P panels of C columns hold W.

    Attributes
    ----------
    scores : (2, K, W), transitions less their largest, and transposed; -inf beyond K
    panels : (2, P, K, C), e**(scores - shifts); 1 beyond K
    shifts : (4, P·C), largest of each column of both scores; start and end less their largest
    highs : (3,) float64, the largest of transitions, start and end
    messages : (3, T, B, W), log α, α, and what links α to the next step's marginals; with 2 for T,
        where only the value is wanted
    risky : (T, B) uint8, whether terms of a step's sums may have been lost
    ends : (2, B) int32, the first and last step of each row that is not skipped, or -1
    norm : (B,) float64, log Z
    buffers : (threads, 4, ROWS, P·C)
    pairs : (W, W), Σ over steps of α · link
    partial, packed_a, packed_b
        Scratch of the product that makes ``pairs``.
    """

    scores: Any
    panels: Any
    shifts: Any
    highs: Any
    messages: Any
    risky: Any
    ends: Any
    norm: Any
    buffers: Any
    pairs: Any
    partial: Any
    packed_a: Any
    packed_b: Any


def scratch(
    steps: int, batch: int, tags: int, dtype: np.dtype, threads: int, gradient: bool
) -> Scratch:
    """Shape and dtype of each scratch array, as ``Plan.scratch`` takes them."""
    step = HOST.lanes(8 * dtype.itemsize)
    width, columns = -(-tags // step) * step, panel_units(1, dtype.itemsize)
    panels = -(-width // columns)
    square, some = (width, threads) if gradient else (0, 0)
    return Scratch(
        scores=((2, tags, width), dtype),
        panels=((2, panels, tags, columns), dtype),
        shifts=((4, panels * columns), dtype),
        highs=((3,), np.float64),
        messages=((3, steps if gradient else min(2, steps), batch, width), dtype),
        risky=((steps, batch), np.uint8),
        ends=((2, batch), np.int32),
        norm=((batch,), np.float64),
        buffers=((threads, BUFFERS, ROWS, panels * columns), dtype),
        pairs=((square, square), dtype),
        partial=((panels, square, columns), dtype),
        packed_a=((some, matmul.packed_size(square)), dtype),
        packed_b=((some * matmul.PANELS_AHEAD * matmul.SUM_BLOCK * columns,), dtype),
    )


def record_loss(
    program: Program, work: Scratch, total, row_loss, d_emissions, d_transitions, d_start, d_end,
    emissions, tags, mask, transitions, start, end, weights,
) -> None:  # fmt: skip
    """Record loss and gradients, of the arrays that the module describes."""
    _record_messages(
        program, work, d_emissions, emissions, tags, mask, transitions, start, end, weights
    )
    program.add(
        score_tags, row_loss, work.norm, emissions, tags, mask, transitions, start, end,
        work=10.0 * tags.size,
    )  # fmt: skip
    if d_emissions.shape[0] > 0:
        width = work.pairs.shape[0]
        before, after = work.messages[1, :-1], work.messages[2, 1:]
        program.add(
            matmul.multiply_transposed,
            PLAIN, 1, work.pairs, work.partial, work.packed_a, work.packed_b,
            before.reshape(-1, width), after.reshape(-1), 0, 0, False, np.empty(0, np.uint8),
            work=2.0 * before.size * width,
        )  # fmt: skip
        program.add(
            sum_gradients,
            d_transitions, d_start, d_end, d_emissions, work.pairs, work.messages, work.risky,
            work.ends, work.scores, work.panels, tags, mask, weights,
            work=4.0 * (tags.size + transitions.size),
        )  # fmt: skip
    program.add(sum_losses, total, row_loss, weights)


def record_marginals(
    program: Program, work: Scratch, marginals, emissions, mask, transitions, start, end
) -> None:
    """Record the probability of each tag at each step, (T, B, K); 0 at steps that are skipped."""
    no_tags = np.empty((0, emissions.shape[1]), np.int32)
    weights = np.empty(0, emissions.dtype)
    _record_messages(
        program, work, marginals, emissions, no_tags, mask, transitions, start, end, weights
    )


def _record_messages(
    program, work, d_emissions, emissions, tags, mask, transitions, start, end, weights
):
    program.add(
        prepare, work.scores, work.panels, work.shifts, work.highs, transitions, start, end,
        work=60.0 * work.scores.size,
    )  # fmt: skip
    tag_count = emissions.shape[2]
    program.add(
        pass_messages,
        d_emissions, work.messages, work.risky, work.ends, work.norm, work.buffers,
        work.scores, work.panels, work.shifts, work.highs, emissions, tags, mask, weights,
        work=emissions.size * (4.0 * tag_count + _WORK),
    )  # fmt: skip


# -- transitions, as the messages need them --------------------------------------------------


@kernel
def prepare(scores, panels, shifts, highs, transitions, start, end, crew):
    """Fill in what ``Scratch`` says of the first four."""
    tags = transitions.shape[0]
    high = row_max(transitions, 0, tags * tags)
    first, last = share(2 * panels.shape[1], crew)
    for item in range(first, last):
        direction, p = item % 2, item // 2
        _prepare_scores(scores, direction, p * panels.shape[3], panels.shape[3], transitions, high)
        _prepare_panel(panels, shifts, scores, direction, p)
    if crew.member == 0:
        highs[0] = high
        highs[1] = _prepare_border(shifts, 2, start, tags)
        highs[2] = _prepare_border(shifts, 3, end, tags)


@inline
def _prepare_scores(scores, direction, column, count, transitions, high):
    _, tags, width = scores.shape
    for j in range(tags):
        for k in range(column, min(column + count, width)):
            if k >= tags:
                scores[direction, j, k] = -np.inf
            elif direction == 0:
                scores[direction, j, k] = transitions[j, k] - high
            else:
                scores[direction, j, k] = transitions[k, j] - high


@inline
def _prepare_panel(panels, shifts, scores, direction, p):
    _, count, tags, columns = panels.shape
    width, step = scores.shape[2], lanes(scores)
    for c in range(0, columns, step):
        v = p * columns + c
        top = fill(scores, -np.inf)
        if v < width:
            for j in range(tags):
                value = load(scores, (direction * tags + j) * width + v)
                top = select(value > top, value, top)
        store(top, shifts, (direction * count + p) * columns + c)
        for j in range(tags):
            value = fill(scores, 1.0)
            if v < width:
                value = exp(load(scores, (direction * tags + j) * width + v) - top)
                value = select(first_lanes(scores, tags - v), value, 1.0)
            store(value, panels, ((direction * count + p) * tags + j) * columns + c)


@inline
def _prepare_border(shifts, row, border, tags):
    """Start or end scores less their largest, which is returned; -inf beyond the last tag."""
    high = np.float64(row_max(border, 0, tags)) if len(border) > 0 else 0.0
    for k in range(shifts.shape[1]):
        shifts[row, k] = -np.inf
        if k < tags:
            shifts[row, k] = border[k] - high if len(border) > 0 else 0.0
    return high


# -- rows ------------------------------------------------------------------------------------


@kernel
def pass_messages(
    d_emissions, messages, risky, ends, norm, buffers, scores, panels, shifts, highs,
    emissions, tags, mask, weights, crew,
):  # fmt: skip
    """Forward and backward: ``norm``, the gradient of the emissions, and all but ``pairs``.

    Without tags, (0, B), d_emissions receives the marginals.
    """
    batch = emissions.shape[1]
    block = take(crew, -1)
    while block * ROWS < batch:
        first, last = block * ROWS, min((block + 1) * ROWS, batch)
        forward(
            messages, risky, ends, norm, buffers, crew.member, scores, panels, shifts, highs,
            emissions, mask, first, last,
        )  # fmt: skip
        if d_emissions.shape[0] > 0:
            backward(
                d_emissions, messages, risky, ends, buffers, crew.member, scores, panels, shifts,
                emissions, tags, mask, weights, first, last,
            )  # fmt: skip
        block = take(crew, block)


@kernel
def score_tags(row_loss, norm, emissions, tags, mask, transitions, start, end, crew):
    """row_loss = log Z - score of the tags."""
    steps, batch, count = emissions.shape
    first, last = share(batch, crew)
    for b in range(first, last):
        score, before = 0.0, -1
        for t in range(steps):
            if not skipped(mask, t, b):
                tag = tags[t, b]
                if not 0 <= tag < count:
                    score, tag = np.nan, 0
                if before >= 0:
                    score += np.float64(transitions[before, tag])
                elif len(start) > 0:
                    score += np.float64(start[tag])
                score += np.float64(emissions[t, b, tag])
                before = tag
        if before >= 0 and len(end) > 0:
            score += np.float64(end[before])
        row_loss[b] = norm[b] - score


@kernel
def sum_losses(total, row_loss, weights, crew):
    """The mean of the rows' losses, each times its weight."""
    mean_of_rows(total, row_loss, weights, crew)


# -- sums over rows --------------------------------------------------------------------------


@kernel
def sum_gradients(
    d_transitions, d_start, d_end, d_emissions, pairs, messages, risky, ends, scores, panels,
    tags, mask, weights, crew,
):  # fmt: skip
    """Gradients of all that rows share; threads take columns, and all rows."""
    count, step = d_transitions.shape[0], lanes(pairs)
    first, last = share((count + step - 1) // step, crew)
    first, last = first * step, min(last * step, count)
    for v in range(first, last, step):
        _sum_pairs(d_transitions, pairs, panels, v)
        add_rare_pairs(d_transitions, d_emissions, messages, risky, scores, tags, weights, v)
    _subtract_tags(d_transitions, tags, mask, weights, first, last)
    if len(d_start) > 0:
        _sum_ends(d_start, d_emissions, ends, 0, first, last)
    if len(d_end) > 0:
        _sum_ends(d_end, d_emissions, ends, 1, first, last)


@inline
def _sum_pairs(d_transitions, pairs, panels, v):
    """Probabilities of pairs of tags, α · e**transitions · link, of a vector of columns."""
    count, width, columns = d_transitions.shape[0], pairs.shape[1], panels.shape[3]
    for j in range(count):
        weight = load(panels, (v // columns * count + j) * columns + v % columns)
        value = load(pairs, j * width + v) * weight
        store_first(value, d_transitions, j * count + v, min(lanes(pairs), count - v))


@inline
def _subtract_tags(d_transitions, tags, mask, weights, first, last):
    """What the score of the tags adds, where they lead into some columns."""
    steps, batch = tags.shape
    count = d_transitions.shape[0]
    for b in range(batch):
        before, factor = -1, row_weight(weights, b) / batch
        for t in range(steps):
            if not skipped(mask, t, b):
                tag = tags[t, b]
                if first <= tag < last and 0 <= before < count:
                    d_transitions[before, tag] -= factor
                before = tag


@inline
def _sum_ends(d_border, d_emissions, ends, which, first, last):
    """Σ over rows of the gradient at their first, or last, step."""
    count, step = len(d_border), lanes(d_border)
    batch = ends.shape[1]
    for v in range(first, last, step):
        total = fill(d_border, 0.0)
        width = min(step, count - v)
        for b in range(batch):
            if ends[which, b] >= 0:
                at = (ends[which, b] * batch + b) * count + v
                total = total + load_first(d_emissions, at, width)
        store_first(total, d_border, v, width)
