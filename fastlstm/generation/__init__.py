"""Sequences from a model, token by token: the likeliest next one, a drawn one, or by beam search.

All three drive a step function that the caller gives,

    scores, states = step(tokens, states)

with tokens (rows,) int32, the last of each row, and scores (rows, vocabulary) of the next one:
logits or log-probabilities, or probabilities with ``from_logits=False``. States are arrays with the
row first, in lists, tuples or dictionaries, or None; or any object with a method ``take_rows``, as
a stream has. In the place of a step function ``model.stream(rows)`` will do, of a model that
takes ids; where it starts from facts or from another sequence, after ``reset(start=...)``.

What comes of a row depends on the scores of that row alone, not on the rows beside it.

``ScheduledSampling`` lets a model learn from sequences that are partly its own.
"""

from fastlstm.generation.beams import beam_search
from fastlstm.generation.scheduled import (
    ScheduledSampling,
    exponential_decay,
    inverse_sigmoid_decay,
    linear_decay,
    shift_right,
)
from fastlstm.generation.source import Generated, take_rows
from fastlstm.generation.tokens import greedy, sample

__all__ = [
    "Generated",
    "ScheduledSampling",
    "beam_search",
    "exponential_decay",
    "greedy",
    "inverse_sigmoid_decay",
    "linear_decay",
    "sample",
    "shift_right",
    "take_rows",
]
