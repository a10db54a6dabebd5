"""What moves steps about, against NumPy's own indexing."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import columns, combine, dense, reshape, steps
from fastlstm.kernels.activations import Tanh
from fastlstm.kernels.parallel import set_num_threads

THREADS = pytest.mark.parametrize("threads", [1, 3])


def _batch_first(x):
    return x.swapaxes(0, 1)


@THREADS
@pytest.mark.parametrize("shapes", [((6, 5), (1, 30)), ((1, 30), (10, 3)), ((4, 6), (8, 3))])
def test_reshape(shapes, threads, rng):
    set_num_threads(threads)
    (t, d), (s, e) = shapes
    x = rng.standard_normal((t, 7, d)).astype(np.float32)
    out = np.full((s, 7, e), np.nan, np.float32)
    reshape.reshape(out, x, work=1e9)
    np.testing.assert_array_equal(_batch_first(out), _batch_first(x).reshape(7, s, e))


@THREADS
def test_exchange(threads, rng):
    set_num_threads(threads)
    x = rng.standard_normal((6, 7, 5))
    out = np.full((5, 7, 6), np.nan)
    reshape.exchange(out, x, work=1e9)
    np.testing.assert_array_equal(_batch_first(out), _batch_first(x).swapaxes(1, 2))


@THREADS
@pytest.mark.parametrize(("start", "stride", "count"), [(0, 1, 9), (2, 1, 5), (1, 3, 3), (0, 2, 4)])
def test_take_and_put(start, stride, count, threads, rng):
    set_num_threads(threads)
    x = rng.standard_normal((9, 14)).astype(np.float32)
    places = start + stride * np.arange(count)
    some, back = np.full((count, 14), np.nan, np.float32), np.full_like(x, np.nan)
    steps.take(some, x, start, stride, work=1e9)
    np.testing.assert_array_equal(some, x[places])
    steps.put(back, some, start, stride, work=1e9)
    expected = np.zeros_like(x)
    expected[places] = x[places]
    np.testing.assert_array_equal(back, expected)


@THREADS
@pytest.mark.parametrize(("start", "stride", "count"), [(0, 1, 9), (2, 1, 5), (1, 3, 3), (0, 2, 4)])
def test_take_and_put_columns(start, stride, count, threads, rng):
    set_num_threads(threads)
    x = rng.standard_normal((14, 9)).astype(np.float32)
    places = start + stride * np.arange(count)
    some, back = np.full((14, count), np.nan, np.float32), np.full_like(x, np.nan)
    columns.take_every(some, x, start, stride, work=1e9)
    np.testing.assert_array_equal(some, x[:, places])
    columns.put_every(back, some, start, stride, work=1e9)
    expected = np.zeros_like(x)
    expected[:, places] = x[:, places]
    np.testing.assert_array_equal(back, expected)


@THREADS
def test_rescale(threads, rng):
    set_num_threads(threads)
    x = rng.standard_normal(99).astype(np.float32)
    out = np.full_like(x, np.nan)
    combine.rescale(out, x, -2.5, 0.5, work=1e9)
    np.testing.assert_allclose(out, 0.5 - 2.5 * x, rtol=1e-6)


@THREADS
def test_activations_into_another_array(threads, rng):
    set_num_threads(threads)
    x = rng.standard_normal((33, 21)).astype(np.float32)
    for kernel, function in ((dense.softmax_of, dense.softmax), (dense.activate_of, None)):
        y, before = np.full_like(x, np.nan), x.copy()
        if function is None:
            kernel(Tanh(), y, x, work=1e9)
            np.testing.assert_allclose(y, np.tanh(x), rtol=1e-6)
        else:
            kernel(y, x, work=1e9)
            function(before)
            np.testing.assert_array_equal(y, before)
