"""What regularizers and constraints of layers add to a step of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastlstm.constraints import Constraint
from fastlstm.kernels import layout, orthogonality, penalties
from fastlstm.kernels.clipping import CHUNK
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.regularizers import OrthogonalRegularizer, Regularizer

# Floating-point operations an element.
_WORK = 4.0


class Penalties:
    """The regularizers of layers that are built, for those of their weights that are trained."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._all: list[Penalty | Orthogonality] = []
        for layer in layers:
            entries = regularized(layer)
            plain = [e for e in entries if not isinstance(e.rule, OrthogonalRegularizer)]
            if plain:
                self._all.append(Penalty(layer, plain))
            self._all += [Orthogonality(layer, e) for e in entries if e not in plain]

    def record_value(self, program: Program, total: np.ndarray) -> None:
        """Record: add the penalties of all weights to a loss, (1,) of float64."""
        for penalty in self._all:
            penalty.record_value(program, total)

    def record_slopes(self, program: Program) -> None:
        """Record: add their slopes to the gradients of the weights, once those are whole."""
        for penalty in self._all:
            penalty.record_slopes(program)


class Regularized(NamedTuple):
    """A weight with a regularizer: first and past-last element in its layer, and its shape."""

    rule: Any
    first: int
    last: int
    shape: tuple[int, ...]


def regularized(layer: Layer) -> list[Regularized]:
    """A layer's weights that have one and are trained."""
    found, at = [], 0
    for spec, trained, value in zip(layer.specs, layer.trained, layer.weights, strict=True):
        if trained and spec.regularizer is not None:
            found.append(Regularized(spec.regularizer, at, at + value.size, value.shape))
        at += value.size
    return found


class Penalty:
    """The regularizers of one layer that look at one element at a time."""

    def __init__(self, layer: Layer, entries: list[Regularized]) -> None:
        self._params, self._grads = layer.flat_params, layer.flat_grads
        self._touched = getattr(layer, "touched", None)
        self._chunks = _chunks_of([(first, last) for _, first, last, _ in entries])
        self._factors = np.array([(rule.l1, rule.l2) for rule, *_ in entries])
        self._partial = np.zeros(len(self._chunks))
        self._work = _WORK * sum(last - first for _, first, last, _ in entries)

    def record_value(self, program: Program, total: np.ndarray) -> None:
        """Record: add the penalties to a loss."""
        args = self._partial, self._params, self._chunks, self._factors
        program.add(penalties.penalties, *args, work=self._work)
        program.add(penalties.add_sum, total, self._partial)

    def record_slopes(self, program: Program) -> None:
        """Record: add their slopes to the gradients."""
        args = self._grads, self._params, self._chunks, self._factors
        program.add(penalties.add_slopes, *args, work=self._work)
        if self._touched is not None:  # rows of a table of words: all have a gradient now
            program.add(layout.fill, self._touched, 1)


class ActivityPenalty:
    """The ``activity_regularizer`` of one call of a layer, of its outputs, (T, B, F) or (B, F)."""

    def __init__(self, rule: Regularizer, ys: Sequence[np.ndarray]) -> None:
        self._ys = ys
        self._chunks = [_chunks_of([(0, y.size)]) for y in ys]
        # Of one sample, as there may be any number of them in a batch.
        self._factors = [np.array([(rule.l1, rule.l2)]) / y.shape[-2] for y in ys]
        self._partial = [np.zeros(len(chunks)) for chunks in self._chunks]

    def record_value(self, program: Program, total: np.ndarray) -> None:
        """Record: add the penalty to a loss."""
        for parts in zip(self._partial, self._ys, self._chunks, self._factors, strict=True):
            partial, y, *how = parts
            program.add(penalties.penalties, partial, y.reshape(-1), *how, work=_WORK * y.size)
            program.add(penalties.add_sum, total, partial)

    def record_slopes(self, program: Program, d_ys: Sequence[np.ndarray]) -> None:
        """Record: add its slopes to the gradients of the outputs."""
        for parts in zip(d_ys, self._ys, self._chunks, self._factors, strict=True):
            d_y, y, *how = parts
            flat = d_y.reshape(-1), y.reshape(-1)
            program.add(penalties.add_slopes, *flat, *how, work=_WORK * y.size)


def _chunks_of(stretches: Sequence[tuple[int, int]]) -> np.ndarray:
    """Stretches of elements in chunks: first, past-last, and the number of the stretch."""
    rows = [
        (start, min(start + CHUNK, last), number)
        for number, (first, last) in enumerate(stretches)
        for start in range(first, last, CHUNK)
    ]
    return np.array(rows, np.int64)


class Orthogonality:
    """An ``OrthogonalRegularizer`` of one weight."""

    def __init__(self, layer: Layer, entry: Regularized) -> None:
        rule, first, last, shape = entry
        rule.check_rank(shape)
        self._w, self._grads = (
            flat[first:last].reshape(shape) for flat in (layer.flat_params, layer.flat_grads)
        )
        self._touched = getattr(layer, "touched", None)
        self._by_columns = rule.mode == "columns"
        lines = shape[::-1] if self._by_columns else shape
        self._factor = rule.each(lines[0])
        self._units, self._pull = np.zeros(lines), np.zeros(lines)
        self._norms, self._partial = np.zeros(lines[0]), np.zeros(lines[0])
        self._work = 1.0 * lines[0] * lines[0] * lines[1]

    def record_value(self, program: Program, total: np.ndarray) -> None:
        """Record: add the penalty to a loss."""
        args = self._partial, self._units, self._norms, self._w, self._by_columns, self._factor
        program.add(orthogonality.penalties, *args, work=self._work)
        program.add(penalties.add_sum, total, self._partial)

    def record_slopes(self, program: Program) -> None:
        """Record: add its slopes to the gradient."""
        args = self._grads, self._pull, self._units, self._norms, self._by_columns, self._factor
        program.add(orthogonality.add_slopes, *args, work=4.0 * self._work)
        if self._touched is not None:
            program.add(layout.fill, self._touched, 1)


def with_rules(layer: Layer, specs: Sequence[WeightSpec]) -> list[WeightSpec]:
    """The weights with what the layer was told of each: ``kernel_constraint``, say.

    A rule is called like the weight, but for that of a recurrent kernel; where a layer has several
    kernels, "query/kernel" and others, one rule is for each of them.
    """
    made = []
    for spec in specs:
        name = spec.name.removesuffix("_kernel").rpartition("/")[2]
        regularizer = getattr(layer, f"{name}_regularizer", None)
        constraint = getattr(layer, f"{name}_constraint", None)
        made.append(spec._replace(regularizer=regularizer, constraint=constraint))
    return made


def record_constraints(program: Program, layers: Sequence[Layer]) -> None:
    """Record: bring the weights that were updated back to where they are allowed."""
    for layer in layers:
        at = 0
        for spec, trained, value in zip(layer.specs, layer.trained, layer.weights, strict=True):
            if trained and isinstance(spec.constraint, Constraint):
                part = layer.flat_params[at : at + value.size].reshape(value.shape)
                spec.constraint.record(program, part)
            at += value.size
