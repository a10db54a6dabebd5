"""A table of vectors, looked up by number."""

from __future__ import annotations

import numpy as np


def forward(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Row ``ids[...]`` of the table."""
    return np.array([table[number] for number in ids.ravel()]).reshape(*ids.shape, table.shape[1])


def backward(ids: np.ndarray, table: np.ndarray, d_y: np.ndarray) -> np.ndarray:
    """Gradient of the table: each row sums what its uses receive."""
    d_table = np.zeros(table.shape)
    for number, d_row in zip(ids.ravel(), d_y.reshape(-1, table.shape[1]), strict=True):
        d_table[number] += d_row
    return d_table
