"""Windows side by side make a convolution a product; and back."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels.parallel import set_num_threads
from fastlstm.kernels.unfold import fold, unfold
from tests.reference import windows

# steps, taps, stride, padding, dilation
CASES = [
    (7, 1, 1, "valid", 1),
    (9, 3, 1, "valid", 1),
    (9, 4, 1, "same", 1),
    (10, 3, 2, "same", 1),
    (9, 3, 1, "causal", 2),
    (11, 2, 3, "valid", 1),
]


@pytest.mark.parametrize(("steps", "taps", "stride", "padding", "dilation"), CASES)
def test_the_product_is_a_convolution(steps, taps, stride, padding, dilation, rng):
    x, kernel = rng.standard_normal((3, steps, 5)), rng.standard_normal((taps, 5, 4))
    expected = windows.convolve(x, kernel, 0.0, stride, padding, dilation)
    before, _ = windows.padded(steps, taps, stride, padding, dilation)
    how = (taps, stride, dilation, before)
    d = rng.standard_normal((expected.shape[1], 3, taps * 5))
    for threads in (1, 3):
        set_num_threads(threads)
        out, d_x = np.full(d.shape, np.nan), np.full((steps, 3, 5), np.nan)
        turned = np.ascontiguousarray(x.swapaxes(0, 1))
        unfold(out, turned, *how, work=1e9)
        y = out @ kernel.reshape(taps * 5, 4)
        np.testing.assert_allclose(y.swapaxes(0, 1), expected, atol=1e-12)
        fold(d_x, d, *how, work=1e9)
        # One is the other's transpose: <unfold(x), d> is <x, fold(d)>.
        assert np.isclose((out * d).sum(), (turned * d_x).sum(), rtol=1e-12)
