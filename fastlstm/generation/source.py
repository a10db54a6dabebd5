"""Where the scores of the next tokens come from, and the states on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.validation import numeric_array, whole_number

Array = npt.NDArray[Any]
# Scores of which the largest is looked at first, where a few of many are wanted.
_APART = 32
Step = Callable[[Array, Any], tuple[npt.ArrayLike, Any]]


class Generated(NamedTuple):
    """What was generated.

    Attributes
    ----------
    tokens : numpy.ndarray
        (rows, n) int32 without the prompt, n at most the length asked for; of a beam search
        (rows, results, n), the best first. Behind the end token it is repeated.
    lengths : numpy.ndarray
        (rows,) or (rows, results), tokens up to the end token, which counts.
    scores : numpy.ndarray
        Of the same shape: log-probability of these tokens, float64; of a beam search divided by
        what ``alpha`` makes of the length.
    """

    tokens: Array
    lengths: Array
    scores: Array


def take_rows(states: Any, index: Array) -> Any:
    """States of some rows, in this order.

    Parameters
    ----------
    states : Any
        Arrays with the row first, in lists, tuples or dictionaries; None; or an object whose method
        ``take_rows(index)`` returns its states.
    index : numpy.ndarray
        (n,), the rows to take; one may be taken several times.

    Returns
    -------
    Any
        The same structure.
    """
    if states is None:
        return None
    if hasattr(states, "take_rows"):
        return states.take_rows(index)
    if isinstance(states, dict):
        return {key: take_rows(value, index) for key, value in states.items()}
    if isinstance(states, tuple) and hasattr(states, "_fields"):
        return type(states)(*(take_rows(value, index) for value in states))
    if isinstance(states, (list, tuple)):
        return type(states)(take_rows(value, index) for value in states)
    array = np.asarray(states)
    if array.ndim == 0:
        raise ValueError(f"states expects arrays with the row first, got {states!r}")
    return array[index]


class Source:
    """Log-probabilities of the next tokens, step by step; holds the states."""

    def __init__(
        self, step: Any, tokens: Any, states: Any, from_logits: bool, copies: int = 1
    ) -> None:
        prompt = numeric_array("tokens", tokens)
        if prompt.ndim == 1:
            prompt = prompt[:, np.newaxis]
        if prompt.ndim != 2 or 0 in prompt.shape:
            raise ValueError(
                f"tokens expects ids of shape (rows,) or (rows, steps), got {np.shape(tokens)}"
            )
        if prompt.dtype.kind not in "iu":
            raise TypeError(f"tokens expects whole-number ids, got {prompt.dtype}")
        self.rows = len(prompt)
        self.from_logits = from_logits
        self._scores = self._scratch = np.empty((0, 0))
        self.step, self.states = self._bound(step, states, copies)
        self.prompt = np.ascontiguousarray(np.repeat(prompt, copies, axis=0), np.int32)

    def _bound(self, step: Any, states: Any, copies: int) -> tuple[Step, Any]:
        if not hasattr(step, "take_rows"):
            index = np.repeat(np.arange(self.rows), copies)
            return step, states if copies == 1 else take_rows(states, index)
        if states is not None:
            raise ValueError("states expects None for a stream, which has its own")
        if step.batch != self.rows * copies:
            times = f" · width = {self.rows * copies}" if copies > 1 else ""
            raise ValueError(
                f"the stream has {step.batch} rows, expected {self.rows}{times}; make one with "
                f"model.stream({self.rows * copies})"
            )
        return lambda tokens, stream: (stream.step(tokens), stream), step

    def start(self) -> Array:
        """What comes after the prompts."""
        for column in self.prompt.T[:-1]:
            _, self.states = self.step(column.copy(), self.states)
        return self.next(self.prompt[:, -1].copy())

    def next(self, tokens: Array) -> Array:
        """Log-probabilities, (rows, vocabulary) in float64, of what comes after these tokens.

        They are the same array each time.
        """
        given, self.states = self.step(tokens, self.states)
        given = numeric_array("the scores of step", given)
        if self._scores.shape != given.shape:
            self._scores, self._scratch = np.empty(given.shape), np.empty(given.shape)
        scores = self._scores
        scores[...] = given
        if scores.ndim != 2 or len(scores) != len(tokens) or scores.shape[1] == 0:
            raise ValueError(
                f"step expects to give scores of shape (rows, vocabulary), {len(tokens)} rows; "
                f"got {scores.shape}"
            )
        if not np.isfinite(scores.max(axis=1)).all():
            raise ValueError(
                "step gave a row of scores with NaN, with infinity, or with -inf for all tokens"
            )
        if self.from_logits:
            return log_softmax(scores, self._scratch)
        if scores.min() < 0 or (scores.max(axis=1) == 0).any():
            raise ValueError(
                "with from_logits=False step expects to give probabilities, from 0 to 1 and not "
                f"all 0; got {scores.min()} to {scores.max()}"
            )
        with np.errstate(divide="ignore"):  # what is impossible
            return np.log(scores / scores.sum(axis=1, keepdims=True))


def log_softmax(scores: Array, scratch: Array | None = None) -> Array:
    """Logarithms of the probabilities that logits stand for, row by row.

    With ``scratch``, of their shape, in the place of the logits: of large arrays the memory of
    each new one costs more time than what is computed.
    """
    out = None if scratch is None else scores
    shifted = np.subtract(scores, scores.max(axis=1, keepdims=True), out=out)
    sums = np.exp(shifted, out=scratch).sum(axis=1, keepdims=True)
    return np.subtract(shifted, np.log(sums), out=shifted)


def largest(scores: Array, count: int) -> Array:
    """Columns of the ``count`` largest of each row, from the largest on; of equals the first.

    Where they are a few of many, they are looked for where the largest of several columns, as many
    apart, are largest themselves.
    """
    rows, columns = scores.shape
    lines = columns // _APART
    if lines < 4 * count:
        return _sorted_out(scores, min(count, columns))
    whole = lines * _APART
    tops = scores[:, :whole].reshape(rows, _APART, lines).max(axis=1)
    kept = _sorted_out(tops, count)
    places = (kept[:, np.newaxis] + lines * np.arange(_APART)[:, np.newaxis]).reshape(rows, -1)
    rest = np.broadcast_to(np.arange(whole, columns), (rows, columns - whole))
    places = np.sort(np.concatenate([places, rest], axis=1), axis=1)
    some = np.take_along_axis(scores, places, axis=1)
    found = np.take_along_axis(places, _sorted_out(some, count), axis=1)
    tied = _are_tied(tops, np.take_along_axis(tops, kept, axis=1))
    if tied.any():  # a column that was not looked at may be as large
        found[tied] = _sorted_out(scores[tied], count)
    return found


def _sorted_out(scores: Array, count: int) -> Array:
    """The same, by looking at all columns."""
    if count == scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable")
    some = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    values = np.take_along_axis(scores, some, axis=1)
    order = np.take_along_axis(some, np.argsort(-values, axis=1, kind="stable"), axis=1)
    tied = _are_tied(scores, values)
    if tied.any():
        order[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :count]
    return order


def _are_tied(scores: Array, chosen: Array) -> Array:
    """Of which rows the least of those chosen is also among the others: it is one by chance."""
    least = chosen.min(axis=1, keepdims=True)
    tied: Array = (scores == least).sum(axis=1) > (chosen == least).sum(axis=1)
    return tied


def checked_end(end: Any, scores: Array) -> int:
    """The end token, or 0 where there is none."""
    if end is None:
        return 0
    limit = scores.shape[1]
    if whole_number(end, "end", 0) >= limit:
        raise ValueError(f"end expects an id from 0 to {limit - 1}, got {end!r}")
    return int(end)
