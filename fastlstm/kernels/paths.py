"""Draws of paths that go on side by side: where their uniform numbers lie, and what they become."""

from __future__ import annotations

import math

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.math import exp_falling, log, reduce64
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import (
    absolute,
    fma,
    lanes,
    load_first,
    select,
    square_root,
    store_first,
    two_to,
    zero_like,
)
from fastlstm.kernels.team import share

# Of sin x / x in x², the constant first: what is left out is below 1e-18 up to x = π/2.
_SINE = tuple((-1.0) ** n / math.factorial(2 * n + 1) for n in range(11))
_TWO_PI = 2.0 * math.pi


@kernel
def spread(uniform, keys, ranks, parameters, points, shifts, crew):
    """Each path's place among a series' points, by the rank of its first parameter.

    uniform : (U, S, N) float64, receives numbers of at least 0 and below 1
    keys : (S, N) float32, scratch
    ranks : (S, N) int32, receives how many paths of the series are below each one, or as large and
        before it
    parameters : (S, N, C) float32
    points : (U, N) and ``shifts`` (U, S), both at least 0 and below 1, whose sum wraps around
    """
    dimensions, series, count = uniform.shape
    first, last = share(series, crew)
    for s in range(first, last):
        for r in range(count):
            keys[s, r] = parameters[s, r, 0]
            ranks[s, r] = 0
        # Of so few, to compare each with all, whole vectors at a time, is faster than to sort.
        for other in range(count):
            key = keys[s, other]
            for r in range(other):
                ranks[s, r] += np.int32(key < keys[s, r])
            for r in range(other + 1, count):
                ranks[s, r] += np.int32(key <= keys[s, r])
        for d in range(dimensions):
            for r in range(count):
                place = points[d, ranks[s, r]] + shifts[d, s]
                uniform[d, s, r] = place - 1.0 if place >= 1.0 else place


@kernel
def polar(out, parameters, uniform, least_scale, least_freedom, crew):
    """Draws of Student's t, or normal ones, of two uniform numbers: a radius and an angle.

    out : (M,) float64
    parameters : (C, M) float64; location, softplus' argument of the scale, and that of the degrees
        of freedom, which are without end where C is 2
    uniform : (2, M) float64, at least 0 and below 1
    """
    count = out.size
    step = lanes(out)
    first, last = share(-(-count // step), crew)
    for at in range(first * step, min(last * step, count), step):
        left = min(step, count - at)
        below = log(1.0 - load_first(uniform, at, left))
        if parameters.shape[0] > 2:
            freedom = least_freedom + _softplus(load_first(parameters, 2 * count + at, left))
            radius = square_root(freedom * _exp_less_one(-2.0 * below / freedom))
        else:
            radius = square_root(-2.0 * below)
        scale = least_scale + _softplus(load_first(parameters, count + at, left))
        made = radius * _cosine_of_turns(load_first(uniform, count + at, left))
        store_first(fma(scale, made, load_first(parameters, at, left)), out, at, left)


@inline
def _softplus(x):
    """log(1 + e**x)."""
    return select(x > 0.0, x, zero_like(x)) + log(1.0 + exp_falling(-absolute(x)))


@inline
def _exp_less_one(x):
    """e**x - 1, for x from 0 to 700."""
    shifted, p = reduce64(x)
    power = two_to(shifted)
    return fma(p, power, power - 1.0)


@inline
def _cosine_of_turns(x):
    """The cosine of 2πx, for x from 0 to 1: the sine of what lacks to, or exceeds, a quarter."""
    angle = _TWO_PI * (absolute(x - 0.5) - 0.25)
    square = angle * angle
    series = zero_like(x) + _SINE[10]
    for n in range(9, -1, -1):
        series = fma(series, square, _SINE[n])
    return angle * series
