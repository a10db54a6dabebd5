"""Connectionist temporal classification: -log of the probability of a label sequence.

Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", ICML 2006, equations 6 to 16.

With L labels l_1 ... l_L, an alignment stands on label j or on the blank after it (blank 0 is the
one before all), and p_t is the softmax of step t. Probabilities of the beginnings, forward,

    a_t(label j) = (a(label j) + a(blank j-1) + [l_j ≠ l_{j-1}] a(label j-1)) p_t(l_j)
    a_t(blank j) = (a(blank j) + a(label j)) p_t(blank)

with a of step t-1 on the right, and of the ends, backward and without step t itself,

    b_t(label j) = d(label j) + d(blank j) + [l_{j+1} ≠ l_j] d(label j+1)
    b_t(blank j) = d(blank j) + d(label j+1)        where d = b_{t+1} p_{t+1}.

The posterior a_t b_t / Σ a_t b_t of a place is what the gradient takes from its class's softmax.
All are numbers of ``kernels/extended.py``, which never underflow. The places j = 0 ... L, of which
label 0 is never reached, lie side by side in vectors; those beyond L stay zero.

A thread's scratch is made of segments of one vector and then the places: first ``_FIXED`` of them,
and then ``_ROW`` for each step and one more, or for one step alone where only the value is wanted.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.extended import (
    LN2,
    NOTHING,
    SPAN,
    ZERO,
    add_three,
    add_two,
    larger,
    normalise,
    power_of_two,
    split_exp,
)
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import body, inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import exp_row, fill_row, max_lanes, row_max, row_weight, scale_row
from fastlstm.kernels.simd import fill, lanes, load, store, sum_lanes
from fastlstm.kernels.team import meet, take

# Segments that a thread has once: 0 or ZERO for [l_j ≠ l_{j-1}], posteriors of labels, then d, of
# labels m and e, of blanks m and e.
_SKIP, _POSTERIOR, _AFTER, _FIXED = 0, 1, 2, 6
# And for each step: a, of labels m and e, of blanks m and e; p of the labels, m and e, with that of
# the blank before place 0.
_LABEL, _BLANK, _CLASS, _ROW = 0, 2, 4, 6


def scratch_size(steps: int, labels: int, itemsize: int, gradient: bool) -> int:
    """Elements of scratch that ``ctc`` needs for each thread.

    ``steps`` and ``labels`` are the most that there are, T and L.
    """
    step = HOST.lanes(8 * itemsize)
    rows = steps + 1 if gradient else 1
    return (_FIXED + _ROW * rows) * (labels // step + 2) * step


@kernel
def ctc(
    total, d_pred, row_loss, scratch, y_true, label_lengths, y_pred, input_lengths, places,
    weights, blank, zero_infinity, time_first, crew,
):  # fmt: skip
    """-log Σ Π p over all alignments, of each sequence; its gradient with respect to the logits.

    Threads take sequences. One that no alignment fits has an infinite loss and a gradient of NaN,
    or 0 and 0 with ``zero_infinity``. Ids or lengths that are not possible give NaN for both. A
    sequence of weight 0 has no part in total and gradient, whatever its loss.

    total : (1,) float64, receives the sum over sequences of weight · row_loss / B
    d_pred : (T, B, C), gradient of the result, 0 beyond a sequence's end; or (0, B, C): value only
    row_loss : (B,), each sequence's loss, without its weight
    scratch : (threads, ``scratch_size``)
    y_true : (B, L) int32, class ids, of which those beyond the label's length are not read
    label_lengths : (B,) int32; or (0,): a label ends before its first blank or negative id
    y_pred : (T, B, C), logits; with d_pred (B, T, C) unless ``time_first``
    input_lengths : (B,) int32; or (0,) for T
    places : (T, B) int32, where the steps of each sequence stand: those that count, in order, and
        then the others; or (0, B): where they are numbered
    weights : (B,), or (0,) for ones
    """
    batch = len(row_loss)
    b = take(crew, -1)
    while b < batch:
        labels = _label_count(y_true, label_lengths, b, blank, y_pred.shape[2])
        most = y_pred.shape[0] if time_first else y_pred.shape[1]
        steps = _step_count(input_lengths, b, most)
        factor = row_weight(weights, b) / batch
        loss = np.nan
        if labels >= 0 and steps >= 0:
            loss = _forward(
                d_pred, scratch, y_true, y_pred, places, crew.member, b, labels, steps, factor,
                blank, time_first,
            )  # fmt: skip
        if d_pred.shape[0] > 0:
            if factor != 0.0 and abs(loss) < np.inf:
                _backward(
                    d_pred, scratch, y_true, places, crew.member, b, labels, steps, factor, blank,
                    time_first,
                )  # fmt: skip
            else:
                nothing = factor == 0.0 or (loss == np.inf and zero_infinity)
                _fill_steps(d_pred, places, b, 0, steps, 0.0 if nothing else np.nan, time_first)
            _fill_steps(d_pred, places, b, max(steps, 0), most, 0.0, time_first)
        row_loss[b] = 0.0 if loss == np.inf and zero_infinity else loss
        b = take(crew, b)
    meet(crew)
    if crew.member == 0:
        total[0] = 0.0
        for m in range(batch):
            if row_weight(weights, m) != 0.0:
                total[0] += np.float64(row_loss[m]) * row_weight(weights, m)
        total[0] /= batch


# -- what a sequence is ------------------------------------------------------------------------


@inline
def _label_count(y_true, label_lengths, b, blank, classes):
    """Number of labels of a sequence; -1 where an id or the number is not possible."""
    count = 0
    if len(label_lengths) > 0:
        count = np.intp(label_lengths[b])
    else:
        while count < y_true.shape[1] and y_true[b, count] >= 0 and y_true[b, count] != blank:
            count += 1
    possible = 0 <= count <= y_true.shape[1] and 0 <= blank < classes
    for j in range(count if possible else 0):
        label = y_true[b, j]
        possible = possible and 0 <= label < classes and label != blank
    return count if possible else -1


@inline
def _step_count(input_lengths, b, most):
    """Number of steps of a sequence; -1 where it is not possible."""
    steps = most if len(input_lengths) == 0 else np.intp(input_lengths[b])
    return steps if 0 <= steps <= most else -1


@inline
def _place(places, t, b, time_first):
    """Where step t of sequence b is in the first two dimensions."""
    if len(places) > 0:
        t = np.intp(places[t, b])
    return (t, b) if time_first else (b, t)


@body
def _fill_steps(d_pred, places, b, first, last, value, time_first):
    columns = d_pred.shape[2]
    for t in range(first, last):
        i, j = _place(places, t, b, time_first)
        fill_row(d_pred, (i * d_pred.shape[1] + j) * columns, columns, value)


# -- forward -----------------------------------------------------------------------------------


@body
def _forward(
    d_pred, scratch, y_true, y_pred, places, member, b, labels, steps, factor, blank, time_first
):  # fmt: skip
    """A sequence's loss. Leaves factor · softmax in d_pred, and every step's a and p in scratch."""
    columns = y_pred.shape[2]
    saves = d_pred.shape[0] > 0
    segment = _segment(scratch, labels)
    at = member * scratch.shape[1]
    row = _FIXED * segment + lanes(scratch)
    _start(scratch, member, row, y_true, b, labels, segment)
    log_norms, norms, shift = 0.0, 1.0, 0.0
    for t in range(steps):
        i, j = _place(places, t, b, time_first)
        here = (i * y_pred.shape[1] + j) * columns
        high = row_max(y_pred, here, columns)
        norm = exp_row(d_pred, saves, y_pred, here, columns, high)
        if saves:
            scale_row(d_pred, here, columns, factor / norm)
        before = row
        row += _ROW * segment if saves else 0
        classes = row + _CLASS * segment
        scratch[member, classes] = y_pred[i, j, blank] - high
        for k in range(labels):
            scratch[member, classes + k + 1] = y_pred[i, j, y_true[b, k]] - high
        _split_classes(scratch, member, classes, segment, labels)
        _advance(scratch, member, row, before, segment)
        # Without its norm, p is a plain exponential: norms are divided by all at once.
        norms *= norm
        if t % SPAN == SPAN - 1:
            shift += _normalise(scratch, at + row, segment)
            log_norms += np.log(norms)
            norms = 1.0
    log_norms += np.log(norms)
    return _loss(scratch, member, row + labels, segment, shift, log_norms)


@inline
def _segment(scratch, labels):
    """Elements of a segment: one vector, and places 0 to ``labels`` in whole vectors."""
    return (labels // lanes(scratch) + 2) * lanes(scratch)


@inline
def _start(scratch, member, row, y_true, b, labels, segment):
    """Say which labels may follow each other, and put all probability on blank 0."""
    step = lanes(scratch)
    for k in range(segment - step + 1):
        other = 2 <= k <= labels and y_true[b, k - 1] != y_true[b, max(k, 2) - 2]
        scratch[member, _SKIP * segment + step + k] = 0.0 if other else ZERO
    _clear(scratch, member * scratch.shape[1] + row, segment)
    scratch[member, row + (_BLANK + 1) * segment] = 0.0


@inline
def _clear(scratch, at, segment):
    """Zero for labels and blanks in all places, and for what lies before and after them."""
    step = lanes(scratch)
    for v in range(-step, segment - step, step):
        for part in range(0, 4, 2):
            store(fill(scratch, 1.0), scratch, at + part * segment + v)
            store(fill(scratch, ZERO), scratch, at + (part + 1) * segment + v)


@inline
def _split_classes(scratch, member, classes, segment, labels):
    """p as m and e, from logits: those of the labels, and in place 0 of the blank."""
    step = lanes(scratch)
    at = member * scratch.shape[1] + classes
    for k in range(labels + 1, segment - step):
        scratch[member, classes + k] = -np.inf
    for v in range(0, segment - step, step):
        m, e = split_exp(load(scratch, at + v))
        store(m, scratch, at + v)
        store(e, scratch, at + segment + v)
    scratch[member, classes - 1] = scratch[member, classes]
    scratch[member, classes + segment - 1] = scratch[member, classes + segment]
    scratch[member, classes + segment] = ZERO


@inline
def _advance(scratch, member, row, before, segment):
    """a_t from a_{t-1}, which may stand in the same place: from the last vector to the first."""
    step = lanes(scratch)
    at = member * scratch.shape[1]
    classes = row + _CLASS * segment
    blank_m, blank_e = scratch[member, classes - 1], scratch[member, classes + segment - 1]
    for v in range(segment - 2 * step, -1, -step):
        old = at + before + v
        m, e = load(scratch, old), load(scratch, old + segment)
        old_blank = old + _BLANK * segment
        new_m, new_e = add_three(
            m, e,
            load(scratch, old_blank - 1), load(scratch, old_blank + segment - 1),
            load(scratch, old - 1),
            load(scratch, old + segment - 1) + load(scratch, at + _SKIP * segment + step + v),
        )  # fmt: skip
        m, e = add_two(m, e, load(scratch, old_blank), load(scratch, old_blank + segment))
        new = at + row + v
        store(new_m * load(scratch, new + _CLASS * segment), scratch, new)
        store(new_e + load(scratch, new + (_CLASS + 1) * segment), scratch, new + segment)
        store(m * blank_m, scratch, new + _BLANK * segment)
        store(e + blank_e, scratch, new + (_BLANK + 1) * segment)
    for part in range(0, 4, 2):
        scratch[member, row + part * segment - 1] = 1.0
        scratch[member, row + (part + 1) * segment - 1] = ZERO


@inline
def _normalise(scratch, at, segment):
    """Bring all m near 1, and the largest e near 0; returns what it was."""
    step = lanes(scratch)
    high = fill(scratch, ZERO)
    for v in range(0, segment - step, step):
        high = larger(high, load(scratch, at + segment + v))
        high = larger(high, load(scratch, at + (_BLANK + 1) * segment + v))
    shift = max_lanes(high)
    if shift < NOTHING:
        shift -= shift
    for part in range(0, 4, 2):
        for v in range(at + part * segment, at + (part + 1) * segment - step, step):
            m, e = normalise(load(scratch, v), load(scratch, v + segment))
            store(m, scratch, v)
            store(e - shift, scratch, v + segment)
    return shift


@inline
def _loss(scratch, member, last, segment, shift, log_norms):
    """-log of the sum of the last label and the blank after it."""
    blank = last + _BLANK * segment
    e1, e2 = scratch[member, last + segment], scratch[member, blank + segment]
    e = np.float64(max(e1, e2))
    if e < NOTHING and log_norms == log_norms:
        return np.inf
    m = scratch[member, last] * 2.0 ** (e1 - e) + scratch[member, blank] * 2.0 ** (e2 - e)
    loss = log_norms - np.log(m) - (e + shift) * LN2
    return 0.0 if loss < 0.0 else loss


# -- backward ----------------------------------------------------------------------------------


@body
def _backward(
    d_pred, scratch, y_true, places, member, b, labels, steps, factor, blank, time_first
):  # fmt: skip
    """Take the posteriors from what ``_forward`` has left in d_pred."""
    step = lanes(scratch)
    segment = _segment(scratch, labels)
    at = member * scratch.shape[1]
    after, posterior = _AFTER * segment + step, _POSTERIOR * segment + step
    _clear(scratch, at + after, segment)
    # What is read as the label after the last place lies at the head of the next segment.
    scratch[member, after + segment - step] = 1.0
    scratch[member, after + 2 * segment - step] = ZERO
    # As if a step followed in which only the last blank is possible.
    scratch[member, after + (_BLANK + 1) * segment + labels] = 0.0
    for t in range(steps - 1, -1, -1):
        row = (_FIXED + (t + 1) * _ROW) * segment + step
        high = _retreat(scratch, at, row, segment)
        of_labels, of_blanks = _posteriors(scratch, member, row, segment, high)
        scale = factor / (of_labels + of_blanks)
        i, j = _place(places, t, b, time_first)
        d_pred[i, j, blank] -= scale * of_blanks
        for k in range(labels):
            d_pred[i, j, y_true[b, k]] -= scale * scratch[member, posterior + k + 1]
        if (steps - t) % SPAN == 0:
            _normalise(scratch, at + after, segment)


@inline
def _retreat(scratch, at, row, segment):
    """b_t from d, in its place; returns the largest exponent of a_t b_t."""
    step = lanes(scratch)
    high = fill(scratch, ZERO)
    for v in range(0, segment - step, step):
        label = at + _AFTER * segment + step + v
        blank = label + _BLANK * segment
        next_m, next_e = load(scratch, label + 1), load(scratch, label + segment + 1)
        blank_m, blank_e = load(scratch, blank), load(scratch, blank + segment)
        m, e = add_three(
            load(scratch, label), load(scratch, label + segment), blank_m, blank_e,
            next_m, next_e + load(scratch, at + _SKIP * segment + step + v + 1),
        )  # fmt: skip
        store(m, scratch, label)
        store(e, scratch, label + segment)
        forward = at + row + v
        high = larger(high, e + load(scratch, forward + segment))
        m, e = add_two(blank_m, blank_e, next_m, next_e)
        store(m, scratch, blank)
        store(e, scratch, blank + segment)
        high = larger(high, e + load(scratch, forward + (_BLANK + 1) * segment))
    return max_lanes(high)


@inline
def _posteriors(scratch, member, row, segment, high):
    """a_t b_t of all labels, into scratch; d from b. Returns the sums over labels and blanks."""
    step = lanes(scratch)
    at = member * scratch.shape[1]
    classes = row + _CLASS * segment
    p_m, p_e = scratch[member, classes - 1], scratch[member, classes + segment - 1]
    of_labels, of_blanks = fill(scratch, 0.0), fill(scratch, 0.0)
    for v in range(0, segment - step, step):
        label, forward = at + _AFTER * segment + step + v, at + row + v
        m, e = load(scratch, label), load(scratch, label + segment)
        share = m * load(scratch, forward)
        share = share * power_of_two(e + load(scratch, forward + segment) - high)
        of_labels = of_labels + share
        store(share, scratch, at + _POSTERIOR * segment + step + v)
        store(m * load(scratch, forward + _CLASS * segment), scratch, label)
        e = e + load(scratch, forward + (_CLASS + 1) * segment)
        store(e, scratch, label + segment)
        label, forward = label + _BLANK * segment, forward + _BLANK * segment
        m, e = load(scratch, label), load(scratch, label + segment)
        share = m * load(scratch, forward)
        share = share * power_of_two(e + load(scratch, forward + segment) - high)
        of_blanks = of_blanks + share
        store(m * p_m, scratch, label)
        store(e + p_e, scratch, label + segment)
    return np.float64(sum_lanes(of_labels)), np.float64(sum_lanes(of_blanks))
