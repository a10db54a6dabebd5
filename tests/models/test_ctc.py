"""Models that are trained with the CTC loss: values, masks, threads, errors, what they learn."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Model, Sequential
from fastlstm.ctc import ctc_greedy_decode, ctc_value_and_grad
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import LSTM, Bidirectional, Dense, Input, Masking
from fastlstm.losses import CTC
from fastlstm.models import Ensemble, load_model
from fastlstm.optimizers import Adam
from tests.peers import import_keras, import_torch
from tests.reference.finite import gradient as differences

B, T, D, C, L = 6, 20, 4, 5, 4


def _model(loss="ctc", dtype="float32", **options):
    fastlstm.utils.set_random_seed(3)
    layers = [
        Input((None, D)),
        Masking(dtype=dtype),
        Bidirectional(LSTM(7, return_sequences=True, dtype=dtype)),
        Dense(C, dtype=dtype),
    ]
    model = Sequential(layers)
    model.compile("adam", loss, **options)
    return model


def _data(rng):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    y = rng.integers(1, C, (B, L))
    y[1, 2:], y[2] = 0, 0
    return x, y


def _padded(rng):
    """Padding behind, in front and in between."""
    x, y = _data(rng)
    mask = np.ones((B, T), bool)
    mask[0, 12:], mask[1, :5], mask[3, 4:9] = False, False, False
    return x * mask[..., None], y, mask


def test_the_value_is_that_of_keras_and_torch(rng):
    keras, torch = import_keras(), import_torch()
    x, y = _data(rng)
    model = _model()
    logits = model(x)
    value = CTC()(y, logits)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), value, rtol=1e-6)
    np.testing.assert_allclose(value, float(keras.losses.CTC()(y, logits)), rtol=1e-5)
    rows = fastlstm.losses.ctc(y, logits)
    np.testing.assert_allclose(rows, np.array(keras.losses.ctc(y, logits)), rtol=1e-5)
    lengths = torch.tensor((y > 0).sum(axis=1))
    theirs = torch.nn.functional.ctc_loss(
        torch.tensor(logits).log_softmax(-1).transpose(0, 1),
        torch.tensor(y), torch.full((B,), T), lengths, reduction="none",
    )  # fmt: skip
    np.testing.assert_allclose(rows, theirs.numpy(), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_weights_and_reductions(reduction, rng):
    x, y = _data(rng)
    model, weights = _model(CTC(reduction)), rng.uniform(0.5, 2, B)
    rows = fastlstm.losses.ctc(y, model(x))
    wanted = {
        "sum_over_batch_size": (rows * weights).mean(),
        "sum": (rows * weights).sum(),
        "mean_with_sample_weight": (rows * weights).sum() / weights.sum(),
    }[reduction]
    got = model.evaluate(x, y, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    np.testing.assert_allclose(CTC(reduction)(y, model(x), weights), wanted, rtol=1e-6)
    np.testing.assert_allclose(CTC("none")(y, model(x), weights), rows * weights, rtol=1e-6)


@pytest.mark.parametrize("how", ["values", "mask"])
def test_steps_that_do_not_count_are_skipped(how, rng):
    x, y, mask = _padded(rng)
    model = _model()
    logits = model(x)
    wanted = np.mean(
        [CTC()(y[b : b + 1], logits[b : b + 1, mask[b]]) for b in range(B)], dtype=np.float64
    )
    given = {} if how == "values" else {"mask": mask}
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0, **given), wanted, rtol=1e-6)
    got, _ = model.value_and_grad(x, y)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_lengths_are_those_of_the_input(rng):
    x, y = _data(rng)
    lengths = np.array([20, 11, 9, 20, 15, 8])
    model = _model()
    mask = np.arange(T) < lengths[:, None]
    got = model.evaluate(x, y, lengths=lengths, verbose=0)
    assert got == model.evaluate(x, y, mask=mask, verbose=0)
    rows = [CTC()(y[b : b + 1], model(x[b : b + 1, :n])) for b, n in enumerate(lengths)]
    np.testing.assert_allclose(got, np.mean(rows), rtol=1e-6)


def test_lists_of_sequences_are_as_long_as_they_are(rng):
    x, y = _data(rng)
    lengths = [20, 11, 9, 20, 15, 8]
    listed = [row[:n] for row, n in zip(x, lengths, strict=True)]
    model = _model()
    wanted = model.evaluate(x, y, lengths=lengths, verbose=0)
    np.testing.assert_allclose(model.evaluate(listed, y, verbose=0), wanted, rtol=1e-6)


def test_memory_is_told_for_as_many_labels_as_steps():
    model, longest = _model(), 600
    training = model.memory_report(B, longest).training
    fewer = model.memory_report(B, longest // 2).training
    assert training.scratch > 3 * fewer.scratch


def test_gradients_are_differences_of_the_loss(rng):
    x, y, _ = _padded(rng)
    model = _model(dtype="float64")
    weights = rng.uniform(0.5, 2, B)
    _, grads = model.value_and_grad(x, y, sample_weight=weights)
    start = [weight.copy() for weight in model.get_weights()]
    bias = start[-1].copy()

    def value():
        model.set_weights([*start[:-1], bias])
        return model.value_and_grad(x, y, sample_weight=weights)[0]

    np.testing.assert_allclose(grads[-1], differences(value, bias), atol=1e-7)


def test_gradients_of_logits_are_those_of_the_function(rng):
    x = rng.standard_normal((B, T, C))
    _, y = _data(rng)
    model = Sequential([Input((T, C)), Dense(C, use_bias=False, dtype="float64")])
    model.compile("adam", "ctc")
    model.set_weights([np.eye(C)])
    value, (d_kernel,) = model.value_and_grad(x, y)
    wanted, d_logits = ctc_value_and_grad(y, x)
    np.testing.assert_allclose(value, wanted, rtol=1e-13)
    np.testing.assert_allclose(d_kernel, np.einsum("btf,btc->fc", x, d_logits), atol=1e-13)


@pytest.mark.parametrize("bptt", ["full", "checkpoint"])
def test_training_has_the_same_bits_whatever_the_threads(bptt, rng):
    x, y, mask = _padded(rng)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        fastlstm.utils.set_random_seed(1)
        model = Sequential([Input((None, D)), LSTM(6, return_sequences=True), Dense(C)])
        model.compile("adam", "ctc")
        model.fit(x, y, epochs=3, batch_size=4, mask=mask, bptt=bptt, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_little_memory_has_the_same_bits(rng):
    x = rng.standard_normal((2, 400, D)).astype(np.float32)
    y = rng.integers(1, C, (2, 9))
    model = Sequential([Input((None, D)), LSTM(6, return_sequences=True), Dense(C)])
    model.compile("adam", "ctc")
    (loss, grads), (other, others) = (
        model.value_and_grad(x, y, bptt=bptt) for bptt in ("full", "checkpoint")
    )
    assert loss == other
    for got, wanted in zip(others, grads, strict=True):
        np.testing.assert_array_equal(got, wanted)


def _strokes(rng, samples):
    """Labels 1 to 4, each held for some steps with noise and silence between them."""
    x = 0.3 * rng.standard_normal((samples, 24, 4)).astype(np.float32)
    y = np.zeros((samples, 4), int)
    lengths = np.zeros(samples, int)
    for n in range(samples):
        at = int(rng.integers(0, 3))
        for k in range(rng.integers(1, 5)):
            y[n, k], held = rng.integers(1, 5), rng.integers(1, 4)
            x[n, at : at + held, y[n, k] - 1] += 2
            at += held + rng.integers(1, 3)
        lengths[n] = at
    return x, y, lengths


def test_a_model_learns_to_read_labels_that_nobody_has_aligned(rng):
    fastlstm.utils.set_random_seed(1)
    x, y, lengths = _strokes(rng, 400)
    model = Sequential([Input((None, 4)), Bidirectional(LSTM(16, return_sequences=True)), Dense(5)])
    model.compile(Adam(0.02), "ctc")
    history = model.fit(x, y, lengths=lengths, batch_size=32, epochs=10, verbose=0).history["loss"]
    assert history[-1] < history[0] / 5
    x, y, lengths = _strokes(rng, 100)
    read, _ = ctc_greedy_decode(model.predict(x, lengths=lengths, verbose=0), lengths)
    right = [np.array_equal(a[a >= 0], b[b > 0]) for a, b in zip(read[0], y, strict=True)]
    assert np.mean(right) > 0.9


def test_a_function_sees_labels_and_logits_in_their_order(rng):
    x, y, _ = _padded(rng)
    seen = []

    def watch(y_true, y_pred):
        seen.append((y_true, y_pred))
        return np.arange(B)

    model = _model(metrics=[watch], weighted_metrics=[watch])
    logits, weights = model(x), rng.uniform(0.5, 2, B)
    _, mean, weighted = model.evaluate(x, y, sample_weight=weights, verbose=0)
    np.testing.assert_allclose([mean, weighted], [2.5, np.average(range(B), weights=weights)])
    y_true, y_pred = seen[0]
    np.testing.assert_array_equal(y_true, np.where(y > 0, y, -1))
    np.testing.assert_array_equal(y_pred[1, 5:], logits[1, 5:])


def test_beside_another_output(rng):
    """The losses' weights hold for the gradients too; the output goes on into another layer."""
    x, y = _data(rng)
    inputs = Input((T, D))
    logits = Dense(C, name="labels", dtype="float64")(inputs)
    value = Dense(1, name="value", dtype="float64")(logits)
    model = Model(inputs, [logits, value])
    targets, v = [y, np.zeros((B, T, 1))], rng.standard_normal((B, T, 1))
    results = []
    for weights in ([1.0, 0.0], [0.0, 1.0], [2.0, 3.0]):
        model.compile("adam", ["ctc", "mse"], loss_weights=weights)
        results.append(model.value_and_grad(x, [targets[0], v]))
    (a, d_a), (b, d_b), (both, d_both) = results
    np.testing.assert_allclose(both, 2 * a + 3 * b, rtol=1e-12)
    for first, second, got in zip(d_a, d_b, d_both, strict=True):
        np.testing.assert_allclose(got, 2 * first + 3 * second, atol=1e-12)


def test_files_and_configurations(tmp_path, rng):
    x, y = _data(rng)
    model = _model(CTC(blank=2, zero_infinity=True))
    y[y == 2] = 1
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.loss.blank == 2
    assert loaded.loss.zero_infinity
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_many_at_once(rng):
    x, y = _data(rng)
    many = Ensemble(_model(), 2)
    weights, alone = many.get_weights(), []
    for k in range(2):
        model = _model()
        model.set_weights([stack[k] for stack in weights])
        alone.append(model.evaluate(x, y, verbose=0))
    got = many.evaluate(np.stack([x] * 2), np.stack([y] * 2), verbose=0)
    np.testing.assert_allclose(got, np.mean(alone), rtol=1e-6)
    many.fit(np.stack([x] * 2), np.stack([y] * 2), epochs=2, verbose=0)
    assert many.evaluate(np.stack([x] * 2), np.stack([y] * 2), verbose=0) < got


def test_sequences_without_room_can_be_left_out(rng):
    x, y = _data(rng)
    y[0] = 1  # four equal labels take seven steps
    lengths = np.array([6, T, T, T, T, T])
    model = _model(CTC(zero_infinity=True))
    rows = fastlstm.losses.ctc(y[1:], model(x[1:]))
    got = model.evaluate(x, y, lengths=lengths, verbose=0)
    np.testing.assert_allclose(got, rows.sum() / B, rtol=1e-6)
    model.fit(x, y, lengths=lengths, verbose=0)
    assert np.isfinite(model(x)).all()


def _softmax(x, y):
    model = Sequential([Input((T, D)), Dense(C, "softmax")])
    model.compile("adam", "ctc")
    model.fit(x, y, verbose=0)


def _windows(x, y):
    model = Sequential([Input((T, D)), LSTM(C, return_sequences=True)])
    model.compile("adam", "ctc")
    model.fit(x, y, bptt=5, verbose=0)


def _last_step(x, y):
    model = Sequential([Input((T, D)), LSTM(C)])
    model.compile("adam", "ctc")
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        (lambda x, y: _model().fit(x, y + 1), ValueError, ["0 to 4", "5 classes", "got 5"]),
        (lambda x, y: _model().fit(x, y + 0.5), TypeError, ["whole numbers", "float64"]),
        (lambda x, y: _model().fit(x[:, :3], y), ValueError, ["4 labels", "and 3 that"]),
        (
            lambda x, y: _model().fit(x, y * 0 + 1, lengths=[T, T, 6, T, T, T]),
            ValueError,
            ["sample 2", "7 steps, and 6", "zero_infinity"],
        ),
        (
            lambda x, y: _model().evaluate(x, y * 0 + 1, lengths=[T, T, 6, T, T, T]),
            ValueError,
            ["sample 2"],
        ),
        (lambda x, y: _model().fit(x, y[:, 0]), ValueError, ["(batch, labels)"]),
        (lambda x, y: _model().fit(x, y[:3]), ValueError, ["6 samples", "y has 3"]),
        (_windows, ValueError, ["bptt=5", "whole sequences"]),
        (lambda x, y: _model().fit(x, y, class_weight={1: 2}), ValueError, ["sample_weight"]),
        (
            lambda x, y: _model().fit(x, y, sample_weight=np.ones((B, T))),
            ValueError,
            ["sample_weight", "(6,)"],
        ),
        (lambda x, y: _model(CTC(blank=5)).fit(x, y), ValueError, ["blank=5", "0 to 4"]),
        (lambda x, y: CTC(blank=-1), ValueError, ["blank"]),
        (lambda x, y: _model(metrics=["accuracy"]), ValueError, ["accuracy", "without steps"]),
        (lambda x, y: _model(metrics=[CTC()]), ValueError, ["ctc", "whole sequences"]),
        (_softmax, ValueError, ["logits", "activation='softmax'"]),
        (_last_step, ValueError, ["return_sequences=True"]),
    ],
)
def test_what_does_not_fit_is_said(act, kind, words, rng):
    with pytest.raises(kind) as caught:
        act(*_data(rng))
    for word in words:
        assert word in str(caught.value)
