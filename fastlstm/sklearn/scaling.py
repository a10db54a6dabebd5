"""Numbers brought to mean 0 and standard deviation 1, as they were in the training set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Scaling(NamedTuple):
    """A mean and a scale for each feature.

    Attributes
    ----------
    mean, scale : ndarray
        (F,) in float64; the scale of a constant feature is 1.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray) -> Scaling:
        """That of values (N, T, F), over all steps of all samples, weighted by ``weight``, (N,)."""
        share = weight / weight.sum()
        mean = share @ values.mean(axis=1, dtype=np.float64)
        variance = share @ np.square(values - mean).mean(axis=1)
        scale = np.sqrt(variance)
        # What rounding leaves of a constant is no scale.
        constant = scale <= 10 * np.finfo(values.dtype).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, scale))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """``values`` (..., F) by this scale."""
        return (values - self.mean) / self.scale

    def undo(self, values: np.ndarray) -> np.ndarray:
        """``values`` (..., F) of this scale as they were, in float64."""
        return values * self.scale + self.mean
