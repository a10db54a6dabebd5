"""Padding that is left out changes nothing: the same as from the steps that count alone."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, Dropout, Embedding, Input, Masking
from fastlstm.layers.lengths import ByLength
from fastlstm.optimizers import SGD
from tests.layers.test_cells import _make, every_layer

B, T, WORDS = 9, 12, 40
LENGTHS = np.array([3, 12, 1, 7, 2, 5, 9, 4, 6])  # of mean half, each another


def _mask(kind, batch=B, steps=T):
    """(batch, steps) of booleans."""
    rng = np.random.default_rng(5)
    lengths = 1 + LENGTHS[np.arange(batch) % B] * steps // (T + 1)
    right = np.arange(steps) < lengths[:, None]
    masks = {
        "right": right,
        "left": right[:, ::-1],
        "holes": rng.random((batch, steps)) < 0.3,
        "sorted": np.sort(right, axis=0)[::-1],
        "empty rows": right & (np.arange(batch) % 3 > 0)[:, None],
        "lone row": right & (np.arange(batch) == 4)[:, None],
        "nothing": np.zeros((batch, steps), bool),
        "everything": np.ones((batch, steps), bool),
    }
    return masks[kind]


KINDS = ["right", "left", "holes", "sorted", "empty rows", "lone row", "nothing", "everything"]
each_kind = pytest.mark.parametrize("kind", KINDS)


def _row_by_row(layer, x, mask, d_y):
    """Outputs and gradients from each row's own steps, which no mask is needed for."""
    batch, steps, _ = x.shape
    y, d_x = np.zeros(d_y.shape), np.zeros(x.shape)
    d_weights = [np.zeros(weight.shape) for weight in layer.get_weights()]
    for b in range(batch):
        own = np.flatnonzero(mask[b])
        if not own.size:
            continue
        out, pullback = fastlstm.vjp(layer, x[b : b + 1, own])
        d_own = np.zeros_like(out)
        for t in range(own[0], steps):  # a step that does not count repeats the output before
            last = np.searchsorted(own, t, side="right") - 1
            y[b, t] = out[0, last]
            d_own[0, last] += d_y[b, t]
        d_row, _, d_parts = pullback(d_own)
        d_x[b, own] = d_row[0]
        for total, part in zip(d_weights, d_parts, strict=True):
            total += part
    return [y, d_x, *d_weights]


def _with_mask(layer, x, mask, d_y):
    y, pullback = fastlstm.vjp(layer, x, mask=mask)
    d_x, _, d_weights = pullback(d_y)
    np.testing.assert_array_equal(layer(x, mask=mask), y)
    return [y, d_x, *d_weights]


@pytest.mark.usefixtures("serial")
@each_kind
@every_layer
def test_every_cell_and_padding_of_any_kind(name, kind, rng):
    layer, x = _make(rng, name, (B, T, 4, 11), return_sequences=True)
    mask, d_y = _mask(kind), rng.standard_normal((B, T, layer.output_size))
    got, expected = (how(layer, x, mask, d_y) for how in (_with_mask, _row_by_row))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.usefixtures("serial")
@each_kind
def test_from_the_last_step_to_the_first(kind, rng):
    layer, x = _make(rng, "lstm", (B, T, 4, 11), return_sequences=True)
    back, _ = _make(rng, "lstm", (B, T, 4, 11), return_sequences=True, go_backwards=True)
    back.set_weights(layer.get_weights())
    mask, d_y = _mask(kind), rng.standard_normal((B, T, 11))
    y, d_x, *d_weights = _with_mask(back, x, mask, d_y)
    expected = _row_by_row(layer, x[:, ::-1], mask[:, ::-1], d_y)
    for one, other in zip([y, d_x[:, ::-1], *d_weights], expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("shape", [(64, 20, 32, 64), (40, 20, 20, 33), (200, 9, 8, 16)], ids=str)
@pytest.mark.parametrize("kind", ["right", "left", "holes", "lone row"])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_same_bits_for_any_number_of_threads(name, kind, shape, rng):
    """Where threads take units, and where they take rows."""
    layer, x = _make(rng, name, shape, "float32", return_sequences=True)
    mask = _mask(kind, *shape[:2])
    d_y = rng.standard_normal((*shape[:2], shape[3])).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        results.append(_with_mask(layer, x, mask, d_y))
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)
    for b in (1, 4):  # nor do they depend on the rows beside
        alone = layer(x[b : b + 1], mask=mask[b : b + 1])
        np.testing.assert_array_equal(results[0][0][b : b + 1], alone)


# -- models ----------------------------------------------------------------------------------


def _sentences(rng, kind="right"):
    return np.where(_mask(kind), rng.integers(1, WORDS, (B, T)), 0)


def _tagger(**options):
    return [
        Embedding(WORDS, 5, mask_zero=True),
        Bidirectional(LSTM(6, return_sequences=True)),
        Dense(8, "tanh"),
        GRU(7, return_sequences=True),
        Dense(6, "relu"),
        Dense(4, activation=options.get("activation", "softmax")),
    ]


def _causal_tagger():
    return [
        Embedding(WORDS, 5, mask_zero=True),
        LSTM(6, return_sequences=True),
        Dropout(0.0),
        Dense(4, "softmax"),
    ]


def _classifier():
    return [Embedding(WORDS, 5, mask_zero=True), LSTM(6, return_sequences=True), GRU(5), Dense(4)]


def _compiled(layers, loss="sparse_categorical_crossentropy", **options):
    fastlstm.utils.set_random_seed(2)
    model = Sequential([Input((None,)), *layers])
    options = {"optimizer": "adam", "metrics": ["accuracy"], **options}
    model.compile(loss=loss, **options)
    return model


def _in_its_own_order(monkeypatch):
    monkeypatch.setattr(ByLength, "suits", staticmethod(lambda ops, batch: False))


def _share_of_ones(y_true, y_pred):
    return (y_pred.argmax(axis=-1) == 1).astype(float)


def _first_class(y_true, y_pred):
    return float(y_pred[..., 0].mean())  # padding and all


@pytest.mark.parametrize("bptt", ["full", "checkpoint", 5], ids=str)
@pytest.mark.parametrize(
    "metrics", [["accuracy"], ["accuracy", _share_of_ones, _first_class]], ids=["", "Python's"]
)
@pytest.mark.parametrize("kind", ["right", "left", "holes", "empty rows"])
def test_training_by_length_is_training(kind, metrics, bptt, rng, monkeypatch):
    """Losses, metrics and weights are those of rows in their own order."""
    x = _sentences(rng, kind)
    weight = rng.random((B, T)).astype(np.float32) if kind == "right" else None
    seen = []
    for own in (False, True):
        if own:
            _in_its_own_order(monkeypatch)
        model = _compiled(_tagger() if bptt == "full" else _causal_tagger(), metrics=metrics)
        logs = [model.train_on_batch(x, x % 4, sample_weight=weight, bptt=bptt) for _ in range(3)]
        seen.append([*logs, model.evaluate(x, x % 4, verbose=0), *model.get_weights()])
    for one, other in zip(*seen, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_the_order_of_a_batch_does_not_matter(rng):
    """Sentences of unlike length come into the same order: the bits are the same."""
    x, order = _sentences(rng), rng.permutation(B)
    weights = []
    for rows in (x, x[order]):
        model = _compiled(_tagger())
        model.fit(rows, rows % 4, batch_size=B, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_checkpointed_training_has_the_bits_of_the_full_one(rng):
    steps = 300
    x = np.where(_mask("right", B, steps), rng.integers(1, WORDS, (B, steps)), 0)
    weights = []
    for bptt in ("full", "checkpoint"):
        model = _compiled(_causal_tagger())
        model.train_on_batch(x, x % 4, bptt=bptt)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [_tagger, _causal_tagger, _classifier])
def test_outputs_come_back_in_the_order_of_the_batch(make, rng):
    model, x = Sequential([Input((None,)), *make()]), _sentences(rng)
    whole = model.predict(x, verbose=0)
    np.testing.assert_array_equal(model(x), whole)
    np.testing.assert_array_equal(model(x), whole)  # as it is repeated
    np.testing.assert_array_equal(model.predict(x, batch_size=4, verbose=0), whole)
    for b in range(B):
        np.testing.assert_array_equal(model(x[b : b + 1]), whole[b : b + 1])


def test_outputs_that_are_written_in_place(rng):
    """By the last layer, where they are large."""
    model = Sequential([Input((None,)), *_causal_tagger()[:2], Dense(3000)])
    x = _sentences(rng)
    whole = model.predict(x, verbose=0)
    assert whole.nbytes >= 1 << 20
    for b in range(B):
        np.testing.assert_array_equal(model(x[b : b + 1]), whole[b : b + 1])


def test_masking_by_value(rng):
    x = rng.standard_normal((B, T, 3)).astype(np.float32)
    x[~_mask("right")] = -2.0
    layers = [Masking(-2.0), LSTM(5, return_sequences=True), Dense(2)]
    model = Sequential([Input((T, 3)), *layers])
    whole = model.predict(x, verbose=0)
    for b in range(B):
        np.testing.assert_array_equal(model(x[b : b + 1]), whole[b : b + 1])
    y, order = rng.standard_normal((B, T, 2)), rng.permutation(B)
    weights = []
    for rows in (slice(None), order):
        fastlstm.utils.set_random_seed(2)
        model = Sequential(
            [Input((T, 3)), *(type(one).from_config(one.get_config()) for one in layers)]
        )
        model.compile("adam", "mse")
        model.train_on_batch(x[rows], y[rows])
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_that_go_on_stay_where_they_are(rng):
    """Of a stateful model row i continues row i."""
    x = _sentences(rng)
    model = Sequential([Input((None,)), *_causal_tagger()])
    layers = [Embedding(WORDS, 5, mask_zero=True), LSTM(6, return_sequences=True, stateful=True)]
    stateful = Sequential([Input((None,)), *layers, Dropout(0.0), Dense(4, "softmax")])
    stateful.build()
    stateful.set_weights(model.get_weights())
    parts = [stateful.predict(x[:, t : t + 4], batch_size=B, verbose=0) for t in range(0, T, 4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), model.predict(x, verbose=0))


def test_a_batch_of_padding_teaches_nothing():
    model = _compiled(_tagger(), optimizer=SGD(0.1))
    before = model.get_weights()
    x = np.zeros((B, T), int)
    assert model.train_on_batch(x, x)[0] == 0
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
