"""Where arrays start: with a cache line, whatever they hold."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.layers import LSTM, Dense, Embedding
from fastlstm.memory import aligned
from fastlstm.models import Sequential

LINE = 64


@pytest.mark.parametrize("shape", [(1,), (3, 5), (70_001,), (2_000, 700)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_arrays_start_with_a_line(shape, dtype):
    arrays = [aligned(shape, dtype) for _ in range(5)]
    zeros = aligned(shape, dtype, np.zeros)
    assert not zeros.any()
    for array in (*arrays, zeros):
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.ctypes.data % LINE == 0


def test_what_kernels_read_by_vectors_does(rng):
    model = Sequential([Embedding(30, 7), LSTM(50, return_sequences=True), LSTM(20), Dense(3)])
    model.compile("adam", "mse")
    x = rng.integers(0, 30, (4, 6))
    model(x)
    model.train_on_batch(x, np.zeros((4, 3), np.float32))
    _, *layers, dense = model.layers
    packed = [dense.packed_kernel]
    for layer in layers:
        packed += [layer.packed_kernel, layer.packed_recurrent, *layer.packed_biases]
    arrays = [array for one in packed for array in (one._forward, one._transposed)]
    arrays = [array for array in arrays if array is not None]
    assert len(arrays) > len(packed)
    for array in (*arrays, *model.flat_weights, model.optimizer.buffer):
        assert array.ctypes.data % LINE == 0
