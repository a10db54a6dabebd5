"""Beam search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.generation.source import (
    Array,
    Generated,
    Largest,
    Source,
    Step,
    checked_end,
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
        self.followers = Largest(width)
        self.rows = np.arange(source.rows)[:, np.newaxis]
        # Of each step, which beginnings were gone on from, and with which tokens.
        self.steps: list[tuple[Array, Array]] = []
        self.lengths = np.zeros((source.rows, width), np.int64)
        # All are the prompt: one of them is enough to begin with.
        self.totals = np.full((source.rows, width), -np.inf)
        self.totals[:, 0] = 0.0
        self.running = np.ones((source.rows, width), bool)

    def search(self, length: int, results: int) -> Generated:
        scores = self.source.start()
        checked_end(self.end, scores)
        while True:
            chosen = self._advance(scores)
            if len(self.steps) == length or not self.running.any():
                break
            scores = self.source.next(chosen)
        normal = self._normalised(self.totals, self.lengths)
        return Generated(self._tokens(results), self.lengths[:, :results], normal[:, :results])

    def _advance(self, scores: Array) -> Array:
        """Choose the best of all that can follow, from the best on; the last token of each."""
        rows, width = self.totals.shape
        stop = 0 if self.end is None else self.end
        # No more than ``width`` of what can follow a beginning can be among the best.
        tokens, scores = self.followers(scores)
        tokens, scores = tokens.reshape(rows, width, -1), scores.reshape(rows, width, -1)
        # What has ended is followed by its end token alone, which costs nothing.
        ended = ~self.running
        tokens[ended, 0], scores[ended, 0], scores[ended, 1:] = stop, 0.0, -np.inf
        totals = self.totals[..., np.newaxis] + scores
        lengths = self.lengths + self.running
        normal = self._normalised(totals, lengths[..., np.newaxis])
        best = np.argsort(-normal.reshape(rows, -1), axis=1, kind="stable")[:, :width]
        beam = best // tokens.shape[2]
        token = tokens.reshape(rows, -1)[self.rows, best].astype(np.int32)
        self.steps.append((beam, token))
        self.totals = totals.reshape(rows, -1)[self.rows, best]
        self.lengths, self.running = lengths[self.rows, beam], self.running[self.rows, beam]
        if self.end is not None:
            self.running &= token != self.end
        self.running &= self.totals > -np.inf
        self.source.states = take_rows(self.source.states, (beam + width * self.rows).reshape(-1))
        return token.reshape(-1)

    def _tokens(self, results: int) -> Array:
        """What the best consist of, found from their ends back."""
        tokens = np.empty((len(self.rows), results, len(self.steps)), np.int32)
        at = np.arange(results)[np.newaxis]
        for n in range(len(self.steps) - 1, -1, -1):
            beam, token = self.steps[n]
            tokens[..., n], at = token[self.rows, at], beam[self.rows, at]
        return tokens

    def _normalised(self, totals: Array, lengths: Array) -> Array:
        if self.alpha == 0:
            return totals
        return totals / ((5.0 + lengths) / 6.0) ** self.alpha
