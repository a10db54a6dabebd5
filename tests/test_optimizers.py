"""Optimizers: trajectories against the equations and Keras, clipping, state, and errors."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fastlstm import optimizers
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.optimizers import SGD, Adam
from tests.peers import import_keras
from tests.reference import optimizers as reference

SHAPES = [(3, 5), (5,), (7, 11), (1,)]
SIZES = [15, 5, 77, 1]
STEPS = 20

CLIPS = [{}, {"clipnorm": 0.9}, {"global_clipnorm": 1.5}, {"clipvalue": 0.3}]
VARIANTS = [
    (Adam, {}),
    (Adam, {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    (SGD, {}),
    (SGD, {"learning_rate": 0.1, "momentum": 0.9}),
    (SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
]


@pytest.fixture(autouse=True)
def _serial():
    set_num_threads(1)


def _segments():
    offsets = np.cumsum([0, *SIZES]).tolist()
    return [(f"v{i}", offsets[i], SIZES[i]) for i in range(len(SIZES))]


def _flat(arrays, dtype):
    return np.concatenate([array.ravel() for array in arrays]).astype(dtype)


def _problem(rng):
    """Starting values, and gradients of very different size that clip at some steps only."""
    params = [rng.standard_normal(shape) for shape in SHAPES]
    sizes = rng.uniform(0, 0.6, (STEPS, len(SHAPES)))
    sizes[3] = 0
    steps = [
        [size * rng.standard_normal(shape) for size, shape in zip(row, SHAPES, strict=True)]
        for row in sizes
    ]
    return params, steps


def _run(optimizer, params, steps, dtype):
    values = _flat(params, dtype)
    optimizer.build(_segments(), values.size, dtype)
    for grads in steps:
        optimizer.update(values, _flat(grads, dtype))
    return values


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize(("cls", "options"), VARIANTS)
def test_trajectory_follows_the_equations(cls, options, clip, rng):
    params, steps = _problem(rng)
    follow = reference.adam if cls is Adam else reference.sgd
    exact = _flat(follow(params, steps, **options, **clip), np.float64)
    assert np.abs(exact - _flat(params, np.float64)).max() > 0.005
    double = _run(cls(**options, **clip), params, steps, np.float64)
    np.testing.assert_allclose(double, exact, rtol=0, atol=1e-13)
    single = _run(cls(**options, **clip), params, steps, np.float32)
    np.testing.assert_allclose(single, exact, rtol=0, atol=3e-6)


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize(("cls", "options"), VARIANTS)
def test_trajectory_follows_keras(cls, options, clip, rng):
    keras = import_keras()
    params, steps = _problem(rng)
    theirs = getattr(keras.optimizers, cls.__name__)(**options, **clip)
    variables = [keras.Variable(array.astype(np.float32)) for array in params]
    for grads in steps:
        tensors = [keras.ops.convert_to_tensor(g.astype(np.float32)) for g in grads]
        theirs.apply(tensors, variables)
    expected = _flat([keras.ops.convert_to_numpy(v) for v in variables], np.float32)
    ours = cls(**options, **clip)
    np.testing.assert_allclose(
        _run(ours, params, steps, np.float32), expected, rtol=1e-6, atol=1e-6
    )
    assert ours.iterations == STEPS == int(theirs.iterations)


def test_clips_happen_in_place_on_the_gradients(rng):
    params, steps = _problem(rng)
    optimizer = SGD(clipvalue=0.1)
    values, grads = _flat(params, np.float32), _flat(steps[0], np.float32)
    optimizer.build(_segments(), values.size, np.float32)
    optimizer.update(values, grads)
    assert np.abs(grads).max() == np.float32(0.1)


def test_the_learning_rate_may_change_on_the_way(rng):
    params, steps = _problem(rng)
    optimizer = SGD(0.5)
    start = _run(optimizer, params, steps[:1], np.float64)
    optimizer.learning_rate = np.float32(0.25)
    assert isinstance(optimizer.learning_rate, float)
    values, grads = start.copy(), _flat(steps[1], np.float64)
    optimizer.update(values, grads)
    np.testing.assert_allclose(values, start - 0.25 * grads, atol=1e-15)
    optimizer.learning_rate = 0
    before = values.copy()
    optimizer.update(values, grads)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(("cls", "options"), VARIANTS)
def test_training_goes_on_from_a_saved_state(cls, options, rng):
    params, steps = _problem(rng)
    whole = _run(cls(**options), params, steps, np.float32)
    first = cls(**options)
    values = _run(first, params, steps[:9], np.float32)
    saved = {name: array.copy() for name, array in first.state().items()}
    second = cls.from_config(first.get_config())
    second.build(_segments(), values.size, np.float32)
    second.load_state(saved, first.iterations)
    for grads in steps[9:]:
        second.update(values, _flat(grads, np.float32))
    np.testing.assert_array_equal(values, whole)
    assert second.iterations == STEPS


def test_state_holds_the_live_moments(rng):
    params, steps = _problem(rng)
    optimizer = Adam()
    assert optimizer.state() == {}
    _run(optimizer, params, steps[:1], np.float32)
    state = optimizer.state()
    assert list(state) == ["momentum", "velocity"]
    assert all(array.any() for array in state.values())
    optimizer.build(_segments(), sum(SIZES), np.float32)
    assert not any(array.any() for array in optimizer.state().values())
    assert optimizer.iterations == 0
    plain = SGD()
    plain.build(_segments(), sum(SIZES), np.float32)
    assert plain.state() == {}


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


@pytest.mark.parametrize(("cls", "options"), VARIANTS)
def test_configuration_makes_the_same(cls, options):
    optimizer = cls(**options, clipnorm=2.0, name="mine")
    again = cls.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert again.clipnorm == 2.0
    assert again.name == "mine"
    assert repr(again) == repr(optimizer)
    assert "clipnorm=2.0" in repr(again)


def test_defaults_are_those_of_keras():
    keras = import_keras()
    for name in ("adam", "sgd"):
        theirs = keras.optimizers.get(name).get_config()
        ours = optimizers.get(name).get_config()
        assert ours.pop("name") == name
        for key, value in ours.items():
            assert theirs[key] == pytest.approx(value), key


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize(("cls", "options"), [VARIANTS[0], VARIANTS[3]])
def test_a_warm_update_allocates_nothing(cls, options, clip, rng):
    optimizer = cls(**options, **clip)
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


@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_bits_do_not_depend_on_the_threads(clip, rng):
    size = 200_000
    start, grads = rng.standard_normal((2, size)).astype(np.float32)
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        optimizer = Adam(**clip)
        optimizer.build([("a", 0, 70_001), ("b", 70_001, size - 70_001)], size, np.float32)
        values = start.copy()
        for _ in range(3):
            optimizer.update(values, grads.copy())
        results.append(values)
    np.testing.assert_array_equal(results[1], results[0])
