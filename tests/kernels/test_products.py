"""Products of rows, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.kernels import products


def _run(a, c, d_out, threads=1):
    fastlstm.set_num_threads(threads)
    out, d_a, d_c = np.empty_like(d_out), np.empty_like(a), np.empty_like(c)
    size = products.scratch_size(len(a), len(c), a.shape[2], a.itemsize)
    scratch = np.full((threads, size), np.nan, a.dtype)
    products.products(out, scratch, a, c, work=1e9)
    products.products_gradients(d_a, d_c, scratch, d_out, a, c, work=1e9)
    return out, d_a, d_c


def _arrays(rng, rows, columns, depth, batch=7):
    shapes = (rows, batch, depth), (columns, batch, depth), (rows, batch, columns)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1), (4, 3, 5), (1, 6, 9), (8, 1, 2), (70, 50, 33), (16, 130, 96),
        (100, 40, 70), (49, 20, 150),  # strips of each width, and more than one block of rows
    ],
)  # fmt: skip
def test_values_and_gradients(sizes, rng):
    a, c, d_out = _arrays(rng, *sizes)
    out, d_a, d_c = _run(a, c, d_out)
    np.testing.assert_allclose(out, np.einsum("ibk,jbk->ibj", a, c), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(d_a, np.einsum("ibj,jbk->ibk", d_out, c), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(d_c, np.einsum("ibj,ibk->jbk", d_out, a), rtol=1e-12, atol=1e-14)


def test_the_same_bits_whatever_the_threads(rng):
    arrays = [array.astype(np.float32) for array in _arrays(rng, 5, 6, 33, batch=20)]
    results = [_run(*arrays, threads) for threads in (1, 2, 3)]
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
