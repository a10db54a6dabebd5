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
    """x: (B, T, D), or ids (B, T); of many models (models, B, T, D)."""
    rng = np.random.default_rng(1)
    shape = (*row.lead, row.batch, row.steps)
    if row.vocabulary:
        return rng.integers(0, row.vocabulary, shape, dtype=np.int32)
    return rng.standard_normal((*shape, row.features), dtype=np.float32)


def targets(row: Row) -> np.ndarray:
    """y: class ids (B,) or (B, T), or numbers (B, outputs); of many models (models, B, outputs)."""
    rng = np.random.default_rng(2)
    if row.loss == "sparse_categorical_crossentropy":
        steps = (row.steps,) if row.every_step else ()
        return rng.integers(0, row.outputs, (*row.lead, row.batch, *steps), dtype=np.int32)
    shape = (*row.lead, row.batch, row.outputs)
    if row.loss == "binary_crossentropy":
        return rng.integers(0, 2, shape).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32)


def weights(row: Row, model: int = 0) -> Weights:
    """Uniform with the variance of Glorot's rule, and forget biases of 1; of one of the models."""
    rng = np.random.default_rng((3, model))

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


def stacked(row: Row) -> list[np.ndarray]:
    """``Weights.flat`` of all models, each array joined along a first axis."""
    each = [weights(row, model).flat() for model in range(row.models)]
    return [np.stack(arrays) for arrays in zip(*each, strict=True)]
