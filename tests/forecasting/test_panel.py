"""Panels: what is cut from them and what comes behind, against lists of each series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm.forecasting.frequency import Frequency
from fastlstm.forecasting.panel import Names, Panel, as_objects


def _dated(lengths, freq="D", names=Names(("x",), ("p", "q"), ("c",)), first=0):  # noqa: B008
    """Series named s0, s1 ... whose values, columns and stamps all differ."""
    frequency = Frequency.of(freq)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    count, total = len(lengths), int(offsets[-1])
    start = np.datetime64("2024-02-29", "us")
    return Panel(
        ids=as_objects([f"s{n}" for n in range(first, first + count)]),
        offsets=offsets,
        y=100.0 * first + np.arange(total),
        starts=frequency.at(start, np.arange(count)),
        frequency=frequency,
        futr=np.arange(total)[:, np.newaxis] + 0.25,
        hist=np.arange(2 * total).reshape(total, 2) + 0.5,
        static=np.arange(count)[:, np.newaxis] + 10.0,
        names=names,
    )


def _as_lists(panel):
    """Of each id: start, values, columns, static."""
    lists = {}
    for s, name in enumerate(panel.ids):
        rows = slice(panel.offsets[s], panel.offsets[s + 1])
        lists[name] = (
            panel.starts[s], panel.y[rows].tolist(), panel.futr[rows].tolist(),
            panel.hist[rows].tolist(), panel.static[s].tolist(),
        )  # fmt: skip
    return lists


def test_stamps_of_series():
    panel = _dated([3, 1], "ME")
    assert len(panel) == 2
    assert panel.lengths.tolist() == [3, 1]
    ends = np.array(["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"], "datetime64[us]")
    np.testing.assert_array_equal(panel.stamps(0), ends[:3])
    np.testing.assert_array_equal(panel.ends, ends[[2, 1]])
    np.testing.assert_array_equal(panel.future_stamps(2), [ends[[3, 3]] + [0, 30 * 86_400_000_000],
                                                           ends[2:]])  # fmt: skip
    assert np.shares_memory(panel.series(1), panel.y)
    assert panel.series(1).tolist() == [3]


lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@given(lengths, st.data())
def test_what_is_cut_and_put_together_is_as_before(lengths, data):
    panel = _dated(lengths)
    cuts = [data.draw(st.integers(1, n)) for n in lengths]
    known, rest = panel.until(cuts), panel.since(cuts)
    assert [part[1] for part in _as_lists(known).values()] == [
        panel.series(s)[:n].tolist() for s, n in enumerate(cuts)
    ]
    there = rest.take(np.flatnonzero(rest.lengths))
    whole = known.append(there) if len(there) else known
    assert _as_lists(whole) == _as_lists(panel)
    np.testing.assert_array_equal(whole.ends, panel.ends)


@given(lengths, st.data())
def test_some_series_in_any_order(lengths, data):
    panel = _dated(lengths)
    index = data.draw(st.permutations(range(len(lengths))))
    index = index[: data.draw(st.integers(1, len(index)))]
    taken, all_of_them = panel.take(index), _as_lists(panel)
    assert list(taken.ids) == [panel.ids[s] for s in index]
    assert _as_lists(taken) == {name: all_of_them[name] for name in taken.ids}


@given(lengths, st.integers(1, 3))
def test_values_behind_the_end(lengths, h):
    panel = _dated(lengths)
    values = -np.arange(len(lengths) * h, dtype=float).reshape(-1, h)
    futr = values[..., np.newaxis] - 0.5
    longer = panel.extended(values, futr)
    for s, (name, (start, y, x, past, static)) in enumerate(_as_lists(panel).items()):
        wanted = (
            start,
            y + values[s].tolist(),
            x + futr[s].tolist(),
            past + [past[-1]] * h,
            static,
        )
        assert _as_lists(longer)[name] == wanted
    kept = panel.extended(values)
    assert kept.futr[kept.offsets[1:] - 1].tolist() == panel.futr[panel.offsets[1:] - 1].tolist()


def test_new_series_come_last():
    panel, other = _dated([3, 2]), _dated([2, 4], first=2)
    both = panel.append(other)
    assert both.ids.tolist() == ["s0", "s1", "s2", "s3"]
    assert _as_lists(both) == {**_as_lists(panel), **_as_lists(other)}


def test_rows_that_do_not_go_on_are_named():
    panel = _dated([3, 2])
    with pytest.raises(ValueError, match="'s0' from 2024-02-29, expected 2024-03-03; 's1' from"):
        panel.append(panel)
    late = replace(panel, starts=panel.future_stamps(2)[:, 1])
    with pytest.raises(ValueError, match="'s0' from 2024-03-04, expected 2024-03-03"):
        panel.append(late)
    with pytest.raises(ValueError, match="expect the frequency 'D', got 'h'"):
        panel.append(_dated([3], "h"))
    with pytest.raises(ValueError, match=r"the columns that there were, \['x', 'p', 'q', 'c'\]"):
        panel.append(replace(panel, names=Names(("x",), ("p", "z"), ("c",))))


def test_arrays_go_on_with_their_ids():
    panel = Panel.of_arrays({"a": [1.0, 2], "b": [3.0]})
    longer = panel.append(Panel.of_arrays({"b": [4.0, 5], "c": [6.0]}).after(panel))
    assert {name: part[:2] for name, part in _as_lists(longer).items()} == {
        "a": (0, [1, 2]), "b": (0, [3, 4, 5]), "c": (0, [6])
    }  # fmt: skip


@pytest.mark.parametrize(
    ("series", "ids", "lengths"),
    [
        ([1, 2, 3], [0], [3]),
        ((1.5, None, 3), [0], None),
        (np.arange(6).reshape(2, 3), [0, 1], [3, 3]),
        ([[1, 2, 3], [4, 5]], [0, 1], [3, 2]),
        ((np.arange(4.0), [1]), [0, 1], [4, 1]),
        ({"a": [1, 2], 7: np.ones(3)}, ["a", 7], [2, 3]),
    ],
)
def test_arrays_of_several_sorts(series, ids, lengths):
    if lengths is None:
        with pytest.raises(TypeError, match="series 0 has dtype object"):
            Panel.of_arrays(series)
        return
    panel = Panel.of_arrays(series)
    assert panel.ids.tolist() == ids
    assert panel.lengths.tolist() == lengths
    assert panel.y.dtype == np.float64
    assert panel.starts.tolist() == [0] * len(ids)
    np.testing.assert_array_equal(panel.stamps(0), np.arange(lengths[0]))


def test_columns_of_tables_are_arrays():
    pd = pytest.importorskip("pandas")
    assert Panel.of_arrays(pd.Series([1.0, np.nan, 3.0])).lengths.tolist() == [3]
    assert Panel.of_arrays([pd.Series([1.0, 2.0]), pd.Series([3.0])]).lengths.tolist() == [2, 1]


def test_a_frequency_gives_arrays_its_season():
    panel = Panel.of_arrays([1.0, 2.0], Frequency.of("h"))
    assert panel.frequency.season == 24
    assert panel.stamps(0).tolist() == [0, 1]
    assert panel.future_stamps(2).tolist() == [[2, 3]]
    assert Panel.of_arrays([1.0]).frequency.season == 1


@pytest.mark.parametrize(
    ("series", "error", "text"),
    [
        ([], ValueError, r"series 0 expects shape \(time,\) with at least one step, got \(0,\)"),
        ({}, ValueError, "expected at least one series, got none"),
        (np.zeros((2, 3, 4)), ValueError, r"series 0 expects shape \(time,\).* got \(2, 3, 4\)"),
        ([[1.0], [[2.0]]], ValueError, r"series 1 expects shape \(time,\)"),
        ([[1.0, [2.0]]], ValueError, "series 0 does not form an array of one shape"),
        ([1.0, [2.0]], ValueError, "series 0 does not form an array of one shape"),
        ([1.0, np.inf], ValueError, "series 0 is infinite at 1 steps, the first one number 1"),
        ({"a": [1.0], "b": [np.nan] * 2}, ValueError, "series 'b' has no value: all 2 are NaN"),
        (["a", "b"], TypeError, "series 0 has dtype <U1, expected real numbers"),
        (5.0, ValueError, r"got \(\)"),
    ],
)
def test_arrays_that_are_no_series_are_said(series, error, text):
    with pytest.raises(error, match=text):
        Panel.of_arrays(series)
