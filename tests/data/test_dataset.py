"""Batches of arrays: what is read, in which order, and going on with a run that was stopped."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from fastlstm.data import Dataset, sliding_windows
from fastlstm.data.samples import ArraySamples, Joined
from fastlstm.utils import set_random_seed

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def _epoch(dataset):
    """The batches of one epoch as lists."""
    return [np.asarray(y).tolist() for _, y in dataset]


def _order(dataset):
    return [number for batch in _epoch(dataset) for number in batch]


def test_batches_in_order_with_the_rest_at_the_end():
    dataset = Dataset(X, Y, batch_size=4)
    assert len(dataset) == 3
    assert (dataset.samples, dataset.batch_size) == (10, 4)
    for _ in range(2):
        assert _epoch(dataset) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for x, y in dataset:
        np.testing.assert_array_equal(x, X[y])
    assert repr(dataset) == "<Dataset of 10 samples in 3 batches, in order>"


def test_a_batch_has_what_was_given():
    weights = np.arange(10) / 10
    x, y, weight = Dataset(X, Y, weights, batch_size=4)[1]
    np.testing.assert_array_equal(x, X[4:8])
    np.testing.assert_array_equal(y, Y[4:8])
    np.testing.assert_array_equal(weight, weights[4:8])
    np.testing.assert_array_equal(Dataset(X, batch_size=4)[-1], X[8:])
    dataset = Dataset({"a": X, "b": Y}, (Y, -Y), batch_size=3, shuffle=True, seed=1)
    for inputs, targets in dataset:
        assert isinstance(targets, tuple)
        np.testing.assert_array_equal(inputs["b"], targets[0])
        np.testing.assert_array_equal(inputs["a"], X[targets[0]])
        np.testing.assert_array_equal(targets[0], -targets[1])
    with pytest.raises(IndexError, match="there are 4 batches in an epoch, got index 4"):
        dataset[4]


def test_nothing_is_copied_that_is_not_asked_for():
    x, _ = Dataset(X, Y, batch_size=4)[1]
    assert np.shares_memory(x, X)
    windows = sliding_windows(np.arange(100.0), 10)
    assert np.shares_memory(Dataset(windows, batch_size=4)[1], windows)
    shuffled = Dataset(windows, batch_size=4, shuffle=True)[1]
    assert shuffled.flags.c_contiguous
    assert not np.shares_memory(shuffled, windows)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux what it was told")
@pytest.mark.parametrize("view", ["rows", "windows"])
def test_the_system_reads_ahead_where_that_is_of_use(view, tmp_path):
    """Not around rows in random order, of which it would throw most of what it reads away."""
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(5000, 8))
    array = mapped if view == "rows" else sliding_windows(mapped, 5)

    def reads_at_random():
        text = Path("/proc/self/smaps").read_text().split(str(tmp_path / "x"))[1]
        return " rr" in text.split("VmFlags:")[1].split("\n")[0]

    dataset = Dataset(array, shuffle=True)
    assert not reads_at_random()
    dataset[0]
    assert reads_at_random()
    next(dataset.batches(in_order=True))
    assert not reads_at_random()
    long = Dataset(mapped.reshape(2, -1), shuffle=True)
    long[0]
    assert not reads_at_random()


def test_each_epoch_has_all_samples_in_an_order_of_its_own():
    dataset = Dataset(X, Y, batch_size=4, shuffle=True, seed=5)
    orders = [_order(dataset) for _ in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders} | {tuple(range(10))}) == 4
    assert orders == [_order(again) for again in [Dataset(X, Y, shuffle=True, seed=5)] * 3]
    assert orders[0] != _order(Dataset(X, Y, shuffle=True, seed=6))
    assert "shuffled by seed 5" in repr(dataset)


def test_without_a_seed_the_packages_own_draws_one():
    orders = []
    for seed in (1, 1, 2):
        set_random_seed(seed)
        orders.append(_order(Dataset(X, Y, shuffle=True)))
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("taken", range(8))
def test_what_was_stopped_goes_on_with_the_very_batches(taken, prefetch):
    """Also in another process: the state goes through JSON."""

    def make():
        options = {"batch_size": 4, "shuffle": True, "prefetch": prefetch}
        return Dataset(X, Y, **options)

    whole = make()
    batches = [batch for _ in range(4) for batch in _epoch(whole)]

    stopped = make()
    stopped.set_state({**whole.state(), "epoch": 0, "batch": 0})
    first = []
    while len(first) < taken:
        for _, y in stopped:
            first.append(y.tolist())
            if len(first) == taken:
                break
    assert first == batches[:taken]
    resumed = make()
    resumed.set_state(json.loads(json.dumps(stopped.state())))
    rest = [batch for _ in range(5) for batch in _epoch(resumed)]
    assert rest[: len(batches) - taken] == batches[taken:]


def test_an_epoch_that_was_left_starts_again():
    dataset = Dataset(X, Y, batch_size=4, shuffle=True, seed=1)
    first = _epoch(Dataset(X, Y, batch_size=4, shuffle=True, seed=1))
    for _, y in dataset:
        assert y.tolist() == first[0]
        break
    assert dataset.state() == {"epoch": 0, "batch": 1, "seed": 1}
    assert _epoch(dataset) == first
    assert dataset.epoch == 1


def test_going_over_the_samples_as_they_are_changes_no_state():
    dataset = Dataset(X, Y, batch_size=4, shuffle=True, seed=1, drop_remainder=True)
    numbers = [batch.numbers.tolist() for batch in dataset.batches(in_order=True)]
    assert numbers == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert dataset.state() == {"epoch": 0, "batch": 0, "seed": 1}
    assert len(dataset) == len(_epoch(dataset)) == 2


def test_two_loops_at_once_do_not_disturb_each_other():
    """Each has the order of the epoch in which it began."""
    first = [list(np.concatenate(list(d))) for d in [Dataset(Y, shuffle=True, seed=1)]]
    dataset = Dataset(Y, batch_size=2, shuffle=True, seed=1)
    slow = dataset.batches()
    got = [next(slow).x.tolist()]
    dataset.set_state({"epoch": 7, "batch": 0, "seed": 1})
    later = [x.tolist() for x in dataset]
    got += [batch.x.tolist() for batch in slow]
    assert [number for batch in got for number in batch] == first[0]
    assert sorted(number for batch in later for number in batch) == list(range(10))
    assert later != got


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"epoch": 1}, r"epoch, batch and seed; got \['epoch'\]"),
        ({"epoch": 1, "batch": 3, "seed": 0}, "before batch 3 of an epoch, but here are 3"),
        ({"epoch": -1, "batch": 0, "seed": 0}, "whole number of at least 0, got -1"),
    ],
)
def test_a_state_of_something_else_is_refused(state, text):
    dataset = Dataset(X, Y, batch_size=4)
    with pytest.raises(ValueError, match=text):
        dataset.set_state(state)
    assert dataset.state() == {"epoch": 0, "batch": 0, "seed": 0}


def test_copies_go_on_by_themselves():
    dataset = Dataset(X, Y, batch_size=4, shuffle=True)
    _epoch(dataset)
    copy = pickle.loads(pickle.dumps(dataset))
    assert [_epoch(copy), _epoch(copy)] == [_epoch(dataset), _epoch(dataset)]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Dataset(X, Y[:9]), ValueError, "x has 10 and y has 9|x has 10, y has 9"),
        (lambda: Dataset((X, X[:4])), ValueError, r"x\[0\] has 10, x\[1\] has 4"),
        (lambda: Dataset(X[:0]), ValueError, "at least one sample, got none"),
        (lambda: Dataset(3.0), ValueError, "samples along its first axis, got a single number"),
        (lambda: Dataset([[1, 2], [3]]), ValueError, "are for Dataset.sequences"),
        (lambda: Dataset(["a"]), TypeError, "expects real numbers, got dtype <U1"),
        (lambda: Dataset(np.ma.array(Y, mask=Y > 3)), TypeError, "masked array"),
        (lambda: Dataset(X, batch_size=0), ValueError, "batch_size expects a whole number"),
        (lambda: Dataset(X, seed=-1), ValueError, "seed expects a whole number of at least 0"),
        (lambda: Dataset(X, prefetch=-1), ValueError, "prefetch expects"),
        (lambda: Dataset(X, drop_remainder=True), ValueError, "no batch of 32 from 10 samples"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_samples_of_several_parts_keep_the_order_asked_for():
    joined = Joined([ArraySamples(X[:4], Y[:4]), ArraySamples(X[4:5], Y[4:5]),
                     ArraySamples(X[5:], Y[5:])])  # fmt: skip
    assert len(joined) == 10
    index = np.array([7, 4, 0, 9, 3, 5])
    batch = joined.take(index)
    np.testing.assert_array_equal(batch.y, index)
    np.testing.assert_array_equal(batch.x, X[index])
    np.testing.assert_array_equal(joined.take(slice(3, 6)).y, [3, 4, 5])
    assert joined.where(4) == "sample 0"
