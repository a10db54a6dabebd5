"""Twenty steps of every optimizer, with every option: against the equations, and Keras."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm import optimizers
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.optimizers import SGD, Adam, RMSprop
from fastlstm.optimizers.schedules import ExponentialDecay
from tests.optimizers.problem import (
    EACH,
    OPTIONS,
    STEPS,
    VARIANTS,
    flat,
    problem,
    segments,
    take_steps,
)
from tests.peers import import_keras
from tests.reference import optimizers as reference

CASES = [(name, own, {}) for name, own in VARIANTS]
CASES += [(name, own, options) for name, own in EACH for options in OPTIONS]
each_case = pytest.mark.parametrize(("name", "own", "options"), CASES, ids=str)


@pytest.fixture(autouse=True)
def _serial():
    set_num_threads(1)


def _make(name, own, options):
    return getattr(optimizers, name)(**{**own, **options})


@each_case
def test_the_equations(name, own, options, rng):
    params, steps = problem(rng)
    exact, means = reference.train(name, params, steps, **{**own, **options})
    assert np.abs(flat(exact, np.float64) - flat(params, np.float64)).max() > 5e-4
    for dtype, limit in ((np.float64, 2e-13), (np.float32, 2e-5)):
        optimizer = _make(name, own, options)
        values = take_steps(optimizer, params, steps, dtype)
        np.testing.assert_allclose(values, flat(exact, np.float64), rtol=0, atol=limit)
        optimizer.finalize_variable_values(values)
        final = means if options.get("use_ema") else exact
        np.testing.assert_allclose(values, flat(final, np.float64), rtol=0, atol=limit)


@pytest.fixture(params=["float32", "float64"])
def keras_and_dtype(request):
    keras = import_keras()
    before = keras.config.floatx()
    keras.config.set_floatx(request.param)
    yield keras, np.dtype(request.param)
    keras.config.set_floatx(before)


def _keras_steps(keras, theirs, params, steps, dtype):
    """The variables after all steps, and at last."""
    variables = [
        keras.Variable(array.astype(dtype), name=f"v{i}") for i, array in enumerate(params)
    ]
    for grads in steps:
        tensors = [keras.ops.convert_to_tensor(g.astype(dtype)) for g in grads]
        theirs.apply(tensors, variables)
    trained = flat([keras.ops.convert_to_numpy(v) for v in variables], dtype)
    theirs.finalize_variable_values(variables)
    return trained, flat([keras.ops.convert_to_numpy(v) for v in variables], dtype)


def _assert_like_keras(ours, theirs, keras, dtype, rng):
    params, steps = problem(rng)
    trained, final = _keras_steps(keras, theirs, params, steps, dtype)
    # Some of Keras' constants are float32 whatever the variables are.
    limit = 3e-6 if dtype == np.float32 else 1e-7
    values = take_steps(ours, params, steps, dtype)
    np.testing.assert_allclose(values, trained, rtol=limit, atol=limit)
    ours.finalize_variable_values(values)
    np.testing.assert_allclose(values, final, rtol=limit, atol=limit)
    assert ours.iterations == int(theirs.iterations)
    assert ours.steps == STEPS


@each_case
def test_keras(name, own, options, keras_and_dtype, rng):
    keras, dtype = keras_and_dtype
    theirs = getattr(keras.optimizers, name)(**{**own, **options})
    _assert_like_keras(_make(name, own, options), theirs, keras, dtype, rng)


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 3}], ids=str)
def test_schedules_count_gradients_as_in_keras(options, keras_and_dtype, rng):
    keras, dtype = keras_and_dtype
    both = [
        kind.SGD(kind.schedules.ExponentialDecay(0.5, 4, 0.3), weight_decay=0.1, **options)
        for kind in (optimizers, keras.optimizers)
    ]
    _assert_like_keras(*both, keras, dtype, rng)
    assert both[0].learning_rate == pytest.approx(float(both[1].learning_rate), rel=1e-6)


@pytest.mark.parametrize("names", [["v1"], ["v[0-1]"], ["3", "v2"], ["x"]], ids=str)
def test_some_variables_do_not_decay(names, keras_and_dtype, rng):
    keras, dtype = keras_and_dtype
    both = [kind.AdamW(0.05, 0.5) for kind in (optimizers, keras.optimizers)]
    for optimizer in both:
        optimizer.exclude_from_weight_decay(var_names=names)
    _assert_like_keras(*both, keras, dtype, rng)


@pytest.mark.parametrize("numbers", [[], [1], [0, 1], [0, 3], [0, 1, 2, 3]], ids=str)
def test_named_variables_do_not_decay(numbers, rng):
    params, steps = problem(rng)
    exact, _ = reference.train("SGD", params, steps, numbers, weight_decay=2.0)
    optimizer = SGD(weight_decay=2.0)
    names = [f"v{number}" for number in numbers]
    optimizer.exclude_from_weight_decay(names)
    assert optimizer.excluded_from_weight_decay([name for name, *_ in segments()]) == names
    values = take_steps(optimizer, params, steps, np.float64)
    np.testing.assert_allclose(values, flat(exact, np.float64), rtol=0, atol=1e-13)


@pytest.mark.parametrize("cls", [RMSprop, Adam])
def test_gradients_that_are_all_alike(cls):
    """Their variance is 0, and rounding must not make it less."""
    optimizer = cls(centered=True) if cls is RMSprop else cls()
    values, grads = np.zeros(64, np.float32), np.linspace(-1e3, 1e3, 64, dtype=np.float32)
    optimizer.build([("v", 0, 64)], 64, np.float32)
    for _ in range(200):
        optimizer.update(values, grads)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(("name", "own"), VARIANTS, ids=str)
def test_a_gradient_of_nan_stays_visible(name, own):
    """Where nobody asked that it be looked for."""
    optimizer = _make(name, own, {})
    optimizer.build([("v", 0, 20)], 20, np.float32)
    values, grads = np.ones((2, 20), np.float32)
    grads[[3, 18]] = np.nan
    optimizer.update(values, grads)
    assert np.flatnonzero(np.isnan(values)).tolist() == [3, 18]


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
@pytest.mark.parametrize(("name", "own"), VARIANTS, ids=str)
def test_bits_do_not_depend_on_the_threads(name, own, options, rng):
    size = 50_003
    start, *steps = rng.standard_normal((4, size)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        optimizer = _make(name, own, options)
        optimizer.exclude_from_weight_decay(["b"])
        optimizer.build(
            [("a", 0, 20_001), ("b", 20_001, 3), ("c", 20_004, size - 20_004)], size, "f4"
        )
        values = start.copy()
        for grads in steps:
            optimizer.update(values, grads.copy())
        results.append([values, *optimizer.state().values()])
    for other in results[1:]:
        for array, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(array, expected)


def test_an_element_has_the_same_bits_wherever_it_stands(rng):
    """In a whole vector or in the rest of one, before or behind others."""
    start, grads = rng.standard_normal((2, 200)).astype(np.float32)
    for name, own in VARIANTS:
        whole = _whole(_make(name, own, {"weight_decay": 0.1}), start, grads)
        for first, last in ((0, 1), (3, 20), (7, 200), (150, 199)):
            part = _whole(
                _make(name, own, {"weight_decay": 0.1}), start[first:last], grads[first:last]
            )
            np.testing.assert_array_equal(part, whole[first:last])


def _whole(optimizer, start, grads):
    values = start.copy()
    optimizer.build([("v", 0, values.size)], values.size, np.float32)
    for _ in range(3):
        optimizer.update(values, grads.copy())
    return values


def test_the_learning_rate_of_a_schedule_is_that_of_the_step(rng):
    schedule = ExponentialDecay(0.5, 1, 0.5)
    optimizer = SGD(schedule)
    assert optimizer.learning_rate == 0.5
    values = np.zeros(3)
    optimizer.build([("v", 0, 3)], 3, np.float64)
    for rate in (0.5, 0.25, 0.125):
        before = values.copy()
        optimizer.update(values, np.ones(3))
        np.testing.assert_allclose(before - values, rate)
        assert optimizer.learning_rate == rate / 2
