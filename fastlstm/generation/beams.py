"""Beam search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.generation.source import (
    Array,
    Generated,
    Source,
    Step,
    checked_end,
    largest,
    take_rows,
)
from fastlstm.validation import whole_number


def beam_search(
    step: Step | Any,
    tokens: npt.ArrayLike,
    length: int,
    *,
    width: int,
    results: int = 1,
    alpha: float = 0.0,
    states: Any = None,
    end: int | None = None,
    from_logits: bool = True,
) -> Generated:
    """Keep the ``width`` best beginnings of each row, and go on from all of them.

    A beginning that has come to its end stays among them for as long as it is one of the best. The
    search is over when all have ended.

    Parameters
    ----------
    step, tokens, length, states, end, from_logits
        As for ``greedy``, but that ``step`` works on rows · width rows: those of a row stand side
        by side. A stream must have so many; states that are given are repeated.
    width : int
        Beginnings that are kept.
    results : int
        How many of them to return, at most ``width``.
    alpha : float
        Scores are log-probabilities divided by ((5 + n) / 6)**alpha for n tokens: 0 prefers short
        sequences, 1 nearly none. Wu et al., "Google's Neural Machine Translation System", 2016.

    Returns
    -------
    Generated
        The best of each row, with lengths and scores. Where there are fewer different sequences
        than ``results``, the rest have a score of -inf.

    Raises
    ------
    ValueError, TypeError
        As for ``greedy``.
    """
    length, width = whole_number(length, "length"), whole_number(width, "width")
    if whole_number(results, "results") > width:
        raise ValueError(f"results expects at most the width, {width}, got {results}")
    if not math.isfinite(alpha) or alpha < 0:
        raise ValueError(f"alpha expects a number of at least 0, got {alpha!r}")
    source = Source(step, tokens, states, from_logits, width)
    return _Beams(source, width, alpha, end).search(length, results)


class _Beams:
    """The best beginnings of each row; arrays are (rows, width, ...)."""

    def __init__(self, source: Source, width: int, alpha: float, end: int | None) -> None:
        self.source, self.width, self.alpha, self.end = source, width, alpha, end
        self.tokens = np.empty((source.rows, width, 0), np.int32)
        self.lengths = np.zeros((source.rows, width), np.int64)
        # All are the prompt: one of them is enough to begin with.
        self.totals = np.full((source.rows, width), -np.inf)
        self.totals[:, 0] = 0.0
        self.running = np.ones((source.rows, width), bool)

    def search(self, length: int, results: int) -> Generated:
        scores = self.source.start()
        checked_end(self.end, scores)
        while True:
            chosen = self._advance(scores.reshape(self.source.rows, self.width, -1))
            if self.tokens.shape[2] == length or not self.running.any():
                break
            scores = self.source.next(chosen)
        normal = self._normalised(self.totals, self.lengths)
        return Generated(self.tokens[:, :results], self.lengths[:, :results], normal[:, :results])

    def _advance(self, scores: Array) -> Array:
        """Choose the best of all that can follow, from the best on; the last token of each."""
        rows, width, vocabulary = scores.shape
        stop = 0 if self.end is None else self.end
        # No more than ``width`` of what can follow a beginning can be among the best.
        tokens = largest(scores.reshape(rows * width, vocabulary), width).astype(np.int32)
        tokens = tokens.reshape(rows, width, -1)
        scores = np.take_along_axis(scores, tokens, axis=2)
        # What has ended is followed by its end token alone, which costs nothing.
        ended = ~self.running
        tokens[ended, 0], scores[ended, 0], scores[ended, 1:] = stop, 0.0, -np.inf
        count = tokens.shape[2]
        totals = (self.totals[..., np.newaxis] + scores).reshape(rows, -1)
        lengths = np.repeat(self.lengths + self.running, count, axis=1)
        best = largest(self._normalised(totals, lengths), width)
        beam, token = best // count, np.take_along_axis(tokens.reshape(rows, -1), best, axis=1)
        self.totals = np.take_along_axis(totals, best, axis=1)
        self.lengths = np.take_along_axis(lengths, best, axis=1)
        self.running = np.take_along_axis(self.running, beam, axis=1)
        before = np.take_along_axis(self.tokens, beam[..., np.newaxis], axis=1)
        self.tokens = np.concatenate([before, token[..., np.newaxis]], axis=2)
        if self.end is not None:
            self.running &= token != self.end
        self.running &= self.totals > -np.inf
        index = (beam + width * np.arange(rows)[:, np.newaxis]).reshape(-1)
        self.source.states = take_rows(self.source.states, index)
        return token.reshape(-1)

    def _normalised(self, totals: Array, lengths: Array) -> Array:
        return totals / ((5.0 + lengths) / 6.0) ** self.alpha
