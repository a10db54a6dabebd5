"""Layers without h·U: threads that take units meet at no step, and the bits are the same."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.kernels.program import Program
from fastlstm.kernels.team import _MET
from fastlstm.layers import MinGRU, MinLSTM, split
from fastlstm.memory import Arena
from fastlstm.models import Sequential
from tests.marks import needs_jit

THREADS = (1, 2, 3)
# Whole panels for each of two threads, with any width of vectors.
UNITS = 64

each_kind = pytest.mark.parametrize("kind", [MinGRU, MinLSTM])


def _layer(kind, rng, **options):
    layer = kind(UNITS, return_sequences=True, **options)
    layer.build((None, 3))
    layer.set_weights([0.5 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("blocks", [2, 3])
def test_training_takes_units_and_inference_rows(blocks):
    for batch in (1, 3):
        work = split.Work(batch, 8, UNITS, blocks, 4, recurrent=False)
        assert split.rows_at_a_time(work, 2, saving=False) == 0
    for batch in (8, 33, 128):
        work = split.Work(batch, 8, UNITS, blocks, 4, recurrent=False)
        assert split.rows_at_a_time(work, 2) == 0
        assert split.rows_at_a_time(work, 2, back=True) == 0
        assert 0 < split.rows_at_a_time(work, 2, saving=False) <= -(-batch // 2)
        assert split.rows_at_a_time(work, 1) == batch
    many = split.Work(1000, 8, UNITS, blocks, 4, recurrent=False)
    assert split.rows_at_a_time(many, 2) > 0


@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@each_kind
def test_same_bits(kind, masked, backwards, rng):
    """Of training by units, of inference by rows, of a row alone, and of launches cut short."""
    batch, steps = 33, 21
    layer = _layer(kind, rng, go_backwards=backwards)
    x = rng.standard_normal((batch, steps, 3)).astype(np.float32)
    d_y = rng.standard_normal((batch, steps, UNITS)).astype(np.float32)
    mask = rng.random((batch, steps)) < 0.6 if masked else None
    results = []
    for threads in THREADS:
        fastlstm.set_num_threads(threads)
        y, pullback = fastlstm.vjp(layer, x, mask=mask)
        d_x, d_states, d_weights = pullback(d_y)
        np.testing.assert_array_equal(layer(x, mask=mask), y)
        results.append([y, d_x, *d_states, *d_weights])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    for row in (0, 32):
        alone = layer(x[row : row + 1], mask=None if mask is None else mask[row : row + 1])
        np.testing.assert_array_equal(alone[0], results[0][0][row])


@each_kind
def test_a_stream_has_the_bits_of_the_sequence(kind, rng):
    fastlstm.set_num_threads(2)
    model = Sequential([_layer(kind, rng)])
    x = rng.standard_normal((9, 30, 3)).astype(np.float32)
    whole = model(x)
    stream = model.stream(9)
    for t in range(30):
        np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])


@needs_jit
@each_kind
def test_no_barrier_between_steps(kind, rng):
    """Forward and back through 200 steps, two threads meet as often as there are calls."""
    fastlstm.set_num_threads(2)
    layer, steps, batch = _layer(kind, rng), 200, 32
    x = rng.standard_normal((steps, batch, 3)).astype(np.float32)
    d_y = rng.standard_normal((steps, batch, UNITS)).astype(np.float32)

    def build(plan):
        mask = np.empty((0, batch), np.uint8)
        op = layer.bind(x, mask, plan, saving=True, training=True)
        op.bind_backward(d_y, plan, True)
        return op

    op = Arena().lay_out(build)
    assert op.rows == op.rows_back == 0
    program = Program()
    for weights in op.forward_weights:
        weights.pack_forward(program)
    for weights in op.backward_weights:
        weights.pack_transposed(program)
    op.record_start(program)
    op.record_forward(program)
    op.record_backward(program)
    met = 0
    for _ in range(20):  # a crew may be of one
        assert program.run()
        met = max(met, int(program._team[_MET]))
    assert met <= 2 * (len(program) + 1)
