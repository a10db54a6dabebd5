"""The best tags of a linear-chain conditional random field, and their score.

Viterbi, "Error Bounds for Convolutional Codes", IEEE Transactions on Information Theory, 1967. What
a score is, and which steps are skipped, is said in ``fastlstm.kernels.crf``.

tags         (T, B) int32, receives the best, the first of equals; 0 at steps that are skipped
row_score    (B,), receives their score; 0 for a row without any step
pointers     (T, B, W), receives the best tag before each tag, as a number; W is K up to whole
             vectors
padded       (K, W), receives the transitions, -inf beyond K
highs        (threads, 2, W), scratch
emissions    (T, B, K)
mask         (T, B) uint8, 0 where a step is skipped; or (0, B)
transitions  (K, K), from row to column; start, end (K,), or (0,) for zeros

Threads take rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlstm.kernels.crf_messages import largest, load_row, skipped
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import Program, kernel
from fastlstm.kernels.rows import load_or, max_lanes
from fastlstm.kernels.simd import fill, lanes, load, select, store
from fastlstm.kernels.team import share, take


class Scratch(NamedTuple):
    """What ``decode`` works in."""

    pointers: Any
    padded: Any
    highs: Any


def scratch(steps: int, batch: int, tags: int, dtype: np.dtype, threads: int) -> Scratch:
    """Shape and dtype of each scratch array, as ``Plan.scratch`` takes them."""
    step = HOST.lanes(8 * dtype.itemsize)
    width = -(-tags // step) * step
    return Scratch(
        pointers=((steps, batch, width), dtype),
        padded=((tags, width), dtype),
        highs=((threads, 2, width), dtype),
    )


def record(
    program: Program, work: Scratch, tags, row_score, emissions, mask, transitions, start, end
) -> None:
    """Record the best tags and their scores."""
    program.add(pad, work.padded, transitions, work=2.0 * work.padded.size)
    program.add(
        decode,
        tags, row_score, *work, emissions, mask, transitions, start, end,
        work=emissions.size * (2.0 * emissions.shape[2] + 10.0),
    )  # fmt: skip


@kernel
def pad(padded, transitions, crew):
    """Copy rows into longer ones."""
    tags, step = transitions.shape[0], lanes(padded)
    width = padded.shape[1]
    first, last = share(tags, crew)
    for j in range(first, last):
        for v in range(0, width, step):
            store(load_or(transitions, j * tags + v, tags - v, -np.inf), padded, j * width + v)


@kernel
def decode(
    tags, row_score, pointers, padded, highs, emissions, mask, transitions, start, end, crew
):  # fmt: skip
    """Row by row: forward with the best tag before each, then back along these."""
    batch = emissions.shape[1]
    b = take(crew, -1)
    while b < batch:
        last = _go_forward(pointers, padded, highs, crew.member, emissions, mask, start, b)
        if last >= 0:
            last = _best_end(highs, crew.member, emissions.shape[2], end)
        row_score[b] = _go_back(tags, pointers, last, emissions, mask, transitions, start, end, b)
        b = take(crew, b)


@inline
def _go_forward(pointers, padded, highs, member, emissions, mask, start, b):
    """Highest scores up to the last step, less the highest of all; -1 if there is no step."""
    steps, _, count = emissions.shape
    begun = -1
    for t in range(steps):
        if not skipped(mask, t, b):
            if begun < 0:
                for k in range(highs.shape[2]):
                    inside = k < len(start)
                    highs[member, 1, k] = start[k] if inside else 0.0
            else:
                _step(pointers, padded, highs, member, t, b)
            _add_row(highs, member, emissions, t, b, count)
            begun = t
    return begun


@inline
def _step(pointers, padded, highs, member, t, b):
    """The best way to each tag, from the scores in the first row of ``highs`` to the second."""
    tags, width = padded.shape
    step = lanes(padded)
    for v in range(0, width, step):
        best, tag = fill(padded, -np.inf), fill(padded, 0.0)
        for j in range(tags):
            value = load(padded, j * width + v) + highs[member, 0, j]
            better = value > best
            best, tag = select(better, value, best), select(better, j, tag)
        store(best, highs, (2 * member + 1) * width + v)
        store(tag, pointers, (t * pointers.shape[1] + b) * width + v)


@inline
def _add_row(highs, member, emissions, t, b, count):
    """From the second row to the first, with the emissions, less the largest."""
    width, step = highs.shape[2], lanes(highs)
    x_at, at = (t * emissions.shape[1] + b) * count, 2 * member * width
    high = largest(emissions, x_at, count)
    top = fill(highs, -np.inf)
    for v in range(0, width, step):
        value = load_row(emissions, x_at + v, count - v) - high
        value = value + load(highs, at + width + v)
        top = select(value > top, value, top)
        store(value, highs, at + v)
    # Sums that do not grow keep their digits.
    most = max_lanes(top)
    for v in range(0, width, step):
        store(load(highs, at + v) - most, highs, at + v)


@inline
def _best_end(highs, member, count, end):
    high, tag = -np.inf, 0
    for k in range(count):
        value = np.float64(highs[member, 0, k])
        if len(end) > 0:
            value += np.float64(end[k])
        if value > high:
            high, tag = value, k
    return tag


@inline
def _go_back(tags, pointers, tag, emissions, mask, transitions, start, end, b):
    """The tags from the last to the first; returns their score."""
    score, after = 0.0, -1
    for t in range(emissions.shape[0] - 1, -1, -1):
        if skipped(mask, t, b):
            tags[t, b] = 0
        else:
            if after >= 0:
                tag = int(pointers[after, b, tag])
                score += np.float64(transitions[tag, tags[after, b]])
            elif len(end) > 0:
                score += np.float64(end[tag])
            tags[t, b] = tag
            score += np.float64(emissions[t, b, tag])
            after = t
    if after >= 0 and len(start) > 0:
        score += np.float64(start[tag])
    return score
