"""Samples to train on, and the batches that they are fed in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.randomness import rng

Array = npt.NDArray[Any]
Arrays = tuple[Array, ...]


@dataclass(frozen=True)
class Data:
    """Checked C-contiguous arrays with the sample first.

    Attributes
    ----------
    x : tuple of numpy.ndarray
        (N, ...) for each input.
    y : tuple of numpy.ndarray
        (N, ...) targets for each output.
    weight : tuple of numpy.ndarray, or None
        (N,) or (N, ...) weights for each output, or None for ones.
    mask : numpy.ndarray or None
        (N, T) of uint8: 1 for the steps of the first input that count, or None for all.
    """

    x: Arrays
    y: Arrays
    weight: Arrays | None = None
    mask: Array | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.x[0])

    def rows(self, first: int, last: int) -> Data:
        """Return samples ``first`` to ``last`` - 1, without copying."""
        return self.map(lambda array: array[first:last])

    def map(self, change: Callable[[Array], Array]) -> Data:
        """Return what ``change`` makes of every array."""
        x, y = (tuple(map(change, side)) for side in (self.x, self.y))
        weight = None if self.weight is None else tuple(map(change, self.weight))
        return Data(x, y, weight, None if self.mask is None else change(self.mask))

    def split(self, fraction: float) -> tuple[Data, Data]:
        """Split off the last part, as Keras' ``validation_split`` does.

        Parameters
        ----------
        fraction : float
            Part of the samples that goes into the second half, between 0 and 1.

        Returns
        -------
        tuple of Data
            The first samples and the last ones.

        Raises
        ------
        ValueError
            If either half would be empty.
        """
        total = len(self)
        at = halves(total, fraction)
        return self.rows(0, at), self.rows(at, total)


def halves(total: int, fraction: float) -> int:
    """The number of samples before the last ``fraction`` of them, both parts with at least one."""
    at = int(total * (1.0 - fraction))
    if not 0 < at < total:
        raise ValueError(
            f"validation_split={fraction} of {total} samples leaves "
            f"{at} to train on and {total - at} to validate on; both need at least one"
        )
    return at


class Batches:
    """Which samples each batch takes, epoch after epoch.

    Parameters
    ----------
    total : int
        Number of samples.
    size : int
        Samples in a batch; the last of an epoch may have fewer.
    shuffle : bool
        Draw a new order whenever all samples have been used.
    steps : int, optional
        Batches in an epoch. The next epoch goes on where the last one stopped, as in Keras;
        without it, an epoch is once through all samples.
    """

    def __init__(self, total: int, size: int, shuffle: bool, steps: int | None = None) -> None:
        self.total = total
        self.size = size
        self.shuffle = shuffle
        self.steps = steps
        self._order = np.arange(total)
        self._at = total

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.total // self.size) if self.steps is None else self.steps

    def epoch(self) -> Iterator[npt.NDArray[np.intp]]:
        """Yield the sample numbers of each batch of the next epoch; the arrays are reused."""
        if self.steps is None or self._at >= self.total:
            self._restart()
        for step in range(len(self)):
            if self._at >= self.total:
                warnings.warn(
                    f"the data ran out after {step} of steps_per_epoch={self.steps} batches; "
                    f"the epoch ends early. {self.total} samples in batches of {self.size} "
                    f"are {-(-self.total // self.size)} batches",
                    stacklevel=6,  # the caller of model.fit
                )
                return
            first = self._at
            self._at += self.size
            yield self._order[first : self._at]

    def rewind(self) -> None:
        """Let the next epoch start with all samples."""
        self._at = self.total

    def _restart(self) -> None:
        self._at = 0
        if self.shuffle:
            self._order = rng().permutation(self.total)
