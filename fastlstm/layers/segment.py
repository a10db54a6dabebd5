"""A stretch of a sequence, by which long ones are worked through."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Segment(NamedTuple):
    """Successive steps of a sequence.

    Attributes
    ----------
    start : int
        The first step.
    steps : int or None
        How many; None for all.
    last : bool
        Whether no step of the sequence comes after.
    """

    start: int = 0
    steps: int | None = None
    last: bool = True

    def of(self, array: np.ndarray) -> np.ndarray:
        """As many steps of an array, time first, that was laid out for the longest segment."""
        return array[: self.steps]

    def rows(self, array: np.ndarray) -> np.ndarray:
        """The same, all steps of all samples one a row."""
        return self.of(array).reshape(-1, array.shape[-1])


WHOLE = Segment()
