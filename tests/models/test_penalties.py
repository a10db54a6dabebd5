"""Regularizers and constraints in models: values, gradients, and Keras step by step."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential, constraints, regularizers
from fastlstm.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from fastlstm.layers import GRU, LSTM, SLSTM, Bidirectional, Dense, Embedding, MinGRU, SimpleRNN
from fastlstm.models import Ensemble, load_model
from fastlstm.optimizers import SGD
from fastlstm.regularizers import L1, L1L2, L2, OrthogonalRegularizer
from tests.peers import import_keras

N, T, D = 8, 5, 3
PENALTIES = {
    "kernel_regularizer": "l2",
    "recurrent_regularizer": {"class_name": "L1L2", "config": {"l1": 0.03, "l2": 0.02}},
    "bias_regularizer": "l1",
}
BOUNDS = {
    "kernel_constraint": "non_neg",
    "recurrent_constraint": {
        "class_name": "MinMaxNorm",
        "config": {"min_value": 0.5, "max_value": 0.7, "rate": 0.8, "axis": 1},
    },
    "bias_constraint": "unit_norm",
}


def _data(rng, *lead):
    x = rng.standard_normal((*lead, N, T, D)).astype(np.float32)
    return x, rng.standard_normal((*lead, N, 2)).astype(np.float32)


def _model(optimizer="sgd", **options):
    model = Sequential(
        [
            GRU(4, input_shape=(T, D), return_sequences=True, **options),
            LSTM(3, kernel_regularizer=L2(0.1), kernel_constraint=MaxNorm(0.9)),
            Dense(2, bias_regularizer=L1(0.2), bias_constraint=NonNeg()),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def _assert_equal(arrays, expected):
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, other)


# -- values and gradients ---------------------------------------------------------------------


def test_the_loss_has_them_in_it(rng):
    x, y = _data(rng)
    model = _model(**PENALTIES)
    kernel, recurrent, bias, second, _, _, _, last = model.get_weights()
    penalty = 0.01 * np.square(kernel).sum() + 0.01 * np.abs(bias).sum()
    penalty += 0.03 * np.abs(recurrent).sum() + 0.02 * np.square(recurrent).sum()
    penalty += 0.1 * np.square(second).sum() + 0.2 * np.abs(last).sum()
    plain = np.square(model.predict(x, verbose=0) - y).mean()
    expected = pytest.approx(plain + penalty, rel=1e-5)
    assert model.evaluate(x, y, verbose=0) == expected
    assert model.evaluate(x, y, batch_size=3, verbose=0) == expected
    assert model.value_and_grad(x, y)[0] == expected
    assert model.test_on_batch(x, y) == expected
    assert model.train_on_batch(x, y) == expected


@pytest.mark.parametrize("bptt", ["full", "checkpoint"])
@pytest.mark.parametrize("cell", [SimpleRNN, MinGRU, SLSTM])
def test_gradients_by_finite_differences(cell, bptt, rng):
    rules = {key: L1L2(0.3, 0.7) for key in PENALTIES}
    model = Sequential(
        [
            cell(3, input_shape=(None, 2), return_sequences=True, dtype="float64", **rules),
            Dense(1, kernel_regularizer=L1L2(0.2, 0.1), dtype="float64"),
        ]
    )
    model.compile("sgd", "mse")
    x = rng.standard_normal((2, 40, 2))
    y = rng.standard_normal((2, 40, 1))
    model.build()
    # Away from 0, where an absolute value has no slope.
    model.set_weights([np.where(np.abs(w) < 0.01, 0.02, w) for w in model.get_weights()])
    _, grads = model.value_and_grad(x, y, bptt=bptt)
    weights = model.get_weights()
    for number, grad in enumerate(grads):
        for place in list(np.ndindex(grad.shape))[::3]:
            values = []
            for step in (1e-6, -1e-6):
                changed = [weight.copy() for weight in weights]
                changed[number][place] += step
                model.set_weights(changed)
                values.append(model.test_on_batch(x, y))
            slope = (values[0] - values[1]) / 2e-6
            assert grad[place] == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("mode", ["rows", "columns"])
@pytest.mark.parametrize("shape", [(4, 7), (6, 2), (1, 5), (5, 1)], ids=str)
def test_orthogonal(shape, mode, rng):
    """Value and gradient, with a line of zeros among the others."""
    rule = OrthogonalRegularizer(0.8, mode)
    model = Sequential(
        [Dense(shape[1], input_shape=shape[:1], kernel_regularizer=rule, dtype="float64")]
    )
    model.compile("sgd", "mse")
    model.build()
    w = rng.standard_normal(shape)
    if min(shape) > 1:
        w[1] = 0
    nothing = np.zeros((1, shape[0])), np.zeros((1, shape[1]))
    model.set_weights([w, np.zeros(shape[1])])
    loss, (grad, _) = model.value_and_grad(*nothing)
    assert loss == pytest.approx(rule(w), rel=1e-12)
    for place in np.ndindex(shape):
        if not w[place]:
            continue
        values = []
        for step in (1e-6, -1e-6):
            changed = w.copy()
            changed[place] += step
            values.append(rule(changed))
        slope = (values[0] - values[1]) / 2e-6
        assert grad[place] == pytest.approx(slope, rel=1e-5, abs=1e-8)
    assert np.isfinite(grad).all()
    if min(shape) > 1:
        lines = w if mode == "rows" else w.T
        units = lines / np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-30)
        pairs = [abs(units[i] @ units[j]) for i in range(len(units)) for j in range(i)]
        assert loss == pytest.approx(0.8 * np.mean(pairs), rel=1e-12)


def test_words_that_do_not_occur_are_penalised_too(rng):
    """And a gradient that is asked for later has nothing of it left."""
    table = Embedding(20, 4, embeddings_regularizer=L2(0.5), input_shape=(3,))
    model = Sequential([table, LSTM(3), Dense(1)])
    model.compile(SGD(0.1), "mse")
    model.build()
    ids = np.array([[1, 2, 2]])
    before = model.get_weights()[0]
    for _ in range(2):
        model.train_on_batch(ids, [[1.0]])
    expected = before[5:] * np.float32(0.9) ** 2
    np.testing.assert_allclose(model.get_weights()[0][5:], expected, rtol=1e-6)
    y, pullback = fastlstm.vjp(model, ids)
    gradient = pullback(np.ones_like(y))[2][0]
    assert np.flatnonzero(np.abs(gradient).sum(axis=1)).tolist() == [1, 2]


def test_a_frozen_layer_has_no_penalty_and_no_bound(rng):
    model = _model(**PENALTIES, **BOUNDS)
    x, y = _data(rng)
    whole, before = model.evaluate(x, y, verbose=0), model.get_weights()
    model.trainable = False
    plain = np.square(model.predict(x, verbose=0) - y).mean()
    with pytest.warns(UserWarning, match="no trainable weights"):
        assert model.evaluate(x, y, verbose=0) == pytest.approx(plain, rel=1e-5)
    model.train_on_batch(x, y)
    _assert_equal(model.get_weights(), before)
    model.trainable = True
    assert model.evaluate(x, y, verbose=0) == whole


def test_a_loss_that_is_not_finite_leaves_the_weights(rng):
    model = _model(kernel_regularizer=L2(1e30), kernel_constraint="unit_norm")
    model.build()
    before = [np.full_like(weight, 1e20) for weight in model.get_weights()]
    model.set_weights(before)
    model.layers[0].kernel_regularizer.l2 = 1e300
    with pytest.raises(FloatingPointError, match="nothing was updated"):
        model.train_on_batch(*_data(rng))
    _assert_equal(model.get_weights(), before)


# -- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"use_ema": True, "ema_overwrite_frequency": 2}], ids=str)
def test_weights_are_within_bounds_after_each_update(options, rng):
    model = _model(SGD(0.3, **options), **BOUNDS)
    for _ in range(4):
        model.train_on_batch(*_data(rng))
        kernel, recurrent, bias, second, _, _, _, last = model.get_weights()
        assert kernel.min() >= 0
        assert last.min() >= 0
        # Short of 1 by as much as 1e-7 is of their norms before.
        np.testing.assert_allclose(np.linalg.norm(bias, axis=0), 1, rtol=0.02)
        assert np.linalg.norm(second, axis=0).max() <= 0.9 * (1 + 1e-6)
    assert np.linalg.norm(recurrent, axis=1).max() <= 0.8


def test_an_axis_that_a_weight_does_not_have(rng):
    model = _model(bias_constraint=UnitNorm(axis=2))
    with pytest.raises(ValueError, match="expects axis within the 2 of the weight"):
        model.train_on_batch(*_data(rng))


# -- ways to train ----------------------------------------------------------------------------


def test_checkpoints_have_the_same_bits(rng):
    x = rng.standard_normal((2, 60, D)).astype(np.float32)
    results = []
    for bptt in ("full", "checkpoint"):
        fastlstm.utils.set_random_seed(1)
        model = Sequential(
            [LSTM(4, input_shape=(None, D), return_sequences=True, **PENALTIES, **BOUNDS), Dense(1)]
        )
        model.compile("adam", "mse")
        losses = [model.train_on_batch(x, x[..., :1], bptt=bptt) for _ in range(4)]
        results.append([*model.get_weights(), losses])
    _assert_equal(*results)


def test_windows_are_penalised_each(rng):
    x = rng.standard_normal((2, 12, D)).astype(np.float32)
    model = Sequential(
        [LSTM(4, input_shape=(None, D), return_sequences=True, **PENALTIES), Dense(1)]
    )
    model.compile(SGD(0.0), "mse")
    whole = model.train_on_batch(x, x[..., :1])
    assert model.train_on_batch(x, x[..., :1], bptt=5) == pytest.approx(whole, rel=1e-6)


def test_the_models_of_an_ensemble_have_the_bits_of_each_alone(rng):
    fastlstm.set_num_threads(2)
    table = Embedding(30, 4, embeddings_regularizer="l2", embeddings_constraint=MaxNorm(1.0))
    last = Dense(1, kernel_regularizer=OrthogonalRegularizer())
    model = Sequential([table, GRU(4, **PENALTIES, **BOUNDS), last])
    model.compile("adam", "mse")
    model.build((None, 4))
    ensemble = Ensemble(model, 5)
    singles = [ensemble[number] for number in range(5)]
    for _ in range(4):
        ids, y = rng.integers(0, 30, (5, 3, 4)), rng.standard_normal((5, 3, 1))
        losses = ensemble.train_on_batch(ids, y)
        for number, single in enumerate(singles):
            assert single.train_on_batch(ids[number], y[number]) == losses[number]
            _assert_equal(ensemble[number].get_weights(), single.get_weights())


def test_bits_do_not_depend_on_the_threads(rng):
    x = rng.standard_normal((64, 20, 16)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        fastlstm.utils.set_random_seed(1)
        last = Dense(2, kernel_regularizer=OrthogonalRegularizer())
        model = Sequential([LSTM(100, input_shape=(20, 16), **PENALTIES, **BOUNDS), last])
        model.compile("adam", "mse")
        losses = [model.train_on_batch(x, x[:, 0, :2]) for _ in range(3)]
        results.append([*model.get_weights(), losses])
    _assert_equal(results[1], results[0])
    _assert_equal(results[2], results[0])


# -- names, files, errors ---------------------------------------------------------------------


def test_they_are_in_the_file(tmp_path, rng):
    x, y = _data(rng)
    model = _model("adam", **PENALTIES, **BOUNDS)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    for each in (model, again):
        each.train_on_batch(x, y)
    _assert_equal(again.get_weights(), model.get_weights())
    layer = again.layers[0]
    assert repr(layer.recurrent_regularizer) == "L1L2(l1=0.03, l2=0.02)"
    assert repr(layer.recurrent_constraint).startswith("MinMaxNorm(min_value=0.5, max_value=0.7")


@pytest.mark.parametrize("module", [regularizers, constraints])
def test_names(module):
    assert module.get(None) is None
    kind = L2 if module is regularizers else MaxNorm
    name = "l2" if module is regularizers else "max_norm"
    made = kind(0.5)
    assert module.get(made) is made
    for given in (name, kind.__name__, kind, getattr(module, name)):
        assert type(module.get(given)) is kind
    again = module.get({"class_name": kind.__name__, "config": made.get_config()})
    assert again.get_config() == made.get_config()
    with pytest.raises(ValueError, match=f"Did you mean '{name}'"):
        module.get(name + "x")
    with pytest.raises(TypeError, match="expected"):
        module.get(lambda w: w)


def test_what_they_give_for_an_array():
    w = np.array([[1.0, -2.0], [2.0, 0.0]], np.float32)
    assert L1L2(0.5, 0.25)(w) == 0.5 * 5 + 0.25 * 9
    assert NonNeg()(w).tolist() == [[1, 0], [2, 0]]
    np.testing.assert_allclose(UnitNorm(axis=[0, 1])(w), w / 3, rtol=1e-6)
    np.testing.assert_allclose(MaxNorm(2)(w.tolist())[:, 0], w[:, 0] * 2 / 5**0.5, rtol=1e-6)
    assert w[0, 1] == -2


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: L1(-1.0), "L1 l1 expects a number at least 0"),
        (lambda: L1L2(l2=np.inf), "L1L2 l2 expects"),
        (lambda: OrthogonalRegularizer(mode="row"), "mode 'rows' or 'columns'"),
        (lambda: OrthogonalRegularizer()(np.ones(3)), "expects a matrix"),
        (lambda: MinMaxNorm(2.0, 1.0), "min_value to be at most max_value"),
        (lambda: MinMaxNorm(rate=2.0), "rate expects"),
        (lambda: UnitNorm(axis="0"), "expects axis"),
        (lambda: UnitNorm(axis=[]), "expects axis"),
        (lambda: MinMaxNorm(axis=(0, 0))(np.ones(3)), "each once"),
        (lambda: MaxNorm(axis=-2)(np.ones(3)), "expects axis within the 1"),
        (lambda: Dense(2, kernel_regularizer="l3"), "unknown regularizer"),
    ],
)
def test_what_is_wrong_is_said(make, text):
    with pytest.raises(ValueError, match=text):
        make()


# -- Keras ------------------------------------------------------------------------------------


def _words(api):
    rules = api.regularizers.L1L2(0.01, 0.02), api.constraints.MaxNorm(0.5, axis=1)
    table = api.layers.Embedding(
        30, 6, embeddings_regularizer=rules[0], embeddings_constraint=rules[1]
    )
    return api.Sequential([api.layers.Input((T,)), table, api.layers.LSTM(4), api.layers.Dense(1)])


def _sequences(api):
    inner = api.layers.LSTM(
        4,
        return_sequences=True,
        kernel_regularizer=api.regularizers.l1_l2(0.01, 0.02),
        recurrent_regularizer="l1",
        bias_regularizer=api.regularizers.l2(0.1),
        kernel_constraint=api.constraints.max_norm(0.8),
        recurrent_constraint="unit_norm",
    )
    gated = api.layers.GRU(
        3,
        kernel_regularizer=api.regularizers.OrthogonalRegularizer(0.1),
        recurrent_regularizer=api.regularizers.OrthogonalRegularizer(0.1, mode="columns"),
        bias_regularizer="l1",
        kernel_constraint="non_neg",
        recurrent_constraint=api.constraints.MinMaxNorm(0.2, 0.6, 0.5, axis=1),
        bias_constraint=api.constraints.MaxNorm(0.1),
    )
    last = api.layers.Dense(
        2,
        kernel_regularizer=api.regularizers.L2(0.05),
        bias_regularizer=api.regularizers.L1(0.05),
        kernel_constraint=api.constraints.UnitNorm(),
        bias_constraint=api.constraints.NonNeg(),
    )
    both = api.layers.Bidirectional(inner)
    return api.Sequential([api.layers.Input((T, D)), both, gated, last])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.3}], ids=str)
@pytest.mark.parametrize("make", [_words, _sequences])
def test_keras(make, options, rng):
    keras = import_keras()
    theirs, ours = make(keras), make(fastlstm)
    ours.set_weights(theirs.get_weights())
    for model, api in ((theirs, keras), (ours, fastlstm)):
        model.compile(api.optimizers.SGD(0.2, momentum=0.5, **options), "mse")
    for step in range(20):
        x, y = _data(rng)
        if make is _words:
            x, y = rng.integers(0, 30, (N, T)), y[:, :1]
        expected, got = theirs.train_on_batch(x, y), ours.train_on_batch(x, y)
        theirs.reset_metrics()
        assert got == pytest.approx(expected, rel=2e-5), f"step {step}"
    for got, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    expected = theirs.evaluate(x, y, verbose=0)
    assert ours.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=2e-5)


def test_both_directions_have_them():
    both = Bidirectional(LSTM(2, kernel_regularizer="l2", bias_constraint="non_neg"))
    both.build((T, D))
    kinds = [(type(spec.regularizer), type(spec.constraint)) for spec in both.specs]
    nothing = type(None)
    assert kinds == [(L2, nothing), (nothing, nothing), (nothing, NonNeg)] * 2
