"""Windows over series: which there are, that nothing is copied, and Keras' numbers."""

from __future__ import annotations

import types

import numpy as np
import pytest

from fastlstm.data import Dataset, sliding_windows, timeseries_dataset_from_array
from tests.peers import import_keras

SERIES = np.arange(50.0)
TABLE = np.arange(60.0).reshape(20, 3)


def _all(dataset):
    """Everything that an epoch has, x or (x, y), as whole arrays."""
    batches = list(dataset)
    if not isinstance(batches[0], tuple):
        return np.concatenate(batches)
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))


@pytest.mark.parametrize("series", [SERIES, TABLE], ids=["numbers", "features"])
@pytest.mark.parametrize(
    ("length", "stride", "rate"), [(5, 1, 1), (4, 3, 2), (1, 1, 1), (20, 1, 1)]
)
def test_windows_are_the_slices_of_the_series(series, length, stride, rate):
    span = (length - 1) * rate + 1
    starts = range(0, len(series) - span + 1, stride)
    expected = np.stack([series[start : start + span : rate] for start in starts])
    view = sliding_windows(series, length, stride, rate)
    np.testing.assert_array_equal(view, expected)
    assert np.shares_memory(view, series)
    assert not view.flags.writeable
    options = {"sequence_length": length, "sequence_stride": stride, "sampling_rate": rate}
    dataset = Dataset.windows(series, **options, batch_size=3)
    np.testing.assert_array_equal(_all(dataset), expected)
    assert np.shares_memory(dataset[0], series)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("horizon", [1, 3])
def test_a_horizon_is_what_follows_a_window(horizon, stride):
    options = {"sequence_length": 4, "horizon": horizon, "sequence_stride": stride}
    x, y = _all(Dataset.windows(TABLE, **options))
    starts = range(0, 20 - 4 - horizon + 1, stride)
    np.testing.assert_array_equal(x, [TABLE[s : s + 4] for s in starts])
    following = np.stack([TABLE[s + 4 : s + 4 + horizon] for s in starts])
    np.testing.assert_array_equal(y, following[:, 0] if horizon == 1 else following)
    # One number a step makes as many outputs as the horizon has steps.
    for targets in (TABLE[:, 0], TABLE[:, :1]):
        _, y = _all(Dataset.windows(TABLE, targets, **options))
        np.testing.assert_array_equal(y, following[..., 0])


def test_a_horizon_after_steps_that_lie_apart():
    x, y = _all(Dataset.windows(SERIES, sequence_length=3, sampling_rate=4, horizon=2))
    np.testing.assert_array_equal(x[0], [0, 4, 8])
    np.testing.assert_array_equal(y[0], [9, 10])
    np.testing.assert_array_equal(y[-1], [48, 49])


def test_several_series_keep_apart():
    series = [SERIES[:9], SERIES[:3], 100 + SERIES[:7]]
    dataset = Dataset.windows(series, sequence_length=4, horizon=2, batch_size=3)
    x, y = _all(dataset)
    parts = [_all(Dataset.windows(s, sequence_length=4, horizon=2)) for s in (series[0], series[2])]
    np.testing.assert_array_equal(x, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(y, np.concatenate([part[1] for part in parts]))
    assert dataset.where(3) == "the window of series 0 from step 3"
    assert dataset.where(5) == "the window of series 2 from step 1"
    shuffled = Dataset.windows(series, sequence_length=4, horizon=2, batch_size=3, shuffle=True)
    x, y = _all(shuffled)
    np.testing.assert_array_equal(y[:, 0], x[:, -1] + 1)
    targets = [-part for part in series]
    x, y = _all(Dataset.windows(series, targets, sequence_length=4, horizon=1))
    np.testing.assert_array_equal(y[:, 0], -x[:, -1] - 1)


class _Elements(list):
    """What Keras builds its data set of, where neither of its two makers is installed."""

    source = classmethod(lambda cls, elements: cls(elements))

    def to_iter_dataset(self):
        return self


_MAKER = types.SimpleNamespace(
    MapDataset=_Elements,
    experimental=types.SimpleNamespace(
        ZipMapDataset=lambda parts: _Elements(zip(*parts, strict=True))
    ),
)


@pytest.mark.parametrize("series", [SERIES, np.arange(100.0).reshape(50, 2)], ids=["1d", "2d"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sequence_stride": 3},
        {"sampling_rate": 2, "sequence_stride": 2},
        {"start_index": 7, "end_index": 33},
        {"start_index": 5, "sequence_stride": 4, "sampling_rate": 3},
        {"end_index": 21},
    ],
    ids=str,
)
@pytest.mark.parametrize("targets", [None, 50, 40, 20])
def test_numbers_are_those_of_keras(options, targets, series, monkeypatch):
    keras = import_keras()
    module = __import__("keras.src.utils.timeseries_dataset_utils", fromlist=["grain"])
    monkeypatch.setattr(module, "grain", _MAKER)
    if targets == 20:  # Keras reads beyond the end of so few from a later start
        options = {**options, "start_index": 0}
    values = None if targets is None else -np.arange(targets)
    theirs = keras.utils.timeseries_dataset_from_array(
        series, values, 6, batch_size=None, format="grain", **options
    )
    ours = timeseries_dataset_from_array(series, values, 6, batch_size=8, **options)
    if values is None:
        np.testing.assert_array_equal(_all(ours), np.stack(theirs))
        return
    x, y = _all(ours)
    np.testing.assert_array_equal(x, np.stack([inputs for inputs, _ in theirs]))
    np.testing.assert_array_equal(y, [target for _, target in theirs])


def test_windows_in_a_new_order_each_epoch():
    dataset = timeseries_dataset_from_array(SERIES, SERIES, 5, shuffle=True, seed=3, batch_size=8)
    (x, y), (_, again) = _all(dataset), _all(dataset)
    np.testing.assert_array_equal(x[:, 0], y)
    np.testing.assert_array_equal(np.sort(y), SERIES[:46])
    assert (again != y).any()
    assert dataset.seed == 3


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((SERIES, None), {}, "sequence_length, the steps of a window"),
        ((SERIES, None, 0), {}, "sequence_length expects a whole number of at least 1"),
        ((SERIES, None, 51), {}, "needs a series of at least 51, got 50"),
        ((SERIES, None, 26), {"sampling_rate": 2}, "26 steps 2 apart needs .* at least 51"),
        ((SERIES, None, 49), {"horizon": 2}, "horizon of 2 need a series of at least 51"),
        ((SERIES, None, 4), {"horizon": 0}, "horizon expects"),
        ((SERIES, SERIES[:9], 4), {"horizon": 1}, "as many steps as data, 50; got 9"),
        ((SERIES, None, 4), {"start_index": 51}, "start_index=51 lies behind the 50 steps"),
        ((SERIES, None, 4), {"start_index": 9, "end_index": 9}, "more than start_index=9, got 9"),
        ((SERIES, SERIES[:3], 4), {"start_index": 3}, "nothing from start_index=3 on"),
        (([SERIES, SERIES], [SERIES], 4), {}, "one array for each of the 2 series"),
        (([SERIES, TABLE], None, 4), {}, r"differ in what a step has, \[\(\), \(3,\)\]"),
        (([SERIES[:3], SERIES[:2]], None, 4), {}, "none of the 2 series has the 4 steps .* 3"),
        (([], None, 4), {}, "at least one series, got none"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, options, text):
    with pytest.raises(ValueError, match=text):
        Dataset.windows(*arguments, **options)


def test_single_samples_are_no_batches():
    with pytest.raises(ValueError, match="batch_size expects a number"):
        timeseries_dataset_from_array(SERIES, None, 4, batch_size=None)
