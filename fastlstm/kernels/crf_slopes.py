"""Gradients through the marginals of a linear-chain conditional random field.

With G(y) = Σ d_y[t, y[t]], what the gradient d_y of the marginals makes of tags y, and expectations
over all tags by their probabilities,

    d_emissions[t, i] = E[G, y[t] = i] - E[G] · P(y[t] = i)

and so for scores of pairs, of the first tag and of the last: covariances of G with what a score
counts. They are made of means of G over the steps up to t and of those after t,

    A[t, i] = E[Σ of s <= t | y[t] = i] = d_y[t, i] + Σ P(y[t-1] = j | y[t] = i) · A[t-1, j]
    C[t, i] = E[Σ of s > t | y[t] = i] = Σ P(y[t+1] = j | y[t] = i) · (d_y[t+1, j] + C[t+1, j])

of which none is larger than a sum of d_y, whatever the scores.

Source: Li and Eisner, "First- and second-order expectation semirings", EMNLP 2009.

y, d_y         (T, B, K), marginals and their gradient
before, after  (T, B, K) float64, A and C
totals         (B,) float64, E[G]
others         as for ``fastlstm.kernels.crf``

Threads take rows, or tags; every sum runs in an order that the shape alone fixes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import Program, kernel
from fastlstm.kernels.team import share


class Scratch(NamedTuple):
    """What the kernels work in.

    Attributes
    ----------
    alphas, betas : (T, B, K) float64, logarithms less their largest
    sums : (T, B, K) float64, log Σ e**(α[t-1, j] + transitions[j, i])
    before, after : (T, B, K) float64, A and C
    totals : (B,) float64, E[G]
    """

    alphas: Any
    betas: Any
    sums: Any
    before: Any
    after: Any
    totals: Any


def scratch(steps: int, batch: int, tags: int) -> Scratch:
    """Shape and dtype of each scratch array, as ``Plan.scratch`` takes them."""
    whole = (steps, batch, tags), np.float64
    return Scratch(whole, whole, whole, whole, whole, ((batch,), np.float64))


def record(
    program: Program, work: Scratch, d_emissions, d_transitions, d_start, d_end,
    y, d_y, emissions, mask, transitions, start, end, more,
) -> None:  # fmt: skip
    """Record the gradients; those of the scores are added to what is there where ``more``."""
    steps, batch, tags = y.shape
    flops = 60.0 * steps * batch * tags * tags
    program.add(
        means, *work, d_emissions, y, d_y, emissions, mask, transitions, start, end, work=flops
    )
    program.add(pairs, d_transitions, *work, y, d_y, mask, transitions, more, work=flops / 2)
    program.add(ends, d_start, d_end, *work[3:], y, mask, more, work=4.0 * batch * tags)


@inline
def _counts(mask, t, b):
    return mask.shape[0] == 0 or mask[t, b] != 0


@inline
def _score(scores, tag):
    """A score of the first or last tag, or 0 where there are none."""
    return scores[tag] if scores.shape[0] > 0 else 0.0


@inline
def _center(values, t, b):
    """Take the largest of a step's logarithms from all of them."""
    high = values[t, b, 0]
    for k in range(1, values.shape[2]):
        high = max(high, values[t, b, k])
    for k in range(values.shape[2]):
        values[t, b, k] -= high


@kernel
def means(
    alphas, betas, sums, before, after, totals, d_emissions, y, d_y, emissions, mask, transitions,
    start, end, crew,
):  # fmt: skip
    """A, C, E[G] and the gradient of the emissions."""
    steps, batch, tags = y.shape
    first, last = share(batch, crew)
    for b in range(first, last):
        low = -1
        for t in range(steps):
            if not _counts(mask, t, b):
                continue
            for i in range(tags):
                high = -math.inf
                if low >= 0:
                    for j in range(tags):
                        high = max(high, alphas[low, b, j] + transitions[j, i])
                total, mean = 0.0, 0.0
                if low >= 0:
                    for j in range(tags):
                        part = math.exp(alphas[low, b, j] + transitions[j, i] - high)
                        total += part
                        mean += part * before[low, b, j]
                    sums[t, b, i] = high + math.log(total)
                    mean /= total
                else:
                    sums[t, b, i] = _score(start, i)
                alphas[t, b, i] = sums[t, b, i] + emissions[t, b, i]
                before[t, b, i] = d_y[t, b, i] + mean
            _center(alphas, t, b)
            low = t
        later = -1
        for t in range(steps - 1, -1, -1):
            if not _counts(mask, t, b):
                continue
            for i in range(tags):
                high = -math.inf
                if later >= 0:
                    for j in range(tags):
                        high = max(high, betas[later, b, j] + transitions[i, j])
                total, mean = 0.0, 0.0
                if later >= 0:
                    for j in range(tags):
                        part = math.exp(betas[later, b, j] + transitions[i, j] - high)
                        total += part
                        mean += part * (d_y[later, b, j] + after[later, b, j])
                    betas[t, b, i] = high + math.log(total) + emissions[t, b, i]
                    mean /= total
                else:
                    betas[t, b, i] = _score(end, i) + emissions[t, b, i]
                after[t, b, i] = mean
            _center(betas, t, b)
            later = t
        totals[b] = 0.0
        if low >= 0:
            for i in range(tags):
                totals[b] += y[low, b, i] * before[low, b, i]
        for t in range(steps):
            for i in range(tags):
                if _counts(mask, t, b):
                    mean = before[t, b, i] + after[t, b, i] - totals[b]
                    d_emissions[t, b, i] = y[t, b, i] * mean
                else:
                    d_emissions[t, b, i] = 0.0


@kernel
def pairs(
    d_transitions, alphas, betas, sums, before, after, totals, y, d_y, mask, transitions, more, crew
):
    """The gradient of the transitions."""
    steps, batch, tags = y.shape
    first, last = share(tags, crew)
    for j in range(first, last):
        for i in range(tags):
            total = 0.0
            for b in range(batch):
                low = -1
                for t in range(steps):
                    if not _counts(mask, t, b):
                        continue
                    if low >= 0:
                        link = math.exp(alphas[low, b, j] + transitions[j, i] - sums[t, b, i])
                        mean = before[low, b, j] + d_y[t, b, i] + after[t, b, i] - totals[b]
                        total += y[t, b, i] * link * mean
                    low = t
            d_transitions[j, i] = total + d_transitions[j, i] if more else total


@kernel
def ends(d_start, d_end, before, after, totals, y, mask, more, crew):
    """The gradients of the scores of the first tag and of the last."""
    steps, batch = y.shape[:2]
    first, last = share(d_start.shape[0], crew)
    for i in range(first, last):
        starting, ending = 0.0, 0.0
        for b in range(batch):
            low, high = -1, -1
            for t in range(steps):
                if _counts(mask, t, b):
                    low = t if low < 0 else low
                    high = t
            if low >= 0:
                starting += y[low, b, i] * (before[low, b, i] + after[low, b, i] - totals[b])
                ending += y[high, b, i] * (before[high, b, i] + after[high, b, i] - totals[b])
        d_start[i] = starting + d_start[i] if more else starting
        d_end[i] = ending + d_end[i] if more else ending
