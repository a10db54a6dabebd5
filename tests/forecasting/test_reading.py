"""Batches of windows: what is remembered of a window is what was found out of it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fastlstm.forecasting import MQRNN, SegRNN, Seq2Seq
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.seasonal import last_season, relative, repeated, unit_between
from fastlstm.forecasting.windows import Memory, WindowList, WindowReader

H, LOOK_BACK = 5, 16


def table(holes: bool) -> pd.DataFrame:
    """Two series with a column that is no flag, one of them short."""
    generator = np.random.default_rng(0)
    parts = []
    for number, n in enumerate((120, 40)):
        y = 10 * (number + 1) + generator.standard_normal(n)
        if holes:
            y[generator.random(n) < 0.1] = np.nan
        stamps = pd.date_range("2024-01-01", periods=n, freq="h")
        known = generator.standard_normal(n)
        parts.append(pd.DataFrame({"unique_id": number, "ds": stamps, "y": y, "known": known}))
    return pd.concat(parts)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("kind", [MQRNN, Seq2Seq, SegRNN])
def test_a_batch_is_the_same_whether_its_windows_were_read_before(kind: Any, holes: bool) -> None:
    options: dict[str, Any] = {"season_length": 8, "units": 8, "max_steps": 1, "verbose": 0}
    model = kind(H, "h", LOOK_BACK, **options).fit(table(holes), futr_exog=["known"])
    reader = WindowReader(model._transformed(model.panel_), LOOK_BACK, H)
    series, origins = reader.origins(4)
    windows = WindowList(reader, series, origins, 2 * len(series))
    assert windows.memory is not None
    assert WindowList(reader, series, origins, len(series)).memory is None
    some = np.random.default_rng(1).permutation(len(series))[:50]
    for index in (some, some[::-1], np.arange(len(series))):  # none, all and some are known
        alone = model._batch(reader.read(series[index], origins[index]))
        made = model._batch(windows.read(index))
        for name, x in alone[0].items():
            np.testing.assert_array_equal(made[0][name], x)
        np.testing.assert_array_equal(made[1], alone[1])
        np.testing.assert_array_equal(made[2], alone[2])


def test_what_is_known_is_not_found_again() -> None:
    memory, asked = Memory(10), []

    def find(what: str, number: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
        asked.append((what, number.tolist()))
        return tuple(number[:, np.newaxis] * 2.0 + k for k in range(n))

    for index in ([3, 1], [1, 3], [1, 4], [4], [0]):
        number = np.array(index)
        recalled = memory.recall(number)
        for what, n in (("both", 2), ("one", 1)):
            found = recalled.of(
                what, lambda number=number, what=what, n=n: find(what, number + n, n)
            )
            for k, values in enumerate(found):
                np.testing.assert_array_equal(values, 2.0 * (number + n)[:, np.newaxis] + k)
    both = [("both", [n + 2 for n in index]) for index in ([3, 1], [1, 4], [0])]
    one = [("one", [n + 1 for n in index]) for index in ([3, 1], [1, 4], [0])]
    assert asked == [call for pair in zip(both, one, strict=True) for call in pair]


def test_windows_say_whether_they_are_whole() -> None:
    y = np.arange(30.0)
    y[20] = np.nan
    reader = WindowReader(Panel.of_arrays([y, np.arange(30.0)]), 4, 2)
    whole = reader.read(np.array([0, 0, 1]), np.array([4, 20, 21]))
    assert whole.whole
    np.testing.assert_array_equal(whole.cells()[..., 1], 1.0)
    for origin in (3, 21, 24):  # before the first value, and with the gap at each end
        one = reader.read(np.array([0]), np.array([origin]))
        assert not one.whole
        np.testing.assert_array_equal(one.cells()[..., 1], np.isfinite(one.past))
        assert one.take(np.array([0, 0])).past.shape == (2, 4)


def test_columns_of_the_past_and_of_what_comes() -> None:
    model = MQRNN(H, "h", LOOK_BACK, units=8, max_steps=1, verbose=0)
    given = table(holes=False).assign(past=lambda df: df["known"] + 100)
    panel = model.fit(given, futr_exog=["known"], hist_exog=["past"]).panel_
    reader = WindowReader(panel, LOOK_BACK, H)
    series, origins = np.array([1, 0, 0]), np.array([20, 90, 3])
    one = reader.read(series, origins)
    lists = WindowList(reader, series, origins, 3).read(np.arange(3))
    known = panel.futr[:, 0].astype(np.float32)
    for b, (s, origin) in enumerate(zip(series, origins, strict=True)):
        at = panel.offsets[s] + origin
        there = min(origin, LOOK_BACK)
        np.testing.assert_array_equal(one.cells()[b, -there:, 3], known[at - there : at])
        np.testing.assert_array_equal(one.cells()[b, :-there, 2:4], 0.0)
        hist = panel.hist[at - there : at, 0].astype(np.float32)
        np.testing.assert_array_equal(one.cells()[b, -there:, 2], hist)
        np.testing.assert_array_equal(one.future()[b, :, 0], known[at : at + H])
        both = np.concatenate([one.cells()[b, :, 3:], one.future()[b]])
        np.testing.assert_array_equal(one.columns()[b], both)
    np.testing.assert_array_equal(lists.cells(), one.cells())
    np.testing.assert_array_equal(lists.future(), one.future())
    assert [w.tolist() for w in (lists.ids, lists.starts)] == [
        one.ids.tolist(),
        one.starts.tolist(),
    ]


@pytest.mark.parametrize(("season", "h"), [(4, 6), (4, 3), (1, 2), (30, 3)])
def test_whole_windows_are_like_those_with_a_gap_elsewhere(season: int, h: int) -> None:
    past = np.random.default_rng(0).standard_normal((3, 14)) + 5
    both = past.copy()
    both[2, [0, 13]] = np.nan
    base, unit = repeated(past, season, h)
    np.testing.assert_array_equal(base, last_season(past, season, h))
    np.testing.assert_array_equal(unit, unit_between(past, season))
    flags = np.zeros(3, bool)
    for one, other in zip(
        (base, unit, relative(past, unit, flags)),
        (*repeated(both, season, h), relative(both, repeated(both, season, h)[1], flags)),
        strict=True,
    ):
        np.testing.assert_allclose(one[:2], other[:2], rtol=1e-13)
