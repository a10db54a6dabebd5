"""The one source of randomness (initial weights, shuffling, dropout), and a check of arrays."""

from __future__ import annotations

import operator
import random
from typing import Any

import numpy as np
import numpy.typing as npt

_SEEDS = 2**32

_rng = np.random.default_rng()


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
        Shared by the whole process.
    """
    return _rng


def numeric_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Turn data into a NumPy array of numbers, or say why it is none.

    Parameters
    ----------
    name : str
        What the caller names the data, for errors.
    value : array_like
        Anything that NumPy can read: lists, arrays, tensors, tables.

    Returns
    -------
    numpy.ndarray
        Of a boolean, integer or floating-point type; ``value`` itself where it is one.

    Raises
    ------
    ValueError
        If lists are ragged.
    TypeError
        If the elements are no real numbers, or a mask would be lost.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; fill it with .filled(value), or "
            "pass the mask where a layer takes one"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} does not form an array of one shape ({error}); pad its rows to one length"
        ) from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected real numbers; convert it, for instance with "
            "astype('float32')"
        )
    return array
