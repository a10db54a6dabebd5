"""Which steps of samples count, where it is said how many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def mask_of(mask: Any, lengths: Any, x: Any) -> Any:
    """The mask that was given, or that of samples with so many steps.

    Parameters
    ----------
    mask : array_like or None
        (N, T) of booleans, as it was given.
    lengths : array_like or None
        (N,) steps of each sample that count, the first ones, in its place.
    x : array_like, or tuple or dict of them
        (N, T, ...) the samples; of several inputs the first one's.

    Returns
    -------
    array_like or None
        (N, T), or None where neither was given.

    Raises
    ------
    ValueError
        If both were given, or lengths do not fit the samples.
    """
    if lengths is None:
        return mask
    if mask is not None:
        raise ValueError("mask and lengths say the same: give one of them")
    if isinstance(x, Mapping):
        x = next(iter(x.values()))
    elif isinstance(x, tuple):
        x = x[0]
    shape = getattr(x, "shape", None) or np.asarray(x).shape
    if len(shape) < 2:
        raise ValueError(f"lengths are for x of shape (samples, time, ...), got {shape}")
    counts = np.asarray(lengths)
    if counts.shape != shape[:1] or counts.dtype.kind not in "iu":
        raise ValueError(
            f"lengths expects a whole number of steps for each of the {shape[0]} samples, got "
            f"{counts.dtype} of shape {counts.shape}"
        )
    if counts.size and (counts.min() < 0 or counts.max() > shape[1]):
        wrong = counts.min() if counts.min() < 0 else counts.max()
        raise ValueError(f"lengths expects 0 to {shape[1]} steps, got {wrong}")
    return np.arange(shape[1]) < counts[:, None]
