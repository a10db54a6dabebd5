"""Exponential smoothing forward and back, against its equations and finite differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from fastlstm.kernels import smoothing
from fastlstm.kernels.parallel import set_num_threads
from tests.reference import smoothing as reference
from tests.reference.finite import gradient

SEASONS = [(3, 6), (4,), ()]


class Case(NamedTuple):
    """Series with a fifth of the values missing, and what is made of them."""

    values: Any
    coefficients: Any
    starts: Any
    seasons: tuple[int, ...]
    look_back: int = 5
    horizon: int = 7
    stride: int = 3
    answers: int = 2
    ahead: int = 4
    penalty: float = 0.3

    @staticmethod
    def make(rng, seasons, dtype=np.float64, batch=3, origins=4):
        steps = 4 + 3 * origins
        values = rng.standard_normal((steps, batch, 2))
        values[..., 1] = rng.random((steps, batch)) > 0.2
        # What stands where a value is missing does not matter.
        coefficients = rng.standard_normal((batch, 4 + sum(seasons)))
        # Of one series a window does not vary, and none of another's is there.
        values[2:8, 0, 0], values[3:9, 1, 1] = 2.0, 0.0
        starts = (np.arange(batch) % 3)[:, np.newaxis]
        return Case(values.astype(dtype), coefficients.astype(dtype), starts.astype(dtype), seasons)

    def empty(self, *shape):
        return np.full(shape, np.nan, self.values.dtype)

    @property
    def _states(self):
        steps, batch, _ = self.values.shape
        first, second = (*self.seasons, 0, 0)[:2]
        return [self.empty(batch, steps + m) for m in (0, first, second)]

    @property
    def how(self):
        return self.look_back, self.horizon, self.stride

    def forward(self):
        """Level and seasons, surprise, windows and bases."""
        steps, batch, _ = self.values.shape
        states, surprise = self._states, self.empty(batch, steps)
        smoothing.smooth(*states, surprise, self.values, self.coefficients, work=1e9)
        origins = (steps - self.look_back + 1) // self.stride
        seen = self.empty(origins, batch, self.look_back + self.ahead + 1)
        base = self.empty(origins, batch, self.horizon * self.answers)
        given = self.values, self.starts
        smoothing.windows(seen, base, *states, *given, *self.how, work=1e9)
        return states, surprise, seen, base

    def backward(self, surprise, d_seen, d_base):
        """Gradient of the coefficients."""
        d_states, d = self._states, np.full_like(self.coefficients, np.nan)
        given = d_seen, d_base, self.values, self.starts
        smoothing.windows_back(*d_states, *given, *self.how, work=1e9)
        given = self.values, self.coefficients
        smoothing.smooth_back(d, *d_states, surprise, *given, self.penalty, work=1e9)
        return d

    def expected(self):
        levels, found = reference.smooth(self.values, self.coefficients, self.seasons)
        given = self.values, levels, found, self.seasons, self.starts
        made = reference.windows(*given, *self.how, self.answers, self.ahead)
        return levels, found, *made


@pytest.mark.parametrize("seasons", SEASONS)
@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-13), (np.float32, 2e-6)])
def test_equations(seasons, dtype, limit, rng):
    case = Case.make(rng, seasons, dtype)
    levels, found, seen, base = case.expected()
    states, _, made, bases = case.forward()
    for state, expected in zip(states, [levels, *found], strict=False):
        np.testing.assert_allclose(state, expected, atol=limit)
    np.testing.assert_allclose(made, seen, atol=limit)
    np.testing.assert_allclose(bases, base, atol=limit)


@pytest.mark.parametrize("seasons", SEASONS)
def test_gradient_against_finite_differences(seasons, rng):
    case = Case.make(rng, seasons)
    _, surprise, seen, base = case.forward()
    d_seen, d_base = rng.standard_normal(seen.shape), rng.standard_normal(base.shape)

    def value():
        levels, _, windows, bases = case.expected()
        rough = reference.roughness(levels, case.values, case.coefficients[:, 3])
        return (windows * d_seen).sum() + (bases * d_base).sum() + case.penalty * rough

    made = case.backward(surprise, d_seen, d_base)
    np.testing.assert_allclose(made, gradient(value, case.coefficients), atol=1e-7)


def test_what_stands_where_a_value_is_missing_does_not_matter(rng):
    case = Case.make(rng, (3, 6))
    _, surprise, seen, base = case.forward()
    before = case.backward(surprise, np.ones_like(seen), np.ones_like(base))
    case.values[..., 0][case.values[..., 1] == 0] = 77.0
    _, surprise, other, _ = case.forward()
    np.testing.assert_array_equal(other, seen)
    after = case.backward(surprise, np.ones_like(seen), np.ones_like(base))
    np.testing.assert_array_equal(after, before)


def test_same_bits_for_any_threads_and_beside_any_series(rng):
    case = Case.make(rng, (3, 6), np.float32, batch=7, origins=14)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        _, surprise, seen, base = case.forward()
        results.append((seen, base, case.backward(surprise, seen, base)))
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(one, other)
    alone = case._replace(
        values=np.ascontiguousarray(case.values[:, 2:3]),
        coefficients=case.coefficients[2:3].copy(),
        starts=case.starts[2:3].copy(),
    )
    _, surprise, seen, base = alone.forward()
    np.testing.assert_array_equal(seen[:, 0], results[0][0][:, 2])
    np.testing.assert_array_equal(alone.backward(surprise, seen, base)[0], results[0][2][2])
