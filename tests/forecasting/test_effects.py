"""What hours of the week and columns add to a series is found, and taken away by ``Ridge``."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.forecasting import Combination, Ridge, SeasonalNaive, load
from fastlstm.forecasting.effects import Effects, Known, _products, fit_effects
from fastlstm.forecasting.scores import mae

DAY, WEEK = 24, 168
MONDAY = np.datetime64("2024-01-01", "us")


def _known(n, columns=None, week=WEEK):
    places = np.arange(n) % week if week else np.empty(0, np.int64)
    return Known(places, week, np.empty((n, 0)) if columns is None else columns)


def _wandering(rng, n):
    """A level that moves on, which no column and no week explains."""
    return np.cumsum(0.2 * rng.standard_normal(n))


def test_the_products_are_those_of_the_columns_written_out(rng):
    n, count = 200, 14
    places, x, change = np.arange(n + 2) % count, rng.normal(size=(n, 3)), rng.normal(size=n)
    now, then = places[2:], places[:-2]
    ones = np.eye(count)
    written = np.concatenate([ones[now] - ones[then], x], axis=1)
    square, cross = _products(x, change, now, then, count)
    np.testing.assert_allclose(square, written.T @ written, atol=1e-10)
    np.testing.assert_allclose(cross, written.T @ change, atol=1e-10)


def test_slopes_and_the_week_are_found_under_a_level_that_moves(rng):
    n = 12 * WEEK
    columns = np.stack([5 + 2 * rng.standard_normal(n), 1e6 * rng.standard_normal(n)], axis=1)
    weekend = np.where(np.arange(WEEK) < 5 * DAY, 0.0, 3.0)
    known = _known(n, columns)
    y = _wandering(rng, n) + 0.7 * columns[:, 0] + weekend[known.places]
    found = fit_effects(y, known, DAY)
    np.testing.assert_allclose(found.slopes * [1, 1e6], [0.7, 0.0], atol=0.02)
    added = found.week - found.week.mean()
    assert np.abs(added - (weekend - weekend.mean())).mean() < 0.3
    wanted = found.week[known.places] + (columns - columns.mean(axis=0)) @ found.slopes
    np.testing.assert_allclose(found.at(known), wanted)


def test_a_series_without_a_week_is_given_hardly_any(rng):
    n = 8 * WEEK
    sizes = []
    for _ in range(10):
        y = _wandering(rng, n)
        sizes.append(fit_effects(y, _known(n), DAY).week.std())
    with_week = y + np.where(np.arange(n) % WEEK < 5 * DAY, 0.0, 3.0)
    assert np.mean(sizes) < 0.1 * fit_effects(with_week, _known(n), DAY).week.std()


@pytest.mark.parametrize(("n", "known"), [(20, False), (2 * WEEK, False), (4 * WEEK, True)])
def test_a_week_is_only_learned_where_there_are_some(n, known, rng):
    y = np.where(np.arange(n) % WEEK < 5 * DAY, 0.0, 3.0) + 0.1 * rng.standard_normal(n)
    assert len(fit_effects(y, _known(n), DAY).week) == (WEEK if known else 0)


def test_columns_that_do_not_vary_add_nothing():
    columns = np.stack([np.full(60, 4.0), np.zeros(60)], axis=1)
    found = fit_effects(np.arange(60.0), _known(60, columns, 0), 7)
    np.testing.assert_array_equal(found.slopes, 0.0)
    later = _known(3, np.full((3, 2), 9.0), 0)
    np.testing.assert_array_equal(found.at(later), 0.0)
    short = fit_effects(np.arange(5.0), _known(5, columns[:5], 0), 7)
    assert isinstance(short, Effects)
    np.testing.assert_array_equal(short.at(later), 0.0)


# -- the regression that takes them away -----------------------------------------------------------


def _table(rng, n=5 * WEEK, count=2, slope=4.0):
    """Hours with a day, a weekend, and a column that says much of what comes."""
    pandas = pytest.importorskip("pandas")
    t, parts = np.arange(n), []
    for s in range(count):
        load_ = rng.standard_normal(n)
        y = 50 + 5 * np.sin(2 * np.pi * t / DAY) + np.where(t % WEEK < 5 * DAY, 0, -8)
        y = y + slope * load_ + 0.5 * rng.standard_normal(n)
        stamps = pandas.date_range("2024-01-01", periods=n, freq="h")
        parts.append(pandas.DataFrame({"unique_id": f"s{s}", "ds": stamps, "y": y, "load": load_}))
    return pandas.concat(parts, ignore_index=True)


def _cut(table, left):
    """All but the last rows of each series, and these."""
    place = table.groupby("unique_id").cumcount(ascending=False)
    return table[place >= left], table[place < left]


@pytest.mark.parametrize("pooled", [False, True])
def test_ridge_is_better_with_a_column_that_says_something(rng, pooled):
    past, ahead = _cut(_table(rng), DAY)
    came = ahead["y"].to_numpy()
    model = Ridge(DAY, verbose=0, pooled=pooled)
    without = mae(came, model.fit(past.drop(columns="load")).predict()["Ridge"].to_numpy())
    model.fit(past, futr_exog=["load"])
    with_it = mae(came, model.predict(futr_df=ahead.drop(columns="y"))["Ridge"].to_numpy())
    assert with_it < 0.35 * without
    assert not any("not used" in note for note in model.notes_)


def test_ridge_knows_the_week_of_stamps(rng):
    past, ahead = _cut(_table(rng, slope=0.0).drop(columns="load"), 3 * DAY)
    known, alone = past, past.assign(ds=past.groupby("unique_id").cumcount())
    came = ahead["y"].to_numpy()
    with_week = Ridge(DAY, verbose=0, input_size=2 * DAY).fit(known).predict(h=3 * DAY)["Ridge"]
    numbers = Ridge(DAY, verbose=0, input_size=2 * DAY).fit(alone).predict(h=3 * DAY)["Ridge"]
    assert mae(came, with_week.to_numpy()) < 0.8 * mae(came, numbers.to_numpy())


def test_what_is_not_known_of_the_future_is_told(rng):
    table = _table(rng, n=60, count=1)
    model = Ridge(4, verbose=0).fit(table, hist_exog=["load"])
    assert "columns beside the target are not used: 'load'" in model.notes_


def test_intervals_are_as_wide_as_errors_with_the_column(rng):
    past, ahead = _cut(_table(rng), DAY)
    wide = {}
    for exog in ([], ["load"]):
        kept = past if exog else past.drop(columns="load")
        model = Ridge(DAY, level=[80], verbose=0).fit(kept, futr_exog=exog)
        made = model.predict(futr_df=ahead.drop(columns="y") if exog else None)
        wide[len(exog)] = (made["Ridge-hi-80"] - made["Ridge-lo-80"]).mean()
    assert wide[1] < 0.5 * wide[0]


def test_it_goes_on_step_by_step_is_kept_and_combined(rng, tmp_path):
    """With columns and stamps: the same bits by step, by update, and from a file."""
    past, ahead = _cut(_table(rng, count=1), DAY + 1)
    model = Ridge(DAY, verbose=0).fit(past, futr_exog=["load"])
    model.save(tmp_path / "ridge.safetensors")
    again = load(tmp_path / "ridge.safetensors")
    first, rest = ahead[:1], ahead[1:]
    again.update(first)
    wanted = again.predict(futr_df=rest.drop(columns="y"))["Ridge"].to_numpy()
    made = model.step(first["y"].to_numpy(), futr=ahead["load"].to_numpy()[:, np.newaxis])
    np.testing.assert_array_equal(np.ravel(made), wanted)
    both = Combination(DAY, models=[Ridge(DAY), SeasonalNaive(DAY)], verbose=0)
    both.fit(past, futr_exog=["load"])
    mixed = both.predict(futr_df=ahead[:-1].drop(columns="y"))["Combination"].to_numpy()
    alone = Ridge(DAY, verbose=0).fit(past, futr_exog=["load"])
    one = alone.predict(futr_df=ahead[:-1].drop(columns="y"))["Ridge"].to_numpy()
    rule = SeasonalNaive(DAY, verbose=0).fit(past).predict()["SeasonalNaive"].to_numpy()
    np.testing.assert_array_equal(mixed, np.mean([one, rule], axis=0))


def test_a_series_does_not_depend_on_those_beside_it(rng):
    past, ahead = _cut(_table(rng, count=3), DAY)
    both = Ridge(DAY, verbose=0).fit(past, futr_exog=["load"])
    made = both.predict(futr_df=ahead.drop(columns="y"))
    mine, later = (part[part["unique_id"] == "s1"] for part in (past, ahead))
    alone = Ridge(DAY, verbose=0).fit(mine, futr_exog=["load"])
    one = alone.predict(futr_df=later.drop(columns="y"))["Ridge"].to_numpy()
    np.testing.assert_array_equal(made.loc[made["unique_id"] == "s1", "Ridge"].to_numpy(), one)


def test_spikes_of_the_past_do_not_spoil_the_forecast(rng):
    t = np.arange(8 * WEEK)
    calm = 50 + 5 * np.sin(2 * np.pi * t / DAY) + rng.standard_normal(len(t))
    wild = calm.copy()
    spikes = rng.choice(len(t) - WEEK - DAY, 12, replace=False)
    wild[spikes] *= rng.uniform(5, 15, 12)
    came = calm[-DAY:]
    error, usual = (
        mae(came, Ridge(DAY, freq="h", verbose=0).fit(y[:-DAY]).predict()) for y in (wild, calm)
    )
    assert error < 1.3 * usual
