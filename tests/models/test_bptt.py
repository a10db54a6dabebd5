"""Truncated back-propagation through time, and what the argument ``bptt`` takes."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.layers import LSTM, Dense, Dropout, Embedding, SimpleRNN
from fastlstm.optimizers import SGD
from tests.marks import needs_jit

B, T, D = 6, 23, 4


def _layers(stateful=False):
    return [
        LSTM(9, return_sequences=True, stateful=stateful, input_shape=(None, D)),
        Dropout(0.2),
        SimpleRNN(7, return_sequences=True, stateful=stateful),
        Dense(2),
    ]


def _compiled(layers, **options):
    model = Sequential(layers)
    model.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **options})
    return model


def _pair(rng):
    return (rng.standard_normal((B, T, n)).astype(np.float32) for n in (D, 2))


def _assert_same_weights(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("window", [1, 5, np.int64(23), 40])
def test_windows_are_the_batches_of_a_stateful_model(window, stateful, rng):
    """Two batches one after the other: states go on within each, or, if stateful, all along."""
    x, y = _pair(rng)
    weight = rng.random((B, T))
    fastlstm.utils.set_random_seed(3)
    model = _compiled(_layers(stateful))
    got = [model.train_on_batch(x, y, weight, bptt=window) for _ in range(2)]

    fastlstm.utils.set_random_seed(3)
    by_hand = _compiled(_layers(stateful=True))
    starts = range(0, T, int(window))
    for loss, error in got:
        parts = [slice(start, min(start + int(window), T)) for start in starts]
        results = [by_hand.train_on_batch(x[:, p], y[:, p], weight[:, p]) for p in parts]
        steps = [part.stop - part.start for part in parts]
        expected = np.average(results, axis=0, weights=steps)
        np.testing.assert_allclose([loss, error], expected, rtol=1e-12)
        if not stateful:
            by_hand.reset_states()
    _assert_same_weights(model, by_hand)


def test_one_window_is_the_full_way(rng):
    x, y = _pair(rng)
    losses, models = [], []
    for bptt in ("full", None, T):
        fastlstm.utils.set_random_seed(3)
        models.append(_compiled(_layers()))
        losses.append(models[-1].train_on_batch(x, y, bptt=bptt))
    assert losses[0] == losses[1] == losses[2]
    _assert_same_weights(models[0], models[1])
    _assert_same_weights(models[0], models[2])


def test_no_gradient_goes_from_window_to_window(rng):
    """The target of the second step says nothing about the first."""
    layers = [SimpleRNN(3, return_sequences=True, input_shape=(None, D))]
    model = _compiled(layers, optimizer=SGD(0.0))
    x = rng.standard_normal((B, 2, D)).astype(np.float32)
    y = np.zeros((B, 2, 3), np.float32)
    weight = np.array([[0.0, 1.0]] * B)
    model.train_on_batch(x, y, weight, bptt=1)
    truncated = model.layers[0].grads()[0].copy()
    h = model(x[:, :1])[:, 0]
    states = SimpleRNN(3, return_sequences=True)
    states.build((None, D))
    states.set_weights(model.get_weights())
    y_2, pullback = fastlstm.vjp(states, x[:, 1:], initial_state=[h])
    expected = pullback(2 * y_2 / (3 * B))[2][0]
    np.testing.assert_allclose(truncated, expected, rtol=1e-4, atol=1e-7)
    _, full = model.value_and_grad(x, y, weight)
    assert not np.allclose(full[0], expected, rtol=1e-2)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_fit_with_windows(threads, rng):
    """In any order of the samples, with a smaller batch and a shorter window at the end."""
    x, y = rng.integers(0, 11, (10, T)), rng.integers(0, 3, (10, T))
    results = []
    for count in (1, threads):
        fastlstm.set_num_threads(count)
        fastlstm.utils.set_random_seed(3)
        model = _compiled(
            [
                Embedding(11, 33, input_shape=(None,)),
                LSTM(34, return_sequences=True),
                Dense(3, "softmax"),
            ],
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        history = model.fit(
            x, y, batch_size=4, epochs=3, validation_split=0.2, verbose=0, bptt=9
        ).history
        assert history["loss"][-1] < history["loss"][0]
        results.append([*history.values(), *model.get_weights()])
    assert model.optimizer.iterations == 3 * 2 * 3
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize("bptt", ["foo", 0, -1, True, 2.5, "", (), [3]])
def test_what_bptt_expects(bptt, rng):
    x, y = _pair(rng)
    model = _compiled(_layers())
    before = model.get_weights()
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match=r"bptt expects 'full', 'checkpoint'.*number of steps"):
            train(x, y, bptt=bptt)
    with pytest.raises(ValueError, match="bptt expects 'full', 'checkpoint'"):
        model.value_and_grad(x, y, bptt=bptt)
    for weight, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_windows_take_a_target_for_every_step(rng):
    model = _compiled([LSTM(4, input_shape=(None, D)), Dense(1)])
    x, y = rng.standard_normal((B, T, D)), np.zeros((B, 1))
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match=r"bptt=5.*return_sequences=True.*bptt='checkpoint'"):
            train(x, y, bptt=5)


def test_value_and_grad_has_no_windows(rng):
    x, y = _pair(rng)
    with pytest.raises(ValueError, match=r"bptt='full' or 'checkpoint', got 5.*one by one"):
        _compiled(_layers()).value_and_grad(x, y, bptt=5)


@needs_jit
def test_a_loss_that_is_not_finite_stops_at_its_window(rng):
    x, y = _pair(rng)
    y[:, 10:] = 1e30
    fastlstm.utils.set_random_seed(3)
    model = _compiled(_layers())
    with pytest.raises(FloatingPointError, match="nothing was updated from that window on"):
        model.train_on_batch(x, y, bptt=5)
    assert model.optimizer.iterations == 2
    with pytest.raises(FloatingPointError, match="the weights are those before this window of it"):
        model.fit(x, y, bptt=5, verbose=0)
    with pytest.raises(FloatingPointError, match="the weights are those before this batch"):
        model.fit(x, y, bptt="checkpoint", verbose=0)
