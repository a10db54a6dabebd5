"""Sequences of unequal length: padding, masks, and batches of like lengths."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.data import Dataset
from fastlstm.data.sequences import SequenceSamples, of_unequal_length

LENGTHS = [3, 7, 1, 7, 4, 2, 6, 5, 3, 1]
X = [np.arange(10.0 * n, 10.0 * n + length) for n, length in enumerate(LENGTHS)]
FEATURES = [np.stack([x, -x], axis=1).astype(np.float32) for x in X]
LABELS = np.arange(10)


@pytest.mark.parametrize("x", [X, FEATURES], ids=["numbers", "features"])
def test_batches_are_filled_up_to_their_longest(x):
    steps = [np.arange(length) for length in LENGTHS]
    weights = [np.ones(length) for length in LENGTHS]
    dataset = Dataset.sequences(x, steps, weights, batch_size=4, shuffle=True)
    seen = []
    for batch in dataset.batches():
        longest = max(LENGTHS[n] for n in batch.numbers)
        assert batch.x.shape == (len(batch.numbers), longest, *x[0].shape[1:])
        assert batch.x.dtype == x[0].dtype
        np.testing.assert_array_equal(batch.lengths, [LENGTHS[n] for n in batch.numbers])
        for row, n in enumerate(batch.numbers):
            length = LENGTHS[n]
            np.testing.assert_array_equal(batch.x[row, :length], x[n])
            np.testing.assert_array_equal(batch.y[row, :length], steps[n])
            np.testing.assert_array_equal(batch.sample_weight[row, :length], 1)
            for part in (batch.x, batch.y, batch.sample_weight):
                assert not part[row, length:].any()
            if batch.mask is not None:
                np.testing.assert_array_equal(batch.mask[row], np.arange(longest) < length)
        assert (batch.mask is None) == (len(set(batch.lengths)) == 1)
        seen += batch.numbers.tolist()
    assert sorted(seen) == list(range(10))


def test_without_shuffling_short_ones_come_first():
    dataset = Dataset.sequences(X, LABELS, batch_size=4)
    numbers = [batch.numbers.tolist() for batch in dataset.batches()]
    assert numbers == [[2, 9, 5, 0], [8, 4, 7, 6], [1, 3]]
    assert [x.shape[1] for x, _ in dataset] == [3, 6, 7]
    plain = Dataset.sequences(X, LABELS, batch_size=4, bucket_by_length=False)
    assert [y.tolist() for _, y in plain] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_shuffled_batches_still_have_like_lengths():
    generator = np.random.default_rng(3)
    lengths = generator.integers(1, 100, 640)
    x = [np.zeros(length) for length in lengths]
    dataset = Dataset.sequences(x, np.arange(640), batch_size=32, shuffle=True, seed=1)
    orders, firsts = [], []
    for _ in range(2):
        batches = list(dataset.batches())
        padded = sum(batch.x.size for batch in batches)
        assert padded < 1.12 * lengths.sum()  # in any order it is 1.9 times as much
        firsts.append([batch.x.shape[1] for batch in batches])
        orders.append(np.concatenate([batch.numbers for batch in batches]).tolist())
        assert sorted(orders[-1]) == list(range(640))
        assert firsts[-1] != sorted(firsts[-1])
    assert orders[0] != orders[1]
    assert firsts[0] != firsts[1]
    members = [[set(order[at : at + 32]) for at in range(0, 640, 32)] for order in orders]
    assert not any(batch in members[1] for batch in members[0])
    # What is left out is not always the longest.
    odd = Dataset.sequences(x[:40], batch_size=32, shuffle=True, seed=1, drop_remainder=True)
    left_out = [set(range(40)).difference(*(b.numbers for b in odd.batches())) for _ in range(2)]
    assert [len(numbers) for numbers in left_out] == [8, 8]
    assert left_out[0] != left_out[1]


def test_lists_of_ids():
    dataset = Dataset.sequences([[1, 2], [3], [4, 5, 6]], [0, 1, 1], batch_size=3)
    ((ids, labels),) = dataset
    assert ids.tolist() == [[3, 0, 0], [1, 2, 0], [4, 5, 6]]
    assert ids.dtype.kind == "i"
    assert labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("value", "unequal"),
    [
        (X, True),
        ([[1, 2], [3]], True),
        (np.array([[1, 2], [3]], dtype=object), True),
        ([[1, 2], [3, 4]], False),
        ([np.zeros((4, 2)), np.zeros((4, 3))], False),
        ([1.0, 2.0], False),
        ([], False),
        ("text", False),
        (["some", "words"], False),
        (np.zeros((3, 2)), False),
        (tuple(X), False),
        ({"a": 1}, False),
    ],
)
def test_what_is_taken_for_sequences_of_unequal_length(value, unequal):
    assert of_unequal_length(value) == unequal


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([],), "at least one sequence, got none"),
        (([[1, 2], []],), r"x\[1\] is a sequence of no steps"),
        ((X, LABELS[:4]), "x has 10 sequences and y has 4"),
        ((X, [*X[:9], X[0]]), r"y\[9\] has 3 steps, but x\[9\] has 1"),
        ((X, LABELS, [1.0]), "x has 10 sequences and sample_weight has 1"),
        (([X[0], FEATURES[1]],), r"x\[1\] has steps of shape \(2,\), those of x\[0\] have \(\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        SequenceSamples(*arguments)


def test_a_part_of_the_sequences():
    samples = SequenceSamples(X, X, LABELS).rows(2, 5)
    batch = samples.take(np.array([2, 0]))
    np.testing.assert_array_equal(batch.sample_weight, [4, 2])
    np.testing.assert_array_equal(batch.x, batch.y)
    np.testing.assert_array_equal(batch.x[1], [20, 0, 0, 0])
    assert samples.where(1) == "sequence 1"
