"""Forecasters on disk: the same bits after as before, and files that are none."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load as parse
from safetensors.numpy import save as write

from fastlstm.forecasting import (
    MQRNN,
    DeepAR,
    Forecaster,
    HoltWinters,
    Naive,
    Ridge,
    SeasonalNaive,
    SegRNN,
    load,
)
from fastlstm.forecasting.baselines import Drift
from fastlstm.layers import Dense
from fastlstm.models import load_model, structure
from fastlstm.models.saving import ModelFileError
from tests.forecasting.small import KINDS, H, make, same, series
from tests.forecasting.tables import LIBRARIES, listed, table, types


def _check_like(made, model, rest):
    """All that the one says, the other says, bit by bit, now and after rows that came."""
    assert type(made) is type(model)
    same(made.predict(level=[80]), model.predict(level=[80]))
    same(made.predict(h=2 * H), model.predict(h=2 * H))
    same(made.update(rest).predict(), model.update(rest).predict())
    for name, value in vars(model.panel_).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(vars(made.panel_)[name], value)
        else:
            assert vars(made.panel_)[name] == value


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "forecaster.safetensors"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_goes_on_with_the_same_bits(kind, rng, path):
    known = series(rng)
    model = make(kind, level=[95]).fit({name: y[:-7] for name, y in zip("abc", known, strict=True)})
    model.save(path)
    made = load(path)
    assert repr(made) == repr(model)
    _check_like(made, model, {name: y[-7:] for name, y in zip("abc", known, strict=True)})


@pytest.mark.parametrize("kind", [MQRNN, SegRNN, DeepAR, Forecaster])
def test_copies_and_pickles_go_on_with_the_same_bits(kind, rng):
    known = series(rng)
    model = make(kind, level=[95]).fit([y[:-7] for y in known])
    rest = [y[-7:] for y in known]
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        _check_like(made, copy.deepcopy(model), rest)


@pytest.mark.parametrize("kind", [Ridge, MQRNN, Forecaster])
def test_scores_and_training_are_those_before(kind, rng, path):
    model = make(kind).fit(series(rng))
    model.save(path)
    made = load(path)
    assert made.scores() == model.scores()
    assert getattr(made, "history_", None) == getattr(model, "history_", None)
    same(made.cross_validation(n_windows=2), model.cross_validation(n_windows=2))
    if kind is Forecaster:
        assert made.explanation() == model.explanation()


def test_weights_and_the_state_of_the_optimizer_are_kept(rng, path):
    model = make(MQRNN, members=2).fit(series(rng))
    model.save(path)
    for one, other in zip(model.models_, load(path).models_, strict=True):
        for weight, again in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, again)
        assert other.optimizer.steps == one.optimizer.steps == 4
        for name, moment in one.optimizer.state().items():
            np.testing.assert_array_equal(moment, other.optimizer.state()[name])


def _table(library, n=60, zone=None):
    begin = datetime.datetime(2024, 3, 30, tzinfo=zone)
    stamps = [begin + datetime.timedelta(hours=t) for t in range(n)] * 2
    ids = ["north"] * n + ["south"] * n
    values = 10 + np.sin(np.arange(2 * n) / 4)
    return table(library, {"place": ids, "time": stamps, "sold": values.tolist()})


NAMES = {"id_col": "place", "time_col": "time", "target_col": "sold"}


@pytest.mark.parametrize("zone", [None, datetime.timezone.utc])
@pytest.mark.parametrize("library", LIBRARIES)
def test_forecasts_are_tables_of_the_kind_that_came_in(library, zone, path):
    df = _table(library, zone=zone)
    model = make(SeasonalNaive).fit(df, **NAMES)
    model.save(path)
    one, other = model.predict(level=[80]), load(path).predict(level=[80])
    assert type(one) is type(other)
    assert types(one) == types(other)
    assert listed(one) == listed(other)


@pytest.mark.parametrize("dtype", ["category", "object", "string"])
def test_types_of_pandas_come_back(dtype, path):
    pytest.importorskip("pandas")
    df = _table("pandas")
    df["place"] = df["place"].astype(dtype)
    model = make(Naive).fit(df, **NAMES)
    model.save(path)
    one, other = model.predict(), load(path).predict()
    assert one.dtypes.tolist() == other.dtypes.tolist()
    assert one.equals(other)


def test_types_of_polars_come_back(path):
    pl = pytest.importorskip("polars")
    df = _table("polars").with_columns(
        pl.col("place").cast(pl.Enum(["south", "north"])), pl.col("time").cast(pl.Datetime("ms"))
    )
    model = make(Naive).fit(df, **NAMES)
    model.save(path)
    assert model.predict().equals(load(path).predict())


def test_columns_beside_the_target_are_kept(rng, path):
    pytest.importorskip("pandas")
    df = _table("pandas")
    df["sun"], df["wind"] = rng.random(len(df)), rng.random(len(df))
    static = table("pandas", {"place": ["south", "north"], "size": [2.0, 3.0]})
    model = make(MQRNN)
    model.fit(
        df[df.index % 60 < 50],
        futr_exog=["sun"],
        hist_exog=["wind"],
        static_df=static,
        static_exog=["size"],
        **NAMES,
    )
    model.save(path)
    assert load(path).predict(futr_df=df).equals(model.predict(futr_df=df))
    rest = df[df.index % 60 == 50]
    assert (
        load(path).update(rest).predict(futr_df=df).equals(model.update(rest).predict(futr_df=df))
    )


def test_ids_of_any_simple_kind(path):
    day = datetime.date(2024, 1, 1)
    known = {7: np.arange(9.0), "x": np.ones(5), (1, "b"): np.ones(6), day: np.ones(7)}
    model = make(Drift).fit(known)
    model.save(path)
    made = load(path)
    assert list(made.panel_.ids) == list(known)
    same(made.predict(known), model.predict(known))


class _Fitted:
    """What HoltWinters asks of statsforecast."""

    def __init__(self, season_length=1):
        self.season_length = season_length

    def fit(self, y):
        self.model_ = {"mean": float(np.mean(y)), "states": np.asarray(y), "components": "AA"}
        self.model_["fit"] = SimpleNamespace(x=y)  # what its optimizer says
        return self

    def forward(self, y, h):
        return {"mean": np.full(h, self.model_["mean"] + y[-1])}


def test_holt_winters_keeps_the_numbers_that_statsforecast_found(monkeypatch, rng, path):
    kinds = {name: type(name, (_Fitted,), {}) for name in ("HoltWinters", "Holt")}
    models = SimpleNamespace(**kinds)
    monkeypatch.setitem(sys.modules, "statsforecast", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "statsforecast.models", models)
    known = series(rng)
    model = make(HoltWinters, season_length=12).fit([*(y[:-2] for y in known), np.ones(3)])
    model.save(path)
    _check_like(load(path), model, [*(y[-2:] for y in known), np.ones(2)])


class Mine(Naive):
    """Of a user's own."""


def test_classes_of_ones_own_are_named_by_the_caller(rng, path):
    model = Mine(H).fit(series(rng))
    model.save(path)
    with pytest.raises(ModelFileError, match=r"custom_objects=\{'Mine': Mine\}"):
        load(path)
    same(load(path, custom_objects={"Mine": Mine}).predict(), model.predict())


def test_what_cannot_be_saved_is_told_and_leaves_the_old_file(rng, path, monkeypatch):
    with pytest.raises(ValueError, match="not fitted yet"):
        Naive(H).save(path)
    model = make(Naive).fit(series(rng))
    model.save(path)
    before = path.read_bytes()
    model.rule_ = lambda y: y
    with pytest.raises(TypeError, match=r"Naive.rule_ holds .*which no file can hold"):
        model.save(path)
    del model.rule_
    with pytest.raises(FileExistsError, match="overwrite=False"):
        model.save(path, overwrite=False)
    with pytest.raises(IsADirectoryError):
        model.save(path.parent)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    model.update([np.ones(1)] * 3)
    with pytest.raises(OSError, match="no space"):
        model.save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_files_that_are_no_forecasters(rng, path):
    model = make(MQRNN).fit(series(rng))
    model.save(path)
    whole = path.read_bytes()
    with pytest.raises(ModelFileError, match="'fastlstm forecaster 1', expected 'fastlstm 1'"):
        load_model(path)
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFileError, match="damaged"):
            load(path)
    model.models_[0].save(path)
    with pytest.raises(ModelFileError, match="holds a model, not a forecaster"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(path.parent / "other")


def _changed(path, change=lambda state: state, **metadata):
    """The file with another state or header."""
    tensors = parse(Path(path).read_bytes())
    state = change(json.loads(tensors["state"].tobytes()))
    tensors["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    path.write_bytes(write(tensors, {"format": "fastlstm forecaster 1", **metadata}))


def test_files_of_a_newer_version_and_hostile_ones(rng, path):
    model = make(Naive).fit(series(rng))
    model.save(path)
    _changed(path)
    same(load(path).predict(), model.predict())
    _changed(path, format="fastlstm forecaster 2")
    with pytest.raises(ModelFileError, match=r"newer version of fastlstm.*pip install -U"):
        load(path)

    def of(name):
        return lambda state: {**state, "class": name}

    for name in ("Popen", "BaseForecaster", "os.system", "Encoder"):
        model.save(path)
        _changed(path, of(name))
        with pytest.raises(ModelFileError):
            load(path)
    model.save(path)
    _changed(path, lambda state: {"is": "code", "of": "print()"})
    with pytest.raises(ModelFileError, match="'code', which this version does not know"):
        load(path)
    model.save(path)
    _changed(path, lambda state: {"is": "array", "dtype": "float64", "of": "77"})
    with pytest.raises(ModelFileError, match="damaged"):
        load(path)


class Unheard(Dense):
    """A layer that is none of the package's."""


def test_layers_of_a_file_are_those_of_the_package(rng, path):
    known = structure._known_layers()
    assert known.keys() > {"GRU", "Dense", "Reshape"}
    assert not known.keys() & {"Unheard", "Layer", "InputLayer"}
    assert all(cls.__module__.startswith("fastlstm.layers.") for cls in known.values())
    model = make(MQRNN).fit(series(rng))
    model.save(path)
    text = json.dumps("Dense").encode()
    blob = path.read_bytes()
    assert blob.count(text) > 0
    tensors = parse(blob)
    state = tensors["state"].tobytes().replace(text, b'"Unheard"')
    tensors["state"] = np.frombuffer(state, np.uint8)
    path.write_bytes(write(tensors, {"format": "fastlstm forecaster 1"}))
    with pytest.raises(ModelFileError, match="unknown layer 'Unheard'"):
        load(path)
