"""The CTC kernel against its definition: values, gradients, limits, memory and threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastlstm.kernels import ctc, sequences
from fastlstm.kernels.parallel import set_num_threads, workers
from tests.reference import ctc as reference
from tests.reference.finite import gradient as differences

LIMITS = {np.float32: 3e-6, np.float64: 1e-12}


def _run(
    labels, y, label_lengths=None, input_lengths=None, weights=None, blank=0,
    gradient=True, zero_infinity=False, time_first=True, work=0.0, places=None,
):  # fmt: skip
    """Total, gradient and each sequence's loss; all memory is NaN before."""
    batch = len(labels)
    d = np.full_like(y if gradient else y[:0], np.nan)
    rows, total = np.full(batch, np.nan, y.dtype), np.full(1, np.nan)
    steps = y.shape[0 if time_first else 1]
    size = ctc.scratch_size(steps, labels.shape[1], y.itemsize, gradient)
    scratch = np.full((workers(), size), np.nan, y.dtype)
    lengths = [np.zeros(0, np.int32) if given is None else np.asarray(given, np.int32)
               for given in (label_lengths, input_lengths)]  # fmt: skip
    weights = np.zeros(0, y.dtype) if weights is None else weights
    ctc.ctc(
        total, d, rows, scratch, labels, lengths[0], y, lengths[1],
        np.zeros((0, batch), np.int32) if places is None else places,
        weights, blank, zero_infinity, time_first, work=work,
    )  # fmt: skip
    return total[0], d, rows


def _labels(rng, batch, most, classes, blank):
    ids = rng.integers(0, classes - 1, (batch, most)).astype(np.int32)
    return ids + (ids >= blank)


def _exact(labels, y, label_lengths, input_lengths, blank, weights):
    """Losses and the gradient of their weighted mean, sequence by sequence."""
    batch = len(labels)
    losses, d = np.zeros(batch), np.zeros(y.shape)
    for b in range(batch):
        steps = input_lengths[b]
        row = labels[b, : label_lengths[b]].tolist()
        losses[b], d[:steps, b] = reference.recursion(row, y[:steps, b].astype(float), blank)
        d[:, b] *= weights[b] / batch
    return losses, d


# Labels that fill a part of a vector, all of one, and several.
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("steps", "most", "classes", "blank"), [
    (1, 1, 2, 0), (6, 3, 3, 1), (17, 7, 5, 4), (33, 8, 9, 0), (40, 15, 20, 3), (50, 20, 70, 69),
])  # fmt: skip
def test_values_and_gradients(steps, most, classes, blank, dtype, rng):
    batch = 5
    labels = _labels(rng, batch, most, classes, blank)
    label_lengths = rng.integers(0, most + 1, batch)
    label_lengths[:2] = most, 0
    input_lengths = rng.integers(min(2 * most, steps), steps + 1, batch)
    y = (3 * rng.standard_normal((steps, batch, classes))).astype(dtype)
    weights = rng.uniform(0.5, 2, batch).astype(dtype)
    total, d, rows = _run(labels, y, label_lengths, input_lengths, weights, blank)
    losses, expected = _exact(labels, y, label_lengths, input_lengths, blank, weights)
    np.testing.assert_allclose(rows, losses, rtol=LIMITS[dtype], atol=LIMITS[dtype])
    np.testing.assert_allclose(total, (weights * losses).mean(), rtol=2 * LIMITS[dtype])
    np.testing.assert_allclose(d, expected, rtol=0, atol=LIMITS[dtype])
    for b in range(batch):
        assert not d[input_lengths[b] :, b].any()
    alone, _, rows_alone = _run(
        labels, y, label_lengths, input_lengths, weights, blank, gradient=False
    )
    assert alone == total
    np.testing.assert_array_equal(rows_alone, rows)


@pytest.mark.parametrize("labels", [(), (1,), (1, 2, 1), (2, 2), (1, 1, 1)])
def test_all_alignments_of_a_small_sequence(labels, rng):
    y = rng.standard_normal((6, 1, 3))
    row = np.array([labels], np.int32).reshape(1, -1)
    value, _, _ = _run(row, y)
    np.testing.assert_allclose(value, reference.brute_force(labels, y[:, 0]), rtol=1e-13)


def test_against_finite_differences(rng):
    labels = np.array([[1, 1, 2, 3], [3, 2, 0, 0]], np.int32)
    y, weights = rng.standard_normal((7, 2, 4)), np.array([0.3, 1.7])
    _, d, _ = _run(labels, y, [4, 2], [7, 5], weights)
    value = lambda: _run(labels, y, [4, 2], [7, 5], weights, gradient=False)[0]  # noqa: E731
    np.testing.assert_allclose(d, differences(value, y), rtol=0, atol=1e-8)


def test_labels_end_before_what_they_are_filled_up_with(rng):
    y = rng.standard_normal((9, 4, 5))
    labels = np.array([[1, 2, 3], [4, 0, 0], [3, 3, -1], [0, 0, 0]], np.int32)
    value, d, rows = _run(labels, y)
    expected = _run(labels, y, [3, 1, 2, 0], [9] * 4)
    assert value == expected[0]
    np.testing.assert_array_equal(d, expected[1])
    np.testing.assert_array_equal(rows, expected[2])


def test_batch_first(rng):
    y = rng.standard_normal((11, 3, 6)).astype(np.float32)
    labels = _labels(rng, 3, 4, 6, 2)
    value, d, rows = _run(labels, y, [4, 3, 0], [11, 9, 5], blank=2)
    turned = np.ascontiguousarray(y.swapaxes(0, 1))
    other, other_d, other_rows = _run(
        labels, turned, [4, 3, 0], [11, 9, 5], blank=2, time_first=False
    )
    assert other == value
    np.testing.assert_array_equal(other_rows, rows)
    np.testing.assert_array_equal(other_d.swapaxes(0, 1), d)


def test_threads_and_batches_change_no_bits(rng):
    y = rng.standard_normal((30, 16, 45)).astype(np.float32)
    labels = _labels(rng, 16, 9, 45, 0)
    lengths = rng.integers(0, 10, 16), rng.integers(15, 31, 16)
    weights = rng.uniform(0, 2, 16)
    set_num_threads(1)
    value, d, rows = _run(labels, y, *lengths, 16 * weights)
    for threads in (2, 3):
        set_num_threads(threads)
        other, other_d, other_rows = _run(labels, y, *lengths, 16 * weights, work=1e9)
        assert other == value
        np.testing.assert_array_equal(other_d, d)
        np.testing.assert_array_equal(other_rows, rows)
    # Batches of powers of two, so that to divide by their size is exact.
    for first, size in ((0, 1), (3, 4), (7, 8)):
        part = slice(first, first + size)
        _, part_d, part_rows = _run(
            labels[part], np.ascontiguousarray(y[:, part]), lengths[0][part], lengths[1][part],
            size * weights[part],
        )  # fmt: skip
        np.testing.assert_array_equal(part_rows, rows[part])
        np.testing.assert_array_equal(part_d, d[:, part])


def test_longer_rows_of_filling_change_no_bits(rng):
    y = rng.standard_normal((20, 2, 6)).astype(np.float32)
    labels = _labels(rng, 2, 5, 6, 0)
    wide = np.concatenate([labels, np.full((2, 30), -1, np.int32)], axis=1)
    for got, expected in zip(_run(wide, y), _run(labels, y), strict=True):
        np.testing.assert_array_equal(got, expected)


# -- what no alignment fits ------------------------------------------------------------------------

IMPOSSIBLE = [([1, 2, 3], 2), ([1, 1], 2), ([2, 1, 1, 1], 5), ([1], 0)]


@pytest.mark.parametrize(("row", "steps"), IMPOSSIBLE)
def test_too_few_steps(row, steps, rng):
    y = rng.standard_normal((6, 2, 4))
    labels = np.array([row, [3] + [0] * (len(row) - 1)], np.int32)
    lengths = [len(row), 1], [steps, 6]
    value, d, rows = _run(labels, y, *lengths)
    assert value == rows[0] == np.inf
    assert np.isnan(d[:steps, 0]).all()
    assert not d[steps:, 0].any()
    assert np.isfinite(d[:, 1]).all()
    value, zeros, rows = _run(labels, y, *lengths, zero_infinity=True)
    assert rows[0] == 0
    assert value == rows[1] / 2
    assert not zeros[:, 0].any()
    np.testing.assert_array_equal(zeros[:, 1], d[:, 1])
    value, zeros, rows = _run(labels, y, *lengths, weights=np.array([0.0, 1.0]))
    assert rows[0] == np.inf
    assert value == rows[1] / 2
    assert not zeros[:, 0].any()
    # With a step more for each label and each pair, it is possible.
    enough = len(row) + sum(a == b for a, b in itertools.pairwise(row))
    _, _, rows = _run(labels, y, [len(row), 1], [enough, 6])
    assert np.isfinite(rows).all()


def test_a_class_that_is_not_possible(rng):
    y = rng.standard_normal((5, 2, 4))
    y[:, 0, 2] = -np.inf
    value, d, rows = _run(np.array([[1, 2], [1, 2]], np.int32), y)
    assert value == rows[0] == np.inf
    assert np.isnan(d[:, 0]).all()
    assert np.isfinite(d[:, 1]).all()
    # Of no concern where it is not a label.
    labels = np.array([[1, 3], [1, 2]], np.int32)
    _, d, rows = _run(labels, y)
    without = np.ascontiguousarray(y[:, :1, [0, 1, 3]])
    _, expected, row = _run(np.array([[1, 2]], np.int32), without, weights=np.array([0.5]))
    np.testing.assert_allclose(rows[0], row[0], rtol=1e-14)
    np.testing.assert_allclose(d[:, 0][:, [0, 1, 3]], expected[:, 0], atol=1e-15)
    assert not d[:, 0, 2].any()


def test_nan_shows_in_its_sequence_alone(rng):
    y = rng.standard_normal((8, 3, 5)).astype(np.float32)
    labels = _labels(rng, 3, 3, 5, 0)
    for place, bad in (((4, 1, 0), np.nan), ((7, 1, 4), np.nan), ((0, 1, 2), np.inf)):
        spoilt = y.copy()
        spoilt[place] = bad
        value, d, rows = _run(labels, spoilt)
        assert np.isnan(value)
        np.testing.assert_array_equal(np.isnan(rows), [False, True, False])
        assert np.isnan(d[:, 1]).all()
        assert np.isfinite(d[:, [0, 2]]).all()
    # Beyond the end it does not.
    spoilt[0, 1], spoilt[6:, 1] = y[0, 1], np.nan
    value, d, _ = _run(labels, spoilt, [3] * 3, [8, 6, 8])
    assert np.isfinite(value)
    assert np.isfinite(d).all()


@pytest.mark.parametrize(("labels", "label_length", "input_length", "blank"), [
    ([1, 5], 2, 6, 0), ([1, -1], 2, 6, 0), ([1, 2**31 - 1], 2, 6, 0), ([-(2**31), 1], 2, 6, 0),
    ([1, 0], 2, 6, 0), ([1, 2], 3, 6, 0), ([1, 2], -1, 6, 0), ([1, 2], 2**31 - 1, 6, 0),
    ([1, 2], 2, 7, 0), ([1, 2], 2, -1, 0), ([1, 2], 2, 6, 5), ([1, 2], 2, 6, -1),
])  # fmt: skip
def test_what_is_not_possible_touches_nothing_else(
    labels, label_length, input_length, blank, rng
):  # fmt: skip
    y = rng.standard_normal((6, 3, 5)).astype(np.float32)
    rows = np.array([[1, 2], labels, [3, 4]], np.int32)
    _, d, losses = _run(rows, y, [2, label_length, 2], [6, input_length, 6], blank=blank)
    assert np.isnan(losses[1])
    if 0 <= blank < 5:
        np.testing.assert_array_equal(np.isnan(losses), [False, True, False])
        assert np.isfinite(d[:, [0, 2]]).all()


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6, 1e9])
def test_extreme_logits(size, dtype, rng):
    y = (size * rng.choice([-1.0, 1.0], (30, 2, 6))).astype(dtype)
    y += rng.standard_normal(y.shape).astype(dtype)
    labels = _labels(rng, 2, 8, 6, 0)
    value, d, rows = _run(labels, y)
    losses, expected = _exact(labels, y, [8, 8], [30, 30], 0, [1, 1])
    np.testing.assert_allclose(rows, losses, rtol=LIMITS[dtype])
    assert np.isfinite(d).all()
    # Each step's gradient sums to nothing, whatever the size of the loss.
    np.testing.assert_allclose(d.sum(axis=2), 0, atol=LIMITS[dtype])
    if size < 1e5:
        # Digits are lost to the size of the logits; in the reference, to the size of the loss.
        lost = np.finfo(dtype).eps * size + 1e-15 * value
        np.testing.assert_allclose(d, expected, rtol=0, atol=LIMITS[dtype] + lost)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_long_sequences(size, dtype, rng):
    y = (size * rng.standard_normal((2000, 1, 5))).astype(dtype)
    labels = _labels(rng, 1, 60, 5, 0)
    _, d, rows = _run(labels, y)
    loss, expected = reference.recursion(labels[0].tolist(), y[:, 0].astype(float))
    np.testing.assert_allclose(rows, loss, rtol=LIMITS[dtype])
    if size == 1:
        np.testing.assert_allclose(d[:, 0], expected, atol=20 * LIMITS[dtype])
    np.testing.assert_allclose(d.sum(axis=2), 0, atol=2e-6)


def test_a_certain_label_costs_nothing():
    y = np.full((12, 1, 4), -1e4, np.float32)
    for t, k in enumerate([0, 1, 1, 0, 0, 2, 3, 3, 3, 0, 3, 0]):
        y[t, 0, k] = 1e4
    value, d, _ = _run(np.array([[1, 2, 3, 3]], np.int32), y)
    assert value == 0
    np.testing.assert_allclose(d, 0, atol=1e-6)


def test_even_odds_are_counted():
    """Equal logits: the loss counts alignments, far beyond what float32 could hold."""
    y = np.zeros((300, 1, 2), np.float32)
    value, _, _ = _run(np.array([[1] * 20], np.int32), y)
    exact, _ = reference.recursion([1] * 20, np.zeros((300, 2)))
    np.testing.assert_allclose(value, exact, rtol=2e-6)
    value, _, _ = _run(np.zeros((1, 0), np.int32), y)
    np.testing.assert_allclose(value, 300 * np.log(2), rtol=1e-6)


def test_steps_that_do_not_count_are_skipped_wherever_they_stand(rng):
    steps, batch = 20, 7
    mask = rng.integers(0, 2, (steps, batch)).astype(np.uint8)
    mask[:, 0], mask[:, 1] = 1, 0
    places, lengths = np.empty((steps, batch), np.int32), np.empty(batch, np.int32)
    sequences.order_steps(places, lengths, mask, work=0.0)
    labels = _labels(rng, batch, 3, 5, 0)
    label_lengths = np.minimum(rng.integers(0, 4, batch), lengths // 2)
    y = rng.standard_normal((steps, batch, 5))
    _, d, rows = _run(labels, y, label_lengths, lengths, places=places)
    for b in range(batch):
        counts = mask[:, b] != 0
        assert lengths[b] == counts.sum()
        row = labels[b, : label_lengths[b]].tolist()
        loss, wanted = reference.recursion(row, y[counts, b], 0)
        np.testing.assert_allclose(rows[b], loss, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(d[counts, b], wanted / batch, atol=1e-12)
        assert not d[~counts, b].any()
