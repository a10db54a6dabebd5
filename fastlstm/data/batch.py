"""What a model is given at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Index = npt.NDArray[np.intp]


class Batch(NamedTuple):
    """Samples that go through a model together.

    A generator may give these instead of tuples, where steps are masked.

    Attributes
    ----------
    x : array_like
        (B, ...) inputs; or a tuple or dict of several.
    y : array_like or None
        (B, ...) targets.
    sample_weight : array_like or None
        (B,) or (B, T) weights.
    mask : array_like or None
        (B, T) of booleans: the steps that count, where these are not all.
    numbers : numpy.ndarray or None
        (B,) numbers of the samples in the data that they come from, where that is known.
    lengths : numpy.ndarray or None
        (B,) steps of each sample, where they were brought to one length; in the place of a mask,
        those that count. Outputs of ``predict`` are cut to them.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    mask: Any = None
    numbers: Index | None = None
    lengths: Array | None = None

    def as_tuple(self) -> Any:
        """x, (x, y) or (x, y, sample_weight), as generators give them to Keras."""
        if self.sample_weight is not None:
            return self.x, self.y, self.sample_weight
        return self.x if self.y is None else (self.x, self.y)


def as_batch(value: Any, what: str) -> Batch:
    """Read x, (x, y), (x, y, sample_weight) or (x, y, sample_weight, mask).

    Parameters
    ----------
    value : object
        What a generator or the like gave; a list is as good as a tuple.
    what : str
        What the giver is called, for errors.

    Returns
    -------
    Batch
        Its parts, unchecked.

    Raises
    ------
    ValueError
        If it has no or more than four parts.
    """
    if isinstance(value, Batch):
        return value
    if not isinstance(value, (tuple, list)):
        return Batch(value)
    if not 1 <= len(value) <= 4:
        raise ValueError(
            f"{what} expects batches x, (x, y), (x, y, sample_weight) or (x, y, sample_weight, "
            f"mask); got a {type(value).__name__} of {len(value)}"
        )
    return Batch(*value)
