"""pooled=False: a network for each series, as if it were alone."""

from __future__ import annotations

import copy
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastlstm
from fastlstm.forecasting import MQRNN, checkpoint
from fastlstm.forecasting import each as many
from fastlstm.forecasting.each import OneForEach
from fastlstm.models import Ensemble

H, SEASON = 4, 8


def _small(**options):
    given = {
        "pooled": False, "season_length": SEASON, "input_size": 16, "units": 8, "max_steps": 40,
        "batch_size": 16, "verbose": 0,
    }  # fmt: skip
    return MQRNN(H, **{**given, **options})


def _opposed(lengths=(120, 90, 120, 75)):
    """What comes after a high season differs from series to series."""
    generator = np.random.default_rng(3)
    made = {}
    for s, length in enumerate(lengths):
        t = np.arange(length)
        level = 3 * np.sin(2 * np.pi * t / (11 + 3 * s))
        noise = 0.05 * generator.standard_normal(length)
        made[f"s{s}"] = 20 + 10 * s + level + np.sin(2 * np.pi * t / SEASON) + noise
    return made


def test_a_series_has_the_network_that_it_would_have_alone():
    series = _opposed()
    together = _small().fit(series).predict()
    for name, values in series.items():
        alone = _small().fit({name: values}).predict()
        np.testing.assert_array_equal(np.ravel(alone), together[list(series).index(name)])


def test_bits_do_not_depend_on_threads_or_on_how_many_are_trained_at_a_time(monkeypatch):
    series, threads, made = _opposed(), fastlstm.get_num_threads(), []
    try:
        for count, models in ((1, 512), (2, 512), (2, 3)):
            fastlstm.set_num_threads(count)
            monkeypatch.setattr(many, "_MODELS", models)
            made.append(_small(members=2).fit(series).predict(level=[80]))
    finally:
        fastlstm.set_num_threads(threads)
    for name, values in made[0].items():
        np.testing.assert_array_equal(values, made[1][name])
        np.testing.assert_array_equal(values, made[2][name])


def test_each_learns_what_is_its_own():
    series = _opposed((160, 160, 160))
    known = {name: values[:-H] for name, values in series.items()}
    came = np.stack([values[-H:] for values in series.values()])
    model = _small(max_steps=400).fit(known)
    said = model.predict()
    last_season = np.stack([values[-H - SEASON : -SEASON] for values in series.values()])
    assert np.abs(said - came).mean() < 0.25 * np.abs(last_season - came).mean()
    assert model.history_[0]["loss"][-1] < 0.6 * model.history_[0]["loss"][0]
    kernels = [model.models_[0].model_of(name).get_weights()[0] for name in series]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
    some = {name: known[name] for name in ("s2", "s0")}
    np.testing.assert_array_equal(model.predict(some), said[[2, 0]])
    later = model.predict(h=2 * H)
    np.testing.assert_array_equal(later[:, :H], said)


def test_windows_held_out_choose_the_weights_of_each():
    series = _opposed((100, 100))
    model = _small(patience=1, max_steps=200, learning_rate=0.02).fit(series)
    (history,) = model.history_
    assert len(history["val_loss"]) == len(history["loss"]) < 21
    together = model.predict()
    for place, (name, values) in enumerate(series.items()):
        alone = _small(patience=1, max_steps=200, learning_rate=0.02).fit({name: values})
        np.testing.assert_array_equal(np.ravel(alone.predict()), together[place])


def test_a_series_without_a_network_is_an_error_that_names_it():
    series = _opposed()
    model = _small(max_steps=2).fit(series)
    with pytest.raises(ValueError, match=r"none for 'other': fit these too, or .* pooled=True"):
        model.predict({"s0": series["s0"], "other": series["s1"]})
    with pytest.raises(ValueError, match=r"12 points; 1 of 2 have too few.* 'b' has 11\. Leave"):
        _small().fit({"a": series["s0"], "b": series["s1"][:11]})
    with pytest.raises(ValueError, match="needs a series of at least"):
        _small().fit({"b": series["s1"][:8]})
    with pytest.raises(ValueError, match="pooled expects True or False, got 'each'"):
        _small(pooled="each").fit(series)


def test_cross_validation_trains_each_again():
    series = _opposed((90, 90))
    made = _small(max_steps=10).cross_validation(series, n_windows=2, refit=True)
    assert made["MQRNN"].shape == (2, 2, H)
    known = {name: values[:-H] for name, values in series.items()}
    np.testing.assert_array_equal(made["MQRNN"][:, 1], _small(max_steps=10).fit(known).predict())


def test_passes_follow_one_another_without_a_gap():
    orders = many._Orders(np.array([5, 3, 5]), 4, seed=7)
    taken = np.concatenate([orders.next() for _ in range(15)], axis=1)
    np.testing.assert_array_equal(taken[0], taken[2])
    for row, count in ((0, 5), (1, 3)):
        passes = taken[row].reshape(-1, count)
        np.testing.assert_array_equal(
            np.sort(passes, axis=1), np.tile(range(count), (60 // count, 1))
        )
        assert (passes != passes[0]).any()


def test_a_loss_that_is_not_finite_is_an_error():
    class Broken:
        count = 2

        def train_on_batch(self, x, y, sample_weight):
            return np.array([1.0, np.nan])

        def __len__(self):
            return 2

    windows = ({"past": np.zeros((2, 1))}, np.zeros((2, 1)), np.ones((2, 1)))
    counts = np.array([1, 1])
    run = many._Run(Broken(), windows, np.arange(2), many._Orders(counts, 1, 0), None)
    with pytest.raises(FloatingPointError, match="loss of 1 of 2 series"):
        run.through(3, None, None, None)


_KILLED = """
import os, pickle, signal, sys
from fastlstm.forecasting import checkpoint, each
from fastlstm.models import Ensemble

checkpoint._SECONDS, each._MODELS = 0.0, 3
left, whole = [int(sys.argv[1])], Ensemble.train_on_batch

def counted(self, *args):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return whole(self, *args)

Ensemble.train_on_batch = counted
model, series = pickle.load(sys.stdin.buffer)
model.fit(series, checkpoint=sys.argv[2])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no process is killed so here")
def test_a_process_that_was_killed_goes_on_with_the_same_bits(monkeypatch, tmp_path):
    series, path = _opposed(), tmp_path / "made" / "fit"
    monkeypatch.setattr(many, "_MODELS", 3)
    model = _small(members=2, patience=15, learning_rate=0.02)
    whole = copy.deepcopy(model).fit(series)
    sent, size = pickle.dumps((model, series)), 0
    # Within the first networks, the last of them, and those of the second member; again and again.
    for count in (7, 60, 30):
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, str(count), str(path)],
            input=sent,
            cwd=Path(__file__).parents[2],
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        runs = checkpoint.unpacked(path, "fastlstm checkpoint")["runs"]
        assert sum(run["progress"]["step"] for run in runs) > size
        size = sum(run["progress"]["step"] for run in runs)
    again = model.fit(series, checkpoint=path)
    assert not path.exists()
    assert again.history_ == whole.history_
    np.testing.assert_array_equal(again.predict(h=3 * H), whole.predict(h=3 * H))
    for one, other in zip(again.models_, whole.models_, strict=True):
        for mine, theirs in zip(one.ensembles, other.ensembles, strict=True):
            np.testing.assert_array_equal(mine._params, theirs._params)
            np.testing.assert_array_equal(mine._kept, theirs._kept)


def test_ctrl_c_ends_after_a_step_of_all_and_keeps_it(monkeypatch, tmp_path):
    series, path, calls = _opposed((80, 80)), tmp_path / "fit", []
    whole = _small().fit(series).predict()
    with monkeypatch.context() as patch:
        step = Ensemble.train_on_batch

        def interrupted(self, *args):
            calls.append(0)
            if len(calls) == 9:
                signal.raise_signal(signal.SIGINT)
            return step(self, *args)

        patch.setattr(Ensemble, "train_on_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _small().fit(series, checkpoint=path)
        (run,) = checkpoint.unpacked(path, "fastlstm checkpoint")["runs"]
        assert run["progress"]["step"] == 9
        np.testing.assert_array_equal(_small().fit(series, checkpoint=path).predict(), whole)
        assert len(calls) == 40


def test_its_networks_are_found_by_their_series():
    model = _small(max_steps=2).fit(_opposed())
    (each,) = model.models_
    assert isinstance(each, OneForEach)
    with pytest.raises(ValueError, match="none for 'x'"):
        each.model_of("x")
