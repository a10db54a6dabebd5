"""ES-RNN: its equations, what it learns, how it cuts, keeps and recognises series, components."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import fastlstm
from fastlstm.forecasting import ESRNN, Naive
from fastlstm.forecasting.decomposition import first_seasons, likely
from fastlstm.forecasting.frequency import Frequency
from fastlstm.forecasting.lessons import Lessons
from fastlstm.forecasting.panel import Panel
from tests.reference import smoothing as reference

T = np.arange(150)
WAVE = np.sin(2 * np.pi * T / 12)
Y = [
    (50 + T) * (1 + 0.2 * WAVE),
    T - 60 + 10 * WAVE,  # below zero too
    (300 - T)[:110] * (1 + 0.3 * WAVE[:110]),
]
SMALL = {"season_length": 12, "units": 8, "max_steps": 6, "verbose": 0}


@cache
def small(stride: int | None = None) -> ESRNN:
    return ESRNN(10, stride=stride, **SMALL).fit(Y)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(layer, x, dilation):
    """(T, H) outputs of an LSTM whose states are those of so many steps before."""
    kernel, recurrent, bias = (w.astype(np.float64) for w in layer.get_weights())
    units = len(recurrent)
    states = [(np.zeros(units), np.zeros(units))] * dilation
    made = []
    for t in range(len(x)):
        h, c = states[t % dilation]
        i, f, g, o = np.split(x[t] @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states[t % dilation] = h, c
        made.append(h)
    return np.array(made)


@pytest.mark.parametrize(
    ("stride", "dilations"), [(None, [[1, 3], [6, 12]]), (4, [[1, 2]])]
)  # fmt: skip
def test_forecast_is_what_the_equations_say(stride, dilations):
    model = small(stride)
    network = model.models_[0]
    assert model.dilations_ == dilations
    for s, y in enumerate(Y):
        logs = np.log(y) if s != 1 else y
        piece = model._known[s].piece
        z = ((logs - piece.shift) / piece.unit)[-len(piece.values) :]
        values = np.stack([z, np.ones(len(z))], axis=1)[:, np.newaxis]
        (table,) = network.get_layer("series").get_weights()
        row = table[model._known[s].row : model._known[s].row + 1].astype(np.float64)
        row *= model.series_rate
        levels, found = reference.smooth(values, row, (12,))
        # Origins end with the series, however far apart they are.
        starts = np.array([[(len(z) - 12) % model.stride_]])
        more = np.concatenate([values, np.zeros((model.stride_, 1, 2))])
        levels, season = (np.pad(one, ((0, 0), (0, model.stride_))) for one in (levels, found[0]))
        given = more, levels, [season], (12,), starts
        seen, base = reference.windows(*given, 12, 10, model.stride_, 1, 12)
        last = (len(z) - 12) // model.stride_
        seen, base = seen[: last + 1], base[: last + 1]
        state, before = seen[:, 0], None
        for number, block in enumerate(dilations):
            for n, dilation in enumerate(block):
                state = lstm(network.get_layer(f"lstm_{number}_{n}"), state, dilation)
            state = state if before is None else state + before
            before = state
        state = state[-1]
        for name, function in (("mixed", lambda x: np.maximum(x, 0)), ("answers", np.positive)):
            kernel, bias = network.get_layer(name).get_weights()
            state = function(state @ kernel + bias)
        state = state + seen[-1, 0] @ network.get_layer("linear").get_weights()[0]
        answers = np.sort(state.reshape(10, 5), axis=1)[:, 2]
        made = (answers + base[-1, 0]) * piece.unit + piece.shift
        expected = np.exp(made) if s != 1 else made
        np.testing.assert_allclose(model.predict()[s], expected, rtol=1e-4)


def test_learns_a_trend_beside_the_season():
    options = {**SMALL, "max_steps": 80, "learning_rate": 0.01}
    model = ESRNN(10, **options).fit([y[:-10] for y in Y])
    made = model.predict()
    for y, f in zip(Y, made, strict=True):
        repeated = np.abs(y[-22:-12] - y[-10:]).mean()
        assert np.abs(y[-10:] - f).mean() < 0.6 * repeated
    assert model.history_[0]["loss"][-1] < 0.3 * model.history_[0]["loss"][0]


def test_coefficients_of_each_series_are_learned():
    model = small()
    (table,) = model.models_[0].get_layer("series").get_weights()
    before = model._cutter.firsts(
        [known.piece for known in model._known.values()],
        [len(known.piece.values) for known in model._known.values()],
    )
    moved = np.abs(table * model.series_rate - before)
    assert table.shape == (3, 4 + 12)
    assert (moved > 1e-6).mean() > 0.8  # all but the rate of a second season


def test_same_bits_for_the_same_seed_and_any_number_of_threads():
    before = fastlstm.get_num_threads()
    try:
        fastlstm.set_num_threads(1)
        alone = ESRNN(10, **SMALL).fit(Y).predict()
    finally:
        fastlstm.set_num_threads(before)
    np.testing.assert_array_equal(alone, small().predict())
    assert not np.array_equal(alone, ESRNN(10, seed=1, **SMALL).fit(Y).predict())


def test_a_forecast_depends_on_no_other_series():
    whole = small().predict()
    np.testing.assert_array_equal(small().predict({2: Y[2]}), whole[2])
    np.testing.assert_array_equal(small().predict({2: Y[2], 0: Y[0]})[1], whole[0])


def test_a_series_is_known_by_its_beginning_not_by_its_name_alone():
    model = small()
    longer = np.concatenate([Y[2], Y[2][-12:]])
    panel = Panel.of_arrays({2: longer, "new": longer}, Frequency.of(1))
    known = model._known[2]
    assert model._cutter.goes_on(panel, 0, known) == 0  # the same, with values that came since
    other = Panel.of_arrays({2: longer + 1.0}, Frequency.of(1))
    assert model._cutter.goes_on(other, 0, known) is None
    new, same = model.predict({"new": Y[2]}), model.predict({2: Y[2]})
    assert np.abs(new - same).max() > 0
    # By estimated seasons and rates it is nearly as good.
    assert np.abs(new / same - 1).max() < 0.1


def test_scale_does_not_matter():
    """Of series that are new, so that nothing was learned of them."""
    one, larger = small().predict({"a": Y[0]}), small().predict({"b": 1000 * Y[0]})
    np.testing.assert_allclose(larger, 1000 * one, rtol=1e-4)


def test_long_series_are_cut_and_the_last_piece_is_the_one_to_go_on_from():
    long = np.concatenate([Y[0], Y[0], Y[0]])
    model = ESRNN(10, max_length=100, **SMALL).fit(long)
    (table,) = model.models_[0].get_layer("series").get_weights()
    # 450 points: from 350, 262, 174, 86 and 0 on, so that each window is of one piece.
    assert len(table) == 5
    known = model._known[0]
    assert (known.row, int(known.stamp), len(known.piece.values)) == (0, 350, 100)
    np.testing.assert_array_equal(known.values, long[350:372])
    assert np.isfinite(model.predict()).all()


def test_two_seasons_without_a_name_for_either():
    t = np.arange(24 * 7 * 3)
    y = 10 + np.sin(2 * np.pi * t / 24) + (t // 24 % 7 >= 5)
    model = ESRNN(24, "h", input_size=24, units=8, max_steps=2, verbose=0).fit(y)
    assert model.seasons_ == (24, 168)
    assert (model.stride_, model.dilations_) == (24, [[1, 2]])
    assert ESRNN(24, "h", units=8, max_steps=2, verbose=0).fit(y[:200]).seasons_ == (24,)
    assert model.predict(h=30).shape == (30,)
    assert np.abs(model.predict() - (10 + np.sin(2 * np.pi * t[:24] / 24))).mean() < 0.3


def test_first_seasons_of_a_sum_of_seasons():
    t = np.arange(24 * 7 * 4)
    day, week = np.sin(2 * np.pi * t[:24] / 24), np.repeat([1.0, 0, 0, 0, 0, 0, -1], 24)
    y = 5 + day[t % 24] + week[t % 168]
    y[30:40] = np.nan
    level, (first, second) = first_seasons(y, (24, 168))
    assert abs(level - 5) < 0.2
    np.testing.assert_allclose(first, day, atol=0.1)
    np.testing.assert_allclose(second, 0.8 * week, atol=0.15)  # nearer to 0: four values of each
    level, (first,) = first_seasons(np.full(5, np.nan), (24,))
    assert (level, np.abs(first).max()) == (0.0, 0.0)


def test_rates_are_those_by_which_a_series_was_forecast_best(rng):
    t = np.arange(24 * 7 * 5)
    day, week = np.sin(2 * np.pi * t / 24), np.where(t // 24 % 7 >= 5, -2.0, 0.0)

    def rate(found):
        return round(float(sigmoid(found[1])), 2)

    # A season that stays, around it noise, and another one of weeks.
    (found,) = likely([3 * day + week + rng.standard_normal(len(t))], (24, 168), 24)
    assert rate(found) == 0.03
    weekend = found[-168:].reshape(7, 24).mean(axis=1)
    assert weekend[5:].max() < weekend[:5].min() - 1
    # Each hour walks by itself, and there is nothing that weeks have in common.
    (found,) = likely([np.cumsum(rng.standard_normal((35, 24)), axis=0).ravel()], (24, 168), 24)
    assert (rate(found), np.abs(found[-168:]).max()) == (0.95, 0)
    # Of a series that is too short to tell, the rates are those in the middle.
    np.testing.assert_allclose(sigmoid(likely([day[:30]], (24,), 24)[0][:3]), [0.1, 0.3, 0.1])


def test_a_level_that_follows_is_taken_where_it_errs_no_more_than_by_chance(rng):
    def found(y):
        return likely([y], (12,), 12)[0]

    # A walk without seasons: the last value is the best forecast, and none of its seasons are kept.
    walk = found(np.cumsum(rng.standard_normal(600)))
    assert sigmoid(walk[0]) > 0.9
    noise = rng.standard_normal(600)
    # Around a mean: one that follows half of each error is clearly worse.
    assert sigmoid(found(noise)[0]) < 0.15
    # Errors off a mean for a while: the mean alone is best, but by no more than chance.
    off = np.zeros(600)
    off[330:390] = 3.0
    assert sigmoid(found(0.5 * noise + off)[0]) > sigmoid(found(0.5 * noise)[0])


def test_updates_are_those_by_which_a_short_series_is_forecast_best(rng):
    options = {"season_length": 12, "verbose": 0}
    # What a walk did is not to be learned by heart; there is much to learn of a trend and a wave.
    walk = ESRNN(12, **options).fit(100 + np.cumsum(rng.standard_normal(600)))
    wave = ESRNN(12, **options).fit([y for y in Y for _ in range(5)])
    assert walk.steps_ < 100 < wave.steps_ <= 200
    assert ESRNN(12, max_steps=30, **options).fit(Y).steps_ == 30
    short = ESRNN(10, **{**options, "units": 8}).fit(np.arange(24.0))
    assert short.steps_ == 200  # too short to hold out anything


def test_what_is_held_out_is_not_learned_from(rng):
    y = 50 + rng.standard_normal(400)
    cutter = ESRNN(10, **SMALL).fit(Y)._cutter._replace(longest=150)
    panel = Panel.of_arrays({"a": y, "b": y[:60]}, Frequency.of(1))
    learned = cutter.learned_from(panel, 30)
    assert learned.last.tolist() == [True, False, False, True]
    lessons = Lessons(learned, cutter.origins(learned.pieces, 1, [1]), held=30)
    index = np.arange(4)
    _, target, weight = lessons.batch(index, np.random.default_rng(0))
    hx, held, unseen = lessons.held_out()
    assert hx["row"].ravel().tolist() == [0, 3]
    learned_of = [np.unique(target[row, weight[row] > 0]) for row in index]
    for row, series in ((0, y), (3, y[:60])):
        piece, place = learned.pieces[row], [0, 3].index(row)
        last = ((np.log(series) - piece.shift) / piece.unit)[-30:].astype(np.float32)
        np.testing.assert_array_equal(np.unique(held[place, unseen[place] > 0]), np.sort(last))
        assert not np.isin(last, learned_of[row]).any()
    # Of a piece that others follow all counts, and the values that come after it.
    piece = learned.pieces[1]
    after = ((piece.after - piece.shift) / piece.unit).astype(np.float32)
    assert len(after) == 10
    assert np.isin(after, learned_of[1]).all()


def test_few_pieces_are_taken_several_times_from_other_steps():
    cutter = ESRNN(10, **SMALL).fit(Y)._cutter
    learned = cutter.learned_from(Panel.of_arrays({"a": Y[0]}, Frequency.of(1)), 0)
    lessons = Lessons(learned, cutter.origins(learned.pieces, 12, [1]), least=8)
    x, target, weight = lessons.batch(np.arange(1), np.random.default_rng(0))
    assert x["row"].ravel().tolist() == [0] * 8
    assert len(np.unique(x["starts"])) > 3
    assert len(target) == len(weight) == 8


def test_missing_values_constants_and_zeros():
    holes = [y.copy() for y in Y]
    holes[0][::7], holes[1][100:120] = np.nan, np.nan
    holes[0][-1] = np.nan
    holes += [np.full(80, 4.0), np.where(T % 5, 0.0, 3.0)]
    model = ESRNN(10, **SMALL).fit(holes)
    assert np.isfinite(model.history_[0]["loss"]).all()
    made = model.predict()
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[3], 4.0, atol=0.5)


def test_levels_give_bands_in_order_around_the_forecast():
    model = ESRNN(10, level=[50, 80], **SMALL).fit(Y)
    assert model.quantiles_.tolist() == [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    made = model.predict(level=[50, 80, 95])
    names = [f"ESRNN-lo-{one}" for one in (95, 80, 50)]
    names += ["ESRNN", *(f"ESRNN-hi-{one}" for one in (50, 80, 95))]
    assert (np.diff([made[name] for name in names], axis=0) >= 0).all()


def test_intervals_are_calibrated_by_default():
    model = ESRNN(10, level=[80], **SMALL).fit(Y)
    assert model.calibration_ is not None
    own = ESRNN(10, level=[80], conformal=False, **SMALL).fit(Y)
    assert own.calibration_ is None
    wide, narrow = (one.predict(level=[80]) for one in (model, own))
    np.testing.assert_array_equal(wide["ESRNN"], narrow["ESRNN"])
    # Six updates are few; what the network believes of its errors is not what they are.
    assert (wide["ESRNN-hi-80"] > narrow["ESRNN-hi-80"]).mean() > 0.9


def test_validation_keeps_the_best_weights():
    model = ESRNN(10, patience=2, **SMALL).fit(Y)
    assert len(model.history_[0]["val_loss"]) == len(model.history_[0]["loss"])
    assert np.isfinite(model.history_[0]["val_loss"]).all()


def test_members_are_averaged():
    model = ESRNN(10, members=2, **SMALL).fit(Y)
    both = model.predict()
    models = model.models_
    each = []
    for one in models:
        model.models_ = [one]
        each.append(model.predict()[1])
    np.testing.assert_allclose(both[1], np.mean(each, axis=0), rtol=1e-6)


def test_components_make_the_forecast():
    model = small()
    for s, y in enumerate(Y):
        part = model.components(s)
        n = len(part["y"]) - 10
        assert set(part) == {
            "stamp", "y", "level", "season_12", "network", "forecast", "multiplicative"
        }  # fmt: skip
        np.testing.assert_array_equal(part["y"][:n], y[-n:])
        np.testing.assert_allclose(part["forecast"][n:], model.predict()[s], rtol=1e-5)
        level, season, network = (part[k][n:] for k in ("level", "season_12", "network"))
        assert part["multiplicative"] == (s != 1)
        made = level * season * network if s != 1 else level + season + network
        np.testing.assert_allclose(made, part["forecast"][n:], rtol=1e-5)
        assert part["stamp"][n] == len(y)
        assert np.isnan(part["network"][:n]).all()
    with pytest.raises(ValueError, match="the id of one of 3 series"):
        model.components()
    with pytest.raises(ValueError, match="no series 'x'; there are 3"):
        model.components("x")


def test_components_are_drawn():
    pytest.importorskip("matplotlib")
    figure = small().plot_components([0, 1])
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels.count("network, factor") == labels.count("seasons, added") == 1
    lines = {line.get_label() for line in figure.axes[0].lines}
    assert {"the series", "level"} <= lines
    with pytest.raises(ValueError, match=r"Naive has no components to draw.*ESRNN does"):
        Naive(2, verbose=0).fit(Y).plot_components()


def test_other_columns_are_left_out_and_told():
    frames = pytest.importorskip("pandas")
    stamps = frames.date_range("2024-01-01", periods=60, freq="D")
    table = frames.DataFrame({"ds": stamps, "y": Y[0][:60], "price": np.arange(60.0)})
    model = ESRNN(7, max_steps=2, verbose=0)
    alone = model.fit(table[["ds", "y"]]).predict()
    later = frames.DataFrame({"ds": stamps[-7:] + frames.Timedelta(days=7), "price": np.ones(7)})
    beside = model.fit(table, futr_exog=["price"]).predict(futr_df=later)
    np.testing.assert_array_equal(beside["ESRNN"], alone["ESRNN"])
    assert any("not used: 'price'" in note for note in model.notes_)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.5}, "tau expects a quantile"),
        ({"season_length": [2, 3, 4]}, "one or two lengths"),
        ({"season_length": 0}, "season_length expects"),
        ({"log": "yes"}, "log expects True, False or None"),
        ({"conformal": "yes"}, "conformal expects True, False or None"),
        ({"stride": 0}, "stride expects"),
        ({"series_rate": 0}, "series_rate > 0"),
        ({"dilations": [[1, 0]]}, "a dilation expects"),
    ],
)
def test_arguments_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        ESRNN(4, verbose=0, **options).fit(Y)


def test_logarithms_of_what_has_none_are_refused():
    with pytest.raises(ValueError, match="log=True expects values greater than 0"):
        ESRNN(4, log=True, verbose=0).fit(Y)


def test_too_short_says_how_many_points_are_needed():
    with pytest.raises(ValueError, match=r"needs a series of at least \d+ points"):
        ESRNN(10, **SMALL).fit(np.arange(15.0))


def test_first_coefficients_do_not_depend_on_the_series_beside_one():
    rng = np.random.default_rng(0)
    series = [rng.standard_normal(n).cumsum() for n in (90, 60, 90, 90, 8)]
    series[0][rng.random(90) < 0.2] = np.nan
    series[2][:] = np.nan
    for seasons in ((), (12,), (4, 12)):
        together = likely(series, seasons, 6)
        for one, found in zip(series, together, strict=True):
            np.testing.assert_array_equal(likely([one], seasons, 6)[0], found)
