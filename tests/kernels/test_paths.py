"""Draws of paths side by side: against their equations, and how evenly they are spread."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels.paths import polar, spread
from tests.marks import needs_jit

pytestmark = needs_jit

LEAST_SCALE, LEAST_FREEDOM = 1e-3, 2.0


def _polar(columns, uniform):
    """Box and Muller's draws, or Bailey's, as they are written."""
    place, scale = columns[0], LEAST_SCALE + np.logaddexp(0, columns[1])
    below = np.log1p(-uniform[0])
    radius = np.sqrt(-2 * below)
    if len(columns) > 2:
        freedom = LEAST_FREEDOM + np.logaddexp(0, columns[2])
        radius = np.sqrt(freedom * np.expm1(-2 / freedom * below))
    return place, scale * radius, np.cos(2 * np.pi * uniform[1])


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("size", [1, 8, 1003])
def test_draws_are_those_of_the_equations(count, size, rng):
    columns = rng.standard_normal((count, size)) * np.array([1, 8, 20])[:count, np.newaxis]
    uniform = rng.random((2, size))
    uniform[:, 0] = 1 - 2.0**-53, 0
    made = np.empty(size)
    polar(made, columns, uniform, LEAST_SCALE, LEAST_FREEDOM)
    place, width, cosine = _polar(columns, uniform)
    assert (np.abs(made - place - width * cosine) <= 1e-12 * (np.abs(place) + width)).all()


def _uniform(parameters, points, shifts):
    series, paths = parameters.shape[:2]
    made = np.empty((len(points), series, paths))
    ranks = np.empty((series, paths), np.int32)
    spread(made, np.empty((series, paths), np.float32), ranks, parameters, points, shifts)
    return made, ranks


@pytest.mark.parametrize("paths", [1, 2, 50, 67])
def test_points_go_by_rank_and_wrap_around(paths, rng):
    parameters = rng.standard_normal((5, paths, 3)).astype(np.float32).round(1)  # some are equal
    points, shifts = rng.random((2, paths)), rng.random((2, 5))
    made, ranks = _uniform(parameters, points, shifts)
    order = np.argsort(parameters[..., 0], axis=1, kind="stable")
    np.testing.assert_array_equal(np.take_along_axis(ranks, order, axis=1)[2], np.arange(paths))
    expected = (points[:, ranks] + shifts[..., np.newaxis]) % 1.0
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-15)
    assert ((made >= 0) & (made < 1)).all()
