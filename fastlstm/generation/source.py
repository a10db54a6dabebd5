"""Where the scores of the next tokens come from, and the states on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import probabilities, ranking
from fastlstm.kernels.program import Repeated
from fastlstm.validation import numeric_array, whole_number

Array = npt.NDArray[Any]
# So many of the largest are sought one by one; of more, all are sorted.
_FEW = 64
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
        self._scores = np.empty((0, 0))
        self._log_softmax = Repeated(probabilities.log_softmax)
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
        """Log-probabilities, (rows, vocabulary), of what comes after these tokens.

        They are the same array each time.
        """
        given, self.states = self.step(tokens, self.states)
        given = numeric_array("the scores of step", given)
        if given.ndim != 2 or len(given) != len(tokens) or given.shape[1] == 0:
            raise ValueError(
                f"step expects to give scores of shape (rows, vocabulary), {len(tokens)} rows; "
                f"got {given.shape}"
            )
        dtype = np.float32 if given.dtype == np.float32 else np.float64
        given = np.ascontiguousarray(given, dtype)
        if self._scores.shape != given.shape or self._scores.dtype != dtype:
            self._scores = np.empty_like(given)
        most = given.max(axis=1)
        if not np.isfinite(most).all():
            raise ValueError(
                "step gave a row of scores with NaN, with infinity, or with -inf for all tokens"
            )
        if self.from_logits:
            # An exponential is some 20 operations.
            self._log_softmax(self._scores, given, work=20.0 * given.size)
            return self._scores
        if given.min() < 0 or (most == 0).any():
            raise ValueError(
                "with from_logits=False step expects to give probabilities, from 0 to 1 and not "
                f"all 0; got {given.min()} to {given.max()}"
            )
        np.divide(given, given.sum(axis=1, keepdims=True), out=self._scores)
        with np.errstate(divide="ignore"):  # what is impossible
            return np.log(self._scores, out=self._scores)


class Largest:
    """The ``count`` largest of each row."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._places = self._values = np.empty((0, 0))
        self._search = Repeated(ranking.largest)

    def __call__(self, scores: Array) -> tuple[Array, Array]:
        """Their columns and values, from the largest on; of equals the first.

        They are the same arrays each time.
        """
        shape = len(scores), min(self._count, scores.shape[1])
        if shape[1] > _FEW:
            places = _in_order(scores)[:, : shape[1]]
            return places, np.take_along_axis(scores, places, axis=1)
        if self._values.shape != shape or self._values.dtype != scores.dtype:
            self._places, self._values = np.empty(shape, np.int64), np.empty(shape, scores.dtype)
        self._search(self._places, self._values, scores, work=float(scores.size))
        return self._places, self._values


def _in_order(scores: Array) -> Array:
    """Columns of each row from the largest on; of equals the first."""
    if scores.dtype != np.float32:
        return np.argsort(-scores, axis=1, kind="stable")
    # Whole numbers in the order of the scores, with the column behind: none are equal, and those
    # NumPy sorts by vectors (32 rows of 10,000: a fifth of the time).
    bits = np.ascontiguousarray(-scores + np.float32(0)).view(np.int32).astype(np.int64)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    keys = (bits << 32) | np.arange(scores.shape[1])
    keys.sort(axis=1)
    return keys & 0xFFFFFFFF


def checked_end(end: Any, scores: Array) -> int:
    """The end token, or 0 where there is none."""
    if end is None:
        return 0
    limit = scores.shape[1]
    if whole_number(end, "end", 0) >= limit:
        raise ValueError(f"end expects an id from 0 to {limit - 1}, got {end!r}")
    return int(end)
