"""Batches are read several at a time; those like the one before are not checked again."""

import numpy as np
import pytest

from fastlstm.forecasting import MQRNN, fitting
from fastlstm.forecasting.fitting import Batches, _Checked
from fastlstm.forecasting.scaling import _quantile, _quantile_of_all
from fastlstm.training.data import Data


class _Model:
    """What ``_Checked`` asks of a model, which counts how often it is asked to check."""

    input_names = ("past", "static")

    def __init__(self):
        self.checked = 0

    def prepare(self, x, y, weight):
        self.checked += 1
        arrays = [np.ascontiguousarray(one, np.float32) for one in (*x.values(), y, weight)]
        return Data(tuple(arrays[:2]), (arrays[2],), (arrays[3],))


def _batch(rng, rows=4, dtype=np.float32):
    static, past = rng.normal(size=(rows, 2)), rng.normal(size=(rows, 6, 3))
    y, weight = rng.normal(size=(rows, 5, 1)), np.ones((rows, 5))
    x = {"past": past.astype(dtype), "static": static.astype(dtype)}
    return x, y.astype(dtype), weight.astype(dtype)


def test_what_is_alike_is_taken_as_it_is(rng):
    checked = _Checked(model := _Model())
    checked(_batch(rng))
    x, y, weight = _batch(rng)
    data = checked((dict(reversed(x.items())), y, weight))
    assert model.checked == 1
    assert (data.x[0] is x["past"], data.x[1] is x["static"]) == (True, True)
    assert (data.y[0] is y, data.weight[0] is weight) == (True, True)


@pytest.mark.parametrize(
    "other",
    [
        lambda rng: _batch(rng, rows=3),
        lambda rng: _batch(rng, dtype=np.float64),
        lambda rng: (_batch(rng)[0], _batch(rng, rows=8)[1][::2], _batch(rng)[2]),
    ],
    ids=["fewer rows", "another type", "not side by side"],
)
def test_what_is_not_is_checked(rng, other):
    checked = _Checked(model := _Model())
    checked(_batch(rng))
    data = checked(other(rng))
    assert model.checked == 2
    assert all(one.flags.c_contiguous and one.dtype == np.float32 for one in (*data.x, *data.y))


@pytest.mark.parametrize("together", [1, 4, 9, 100])
def test_batches_are_those_of_the_order(together):
    asked = []

    def batch_of(index):
        asked.append(len(index))
        return {"past": index[:, None]}, index * 2, index * 3

    order = np.random.default_rng(0).permutation(22)
    batches = Batches(batch_of, 4, together)
    for step, at in enumerate(range(0, 16, 4)):  # four steps, and the last batch is not asked for
        x, y, weight = batches.next(order, at, 4 - step)
        index = order[at : at + 4]
        np.testing.assert_array_equal(x["past"][:, 0], index)
        np.testing.assert_array_equal(y, index * 2)
        np.testing.assert_array_equal(weight, index * 3)
    assert asked == {1: [4] * 4, 4: [4] * 4, 9: [8, 8], 100: [16]}[together]
    x, y, _ = Batches(batch_of, 4, together).next(order, 20, 5)  # at the end of a pass
    assert len(y) == len(x["past"]) == 2


def test_a_fit_does_not_depend_on_how_many_are_read_together(monkeypatch):
    rng = np.random.default_rng(0)
    y = rng.standard_normal((3, 60)).cumsum(axis=1)
    y[1, rng.permutation(60)[:9]] = np.nan
    made = []
    for together in (1, 8, 1024):
        monkeypatch.setattr(fitting, "TOGETHER", together)
        model = MQRNN(4, input_size=8, units=8, max_steps=30, batch_size=8, patience=9, verbose=0)
        made.append(model.fit(y).predict())
    assert np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2])


@pytest.mark.parametrize("length", [1, 2, 7, 48])
def test_quartiles_of_whole_windows_have_the_same_bits(rng, length):
    rising, count = np.sort(rng.normal(size=(9, length)), axis=1), np.full((9, 1), length)
    for q in (0.25, 0.5, 0.75):
        np.testing.assert_array_equal(
            _quantile_of_all(rising, count, q), _quantile(rising, count, q)
        )
