"""The one source of randomness."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

_SEEDS = 2**32

_rng = np.random.default_rng()
# What stands in for it here and now: a variable of the context, so that threads do not share it.
_stand_in: ContextVar[np.random.Generator | None] = ContextVar("stand_in", default=None)


def set_random_seed(seed: int) -> None:
    """Make everything random that follows repeatable.

    Seeds this package's generator, and Python's and NumPy's global ones, so that a script which
    also shuffles with those gives the same result at each run.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If ``seed`` is not such a number.
    """
    global _rng
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < _SEEDS:
        raise ValueError(
            f"set_random_seed expects a whole number from 0 to {_SEEDS - 1}, got {seed!r}"
        )
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - for scripts that use it
    _rng = np.random.default_rng(number)


def rng() -> np.random.Generator:
    """Return the generator that the package draws from.

    Ask for it at each use: ``set_random_seed`` replaces it.

    Returns
    -------
    numpy.random.Generator
        Shared by the whole process, but within ``drawing_from``.
    """
    return _stand_in.get() or _rng


@contextmanager
def drawing_from(generator: np.random.Generator) -> Iterator[None]:
    """Let all that is drawn within come from ``generator``, in this thread alone.

    Parameters
    ----------
    generator : numpy.random.Generator
        What ``rng`` returns until the end of the block.
    """
    token = _stand_in.set(generator)
    try:
        yield
    finally:
        _stand_in.reset(token)
