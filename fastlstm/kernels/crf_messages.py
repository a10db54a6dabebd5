"""Messages along the chain of a conditional random field, for a few rows at a time.

The arrays are those of ``fastlstm.kernels.crf``, where the equations are too.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.cell import PLAIN
from fastlstm.kernels.jit import body, inline
from fastlstm.kernels.math import exp, log
from fastlstm.kernels.rows import first_lanes, load_or, max_lanes, row_sum, row_weight
from fastlstm.kernels.simd import fill, lanes, load, select, store, store_first
from fastlstm.kernels.tile import multiply_panel

# Rows that a thread takes through all steps at a time: as many as the register tile is high.
ROWS = 6
# Of a thread: sums; log β; log(β e**x); β e**x.
BUFFERS = 4
_SUMS, _LOG_BETA, _LOG_AHEAD, _AHEAD = range(BUFFERS)
# A pair of tags that is less probable is left out, where its sum would have to be taken anew.
_PAIR_LEAST = 1e-20


@inline
def skipped(mask, t, b):
    """Whether the step is to be passed over."""
    return mask.shape[0] > 0 and mask[t, b] == 0


@inline
def _least(array):
    """Sums that are smaller may have lost terms that matter to underflow."""
    return 1e-25 if array.itemsize == 4 else 1e-200


@inline
def load_row(x, at, count):
    """Some elements of a row, -inf in lanes beyond; the memory there is read where it is x's."""
    if at + lanes(x) > x.size:
        return load_or(x, at, count, -np.inf)
    return select(first_lanes(x, count), load(x, at), -np.inf)


@inline
def largest(x, at, count):
    """Largest element of a row; NaN does not count."""
    high = fill(x, -np.inf)
    for k in range(0, count, lanes(x)):
        value = load_row(x, at + k, count - k)
        high = select(value > high, value, high)
    return max_lanes(high)


@inline
def _multiply(buffers, member, a, a_at, a_row, panels, direction, rows):
    """Sums = A · e**scores, for some rows."""
    _, count, tags, columns = panels.shape
    row = count * columns
    at = (member * BUFFERS + _SUMS) * ROWS * row
    zero = fill(buffers, 0.0)
    for v in range(0, rows * row, lanes(buffers)):
        store(zero, buffers, at + v)
    for p in range(count):
        multiply_panel(
            PLAIN, buffers, at + p * columns, row, a, a_at, a_row, 0, 1,
            panels, (direction * count + p) * tags * columns, rows, 1, tags,
        )  # fmt: skip


@inline
def _take_logs(out, out_at, width, sums, at, shifts, shift_at):
    """Logarithms of sums, each scaled back; returns the smallest sum."""
    low = fill(sums, np.inf)
    for v in range(0, width, lanes(sums)):
        value = load(sums, at + v)
        low = select(value < low, value, low)
        store(log(value) + load(shifts, shift_at + v), out, out_at + v)
    return -max_lanes(-low)


@body
def _take_anew(out, out_at, sums, at, logs, i, j, k, scores, direction):
    """The logarithms again, of sums that are too small, term by term."""
    width = scores.shape[2]
    for v in range(0, width, lanes(scores)):
        if -max_lanes(-load(sums, at + v)) < _least(sums):
            store(_log_sum(logs, i, j, k, scores, direction, v), out, out_at + v)


@inline
def _log_sum(logs, i, j, k, scores, direction, v):
    """log Σ e**(logs[i, j, k] + scores) of a vector of columns."""
    _, tags, width = scores.shape
    at = direction * tags * width + v
    high = fill(scores, -np.inf)
    for n in range(tags):
        value = load(scores, at + n * width) + logs[i, j, k, n]
        high = select(value > high, value, high)
    high = select(high > -np.inf, high, 0.0)  # beyond the last tag
    total = fill(scores, 0.0)
    for n in range(tags):
        total = total + exp(load(scores, at + n * width) + logs[i, j, k, n] - high)
    return log(total) + high


# -- forward ---------------------------------------------------------------------------------


@body
def forward(
    messages, risky, ends, norm, buffers, member, scores, panels, shifts, highs,
    emissions, mask, first, last,
):  # fmt: skip
    """log α and α of some rows, and log Z."""
    _, slots, batch, width = messages.shape
    for b in range(first, last):
        ends[0, b], ends[1, b] = -1, -1
        norm[b] = 0.0
    for t in range(emissions.shape[0]):
        now, before = t % slots, (t + slots - 1) % slots
        if t > 0:
            at = ((slots + before) * batch + first) * width
            _multiply(buffers, member, messages, at, width, panels, 0, last - first)
        for b in range(first, last):
            risky[t, b] = 0
            if skipped(mask, t, b):
                _hold(messages, now, before, b, ends[0, b] >= 0)
            else:
                if ends[0, b] < 0:
                    ends[0, b] = t
                    _copy(messages, (now * batch + b) * width, shifts, 2 * shifts.shape[1], width)
                    norm[b] += highs[1]
                else:
                    _advance(
                        messages, risky, buffers, member, scores, shifts, t, before, b, b - first
                    )
                    norm[b] += highs[0]
                ends[1, b] = t
                norm[b] += _add_emissions(messages, now, b, emissions, t)
    for b in range(first, last):
        if ends[0, b] >= 0:
            now = (emissions.shape[0] - 1) % slots
            norm[b] += highs[2] + _sum_last(messages, now, b, buffers, member, shifts)


@inline
def _copy(out, at, x, x_at, count):
    for v in range(0, count, lanes(out)):
        store(load(x, x_at + v), out, at + v)


@inline
def _hold(messages, now, before, b, begun):
    """A skipped step leaves α as it was; before the first one there is none."""
    for w in range(messages.shape[3]):
        messages[0, now, b, w] = messages[0, before, b, w] if begun else 0.0
        messages[1, now, b, w] = messages[1, before, b, w] if begun else 0.0


@inline
def _advance(messages, risky, buffers, member, scores, shifts, t, before, b, row):
    """log Σ α e**scores into log α, and the sums into the place of the link."""
    _, slots, batch, width = messages.shape
    at = ((member * BUFFERS + _SUMS) * ROWS + row) * buffers.shape[3]
    log_at = (t % slots * batch + b) * width
    low = _take_logs(messages, log_at, width, buffers, at, shifts, 0)
    if low < _least(buffers):
        risky[t, b] = 1
        _take_anew(messages, log_at, buffers, at, messages, 0, before, b, scores, 0)
    _copy(messages, log_at + 2 * slots * batch * width, buffers, at, width)


@inline
def _add_emissions(messages, now, b, emissions, t):
    """log α += x, less the largest, which is returned; and α."""
    _, slots, batch, width = messages.shape
    count, step = emissions.shape[2], lanes(messages)
    x_at, at = (t * batch + b) * count, (now * batch + b) * width
    # Less its largest first: that is exact where it matters, however large x is.
    high = largest(emissions, x_at, count)
    top = fill(messages, -np.inf)
    for v in range(0, width, step):
        value = load(messages, at + v) + (load_row(emissions, x_at + v, count - v) - high)
        top = select(value > top, value, top)
        store(value, messages, at + v)
    most = max_lanes(top)
    for v in range(0, width, step):
        value = load(messages, at + v) - most
        store(value, messages, at + v)
        store(exp(value), messages, at + slots * batch * width + v)
    return np.float64(high) + np.float64(most)


@inline
def _sum_last(messages, now, b, buffers, member, shifts):
    """log Σ α e**end."""
    _, _, batch, width = messages.shape
    at, end_at = (now * batch + b) * width, 3 * shifts.shape[1]
    out = member * BUFFERS * ROWS * buffers.shape[3]
    high, total = _exp_of_sum(buffers, out, messages, at, shifts, end_at, width)
    return np.float64(high) + np.log(total)


@inline
def _exp_of_sum(out, out_at, x, x_at, y, y_at, width):
    """e**(x + y - largest) of a row; returns the largest x + y, and the sum in float64."""
    step = lanes(x)
    top = fill(x, -np.inf)
    for v in range(0, width, step):
        value = load(x, x_at + v) + load(y, y_at + v)
        top = select(value > top, value, top)
        store(value, out, out_at + v)
    high = max_lanes(top)
    for v in range(0, width, step):
        store(exp(load(out, out_at + v) - high), out, out_at + v)
    return high, row_sum(out, out_at, width)


# -- backward --------------------------------------------------------------------------------


@body
def backward(
    d_emissions, messages, risky, ends, buffers, member, scores, panels, shifts,
    emissions, tags, mask, weights, first, last,
):  # fmt: skip
    """Marginals of some rows, step by step from the last, and what links pairs of steps."""
    batch, width, columns = messages.shape[2], messages.shape[3], buffers.shape[3]
    part = ROWS * columns
    start = member * BUFFERS * part
    for r in range(last - first):
        _copy(buffers, start + _LOG_BETA * part + r * columns, shifts, 3 * columns, width)
        for v in range(width):
            buffers[member, _AHEAD, r, v] = 0.0
    for t in range(emissions.shape[0] - 1, -1, -1):
        for b in range(first, last):
            if skipped(mask, t, b):
                _clear(d_emissions, messages, t, b)
            else:
                factor = row_weight(weights, b) / batch if tags.shape[0] > 0 else 1.0
                at = start + (b - first) * columns
                _marginals(d_emissions, messages, risky, buffers, at, t, b, factor, ends[0, b] < t)
                if tags.shape[0] > 0 and 0 <= tags[t, b] < d_emissions.shape[2]:
                    d_emissions[t, b, tags[t, b]] -= factor
                _look_ahead(buffers, at, emissions, t, b, width)
        if t > 0:
            _multiply(
                buffers, member, buffers, start + _AHEAD * part, columns, panels, 1, last - first
            )
            for b in range(first, last):
                if not skipped(mask, t, b):
                    _retreat(buffers, member, b - first, scores, shifts)


@inline
def _clear(d_emissions, messages, t, b):
    for k in range(d_emissions.shape[2]):
        d_emissions[t, b, k] = 0.0
    for w in range(messages.shape[3]):
        messages[2, t, b, w] = 0.0


@inline
def _marginals(d_emissions, messages, risky, buffers, at, t, b, factor, linked):
    """Probability of each tag, times ``factor``, and over the sums where steps are linked."""
    _, steps, batch, width = messages.shape
    count, step = d_emissions.shape[2], lanes(messages)
    part = ROWS * buffers.shape[3]
    log_at = (t * batch + b) * width
    link_at = log_at + 2 * steps * batch * width
    _, total = _exp_of_sum(buffers, at, messages, log_at, buffers, at + _LOG_BETA * part, width)
    scale = 1.0 / total
    if risky[t, b] > 0:
        risky[t, b] = _is_rare(buffers, at, messages, link_at, width, scale)
    linked = linked and risky[t, b] == 0
    for v in range(0, width, step):
        value = load(buffers, at + v) * (scale * factor)
        store_first(value, d_emissions, (t * batch + b) * count + v, min(step, count - v))
        link = fill(messages, 0.0)
        if linked:
            sums = load(messages, link_at + v)
            link = select(sums < _least(messages), 0.0, value / sums)
        store(link, messages, link_at + v)


@inline
def _is_rare(e, at, messages, link_at, width, scale):
    """Whether a tag that has to be reckoned with comes from sums that are too small."""
    most = fill(e, 0.0)
    for v in range(0, width, lanes(e)):
        small = load(messages, link_at + v) < _least(messages)
        value = select(small, load(e, at + v), 0.0)
        most = select(value > most, value, most)
    return 1 if max_lanes(most) * scale > _PAIR_LEAST else 0


@inline
def _look_ahead(buffers, at, emissions, t, b, width):
    """log(β e**x), less its largest, and β e**x."""
    count, step, part = emissions.shape[2], lanes(buffers), ROWS * buffers.shape[3]
    x_at = (t * emissions.shape[1] + b) * count
    high = largest(emissions, x_at, count)
    top = fill(buffers, -np.inf)
    for v in range(0, width, step):
        value = load_row(emissions, x_at + v, count - v) - high
        value = value + load(buffers, at + _LOG_BETA * part + v)
        top = select(value > top, value, top)
        store(value, buffers, at + _LOG_AHEAD * part + v)
    most = max_lanes(top)
    for v in range(0, width, step):
        value = load(buffers, at + _LOG_AHEAD * part + v) - most
        store(value, buffers, at + _LOG_AHEAD * part + v)
        store(exp(value), buffers, at + _AHEAD * part + v)


@inline
def _retreat(buffers, member, row, scores, shifts):
    """log β of the step before: log Σ β e**(x + scores)."""
    width, columns = scores.shape[2], buffers.shape[3]
    at = (member * BUFFERS * ROWS + row) * columns
    out = at + _LOG_BETA * ROWS * columns
    low = _take_logs(buffers, out, width, buffers, at, shifts, columns)
    if low < _least(buffers):
        _take_anew(buffers, out, buffers, at, buffers, member, _LOG_AHEAD, row, scores, 1)


# -- pairs -----------------------------------------------------------------------------------


@body
def add_rare_pairs(d_transitions, d_emissions, messages, risky, scores, tags, weights, v):
    """Probabilities of pairs that α · e**scores · link cannot hold, of a vector of columns."""
    steps, batch = risky.shape
    for t in range(1, steps):
        for b in range(batch):
            if risky[t, b] > 0:
                factor = row_weight(weights, b) / batch
                _add_pairs(d_transitions, d_emissions, messages, scores, t, b, v, tags, factor)


@inline
def _add_pairs(d_transitions, d_emissions, messages, scores, t, b, v, tags, factor):
    batch, count = d_emissions.shape[1], d_emissions.shape[2]
    width, some = scores.shape[2], min(lanes(scores), count - v)
    marginal = load_or(d_emissions, (t * batch + b) * count + v, some, 0.0)
    at = tags[t, b] - v
    before, through = first_lanes(scores, at), first_lanes(scores, at + 1)
    # The tag itself had been subtracted there.
    marginal = select(before, marginal, select(through, marginal + factor, marginal))
    total = _log_sum(messages, 0, t - 1, b, scores, 0, v)
    for j in range(count):
        value = exp(load(scores, j * width + v) + messages[0, t - 1, b, j] - total) * marginal
        place = j * count + v
        value = load_or(d_transitions, place, some, 0.0) + value
        store_first(value, d_transitions, place, some)
