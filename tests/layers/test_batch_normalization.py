"""Batch normalization: against NumPy in float64, finite differences, and Keras step by step."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.layers import GRU, LSTM, BatchNormalization, Dense, Input, Masking
from fastlstm.models import Ensemble, load_model
from fastlstm.optimizers import SGD
from tests.peers import import_keras

T, D = 5, 3


def _assert_equal(arrays, expected):
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def _layer(rng, shape, **options):
    """One whose weights are not those that it starts with."""
    layer = BatchNormalization(momentum=0.7, epsilon=0.01, dtype="float64", **options)
    layer.build(shape[1:])
    layer.set_weights([rng.uniform(0.5, 2, shape[-1]) for _ in layer.weights])
    return layer


def _apply(x, mean, variance, layer):
    weights = dict(zip(layer.weight_names, layer.get_weights(), strict=True))
    y = (x - mean) / np.sqrt(variance + 0.01)
    return y * weights.get("gamma", 1.0) + weights.get("beta", 0.0)


# -- forward ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}], ids=str)
@pytest.mark.parametrize("shape", [(7, 3), (130, 9), (30, T, 17), (2, 1, 1)], ids=str)
def test_the_equations(shape, options, rng):
    x = 3 * rng.standard_normal(shape) + 5
    layer = _layer(rng, shape, **options)
    *_, mean, variance = layer.get_weights()
    np.testing.assert_allclose(layer(x), _apply(x, mean, variance, layer), rtol=1e-12)
    axes = tuple(range(len(shape) - 1))
    expected = _apply(x, x.mean(axis=axes), x.var(axis=axes), layer)
    np.testing.assert_allclose(layer(x, training=True), expected, rtol=1e-10, atol=1e-12)
    *_, new_mean, new_variance = layer.get_weights()
    np.testing.assert_allclose(new_mean, 0.7 * mean + 0.3 * x.mean(axis=axes), rtol=1e-12)
    np.testing.assert_allclose(new_variance, 0.7 * variance + 0.3 * x.var(axis=axes), rtol=1e-12)


def test_steps_that_do_not_count(rng):
    x, mask = rng.standard_normal((6, T, D)), rng.random((6, T)) < 0.6
    layer = _layer(rng, x.shape)
    mean = layer.get_weights()[2]
    valid = x[mask]
    expected = _apply(x, valid.mean(axis=0), valid.var(axis=0), layer)
    np.testing.assert_allclose(layer(x, mask=mask, training=True), expected, rtol=1e-6)
    np.testing.assert_allclose(layer.views()[2], 0.7 * mean + 0.3 * valid.mean(axis=0), rtol=1e-6)
    # Where none count there is nothing to divide by.
    assert np.isfinite(layer(x, mask=np.zeros((6, T)), training=True)).all()
    assert np.isfinite(layer.get_weights()).all()


def test_large_means_cost_no_digits(rng):
    """The mean is taken off before the squares are."""
    x = rng.standard_normal((500, 2)).astype(np.float32) + np.float32(4096)
    layer = BatchNormalization(momentum=0.0)
    y = layer(x, training=True)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-3)
    np.testing.assert_allclose(layer.views()[3], x.astype(np.float64).var(axis=0), rtol=1e-6)


# -- gradients --------------------------------------------------------------------------------


def _small(masked, **options):
    layers = [Masking(0.0, dtype="float64")] if masked else []
    layers += [
        BatchNormalization(dtype="float64", **options),
        LSTM(3, return_sequences=True, dtype="float64"),
        BatchNormalization(dtype="float64", **options),
        Dense(2, dtype="float64", kernel_initializer="normal"),
        BatchNormalization(dtype="float64", epsilon=0.1, gamma_regularizer="l2"),
        Dense(1, dtype="float64"),
    ]
    model = Sequential([Input((T, D)), *layers])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"trainable": False}], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_by_finite_differences(masked, options, rng):
    model = _small(masked, **options)
    x, y = rng.standard_normal((4, T, D)), rng.standard_normal((4, T, 1))
    if masked:
        x[rng.random((4, T)) < 0.4] = 0
    weights = [w + 0.2 * rng.random(w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    _, grads = model.value_and_grad(x, y)
    _assert_equal(model.get_weights(), weights)
    flags = [spec.trainable for layer in model.layers for spec in layer.specs]
    for number, grad in enumerate(grads):
        if not flags[number]:
            assert not grad.any()
            continue
        for place in list(np.ndindex(grad.shape))[::3]:
            values = []
            for step in (1e-6, -1e-6):
                changed = [weight.copy() for weight in weights]
                changed[number][place] += step
                model.set_weights(changed)
                values.append(model.value_and_grad(x, y)[0])
            slope = (values[0] - values[1]) / 2e-6
            assert grad[place] == pytest.approx(slope, rel=2e-5, abs=1e-7)


def test_the_pullback_is_that_of_inference(rng):
    x, d_y = rng.standard_normal((2, 4, T, D))
    layer = _layer(rng, x.shape)
    gamma, _, _, variance = layer.get_weights()
    y, pullback = fastlstm.vjp(layer, x)
    np.testing.assert_array_equal(y, layer(x))
    d_x, _, (d_gamma, d_beta, d_mean, d_variance) = pullback(d_y)
    np.testing.assert_allclose(d_x, d_y * gamma / np.sqrt(variance + 0.01), rtol=1e-12)
    np.testing.assert_allclose(d_beta, d_y.sum(axis=(0, 1)), rtol=1e-11)
    normal = (y - layer.get_weights()[1]) / gamma
    np.testing.assert_allclose(d_gamma, (d_y * normal).sum(axis=(0, 1)), rtol=1e-10)
    assert not d_mean.any()
    assert not d_variance.any()


# -- training ---------------------------------------------------------------------------------


def _model(optimizer="adam", **options):
    model = Sequential(
        [
            Input((None, D)),
            BatchNormalization(momentum=0.9, **options),
            GRU(6, return_sequences=True),
            BatchNormalization(momentum=0.9),
            Dense(2),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def _data(rng, *lead, steps=T, rows=40):
    x = 2 * rng.standard_normal((*lead, rows, steps, D)).astype(np.float32) + 1
    return x, x[..., :2]


def test_a_step_that_is_given_up_leaves_everything(rng):
    """The moving moments too, which are never NaN."""
    model = _model()
    x, y = _data(rng)
    model.train_on_batch(x, y)
    before = model.get_weights()
    for bad in (np.full_like(y, 1e38), np.where(y > 0, 3e38, -3e38)):
        with pytest.raises(FloatingPointError, match="nothing was updated"):
            model.train_on_batch(x, bad)
    _assert_equal(model.get_weights(), before)


def test_so_does_one_whose_gradient_alone_is_not_finite(rng):
    model = Sequential([Input((D,)), BatchNormalization(), Dense(1)])
    model.compile("adam", "mae")
    model.set_weights([np.full(w.shape, 4.0) for w in model.get_weights()])
    x, weight = rng.standard_normal((8, D)), np.full(8, 3e38)
    loss, (_, d_beta, *_) = model.value_and_grad(x, np.zeros((8, 1)), weight)
    assert np.isfinite(loss)
    assert np.isinf(d_beta).all()
    with pytest.raises(FloatingPointError, match="nothing was updated"):
        model.train_on_batch(x, np.zeros((8, 1)), weight)
    _assert_equal(model.get_weights(), [np.full(w.shape, 4.0) for w in model.get_weights()])


def test_frozen_it_takes_the_moving_moments(rng):
    """From the step on for which it was frozen."""
    model = _model(SGD(0.0))
    x, y = _data(rng)
    tested = model.test_on_batch(x, y)
    assert model.train_on_batch(x, y) != tested
    for layer in model.layers:
        layer.trainable = False
    model.layers[-1].trainable = True
    before, tested = model.get_weights(), model.test_on_batch(x, y)
    assert model.train_on_batch(x, y) == pytest.approx(tested, rel=1e-6)
    _assert_equal(model.get_weights(), before)
    np.testing.assert_array_equal(model(x, training=True), model(x))
    model.trainable = True
    assert model.train_on_batch(x, y) != pytest.approx(tested, rel=1e-3)


def test_bits_do_not_depend_on_the_threads(rng):
    x, _ = _data(rng, steps=50, rows=33)
    results = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        fastlstm.utils.set_random_seed(1)
        model = Sequential(
            [Input((50, D)), Dense(200), BatchNormalization(), Dense(90), BatchNormalization()]
        )
        model.compile("adam", "mse")
        losses = [model.train_on_batch(x, np.repeat(x, 30, axis=-1)) for _ in range(3)]
        results.append([*model.get_weights(), losses, model.predict(x, verbose=0)])
    _assert_equal(results[1], results[0])
    _assert_equal(results[2], results[0])


def test_the_models_of_an_ensemble_have_the_bits_of_each_alone(rng):
    fastlstm.set_num_threads(2)
    model = _model(SGD(0.1, use_ema=True))
    model.build()
    ensemble = Ensemble(model, 3)
    singles = [ensemble[number] for number in range(3)]
    x, y = _data(rng, 3)
    y = y.copy()
    for step in range(4):
        y[1] = 1e38 if step == 2 else x[1, ..., :2]  # which one of them gives up
        losses = ensemble.train_on_batch(x, y)
        for number, single in enumerate(singles):
            if np.isfinite(losses[number]):
                assert single.train_on_batch(x[number], y[number]) == losses[number]
            _assert_equal(ensemble[number].get_weights(), single.get_weights())
    _assert_equal(ensemble.predict(x, verbose=0), [m.predict(x[n], verbose=0) for n, m in
                                                   enumerate(singles)])  # fmt: skip


def test_the_running_means_of_weights_are_not_those_of_moments(rng):
    model = _model(SGD(0.1, use_ema=True))
    for _ in range(3):
        model.train_on_batch(*_data(rng))
    moments = model.non_trainable_weights
    before = [array.copy() for array in moments]
    model.finalize_weights()
    _assert_equal(moments, before)


def test_in_files_and_step_by_step(tmp_path, rng):
    model = _model()
    x, y = _data(rng)
    for _ in range(3):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    for each in (model, again):
        each.train_on_batch(x, y)
    _assert_equal(again.get_weights(), model.get_weights())
    assert again.weight_names == model.weight_names
    expected, stream = model.predict(x[:2], verbose=0), again.stream(2)
    for t in range(T):
        np.testing.assert_array_equal(stream.step(x[:2, t]), expected[:, t])
    assert [weight.size for weight in model.non_trainable_weights] == [D, D, 6, 6]


def test_windows_and_checkpoints(rng):
    """The moments of a window are those of its steps; segments would need those of all."""
    model, parts = _model(SGD(0.0)), _model(SGD(0.0))
    parts.set_weights(model.get_weights())
    x, y = _data(rng, steps=6)
    model.train_on_batch(x[:, :4], y[:, :4])
    parts.train_on_batch(x, y, bptt=4)
    moving = 0.9 * model.layers[0].views()[2] + 0.1 * x[:, 4:].mean(axis=(0, 1))
    np.testing.assert_allclose(parts.layers[0].views()[2], moving, rtol=1e-5)
    with pytest.raises(ValueError, match=r"'batch_normalization.*needs all of them first"):
        model.train_on_batch(x, y, bptt="checkpoint")
    last = Sequential([Input((60, D)), LSTM(3), BatchNormalization(), Dense(1)])
    last.compile("adam", "mse")
    x, y = _data(rng, steps=60, rows=2)
    whole = last.value_and_grad(x, y[:, 0, :1])
    checkpointed = last.value_and_grad(x, y[:, 0, :1], bptt="checkpoint")
    assert whole[0] == checkpointed[0]
    _assert_equal(whole[1], checkpointed[1])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: BatchNormalization(axis=1)(np.ones((2, 3, 4))), "move the features"),
        (lambda: BatchNormalization()(np.ones(3)), "expects input"),
        (lambda: BatchNormalization(momentum=2.0), "momentum expects"),
        (lambda: BatchNormalization(epsilon=0), "epsilon expects"),
        (lambda: BatchNormalization(renorm=True), "no renorm"),
        (lambda: BatchNormalization().build((3, None)), "number of features"),
        (lambda: BatchNormalization(input_shape=(2,), synchronized=True), "no synchronized"),
    ],
)
def test_what_is_wrong_is_said(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_other_features_than_it_was_built_for(rng):
    layer = BatchNormalization(axis=2)
    layer(rng.standard_normal((2, 3, 4)))
    with pytest.raises(ValueError, match="was built for 4 features"):
        layer(rng.standard_normal((2, 3, 5)))


# -- Keras ------------------------------------------------------------------------------------


def _plain(api):
    layers = api.layers
    return api.Sequential(
        [
            layers.Input((T, D)),
            layers.BatchNormalization(momentum=0.8),
            layers.LSTM(6, return_sequences=True),
            layers.BatchNormalization(momentum=0.6, epsilon=0.05, center=False),
            layers.LSTM(4),
            layers.BatchNormalization(scale=False),
            layers.Dense(1),
        ]
    )


def _masked(api):
    layers = api.layers
    return api.Sequential(
        [
            layers.Input((T, D)),
            layers.Masking(-1.0),
            layers.BatchNormalization(momentum=0.8),
            layers.GRU(6, return_sequences=True),
            layers.BatchNormalization(momentum=0.6, trainable=False),
            layers.BatchNormalization(momentum=0.6),
            layers.Dense(1),
        ]
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("make", [_plain, _masked])
def test_keras(make, rng):
    """Losses and moving moments of 20 steps."""
    keras = import_keras()
    theirs, ours = make(keras), make(fastlstm)
    ours.set_weights(theirs.get_weights())
    for model, api in ((theirs, keras), (ours, fastlstm)):
        model.compile(api.optimizers.SGD(0.05, momentum=0.5), "mse")
    shapes = [weight.shape for weight in theirs.get_weights()]
    assert [weight.shape for weight in ours.get_weights()] == shapes
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)
    for step in range(20):
        x, y = _data(rng, rows=16)
        y = y[:, 0, :1] if make is _plain else y[..., :1]
        if make is _masked:
            x[rng.random((16, T)) < 0.3] = -1
        expected, got = theirs.train_on_batch(x, y), ours.train_on_batch(x, y)
        theirs.reset_metrics()
        assert got == pytest.approx(expected, rel=1e-4), f"step {step}"
    for got, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-3, atol=1e-4
    )
