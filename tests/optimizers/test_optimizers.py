"""Optimizers: the learning rate, state, configuration, exclusion, and errors."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fastlstm import optimizers
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop
from fastlstm.optimizers.schedules import CosineDecay, LearningRateSchedule
from tests.optimizers.problem import (
    EACH,
    OPTIONS,
    SIZES,
    STEPS,
    VARIANTS,
    flat,
    problem,
    segments,
    take_steps,
)
from tests.peers import import_keras


@pytest.fixture(autouse=True)
def _serial():
    set_num_threads(1)


def test_clips_happen_in_place_on_the_gradients(rng):
    params, steps = problem(rng)
    optimizer = SGD(clipvalue=0.1)
    values, grads = flat(params, np.float32), flat(steps[0], np.float32)
    optimizer.build(segments(), values.size, np.float32)
    optimizer.update(values, grads)
    assert np.abs(grads).max() == np.float32(0.1)


def test_the_learning_rate_may_change_on_the_way(rng):
    params, steps = problem(rng)
    optimizer = SGD(0.5)
    start = take_steps(optimizer, params, steps[:1], np.float64)
    optimizer.learning_rate = np.float32(0.25)
    assert isinstance(optimizer.learning_rate, float)
    values, grads = start.copy(), flat(steps[1], np.float64)
    optimizer.update(values, grads)
    np.testing.assert_allclose(values, start - 0.25 * grads, atol=1e-15)
    optimizer.learning_rate = 0
    before = values.copy()
    optimizer.update(values, grads)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
@pytest.mark.parametrize(("name", "own"), EACH, ids=str)
def test_training_goes_on_from_a_saved_state(name, own, options, rng):
    """Also from the middle of a window of gradients."""
    params, steps = problem(rng)
    cls, options = getattr(optimizers, name), {**own, **options}
    options["learning_rate"] = CosineDecay(0.1, STEPS)
    whole = take_steps(cls(**options), params, steps, np.float32)
    first = cls(**options)
    values = take_steps(first, params, steps[:10], np.float32)
    saved = {key: array.copy() for key, array in first.state().items()}
    second = cls.from_config(first.get_config())
    second.build(segments(), values.size, np.float32)
    second.load_state(saved, first.steps)
    for grads in steps[10:]:
        second.update(values, flat(grads, np.float32))
    np.testing.assert_array_equal(values, whole)
    assert second.steps == STEPS


def test_an_optimizer_built_again_starts_afresh(rng):
    params, steps = problem(rng)
    for name, own in VARIANTS:
        optimizer = getattr(optimizers, name)(**own, use_ema=True, gradient_accumulation_steps=3)
        before = take_steps(optimizer, params, steps[:8], np.float32)
        np.testing.assert_array_equal(take_steps(optimizer, params, steps[:8], np.float32), before)


def test_state_holds_the_live_moments(rng):
    params, steps = problem(rng)
    optimizer = Adam()
    assert optimizer.state() == {}
    take_steps(optimizer, params, steps[:1], np.float32)
    state = optimizer.state()
    assert list(state) == ["momentum", "velocity"]
    assert all(array.any() for array in state.values())
    optimizer.build(segments(), sum(SIZES), np.float32)
    assert not any(array.any() for array in optimizer.state().values())
    assert optimizer.iterations == 0
    plain = SGD()
    plain.build(segments(), sum(SIZES), np.float32)
    assert plain.state() == {}
    more = Adagrad(use_ema=True, gradient_accumulation_steps=2)
    more.build(segments(), sum(SIZES), np.float32)
    assert list(more.state()) == ["accumulator", "average", "gradient_accumulator"]
    assert (more.state()["accumulator"] == np.float32(0.1)).all()


def test_a_state_that_does_not_fit_is_refused(rng):
    optimizer = Adam()
    with pytest.raises(RuntimeError, match="build"):
        optimizer.load_state({}, 0)
    optimizer.build([("v", 0, 4)], 4, np.float32)
    good = {"momentum": np.ones(4), "velocity": np.ones(4)}
    for state, iterations, text in (
        ({"momentum": np.ones(4)}, 1, r"has \['momentum', 'velocity'\], got \['momentum'\]"),
        ({**good, "velocity": np.ones(5)}, 1, r"shape \(4,\), got \(5,\)"),
        (good, -1, "whole number of at least 0, got -1"),
        (good, 1.5, "whole number"),
        (good, True, "whole number"),
    ):
        with pytest.raises(ValueError, match=text):
            optimizer.load_state(state, iterations)
    assert not optimizer.state()["momentum"].any()
    assert optimizer.iterations == 0
    optimizer.load_state(good, np.int64(7))
    assert optimizer.iterations == 7


def test_update_needs_build_and_fitting_arrays():
    with pytest.raises(RuntimeError, match="build"):
        Adam().update(np.zeros(3), np.zeros(3))
    optimizer = Adam()
    optimizer.build([("v", 0, 3)], 3, np.float32)
    with pytest.raises(ValueError, match=r"shape \(3,\), got params \(4,\)"):
        optimizer.update(np.zeros(4, np.float32), np.zeros(4, np.float32))
    assert optimizer.iterations == 0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Adam(clipnorm=1.0, clipvalue=1.0), "at most one of .* got clipnorm=1.0, clipv"),
        (lambda: SGD(clipvalue=1, global_clipnorm=1), "at most one of"),
        (lambda: Adam(clipnorm=0), "clipnorm expects a number greater than 0, got 0"),
        (lambda: Adam(learning_rate=-1.0), "learning_rate expects a number at least 0, got -1"),
        (lambda: Adam("fast"), "learning_rate expects .* got 'fast'"),
        (lambda: Adam(float("nan")), "learning_rate expects .* got nan"),
        (lambda: Adam(True), "learning_rate expects .* got True"),
        (lambda: Adam(beta_1=1.0), "beta_1 expects a number at least 0 and less than 1, got 1"),
        (lambda: Adam(beta_2=-0.1), "beta_2"),
        (lambda: Adam(epsilon=0.0), "epsilon expects a number greater than 0"),
        (lambda: SGD(momentum=1.5), "momentum expects a number at least 0 and at most 1"),
        (lambda: RMSprop(rho=1.0), "rho expects a number at least 0 and less than 1, got 1"),
        (lambda: RMSprop(momentum="0"), "momentum expects a number .* got '0'"),
        (lambda: Lion(beta_1=0), "beta_1 expects a number greater than 0 and at most 1, got 0"),
        (lambda: Adagrad(initial_accumulator_value=-1), "initial_accumulator_value expects"),
        (lambda: Nadam(weight_decay=-0.1), "weight_decay expects a number at least 0, got -0.1"),
        (lambda: AdamW(weight_decay=None), "AdamW expects weight_decay as a number, got None"),
        (lambda: Adam(use_ema=True, ema_momentum=1.1), "ema_momentum expects .* at most 1"),
        (lambda: Adam(ema_overwrite_frequency=0), "ema_overwrite_frequency expects a whole"),
        (lambda: Adam(gradient_accumulation_steps=1), "whole number of at least 2, got 1"),
        (lambda: Adam(gradient_accumulation_steps=2.0), "whole number of at least 2, got 2.0"),
        (lambda: Adam(CosineDecay), r"the class CosineDecay; .* as in CosineDecay\(\.\.\.\)"),
        (lambda: Adam({"class_name": "Decay"}), "unknown learning rate schedule 'Decay'"),
    ],
)
def test_arguments_are_checked(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_a_refused_learning_rate_changes_nothing():
    optimizer = SGD(0.5)
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.5


def test_an_argument_that_is_none():
    with pytest.raises(TypeError, match="weight_decy"):
        Adam(weight_decy=0.1)


class _Fall(LearningRateSchedule):
    """A user's own, whose constructor's arguments are no attributes."""

    def __init__(self, start):
        self.first = start

    def __call__(self, step):
        return self.first - step


def test_a_scheduled_learning_rate_cannot_be_set_to_a_number():
    optimizer = SGD(CosineDecay(0.5, 10))
    with pytest.raises(TypeError, match=r"comes from CosineDecay\(initial.* set to 0.1; give"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = CosineDecay(0.25, 10)
    assert optimizer.learning_rate == 0.25
    optimizer = SGD(0.5)
    optimizer.learning_rate = CosineDecay(0.25, 10)
    assert optimizer.scheduled


def test_a_schedule_of_ones_own(rng):
    optimizer = SGD(_Fall(2.5))
    assert "_Fall object" in repr(optimizer)
    values = np.zeros(1)
    optimizer.build([("v", 0, 1)], 1, np.float64)
    for _ in range(3):
        optimizer.update(values, np.ones(1))
    assert values[0] == -(2.5 + 1.5 + 0.5)
    with pytest.raises(ValueError, match=r"schedule's result expects .* at least 0, got -0.5"):
        optimizer.update(values, np.ones(1))
    assert values[0] == -4.5
    with pytest.raises(NotImplementedError, match="_Fall has no attributes start"):
        optimizer.get_config()


def test_exclusion_is_checked():
    optimizer = SGD(weight_decay=0.1)
    with pytest.raises(ValueError, match=r"a list of regular expressions, .* got 'bias'"):
        optimizer.exclude_from_weight_decay(var_names="bias")
    with pytest.raises(ValueError, match=r"a list of names of variables, .* as var_list"):
        optimizer.exclude_from_weight_decay(var_list=[1])
    with pytest.raises(ValueError, match=r"got '\(': missing \)"):
        optimizer.exclude_from_weight_decay(var_names=["("])
    optimizer.exclude_from_weight_decay(var_list=["lstm/bia"])
    with pytest.raises(ValueError, match=r"no variable .* Did you mean 'lstm/bias'\? Its variabl"):
        optimizer.build([("lstm/bias", 0, 3)], 3, np.float32)
    optimizer.exclude_from_weight_decay(["lstm/bias"])
    optimizer.build([("lstm/bias", 0, 3)], 3, np.float32)
    with pytest.raises(RuntimeError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay(["lstm/bias"])


@pytest.mark.parametrize(("name", "own"), VARIANTS, ids=str)
def test_configuration_makes_the_same(name, own):
    cls = getattr(optimizers, name)
    for rate in (own.get("learning_rate", 0.01), CosineDecay(0.5, 10)):
        optimizer = cls(**{**own, "learning_rate": rate}, clipnorm=2.0, use_ema=True, name="mine")
        optimizer.exclude_from_weight_decay(["a"])
        for again in (
            cls.from_config(optimizer.get_config()),
            optimizer.copy(),
            optimizers.get({"class_name": name, "config": optimizer.get_config()}),
        ):
            assert again.get_config() == optimizer.get_config()
            assert again.clipnorm == 2.0
            assert again.name == "mine"
            assert repr(again) == repr(optimizer)
            assert "clipnorm=2.0" in repr(again)
        assert optimizer.copy().excluded_from_weight_decay(["a", "b"]) == ["a"]


def test_names_and_defaults_are_those_of_keras():
    keras = import_keras()
    for name in {name for name, _ in VARIANTS}:
        theirs = keras.optimizers.get(name.lower()).get_config()
        ours = optimizers.get(name.lower()).get_config()
        assert ours.pop("name") == name.lower()
        assert theirs.keys() - ours.keys() == {"name", "loss_scale_factor"}
        for key, value in ours.items():
            assert theirs[key] == pytest.approx(value), key


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
@pytest.mark.parametrize(("name", "own"), EACH, ids=str)
def test_a_warm_update_allocates_nothing(name, own, options, rng):
    optimizer = getattr(optimizers, name)(**{**own, **options})
    values, grads = rng.standard_normal((2, 100_000)).astype(np.float32)
    optimizer.build([("a", 0, 40_000), ("b", 40_000, 60_000)], values.size, np.float32)
    optimizer.update(values, grads)
    tracemalloc.start()
    try:
        optimizer.update(values, grads)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000  # a few Python objects, no array
