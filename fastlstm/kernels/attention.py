"""Attention: how much each step of one sequence looks at each step of another.

q      (Q, B, H·D) queries
k      (S, B, H·D) keys
v      (S, B, H·E) values
p      (Q, B, H·S) scores, then weights; a row for each query, sample and head
mask   (S, B) or (0, B): which keys count
asked  (Q, B) or (0, B): which queries count
seen   (Q or 1, B, S or 1), not 0 where a query may look at a key; or empty, for all
heads  H

A thread takes samples and heads as a whole, so every sum has one order. What the products do in
``scratch`` stands in ``products``.
"""

from __future__ import annotations

from fastlstm.kernels import math
from fastlstm.kernels.jit import inline
from fastlstm.kernels.products import lay_columns, lay_rows, multiply_laid
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import dot_rows, scale_row
from fastlstm.kernels.simd import fill, lanes, load_first, store_first, sum_lanes
from fastlstm.kernels.team import share

# What is taken from the scores of keys that do not count, as in Keras: their weight is zero, and
# where none counts, all weights are equal.
_LOW = 1e9


@kernel
def dot_scores(p, scratch, q, k, scale, mask, asked, seen, causal, heads, crew):
    """p = scale · q·kᵀ, less where it does not count; scale is (1,)."""
    queries, batch, width = q.shape
    steps, depth = k.shape[0], width // heads
    row, p_row = batch * width, batch * heads * steps
    first, last = share(batch * heads, crew)
    for item in range(first, last):
        lay_columns(scratch, crew.member, k, item * depth, row, depth, steps)
        multiply_laid(
            p, item * steps, p_row, scale[0], False,
            q, item * depth, row, 1, scratch, crew.member, queries, depth, steps,
        )  # fmt: skip
        for t in range(queries):
            _lower(p, mask, asked, seen, causal, t, item // heads, item % heads * steps, steps)


@inline
def _is_hidden(mask, asked, seen, causal, t, b, s):
    """Whether a query does not look at a key."""
    hidden = causal and s > t
    if asked.shape[0] > 0 and asked[t, b] == 0:
        hidden = True
    if mask.shape[0] > 0 and mask[s, b] == 0:
        hidden = True
    if seen.size > 0:
        row, column = min(t, seen.shape[0] - 1), min(s, seen.shape[2] - 1)
        if seen[row, b, column] == 0.0:
            hidden = True
    return hidden


@inline
def _lower(p, mask, asked, seen, causal, t, b, start, steps):
    """Bring the scores of keys that do not count out of the way."""
    if causal or asked.size > 0 or mask.size > 0 or seen.size > 0:
        for s in range(steps):
            if _is_hidden(mask, asked, seen, causal, t, b, s):
                p[t, b, start + s] -= _LOW


@kernel
def hide(p, mask, asked, seen, causal, heads, crew):
    """Weights of keys that do not count are zero, also where a query sees no key at all."""
    queries, batch = p.shape[0], p.shape[1]
    steps = p.shape[2] // heads
    first, last = share(batch * heads, crew)
    for item in range(first, last):
        b, h = item // heads, item % heads
        for t in range(queries):
            for s in range(steps):
                if _is_hidden(mask, asked, seen, causal, t, b, s):
                    p[t, b, h * steps + s] = 0.0


@kernel
def dot_gradients(d_q, d_k, d_scales, scratch, d_p, q, k, scale, heads, crew):
    """The gradients of ``dot_scores``; d_scales is (B·H,), the parts of that of the scale."""
    queries, batch, width = q.shape
    steps, depth = k.shape[0], width // heads
    row, p_row = batch * width, batch * heads * steps
    first, last = share(batch * heads, crew)
    for item in range(first, last):
        at, p_at = item * depth, item * steps
        lay_rows(scratch, crew.member, k, at, row, steps, depth)
        multiply_laid(
            d_q, at, row, 1.0, False,
            d_p, p_at, p_row, 1, scratch, crew.member, queries, steps, depth,
        )  # fmt: skip
        total = 0.0
        for t in range(queries):
            total += dot_rows(q, at + t * row, d_q, at + t * row, depth)
            scale_row(d_q, at + t * row, depth, scale[0])
        d_scales[item] = total
        lay_rows(scratch, crew.member, q, at, row, queries, depth)
        multiply_laid(
            d_k, at, row, scale[0], False,
            d_p, p_at, 1, p_row, scratch, crew.member, steps, queries, depth,
        )  # fmt: skip


@kernel
def additive_scores(p, q, k, scale, mask, asked, seen, causal, crew):
    """p = sum of scale · tanh(q + k), less where it does not count; scale is (D,)."""
    queries, batch, depth = q.shape
    steps = k.shape[0]
    first, last = share(batch, crew)
    for b in range(first, last):
        for t in range(queries):
            for s in range(steps):
                total = fill(q, 0.0)
                for d in range(0, depth, lanes(q)):
                    count = min(lanes(q), depth - d)
                    x = load_first(q, (t * batch + b) * depth + d, count)
                    y = load_first(k, (s * batch + b) * depth + d, count)
                    total = total + load_first(scale, d, count) * math.tanh(x + y)
                p[t, b, s] = sum_lanes(total)
            _lower(p, mask, asked, seen, causal, t, b, 0, steps)


@kernel
def additive_gradients(d_q, d_k, d_scales, d_p, q, k, scale, crew):
    """The gradients of ``additive_scores``; d_scales is (B, D), the parts of that of the scale."""
    queries, batch, depth = q.shape
    steps = k.shape[0]
    first, last = share(batch, crew)
    nothing = fill(q, 0.0)
    for b in range(first, last):
        for d in range(0, depth, lanes(q)):
            count = min(lanes(q), depth - d)
            factor, d_factor = load_first(scale, d, count), nothing
            for s in range(steps):
                store_first(nothing, d_k, (s * batch + b) * depth + d, count)
            for t in range(queries):
                d_x = nothing
                x = load_first(q, (t * batch + b) * depth + d, count)
                for s in range(steps):
                    at = (s * batch + b) * depth + d
                    value = math.tanh(x + load_first(k, at, count))
                    d_score = fill(q, d_p[t, b, s])
                    d_factor = d_factor + d_score * value
                    slope = d_score * factor * (1.0 - value * value)
                    d_x = d_x + slope
                    store_first(load_first(d_k, at, count) + slope, d_k, at, count)
                store_first(d_x, d_q, (t * batch + b) * depth + d, count)
            store_first(d_factor, d_scales, b * depth + d, count)


@kernel
def mix(out, scratch, p, v, heads, crew):
    """out = p·v, (Q, B, H·E)."""
    queries, batch, width = out.shape
    steps, depth = v.shape[0], width // heads
    row, p_row = batch * width, batch * heads * steps
    first, last = share(batch * heads, crew)
    for item in range(first, last):
        lay_rows(scratch, crew.member, v, item * depth, row, steps, depth)
        multiply_laid(
            out, item * depth, row, 1.0, False,
            p, item * steps, p_row, 1, scratch, crew.member, queries, steps, depth,
        )  # fmt: skip


@kernel
def mix_gradients(d_p, d_v, scratch, d_out, p, v, more, heads, crew):
    """The gradients of ``mix``; d_p is added to what is there where there is ``more``."""
    queries, batch, width = d_out.shape
    steps, depth = v.shape[0], width // heads
    row, p_row = batch * width, batch * heads * steps
    first, last = share(batch * heads, crew)
    for item in range(first, last):
        at, p_at = item * depth, item * steps
        lay_columns(scratch, crew.member, v, at, row, depth, steps)
        multiply_laid(
            d_p, p_at, p_row, 1.0, more,
            d_out, at, row, 1, scratch, crew.member, queries, depth, steps,
        )  # fmt: skip
        lay_rows(scratch, crew.member, d_out, at, row, queries, depth)
        multiply_laid(
            d_v, at, row, 1.0, False,
            p, p_at, 1, p_row, scratch, crew.member, steps, queries, depth,
        )  # fmt: skip


@kernel
def sum_parts(d, parts, more, crew):
    """d = the sum of the rows of parts, (M, N), from the first to the last; or d += it."""
    first, last = share(d.size, crew)
    for n in range(first, last):
        total = d[n] if more else 0.0
        for m in range(parts.shape[0]):
            total += parts[m, n]
        d[n] = total
