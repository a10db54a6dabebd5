"""Attention of all kinds: values, gradients, masks, weights; and a decoder that attends."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, vjp
from fastlstm.generation import greedy
from fastlstm.layers import (
    GRU,
    LSTM,
    AdditiveAttention,
    Attention,
    Concatenate,
    Dense,
    Embedding,
    MultiHeadAttention,
)
from fastlstm.models import load_model
from tests.reference import finite

B, TQ, TV, D, E = 3, 4, 5, 6, 7
KINDS = {
    "dot": lambda: Attention(),
    "scaled dot": lambda: Attention(use_scale=True),
    "additive": lambda: AdditiveAttention(),
    "additive without scale": lambda: AdditiveAttention(use_scale=False),
    "heads": lambda: MultiHeadAttention(2, 3, value_dim=4),
    "heads without bias": lambda: MultiHeadAttention(3, 2, use_bias=False, output_shape=5),
}


@pytest.fixture
def float64():
    fastlstm.config.set_floatx("float64")
    yield
    fastlstm.config.set_floatx("float32")


def _call(layer, arrays, **options):
    if isinstance(layer, MultiHeadAttention):
        return layer(*arrays, **options)
    return layer(list(arrays), **options)


def _arrays(rng, keyed):
    query, value = rng.standard_normal((B, TQ, D)), rng.standard_normal((B, TV, E if keyed else D))
    return [query, value, rng.standard_normal((B, TV, D))] if keyed else [query, value]


def _softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _expected(layer, query, value, key, causal):
    """The equations, one sample and query at a time."""
    weights = [np.asarray(w, float) for w in layer.get_weights()]
    if isinstance(layer, MultiHeadAttention):
        return _heads(layer, weights, query, value, key, causal)
    out = np.empty((len(query), query.shape[1], value.shape[2]))
    for b, t in np.ndindex(out.shape[:2]):
        if isinstance(layer, Attention):
            scores = key[b] @ query[b, t] * (weights[0] if weights else 1.0)
        else:
            scale = weights[0] if weights else 1.0
            scores = (scale * np.tanh(key[b] + query[b, t])).sum(axis=1)
        if causal:
            scores[t + 1 :] = -np.inf
        out[b, t] = _softmax(scores) @ value[b]
    return out


def _heads(layer, weights, query, value, key, causal):
    kernels = weights[::2] if layer.use_bias else weights
    biases = weights[1::2] if layer.use_bias else [0.0] * 4
    q, k, v = (
        np.einsum("btd,dhk->bhtk", x, kernel) + (bias[:, None] if layer.use_bias else 0.0)
        for x, kernel, bias in zip((query, key, value), kernels[:3], biases[:3], strict=True)
    )
    scores = np.einsum("bhtk,bhsk->bhts", q, k) / np.sqrt(layer.key_dim)
    if causal:
        scores[..., np.triu(np.ones(scores.shape[2:]), 1) > 0] = -np.inf
    seen = np.einsum("bhts,bhsv->bthv", _softmax(scores), v)
    return np.einsum("bthv,hvo->bto", seen, kernels[3]) + biases[3]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keyed", [False, True], ids=["two inputs", "three inputs"])
@pytest.mark.parametrize("kind", KINDS)
def test_values(kind, keyed, causal, rng, float64):
    layer, arrays = KINDS[kind](), _arrays(rng, keyed)
    got = _call(layer, arrays, use_causal_mask=causal)
    query, value, key = (*arrays, arrays[1])[:3]
    np.testing.assert_allclose(got, _expected(layer, query, value, key, causal), rtol=1e-10)


@pytest.mark.parametrize("keyed", [False, True], ids=["two inputs", "three inputs"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind, keyed, rng, float64):
    layer, arrays = KINDS[kind](), _arrays(rng, keyed)
    got, pull = vjp(layer, arrays)
    d_out = rng.standard_normal(got.shape)
    d_xs, _, d_weights = pull(d_out)

    def value():
        return float(np.vdot(_call(layer, arrays), d_out))

    for array, d_x in zip(arrays, d_xs, strict=True):
        np.testing.assert_allclose(d_x, finite.gradient(value, array), atol=1e-7)
    weights = layer.get_weights()

    def with_weights():
        layer.set_weights(weights)
        return value()

    for weight, d_weight in zip(weights, d_weights, strict=True):
        np.testing.assert_allclose(d_weight, finite.gradient(with_weights, weight), atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_returned(kind, rng, float64):
    layer, arrays = KINDS[kind](), _arrays(rng, True)
    output, weights = _call(layer, arrays, return_attention_scores=True)
    heads = (layer.num_heads,) if isinstance(layer, MultiHeadAttention) else ()
    assert weights.shape == (B, *heads, TQ, TV)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-12)
    if not heads:
        np.testing.assert_allclose(output, weights @ arrays[1], rtol=1e-10)
    np.testing.assert_array_equal(output, _call(layer, arrays))
    _, causal = _call(layer, arrays, return_attention_scores=True, use_causal_mask=True)
    assert not causal[..., np.triu(np.ones((TQ, TV)), 1) > 0].any()


# -- models -------------------------------------------------------------------------------------


def _reader(api, kind):
    """Two texts with padding, one of which is read by the light of the other."""
    first, second = api.Input((None,), dtype="int32"), api.Input((None,), dtype="int32")
    words = api.layers.Embedding(12, 6, mask_zero=True)
    q = api.layers.GRU(6, return_sequences=True)(words(first))
    v = api.layers.LSTM(6, return_sequences=True)(words(second))
    output = api.layers.Dense(3, activation="softmax")
    if kind == "heads":
        # Alone: in Keras, what it has looked at has no mask any more for anybody else.
        return api.Model([first, second], output(api.layers.MultiHeadAttention(2, 3)(q, v)))
    layer = {"dot": api.layers.Attention, "additive": api.layers.AdditiveAttention}[kind]
    seen = layer(use_scale=True)([q, v])
    own = api.layers.Attention()([q, q], use_causal_mask=True)
    both = api.layers.Concatenate()([q, seen, own])
    return api.Model([first, second], output(both))


def _texts(rng, count=24):
    texts = [rng.integers(1, 12, (count, 6)), rng.integers(1, 12, (count, 5))]
    for text in texts:
        text[np.arange(text.shape[1]) >= rng.integers(1, 7, (count, 1))] = 0
    return [text.astype(np.int32) for text in texts], rng.integers(0, 3, (count, 6))


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("kind", ["dot", "additive", "heads"])
def test_learns_as_in_keras(kind, keras, rng):
    theirs, ours = _reader(keras, kind), _reader(fastlstm, kind)
    shapes = [weight.shape for weight in theirs.get_weights()]
    assert [weight.shape for weight in ours.get_weights()] == shapes
    ours.set_weights(theirs.get_weights())
    x, y = _texts(rng)
    counts = x[0] > 0
    np.testing.assert_allclose(
        ours.predict(x, verbose=0)[counts], theirs.predict(x, verbose=0)[counts], atol=1e-5
    )
    for model in (theirs, ours):
        model.compile("adam", "sparse_categorical_crossentropy")
    for step in range(20):
        theirs.reset_metrics()
        expected, got = (model.train_on_batch(x, y) for model in (theirs, ours))
        np.testing.assert_allclose(got, expected, rtol=1e-4, err_msg=f"step {step}")


@pytest.mark.parametrize("kind", ["dot", "additive", "heads"])
def test_the_engine_keeps_its_promises(kind, rng, tmp_path):
    x, y = _texts(rng)
    results = []
    before = fastlstm.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fastlstm.set_num_threads(threads)
            fastlstm.utils.set_random_seed(1)
            model = _reader(fastlstm, kind)
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit(x, y, epochs=2, batch_size=7, verbose=0)
            results.append([*model.get_weights(), model.predict(x, batch_size=5, verbose=0)])
    finally:
        fastlstm.set_num_threads(before)
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_dropout_drops_weights_in_training(rng):
    layer = Attention(dropout=0.5)
    arrays = [np.ones((64, 8, D), np.float32), np.ones((64, 8, 1), np.float32)]
    arrays[1] = np.repeat(arrays[1], D, axis=2)
    plain, dropped = layer(arrays), layer(arrays, training=True)
    np.testing.assert_allclose(plain, 1.0, rtol=1e-6)
    assert dropped.std() > 0.1
    assert abs(dropped.mean() - 1.0) < 0.05


def _translator():
    """An encoder, a decoder that attends, and the same decoder for one step at a time."""
    source, target = Input((None,), name="source"), Input((None,), name="target")
    codes, h, c = LSTM(48, return_sequences=True, return_state=True)(Embedding(12, 16)(source))
    words = Embedding(12, 16)
    decoder = LSTM(48, return_sequences=True, return_state=True)
    attention, joined, output = AdditiveAttention(), Concatenate(), Dense(12, "softmax")

    def decode(words_in, states, codes):
        hidden, *states = decoder(words(words_in), initial_state=states)
        seen, weights = attention([hidden, codes], return_attention_scores=True)
        return output(joined([hidden, seen])), states, weights

    probabilities, _, _ = decode(target, [h, c], codes)
    whole = Model([source, target], probabilities)
    encoder = Model(source, [codes, h, c])
    word, given_h, given_c = Input((1,)), Input((48,)), Input((48,))
    given_codes = Input((None, 48))
    now, states, weights = decode(word, [given_h, given_c], given_codes)
    step = Model([word, given_h, given_c, given_codes], [now, *states, weights])
    return whole, encoder, step


def test_a_decoder_that_attends_while_it_decodes(rng):
    """It learns to turn sequences round; a step at a time, it gives what it gives at once."""
    whole, encoder, step = _translator()
    source = rng.integers(2, 12, (512, 5))
    goal = source[:, ::-1]
    given = np.concatenate([np.ones((512, 1), int), goal[:, :-1]], axis=1)
    whole.compile(fastlstm.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    whole.fit([source, given], goal, epochs=30, batch_size=64, verbose=0)

    codes, h, c = encoder(source[:8])
    taught = whole([source[:8], given[:8]])
    states, seen = [h, c], []
    for t in range(5):
        now, *rest = step([given[:8, t : t + 1], *states, codes])
        states = rest[:2]
        seen.append(rest[2][:, 0])
        np.testing.assert_array_equal(now[:, 0], taught[:, t])
    looked = np.stack(seen, axis=1)
    assert looked.shape == (8, 5, 5)
    np.testing.assert_allclose(looked.sum(axis=2), 1.0, rtol=1e-5)

    def next_word(tokens, states):
        h, c, codes = states
        now, h, c, _ = step([tokens[:, None], h, c, codes])
        return np.log(now[:, 0]), [h, c, codes]

    made = greedy(next_word, np.ones(8, int), states=[h, c, codes], length=5)
    assert (made.tokens == goal[:8]).mean() > 0.9


# -- what does not fit is said ------------------------------------------------------------------

X = np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda: Attention()([X, X[..., :2]]), ValueError, ["as many features", "(2, 3, 2)"]),
        (lambda: Attention()([X, X, X[:, :2]]), ValueError, ["a key for each step"]),
        (lambda: Attention()([X, X[:, 0]]), ValueError, ["[query, value, key]", "(2, 4)"]),
        (lambda: Attention()(X), TypeError, ["list"]),
        (lambda: Attention()([X] * 4), ValueError, ["got 4"]),
        (lambda: Attention(score_mode="concat"), ValueError, ["AdditiveAttention"]),
        (lambda: Attention(dropout=1.0), ValueError, ["Attention dropout"]),
        (lambda: MultiHeadAttention(0, 4), ValueError, ["num_heads"]),
        (lambda: MultiHeadAttention(2, 4)(X), TypeError, ["query and value"]),
        (lambda: MultiHeadAttention(2, 4)(X, X, attention_mask=X), ValueError, ["(2, 3, 3)"]),
        (lambda: MultiHeadAttention(2, 4)(X, X[:, 0]), ValueError, ["(2, 4)"]),
        (lambda: MultiHeadAttention(2, 4)(Input((3, 4)), Input((3, 4)),
                                          return_attention_scores=True), ValueError, ["arrays"]),
        (lambda: GRU(2)(Attention()([Input((3, 4)), Input((3, 4))]), training=True), TypeError,
         ["training="]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)
