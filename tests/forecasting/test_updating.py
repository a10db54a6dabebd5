"""Learning on from new rows, training that is broken off, and several fits at once."""

from __future__ import annotations

import copy
import multiprocessing
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastlstm import set_num_threads
from fastlstm.forecasting import MQRNN, DeepAR, Forecaster, Naive, Ridge, SegRNN, checkpoint
from fastlstm.models import Model
from fastlstm.models.saving import ModelFileError
from tests.forecasting.small import NETWORKS, H, make, series


def _weights(model):
    return [weight for one in getattr(model, "models_", []) for weight in one.get_weights()]


def _check_same(one, other):
    for mine, theirs in zip(_weights(one), _weights(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(one.predict(), other.predict())


# -- new rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_goes_on_where_the_optimizer_stood(kind, rng):
    known = series(rng)
    model = make(kind).fit([y[:-9] for y in known])
    before, old = _weights(model), copy.deepcopy(model)
    rest = [y[-9:] for y in known]
    made = []
    for threads in (1, 2):
        set_num_threads(threads)
        made.append(copy.deepcopy(model).update(rest, steps=3))
    _check_same(*made)
    assert made[0].models_[0].optimizer.steps == 7
    assert any((one != other).any() for one, other in zip(_weights(made[0]), before, strict=True))
    # Without steps nothing is learned; and the next time goes on from this one.
    _check_same(old.update(rest), model.update(rest, steps=0))
    again = made[0].update([np.ones(1)] * 3, steps=2)
    assert again.models_[0].optimizer.steps == 9


def test_a_change_is_learned(rng):
    """A wave whose season becomes another one."""
    t = np.arange(400)
    before, after = np.sin(2 * np.pi * t / 12), np.sin(2 * np.pi * t / 7)
    y = 20 + np.concatenate([before, after]) + 0.05 * rng.standard_normal(800)
    model = make(MQRNN, max_steps=60, batch_size=64, learning_rate=5e-3).fit(y[:400])
    errors = []
    for steps in (0, 200):
        one = copy.deepcopy(model).update(y[400:-60], steps=steps)
        said = [one.predict(), *(one.step(value) for value in y[-60:-H])]
        came = np.lib.stride_tricks.sliding_window_view(y[-60:], H)
        errors.append(np.abs(np.stack(said) - came).mean())
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("kind", [Ridge, Forecaster])
def test_what_is_no_network_learns_anew(kind, rng):
    known = series(rng)
    options = {"models": [Ridge(H)]} if kind is Forecaster else {}
    model = make(kind, **options).fit([y[:-9] for y in known])
    model.update([y[-9:] for y in known], steps=1)
    np.testing.assert_array_equal(
        model.predict(), make(Ridge, input_size=model_size(model)).fit(known).predict()
    )


def model_size(model):
    """Of the regression, chosen from the length of the series."""
    return getattr(model, "chosen_", model).input_size_


def test_networks_of_another_kind_are_not_trained_on(rng):
    known = series(rng)
    model = make(MQRNN).fit(known)
    model.models_ = [_Stopped()]
    with pytest.raises(ValueError, match=r"these are _Stopped: .* fit\(df\) learns anew"):
        model.update([np.ones(1)] * 3, steps=1)


@pytest.mark.parametrize("kind", [MQRNN, SegRNN, DeepAR, Forecaster])
def test_an_error_on_the_way_changes_nothing(kind, rng, monkeypatch):
    known = series(rng)
    options = {"models": [make(MQRNN)]} if kind is Forecaster else {}
    model = make(kind, **options).fit([y[:-9] for y in known])
    before, panel = model.predict(), model.panel_
    with monkeypatch.context() as patch:
        _stop_after(patch, 2)
        with pytest.raises(_Stopped):
            model.update([y[-9:] for y in known], steps=4)
    assert model.panel_ is panel
    np.testing.assert_array_equal(model.predict(), before)
    with pytest.raises(ValueError, match="steps"):
        model.update([y[-9:] for y in known], steps=-1)


# -- training that is broken off -------------------------------------------------------------------


class _Stopped(Exception):
    pass


def _stop_after(monkeypatch, count, how=None):
    """Let training break off after so many batches."""
    whole, left = Model.train_on_batch, [count]

    def train_on_batch(self, *args, **options):
        if not left[0]:
            if how is None:
                raise _Stopped
            how()
        left[0] -= 1
        return whole(self, *args, **options)

    monkeypatch.setattr(Model, "train_on_batch", train_on_batch)


@pytest.mark.parametrize("count", [3, 13])
@pytest.mark.parametrize("kind", [*NETWORKS, Forecaster])
def test_a_fit_goes_on_with_the_same_bits(kind, count, rng, monkeypatch, tmp_path):
    known, path = series(rng), tmp_path / "made" / "fit"
    options = {"max_steps": 10, "patience": 9, "batch_size": 32}
    if kind is not DeepAR:
        options["members"] = 2
    if kind is DeepAR:
        options["max_steps"] = 20
    if kind is Forecaster:
        options = {"models": [Naive(H), make(MQRNN, **options)]}
    whole = make(kind, **options).fit(known)
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)
    model = make(kind, **options)
    with monkeypatch.context() as patch:
        _stop_after(patch, count)
        with pytest.raises(_Stopped):
            model.fit(known, checkpoint=path)
    assert path.exists()
    assert not hasattr(model, "panel_")
    with monkeypatch.context() as patch:
        _stop_after(patch, 2)
        with pytest.raises(_Stopped):
            model.fit(known, checkpoint=path)
    model = make(kind, **options).fit(known, checkpoint=path)
    assert not path.exists()
    _check_same(model, whole)
    if kind is Forecaster:
        model, whole = model.chosen_, whole.chosen_
    assert getattr(model, "history_", None) == getattr(whole, "history_", None)


def test_ctrl_c_ends_after_a_whole_step(rng, monkeypatch, tmp_path):
    known, path = series(rng), tmp_path / "fit"
    whole = make(MQRNN, max_steps=10).fit(known)
    model = make(MQRNN, max_steps=10)
    with monkeypatch.context() as patch:
        _stop_after(patch, 4, how=lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            model.fit(known, checkpoint=path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert path.exists()
    with monkeypatch.context() as patch:
        _stop_after(patch, 5)  # of ten, as many are done
        _check_same(model.fit(known, checkpoint=path), whole)


def test_ctrl_c_without_a_checkpoint_leaves_what_was_fitted(rng, monkeypatch):
    known = series(rng)
    model = make(MQRNN, max_steps=10).fit(known)
    before = model.predict()
    with monkeypatch.context() as patch:
        _stop_after(patch, 4, how=lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            model.fit(known[:2])
    np.testing.assert_array_equal(model.predict(), before)


def test_a_checkpoint_of_something_else_is_refused(rng, monkeypatch, tmp_path):
    known, path = series(rng), tmp_path / "fit"
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        _stop_after(patch, 2)
        with pytest.raises(_Stopped):
            make(MQRNN).fit(known, checkpoint=path)
    before = path.read_bytes()
    for model, data, what in [
        (make(MQRNN, seed=1), known, "settings"),
        (make(SegRNN), known, "settings"),
        (make(MQRNN), [*known[:2], known[2] + 1e-9], "data"),
        (make(MQRNN), dict(zip("abc", known, strict=True)), "data"),
    ]:
        with pytest.raises(ValueError, match=f"is of other {what}"):
            model.fit(data, checkpoint=path)
        assert path.read_bytes() == before
    other = tmp_path / "forecaster"
    make(Naive).fit(known).save(other)
    with pytest.raises(ModelFileError, match="holds a 'fastlstm forecaster'"):
        make(MQRNN).fit(known, checkpoint=other)
    make(MQRNN, verbose=1).fit(known, checkpoint=path)
    assert not path.exists()
    make(Naive).fit(known, checkpoint=path)
    assert not path.exists()


# -- several at once -------------------------------------------------------------------------------


def _fitted(seed):
    known = series(np.random.default_rng(5))
    model = make(SegRNN, seed=seed, max_steps=8).fit(known)
    return model.update([y[:3] for y in known], steps=2).predict()


def test_fits_in_threads_and_forked_workers_have_the_same_bits():
    wanted = [_fitted(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        for made, alone in zip(pool.map(_fitted, [1, 2]), wanted, strict=True):
            np.testing.assert_array_equal(made, alone)
    if sys.platform != "linux":
        pytest.skip("processes fork on Linux")
    with multiprocessing.get_context("fork").Pool(1) as workers:
        for made, alone in zip(workers.map(_fitted, [1, 2]), wanted, strict=True):
            np.testing.assert_array_equal(made, alone)


def test_a_fit_that_counts_its_updates_goes_on_too(rng, monkeypatch, tmp_path):
    """It breaks off while the first network tells how many updates there will be."""
    known, path = series(rng), tmp_path / "fit"
    options = {"max_steps": None, "batch_size": 32}
    whole = make(MQRNN, **options).fit(known)
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        _stop_after(patch, 13)
        with pytest.raises(_Stopped):
            make(MQRNN, **options).fit(known, checkpoint=path)
    assert path.exists()
    model = make(MQRNN, **options).fit(known, checkpoint=path)
    assert model.steps_ == whole.steps_
    _check_same(model, whole)


def test_deepar_learns_on_from_series_as_it_sees_them(rng, monkeypatch):
    y = np.stack([1e4 + 100 * one[:80] for one in series(rng)])
    seen, reader = [], DeepAR._reader

    def reading(self, panel, h, future=None):
        seen.append(float(np.nanmax(panel.y)))
        return reader(self, panel, h, future)

    model = make(DeepAR, transform="log1p", max_steps=3).fit(y[:, :-2])
    monkeypatch.setattr(DeepAR, "_reader", reading)
    model.update(y[:, -2:], steps=2)
    assert len(seen) == 1
    assert seen[0] < 12
