"""Linear-chain conditional random field of one sequence in float64: over all tags, and textbook.

x is (T, K), transitions (K, K) from row to column, start and end (K,). Skipped steps are taken out
before: ``rows`` does that, for a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Result(NamedTuple):
    """Of one sequence, whose loss is log Z less the score of its tags."""

    loss: float
    marginals: np.ndarray
    pairs: np.ndarray


def score(y, x, transitions, start, end) -> float:
    """Score of the tags y."""
    total = sum(x[t, tag] for t, tag in enumerate(y))
    total += sum(transitions[pair] for pair in itertools.pairwise(y))
    return total + (start[y[0]] + end[y[-1]] if len(y) else 0.0)


def _all_tags(x) -> Iterator[tuple[int, ...]]:
    return itertools.product(range(x.shape[1]), repeat=len(x))


def brute_force(y, x, transitions, start, end) -> Result:
    """By a walk over all K**T sequences of tags."""
    every = list(_all_tags(x))
    scores = np.array([score(tags, x, transitions, start, end) for tags in every])
    log_z = _log_sum(scores, axis=0)
    marginals, pairs = np.zeros_like(x), np.zeros_like(transitions)
    for tags, probability in zip(every, np.exp(scores - log_z), strict=True):
        for t, tag in enumerate(tags):
            marginals[t, tag] += probability
        for pair in itertools.pairwise(tags):
            pairs[pair] += probability
    return Result(log_z - score(y, x, transitions, start, end), marginals, pairs)


def best(x, transitions, start, end) -> tuple[tuple[int, ...], float]:
    """The tags with the highest score, by a walk over all."""
    found = max(_all_tags(x), key=lambda tags: score(tags, x, transitions, start, end))
    return found, score(found, x, transitions, start, end)


def forward_backward(y, x, transitions, start, end) -> Result:
    """By the recursions, in logarithms."""
    steps = len(x)
    alpha, beta = np.zeros_like(x), np.zeros_like(x)
    pairs = np.zeros_like(transitions)
    if steps == 0:
        return Result(0.0, alpha, pairs)
    alpha[0], beta[-1] = start + x[0], end
    for t in range(1, steps):
        alpha[t] = _log_sum(alpha[t - 1][:, None] + transitions, axis=0) + x[t]
        beta[-t - 1] = _log_sum(transitions + x[-t] + beta[-t], axis=1)
    log_z = _log_sum(alpha[-1] + end, axis=0)
    for t in range(1, steps):
        pairs += np.exp(alpha[t - 1][:, None] + transitions + x[t] + beta[t] - log_z)
    loss = log_z - score(y, x, transitions, start, end)
    return Result(loss, np.exp(alpha + beta - log_z), pairs)


def viterbi(x, transitions, start, end) -> tuple[list[int], float]:
    """The tags with the highest score, by dynamic programming."""
    if len(x) == 0:
        return [], 0.0
    high, came_from = start + x[0], []
    for row in x[1:]:
        through = high[:, None] + transitions
        came_from.append(through.argmax(axis=0))
        high = through.max(axis=0) + row
    tags = [int((high + end).argmax())]
    for back in reversed(came_from):
        tags.insert(0, int(back[tags[0]]))
    return tags, float((high + end).max())


class Gradients(NamedTuple):
    """Losses of a batch, and the gradients of their weighted mean; time first."""

    row_loss: np.ndarray
    total: float
    d_emissions: np.ndarray
    d_transitions: np.ndarray
    d_start: np.ndarray
    d_end: np.ndarray
    marginals: np.ndarray


def rows(
    emissions, tags, transitions, start, end, mask=None, weights=None, solve=forward_backward
) -> Gradients:
    """Each row by ``solve``; emissions (T, B, K), tags and mask (T, B)."""
    steps, batch, count = emissions.shape
    mask = np.ones((steps, batch), bool) if mask is None else mask.astype(bool)
    weights = np.ones(batch) if weights is None else weights
    x, a, s, e = (np.asarray(v, np.float64) for v in (emissions, transitions, start, end))
    losses, marginals = np.zeros(batch), np.zeros((steps, batch, count))
    d_x, d_a, d_s, d_e = (np.zeros_like(v) for v in (x, a, s, e))
    for b in range(batch):
        kept, w = mask[:, b], weights[b] / batch
        y = tags[kept, b]
        losses[b], marginals[kept, b], pairs = solve(y, x[kept, b], a, s, e)
        row = marginals[kept, b] - np.eye(count)[y]
        d_x[kept, b] = w * row
        np.subtract.at(pairs, (y[:-1], y[1:]), 1.0)
        d_a += w * pairs
        if len(row):
            d_s += w * row[0]
            d_e += w * row[-1]
    return Gradients(losses, float((weights * losses).mean()), d_x, d_a, d_s, d_e, marginals)


def _log_sum(scores, axis):
    high = scores.max(axis=axis, keepdims=True)
    return np.squeeze(high, axis) + np.log(np.exp(scores - high).sum(axis=axis))
