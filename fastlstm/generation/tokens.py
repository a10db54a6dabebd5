"""One token after the other: the likeliest, or drawn."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
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
)
from fastlstm.randomness import rng
from fastlstm.validation import whole_number


def greedy(
    step: Step | Any,
    tokens: npt.ArrayLike,
    length: int,
    *,
    states: Any = None,
    end: int | None = None,
    from_logits: bool = True,
) -> Generated:
    """Take the most probable token each time, the first of equals.

    Parameters
    ----------
    step : callable or Stream
        ``step(tokens, states)`` as the module describes it, or a stream of as many rows.
    tokens : array_like
        (rows,) ids to begin with, or prompts (rows, steps), of which all but the last token only
        move the states on.
    length : int
        How many tokens to generate at most.
    states : optional
        States before the first token, which ``step`` is given; a stream has its own.
    end : int, optional
        Token after which a row is finished.
    from_logits : bool
        False where ``step`` gives probabilities, as models do that end in a softmax.

    Returns
    -------
    Generated
        Tokens, lengths and log-probabilities of each row.

    Raises
    ------
    ValueError
        If tokens or options are out of range, or ``step`` gives scores that do not fit or NaN.
    TypeError
        If the tokens are no whole numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm.generation import greedy
    >>> count_on = np.roll(np.eye(5), 1, axis=1)  # the next number is certain
    >>> step = lambda tokens, states: (count_on[tokens], states)
    >>> greedy(step, [0, 2], 4, end=4, from_logits=False).tokens.tolist()
    [[1, 2, 3, 4], [3, 4, 4, 4]]
    """

    def choose(scores: Array, at: int) -> Array:
        return scores.argmax(axis=1)

    source = Source(step, tokens, states, from_logits)
    return _one_by_one(source, choose, whole_number(length, "length"), end)


def sample(
    step: Step | Any,
    tokens: npt.ArrayLike,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    states: Any = None,
    end: int | None = None,
    from_logits: bool = True,
) -> Generated:
    """Draw each token by its probability.

    Parameters
    ----------
    step, tokens, length, states, end, from_logits
        As for ``greedy``.
    temperature : float
        What the log-probabilities are divided by: below 1 what is probable becomes more so.
    top_k : int, optional
        Draw among so many of the most probable tokens only.
    top_p : float, optional
        Draw among the fewest most probable tokens that are as probable as this together; after
        ``top_k``. Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020.
    seed : int, optional
        The same seed draws the same tokens again: those of a row from the seed and the row's
        number. By default from the generator that ``utils.set_random_seed`` seeds.

    Returns
    -------
    Generated
        Tokens, lengths and log-probabilities of each row, at a temperature of 1 and among all
        tokens.

    Raises
    ------
    ValueError, TypeError
        As for ``greedy``.
    """
    temperature, top_k, top_p = _checked_draw(temperature, top_k, top_p)
    length = whole_number(length, "length")
    source = Source(step, tokens, states, from_logits)
    entropy = int(rng().integers(2**63)) if seed is None else whole_number(seed, "seed", 0)
    draws = np.array(
        [np.random.default_rng([entropy, row]).random(length) for row in range(source.rows)]
    )

    few = None
    if top_k is not None or top_p is not None:
        few = Largest(sys.maxsize if top_k is None else top_k)

    def choose(scores: Array, at: int) -> Array:
        return _draw(scores, temperature, few, top_p, draws[:, at])

    return _one_by_one(source, choose, length, end)


def _one_by_one(
    source: Source, choose: Callable[[Array, int], Array], length: int, end: int | None
) -> Generated:
    """Go on from one token a row."""
    rows = np.arange(source.rows)
    tokens = np.empty((source.rows, length), np.int32)
    totals, lengths = np.zeros(source.rows), np.zeros(source.rows, np.int64)
    running = np.ones(source.rows, bool)
    scores = source.start()
    stop = checked_end(end, scores)
    count = 0
    while True:
        chosen = np.where(running, choose(scores, count), stop).astype(np.int32)
        totals += np.where(running, scores[rows, chosen], 0.0)
        lengths += running
        tokens[:, count] = chosen
        count += 1
        if end is not None:
            running &= chosen != end
        if count == length or not running.any():
            return Generated(tokens[:, :count], lengths, totals)
        scores = source.next(chosen)


def _draw(
    scores: Array, temperature: float, few: Largest | None, top_p: float | None, draws: Array
) -> Array:
    """A token for each row from its scores, and a number from 0 to 1."""
    order = None
    if few is not None:
        order, scores = few(scores)
    high = scores.max(axis=1, keepdims=True)
    p = np.exp(np.subtract(scores, high, dtype=np.float64) / temperature)
    reached = np.cumsum(p, axis=1)
    if top_p is not None:
        # Up to the first that reaches top_p of what top_k has left.
        kept = (reached - p) < top_p * reached[:, -1:]
        p = np.where(kept, p, 0.0)
        reached = np.cumsum(p, axis=1)
    place = (reached <= draws[:, np.newaxis] * reached[:, -1:]).sum(axis=1)
    # Rounding must not carry it to what is impossible.
    last = p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0, axis=1)
    place = np.minimum(place, last)
    return place if order is None else order[np.arange(len(order)), place]


def _checked_draw(
    temperature: Any, top_k: Any, top_p: Any
) -> tuple[float, int | None, float | None]:
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature expects a number above 0, got {temperature!r}; for the most probable "
            "tokens alone take greedy"
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p expects a number above 0 and up to 1, got {top_p!r}")
    return temperature, None if top_k is None else whole_number(top_k, "top_k"), top_p
