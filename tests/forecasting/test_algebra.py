"""Products and equations: those of NumPy, and the same bits whatever the threads of BLAS."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from fastlstm.forecasting.algebra import product, solve

_SCRIPT = """
import hashlib
import numpy as np
from fastlstm.forecasting.algebra import product
from fastlstm.forecasting.effects import Known, fit_effects
from fastlstm.forecasting.ridge import Moments, fit_ridge

rng = np.random.default_rng(0)
series = [rng.standard_normal(900).cumsum() for _ in range(3)]
fit = fit_ridge(series, 336, 96, 1.0)
x = rng.standard_normal((4096, 200))
sums = Moments(x[:, :150], x[:, 150:])
made = [fit.weights, fit.intercept, fit.predict(np.stack([y[-336:] for y in series])),
        sums.square, sums.solve(3.0), np.array(sums.loss(sums.solve(9.0)))]
known = Known(np.arange(4096) % 168, 168, x[:, :30])
effects = fit_effects(x[:, 199].cumsum(), known, 24)
made += [effects.week, effects.slopes, effects.at(known)]
print([hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16] for array in made])
"""


@pytest.mark.parametrize("shape", [(3, 5, 2), (64, 64, 64), (65, 130, 1), (1, 200, 70), (4, 0, 3)])
def test_products_are_those_of_numpy(shape, rng):
    n, k, m = shape
    a, b = rng.standard_normal((n, k)), rng.standard_normal((k, m))
    np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(product(np.asfortranarray(a), b), a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 7, 64, 65, 150])
def test_solutions_are_those_of_lapack(n, rng):
    x, cross = rng.standard_normal((2 * n, n)), rng.standard_normal((n, 3))
    square = x.T @ x + 0.1 * np.eye(n)
    before = square.copy(), cross.copy()
    np.testing.assert_allclose(solve(square, cross), np.linalg.solve(square, cross), rtol=1e-9)
    np.testing.assert_array_equal(square, before[0])
    np.testing.assert_array_equal(cross, before[1])


def test_of_a_singular_system_the_smallest_solution(rng):
    x = rng.standard_normal((50, 2))
    x = np.concatenate([x, x[:, :1]], axis=1)
    cross = x.T @ rng.standard_normal((50, 1))
    made = solve(x.T @ x, cross)
    np.testing.assert_allclose(made, np.linalg.pinv(x.T @ x) @ cross, atol=1e-10)
    np.testing.assert_allclose(made[0], made[2])


def test_bits_do_not_depend_on_the_threads_of_blas():
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
        )
        for threads in ("1", "2")
    ]
    one, other = (run.communicate()[0] for run in runs)
    assert one
    assert one == other


def test_systems_side_by_side_have_the_bits_of_each_alone():
    rng = np.random.default_rng(0)
    x, cross = rng.standard_normal((3, 200, 150)), rng.standard_normal((3, 150, 70))
    square = x.swapaxes(1, 2) @ x
    for singular in (False, True):
        if singular:
            square[1] = 1.0
        each = [solve(one, y) for one, y in zip(square, cross, strict=True)]
        np.testing.assert_array_equal(solve(square, cross), np.stack(each))
