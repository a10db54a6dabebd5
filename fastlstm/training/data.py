"""Samples to train on: inputs, targets and weights that belong together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

Array = npt.NDArray[Any]


class Data(NamedTuple):
    """Checked C-contiguous arrays with the sample first.

    Attributes
    ----------
    x : numpy.ndarray
        (N, ...) inputs.
    y : numpy.ndarray
        (N, ...) targets.
    weight : numpy.ndarray or None
        (N,) or (N, ...) weights, or None for ones.
    """

    x: Array
    y: Array
    weight: Array | None = None

    def rows(self, first: int, last: int) -> Data:
        """Return samples ``first`` to ``last`` - 1, without copying."""
        weight = None if self.weight is None else self.weight[first:last]
        return Data(self.x[first:last], self.y[first:last], weight)

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
        total = len(self.x)
        at = int(total * (1.0 - fraction))
        if not 0 < at < total:
            raise ValueError(
                f"validation_split={fraction} of {total} samples leaves "
                f"{at} to train on and {total - at} to validate on; both need at least one"
            )
        return self.rows(0, at), self.rows(at, total)
