"""Data and weights of a row: the same numbers for every framework."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.shapes import Row

# What every training step does after its backward pass.
LEARNING_RATE = 1e-3
CLIP_NORM = 1.0


class Weights(NamedTuple):
    """In the layout of Keras: gates i, f, c, o; one bias a layer."""

    embedding: np.ndarray | None
    layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    dense: tuple[np.ndarray, np.ndarray]

    def flat(self) -> list[np.ndarray]:
        """In the order of Keras' ``get_weights``."""
        first = [] if self.embedding is None else [self.embedding]
        return [*first, *(array for layer in self.layers for array in layer), *self.dense]


def inputs(row: Row) -> np.ndarray:
    """x: (B, T, D), or ids (B, T)."""
    rng = np.random.default_rng(1)
    if row.vocabulary:
        return rng.integers(0, row.vocabulary, (row.batch, row.steps), dtype=np.int32)
    return rng.standard_normal((row.batch, row.steps, row.features), dtype=np.float32)


def targets(row: Row) -> np.ndarray:
    """y: class ids (B,) or (B, T), or numbers (B, outputs)."""
    rng = np.random.default_rng(2)
    if row.loss == "sparse_categorical_crossentropy":
        shape = (row.batch, row.steps) if row.every_step else (row.batch,)
        return rng.integers(0, row.outputs, shape, dtype=np.int32)
    if row.loss == "binary_crossentropy":
        return rng.integers(0, 2, (row.batch, row.outputs)).astype(np.float32)
    return rng.standard_normal((row.batch, row.outputs), dtype=np.float32)


def weights(row: Row) -> Weights:
    """Uniform with the variance of Glorot's rule; forget biases of 1."""
    rng = np.random.default_rng(3)

    def matrix(depth: int, columns: int) -> np.ndarray:
        limit = np.sqrt(6 / (depth + columns))
        return rng.uniform(-limit, limit, (depth, columns)).astype(np.float32)

    layers = []
    depth = row.features
    for units in row.units:
        bias = np.zeros(4 * units, np.float32)
        bias[units : 2 * units] = 1
        layers.append((matrix(depth, 4 * units), matrix(units, 4 * units), bias))
        depth = units
    embedding = None
    if row.vocabulary:
        embedding = rng.uniform(-0.05, 0.05, (row.vocabulary, row.features)).astype(np.float32)
    return Weights(embedding, layers, (matrix(depth, row.outputs), np.zeros(row.outputs, "f4")))
