"""Layer normalization against the equations, in parts, and for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import layer_norm
from fastlstm.kernels.matmul import SUM_BLOCK
from fastlstm.kernels.parallel import set_num_threads
from tests.reference import layer_norm as reference

LAUNCH = 1e9
EPSILON = 1e-3
SHAPES = [(1, 1), (3, 2), (5, 8), (4, 33), (2, 1000), (SUM_BLOCK + 3, 17)]
LIMITS = {np.float32: 2e-5, np.float64: 1e-12}


def _run(x, gamma, beta, d):
    y, nothing = np.full_like(x, np.nan), np.empty(0, x.dtype)
    means, scales = (np.full(len(x), np.nan, x.dtype) for _ in range(2))
    layer_norm.normalize(y, means, scales, x, gamma, beta, EPSILON, work=LAUNCH)
    d_gamma, d_beta = (np.full_like(like, np.nan) for like in (gamma, beta))
    layer_norm.weight_gradients(d_gamma, d_beta, d, x, means, scales, False, work=LAUNCH)
    d_x = d.copy()
    layer_norm.input_gradient(d_x, x, means, scales, gamma if len(gamma) else nothing, work=LAUNCH)
    return [y, d_x, d_gamma, d_beta, means, scales]


def _case(rng, shape, dtype, scale=True, center=True):
    x = (3 * rng.standard_normal(shape) + 2).astype(dtype)
    d = rng.standard_normal(shape).astype(dtype)
    gamma = rng.standard_normal(shape[1] if scale else 0).astype(dtype)
    beta = rng.standard_normal(shape[1] if center else 0).astype(dtype)
    return x, gamma, beta, d


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_equations(shape, dtype, rng):
    set_num_threads(1)
    for scale, center in ((True, True), (True, False), (False, True), (False, False)):
        x, gamma, beta, d = _case(rng, shape, dtype, scale, center)
        y, d_x, d_gamma, d_beta, *_ = _run(x, gamma, beta, d)
        wide = x.astype(np.float64)
        g = gamma if scale else np.ones(shape[1])
        expected = reference.forward(wide, g, beta if center else 0.0, EPSILON)
        exact = reference.backward(wide, g, EPSILON, d)
        limit = {"rtol": LIMITS[dtype], "atol": LIMITS[dtype] * 5}
        np.testing.assert_allclose(y, expected, **limit)
        np.testing.assert_allclose(d_x, exact[0], **limit)
        if scale:
            np.testing.assert_allclose(d_gamma, exact[1], **limit)
        if center:
            np.testing.assert_allclose(d_beta, exact[2], **limit)


def test_a_large_mean_takes_no_digits(rng):
    x = (1e4 + rng.standard_normal((4, 100))).astype(np.float32)
    nothing = np.empty(0, np.float32)
    y, *_ = _run(x, nothing, nothing, x)
    exact = reference.forward(x.astype(np.float64), 1.0, 0.0, EPSILON)
    np.testing.assert_allclose(y, exact, atol=1e-3)


def test_bits_do_not_depend_on_the_threads_or_the_parts(rng):
    rows = 3 * SUM_BLOCK + 5
    x, gamma, beta, d = _case(rng, (rows, 37), np.float32)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        results.append(_run(x, gamma, beta, d))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(other, one)
    *_, d_gamma, d_beta, means, scales = results[0]
    parts = np.full((2, 37), np.nan, np.float32)
    cut = 2 * SUM_BLOCK
    for part, more in ((slice(cut, None), False), (slice(0, cut), True)):
        arrays = (d[part], x[part], means[part], scales[part])
        layer_norm.weight_gradients(*parts, *arrays, more, work=LAUNCH)
    np.testing.assert_array_equal(parts, [d_gamma, d_beta])
