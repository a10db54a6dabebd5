"""Gradients by central differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def gradient(value: Callable[[], float], array: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Gradient of ``value()`` with respect to each element of ``array``, which it reads."""
    slopes = np.zeros_like(array)
    for at in np.ndindex(array.shape):
        before = array[at]
        array[at] = before + step
        above = value()
        array[at] = before - step
        below = value()
        array[at] = before
        slopes[at] = (above - below) / (2 * step)
    return slopes


def slope(
    value: Callable[[], float], arrays: list[np.ndarray], directions: list[np.ndarray], step=1e-6
) -> float:
    """Derivative of ``value()`` when all arrays move along their directions at once."""
    befores = [array.copy() for array in arrays]
    ends = []
    for sign in (1, -1):
        for array, before, direction in zip(arrays, befores, directions, strict=True):
            array[...] = before + sign * step * direction
        ends.append(value())
    for array, before in zip(arrays, befores, strict=True):
        array[...] = before
    return (ends[0] - ends[1]) / (2 * step)
