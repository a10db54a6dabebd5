"""Protocols, contestants and tables of the comparison of forecasts."""

import argparse
import json
import sys
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from bench import accuracy
from bench.contestants import NotInstalledError, contestant
from bench.protocols import Data, ett, m4, prices, synthetic, tuned_ridge


def _rows(path, names, values):
    lines = [",".join(["V"] * (1 + max(map(len, values))))]
    lines += [",".join([name, *map(str, row)]) for name, row in zip(names, values, strict=True)]
    path.write_text("\n".join(lines) + "\n")


def test_scores_of_m4_are_in_proportion_to_those_of_naive2(tmp_path):
    generator = np.random.default_rng(0)
    train = [10 + generator.random(60).round(3), 20 + generator.random(72).round(3)]
    test, naive2 = (10 + generator.random((2, 48)).round(3) for _ in range(2))
    for part, values in (("train", train), ("test", test), ("naive2", naive2)):
        _rows(tmp_path / f"Hourly-{part}.csv", ["H1", "H2"], values)
    data = m4(tmp_path)
    known = list(data.known(data.held).values())
    assert [len(y) for y in known] == [60, 72]
    np.testing.assert_array_equal(data.came()[:, 0], test)
    assert data.score(naive2[:, np.newaxis], data.came(), known)["OWA"] == pytest.approx(1)
    assert data.score(data.came(), data.came(), known)["OWA"] == 0


def test_some_series_of_m4_stand_far_apart(tmp_path):
    names = [f"H{number}" for number in range(1, 10)]
    values = 10 + np.random.default_rng(0).random((9, 60)).round(3)
    for part in ("train", "test", "naive2"):
        _rows(tmp_path / f"Hourly-{part}.csv", names, values[:, : 60 if part == "train" else 48])
    data = m4(tmp_path, 3)
    assert (list(data.series), data.name) == (["H1", "H5", "H9"], "m4, 3 series")
    assert (len(m4(tmp_path, 20).series), m4(tmp_path, 20).name) == (9, "m4")
    (tmp_path / "Hourly-naive2.csv").unlink()
    with pytest.raises(ValueError, match="the OWA of some series needs"):
        m4(tmp_path, 3)


def test_ett_forecasts_from_each_hour_of_its_test_part(tmp_path):
    generator = np.random.default_rng(0)
    raw = generator.random((14500, 7)).round(4)
    lines = ["date," + ",".join("abcdefg")]
    lines += [f"{n}," + ",".join(map(str, row)) for n, row in enumerate(raw)]
    (tmp_path / "ETTh1.csv").write_text("\n".join(lines) + "\n")
    data = ett(tmp_path, 96, univariate=True)
    assert list(data.lefts())[:: data.windows - 1] == [2880, 96]
    scaled = (raw[:14400, 6] - raw[:8640, 6].mean()) / raw[:8640, 6].std()
    np.testing.assert_allclose(data.came()[0, 0], scaled[11520:11616])
    np.testing.assert_allclose(data.came()[0, -1], scaled[-96:])


def test_prices_have_columns_of_each_market_by_stamp(tmp_path):
    lines = ["unique_id,ds,y,load"]
    hours = np.datetime64("2024-01-01", "s") + np.arange(200) * np.timedelta64(1, "h")
    for market, level in (("B", 100), ("A", 0)):
        lines += [
            f"{market},{str(hour).replace('T', ' ')},{level + n},{level - n}"
            for n, hour in reversed(list(enumerate(hours)))
        ]
    (tmp_path / "electricity-short-with-ex-vars.csv").write_text("\n".join(lines) + "\n")
    data = prices(tmp_path, weeks=1)
    assert (list(data.series), data.known_ahead(), data.windows) == (["A", "B"], ["load"], 7)
    ahead = data.frame(24, 24)
    assert "y" not in ahead
    np.testing.assert_array_equal(
        ahead["load"], [*-np.arange(176, 200), *(100 - np.arange(176, 200))]
    )
    np.testing.assert_array_equal(data.frame(24)["y"][:176], np.arange(176))


def test_a_forecaster_and_a_tuned_regression_see_the_past_alone():
    t = np.arange(400)
    series = {name: np.sin(2 * np.pi * t / 24) + level for name, level in (("a", 0), ("b", 5))}
    data = Data("made", series, 12, 3, 1, lambda f, y, known: {}, validation=60, look_back=48)
    rule = contestant("SeasonalNaive", data, 0, {})
    rule.fit(data, data.held)
    for window, left in enumerate(data.lefts()):
        np.testing.assert_allclose(rule.forecast(data, left), data.came()[:, window], atol=1e-9)
    assert np.abs(tuned_ridge(data) - data.came()).max() < 0.1


def test_with_columns_a_forecaster_is_given_those_to_come():
    data = synthetic()
    rule = contestant("SeasonalNaive", data, 0, {})
    rule.fit(data, data.held)
    assert rule.model._columns.futr == ("known",)
    assert rule.forecast(data, data.h).shape == (3, 24)
    result = accuracy.run(data.without_columns(), "SeasonalNaive", 0, {})
    assert 0 < result["scores"]["MAE"] < 1


class _Scaler:
    """Darts' Scaler: of each series, less its least value, over its range."""

    def fit_transform(self, series):
        self.least = [one.values().min(axis=0) for one in series]
        self.range = [np.ptp(one.values(), axis=0) for one in series]
        return self.transform(series)

    def transform(self, series):
        parts = zip(series, self.least, self.range, strict=True)
        return [one._replace(array=(one.array - least) / wide) for one, least, wide in parts]

    def inverse_transform(self, series):
        parts = zip(series, self.least, self.range, strict=True)
        return [one._replace(array=one.array * wide + least) for one, least, wide in parts]


class _Series(NamedTuple):
    times: Any
    array: Any

    @classmethod
    def from_times_and_values(cls, times, values):
        assert len(times) == len(values)
        return cls(times, values.reshape(len(values), -1))

    def values(self):
        return self.array


class _Recurrent:
    """Darts' models: here the last day again, and with columns these added."""

    made = []  # noqa: RUF012

    def __init__(self, **options):
        self.options = options
        self.made.append(self)

    def fit(self, series, future_covariates=None):
        self.columns = future_covariates
        assert all(one.array.min() == 0 and one.array.max() == 1 for one in series)
        return self

    def predict(self, n, series, verbose, future_covariates=None):
        answers = []
        for number, one in enumerate(series):
            made = one.array[-24:][:n]
            if future_covariates is not None:
                known = future_covariates[number]
                assert (known.times[: len(one.times)] == one.times).all()
                assert len(known.times) == len(one.times) + n
            answers.append(_Series(one.times, made))
        return answers


def test_darts_is_given_scaled_series_and_columns_to_come(monkeypatch):
    pytest.importorskip("pandas")
    _Recurrent.made.clear()
    block, step = (type(name, (_Recurrent,), {}) for name in ("BlockRNNModel", "RNNModel"))
    for name, module in {
        "pytorch_lightning": SimpleNamespace(),
        "darts": SimpleNamespace(TimeSeries=_Series),
        "darts.dataprocessing": SimpleNamespace(),
        "darts.dataprocessing.transformers": SimpleNamespace(Scaler=_Scaler),
        "darts.models": SimpleNamespace(BlockRNNModel=block, RNNModel=step),
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    rule = "SeasonalNaive"
    for data in (synthetic(), synthetic().without_columns()):
        # Without columns and stamps, as series of M4 are.
        data = data if data.columns else data._replace(stamps={})
        given = accuracy.run(data, "Darts LSTM, a week", 3, {"max_steps": 7})
        alone = accuracy.run(synthetic().without_columns(), rule, 0, {})
        for name, score in alone["scores"].items():
            assert given["scores"][name] == pytest.approx(score, rel=1e-4)
    with_columns, without = _Recurrent.made
    assert (type(with_columns), type(without)) == (step, block)
    assert with_columns.options["training_length"] == 168 + 24 - 1
    assert without.options["output_chunk_length"] == 24
    for model in _Recurrent.made:
        assert model.options["input_chunk_length"] == 167
        assert model.options["random_state"] == 3
        assert model.options["pl_trainer_kwargs"]["max_steps"] == 7


def test_a_peer_that_is_missing_is_told(monkeypatch):
    for package, name in (
        ("neuralforecast", "NeuralForecast LSTM"),
        ("statsforecast.models", "AutoETS"),
        ("darts", "Darts LSTM, a week"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(NotInstalledError, match="pip install"):
            contestant(name, synthetic(), 0, {})


def test_what_was_measured_is_told_where_it_is_stopped(monkeypatch, capsys):
    def run(command, **_):
        task = json.loads(command[-1])
        if task["seed"] == 2:
            raise KeyboardInterrupt
        answer = {"scores": {"MAE": 1.0 + task["seed"]}, "seconds": 2.0, "notes": ""}
        return SimpleNamespace(returncode=0, stdout=json.dumps(answer), stderr="")

    monkeypatch.setattr(accuracy.subprocess, "run", run)
    monkeypatch.setattr(
        sys, "argv", ["accuracy.py", "--self-check", "--models", "Naive,MQRNN", "--threads", "1"]
    )
    given = accuracy._arguments()
    given.seeds = 3
    rows = accuracy.measured(given)
    assert [(row.model, [one["MAE"] for one in row.scores]) for row in rows] == [
        ("Naive", [1.0]), ("MQRNN", [1.0, 2.0]),
    ]  # fmt: skip
    assert "stopped" in capsys.readouterr().err


def test_the_table_tells_means_and_what_failed():
    rows = [
        accuracy.Row("m4", "MQRNN", [{"OWA": 0.4}, {"OWA": 0.5}], [10.0, 20.0], [100.0, 100.0]),
        accuracy.Row("m4", "DeepAR", [], [], [], "no memory"),
    ]
    text = accuracy.table(rows)
    assert "| MQRNN | 0.4500 | 0.1000 | 15.0 | 100 |  |" in text
    assert "| DeepAR | failed |  |  |  | no memory |" in text


def test_names_of_models_may_have_commas():
    names = "MQRNN,NeuralForecast LSTM, a week,Ridge"
    assert accuracy._models(names) == ["MQRNN", "NeuralForecast LSTM, a week", "Ridge"]
    with pytest.raises(argparse.ArgumentTypeError, match="LSTMs"):
        accuracy._models("LSTMs")
