"""The CRF layer: its loss and gradients, what it predicts, masks, files, what it is for."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Model, Sequential
from fastlstm.crf import crf_marginals, crf_value_and_grad, crf_viterbi_decode
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import CRF, LSTM, Bidirectional, Dense, Input, Masking
from fastlstm.models import Ensemble, load_model
from fastlstm.optimizers import Adam
from tests.reference.finite import gradient as differences

B, T, D, K = 6, 9, 4, 3


def _layer(**options):
    return CRF(K, boundary_initializer="glorot_uniform", **options)


def _model(dtype="float32", compiled=True, **options):
    fastlstm.utils.set_random_seed(3)
    layers = [
        Input((None, D)),
        Masking(dtype=dtype),
        Bidirectional(LSTM(5, return_sequences=True, dtype=dtype)),
        Dense(K, dtype=dtype),
        _layer(dtype=dtype, **options),
    ]
    model = Sequential(layers)
    if compiled:
        model.compile("adam", "crf", metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


def _padded(rng):
    """Padding behind, in front and in between; a sequence without any step."""
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    mask = np.ones((B, T), bool)
    mask[0, 6:], mask[1, :2], mask[3, 4:6], mask[4] = False, False, False, False
    return x * mask[..., None], rng.integers(0, K, (B, T)), mask


def _parts(model, x):
    """Emissions, and the scores of the last layer."""
    return Sequential(model.layers[:-1])(x), model.layers[-1].get_weights()


def test_values_and_gradients_are_those_of_the_functions(rng):
    x, y, mask = _padded(rng)
    model, weights = _model(), rng.uniform(0.5, 2, B)
    got, grads = model.value_and_grad(x, y, sample_weight=weights)
    emissions, scores = _parts(model, x)
    rows, wanted = crf_value_and_grad(emissions, y, *scores, mask=mask, sample_weight=-weights / B)
    np.testing.assert_allclose(got, -(rows * weights).mean(), rtol=1e-6)
    assert model.evaluate(x, y, sample_weight=weights, verbose=0)[0] == got
    for mine, theirs in zip(grads[-3:], wanted[1:], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    d_bias = np.where(mask[..., None], wanted.emissions, 0).sum(axis=(0, 1))
    np.testing.assert_allclose(grads[-4], d_bias, atol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("boundary", [True, False])
def test_gradients_are_differences_of_the_loss(boundary, reduction, rng):
    inputs = Input((T, K))
    tagged = CRF(K, use_boundary=boundary, dtype="float64")(Dense(K, dtype="float64")(inputs))
    model = Model(inputs, tagged)
    model.compile("adam", fastlstm.losses.CRF(reduction), loss_weights=[3.0])
    x, y = rng.standard_normal((B, T, K)), rng.integers(0, K, (B, T))
    weights = rng.uniform(0.5, 2, B)
    _, grads = model.value_and_grad(x, y, sample_weight=weights)
    assert len(grads) == (5 if boundary else 3)
    values = model.get_weights()
    for number, grad in enumerate(grads):

        def value(number=number):
            model.set_weights(values)
            return model.value_and_grad(x, y, sample_weight=weights)[0]

        np.testing.assert_allclose(grad, differences(value, values[number]), atol=1e-6)


def test_it_predicts_the_best_tags(rng):
    x, y, mask = _padded(rng)
    model = _model()
    emissions, scores = _parts(model, x)
    tags, _ = crf_viterbi_decode(emissions, *scores, mask=mask)
    got = model.predict(x, verbose=0)
    np.testing.assert_array_equal(got, np.eye(K)[tags] * mask[..., None])
    weights = rng.uniform(0.5, 2, B)
    _, accuracy, weighted = model.evaluate(x, y, sample_weight=weights, verbose=0)
    right = (tags == y)[mask]
    np.testing.assert_allclose(accuracy, right.mean())
    spread = np.broadcast_to(weights[:, None], (B, T))[mask]
    np.testing.assert_allclose(weighted, np.average(right, weights=spread), rtol=1e-6)
    np.testing.assert_allclose(model.train_on_batch(x, y)[1], accuracy)


def test_it_can_give_marginals(rng):
    x, y, mask = _padded(rng)
    model, other = _model(gives="marginals"), _model()
    emissions, scores = _parts(model, x)
    wanted = crf_marginals(emissions, *scores, mask=mask)
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, atol=1e-6)
    assert model.evaluate(x, y, verbose=0)[0] == other.evaluate(x, y, verbose=0)[0]


# -- gradients through marginals ------------------------------------------------------------------


@pytest.mark.parametrize("boundary", [True, False])
def test_marginals_pass_gradients_on(boundary, rng):
    layer = CRF(K, "marginals", boundary, "glorot_uniform", "glorot_uniform", dtype="float64")
    x, d_y = rng.standard_normal((B, T, K)), rng.standard_normal((B, T, K))
    mask = _padded(rng)[2]
    y, pullback = fastlstm.vjp(layer, x, mask=mask)
    np.testing.assert_array_equal(y, layer(x, mask=mask))
    d_x, _, d_weights = pullback(d_y)

    def value():
        return float((layer(x, mask=mask) * d_y).sum())

    np.testing.assert_allclose(d_x, differences(value, x), atol=1e-7)
    assert not d_x[~mask].any()
    values = layer.get_weights()
    assert len(d_weights) == (3 if boundary else 1)
    for number, grad in enumerate(d_weights):

        def changed():
            layer.set_weights(values)
            return value()

        np.testing.assert_allclose(grad, differences(changed, values[number]), atol=1e-7)


def test_large_scores_and_long_sequences_pass_gradients_on(rng):
    """A mean over tags of which one is certain does not change; and nothing overflows."""
    layer = CRF(K, "marginals", boundary_initializer="glorot_uniform")
    x = 1e4 * rng.standard_normal((2, 400, K)).astype(np.float32)
    layer.build((400, K))
    d_x, _, d_weights = fastlstm.vjp(layer, x)[1](rng.standard_normal((2, 400, K)))
    for grad in (d_x, *d_weights):
        assert np.isfinite(grad).all()
        np.testing.assert_allclose(grad, 0, atol=1e-3)


def _tagger_of_marginals():
    """A loss of each step, and a layer above that reads the same probabilities."""
    fastlstm.utils.set_random_seed(3)
    x = Input((None, D))
    y = Dense(K)(LSTM(5, return_sequences=True)(Masking()(x)))
    tagged = CRF(K, "marginals", name="crf")(y)
    model = Model(x, [tagged, Dense(2)(LSTM(3)(tagged))])
    model.compile(Adam(0.05), ["categorical_crossentropy", "mse"])
    return model


def test_models_learn_through_marginals(rng):
    x, y, _ = _padded(rng)
    targets = [np.eye(K)[y], rng.standard_normal((B, 2))]
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        model = _tagger_of_marginals()
        before = model.get_layer("crf").get_weights()[0]
        losses = model.fit(x, targets, epochs=30, batch_size=B, verbose=0).history["loss"]
        assert losses[-1] < 0.8 * losses[0]
        assert (model.get_layer("crf").get_weights()[0] != before).all()
        results.append([*losses, *model.get_weights()])
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_one_layer_at_two_places(rng):
    """Its gradients are sums over both."""
    inputs = Input((T, K))
    layer = CRF(K, "marginals", dtype="float64")
    model = Model(inputs, layer(layer(inputs)))
    x, d_y = rng.standard_normal((B, T, K)), rng.standard_normal((B, T, K))
    d_x, _, (d_transitions, *_) = fastlstm.vjp(model, x)[1](d_y)
    transitions, *rest = model.get_weights()

    def value():
        model.set_weights([transitions, *rest])
        return float((model(x) * d_y).sum())

    np.testing.assert_allclose(d_x, differences(value, x), atol=1e-7)
    np.testing.assert_allclose(d_transitions, differences(value, transitions), atol=1e-7)
    model.compile("adam", "crf")
    tags = rng.integers(0, K, (B, T))

    def loss():
        model.set_weights([transitions, *rest])
        return model.value_and_grad(x, tags)[0]

    (_, (d_transitions, *_)) = model.value_and_grad(x, tags)
    np.testing.assert_allclose(d_transitions, differences(loss, transitions), atol=1e-6)
    twice = Model(inputs, [layer(inputs), layer(inputs)])
    twice.compile("adam", "crf")
    with pytest.raises(ValueError, match="is called again after the call whose output"):
        twice.value_and_grad(x, [tags, tags])


# -- long sequences -------------------------------------------------------------------------------


@pytest.mark.parametrize("gives", ["tags", "marginals"])
def test_layers_below_go_by_segments(gives, rng):
    """The tags wait for all steps, and the layers below need no tape of them."""

    def make():
        fastlstm.utils.set_random_seed(3)
        below = [Masking(), LSTM(5, return_sequences=True, dropout=0.1), Dense(K)]
        model = Sequential([Input((None, D)), *below, CRF(K, gives)])
        model.compile("adam", "crf", metrics=["accuracy"])
        return model

    x, y = rng.standard_normal((8, 131, D)), rng.integers(0, K, (8, 131))
    x[2, 100:], x[3, :7] = 0, 0
    results = []
    for bptt, threads in (("full", 1), ("checkpoint", 1), ("checkpoint", 2), ("checkpoint", 3)):
        set_num_threads(threads)
        model = make()
        steps = [model.train_on_batch(x, y, bptt=bptt) for _ in range(2)]
        loss, gradients = model.value_and_grad(x, y, bptt=bptt)
        results.append([*np.ravel(steps), loss, *gradients, *model.get_weights()])
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)
    model = make()
    full, less = (model.memory_report(8, 4096, bptt).training for bptt in ("full", "checkpoint"))
    assert less.total < 0.6 * full.total
    with pytest.raises(ValueError, match=r"layer 'crf.*needs all of them first"):
        model.fit(x, y, bptt=10, verbose=0)


# -------------------------------------------------------------------------------------------------


def test_lengths_are_masks(rng):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    y, lengths = rng.integers(0, K, (B, T)), np.array([9, 4, 1, 7, 9, 2])
    model = _model()
    mask = np.arange(T) < lengths[:, None]
    got = model.evaluate(x, y, lengths=lengths, verbose=0)
    assert got == model.evaluate(x, y, mask=mask, verbose=0)
    alone = [model.evaluate(x[b : b + 1, :n], y[b : b + 1, :n], verbose=0)[0]
             for b, n in enumerate(lengths)]  # fmt: skip
    np.testing.assert_allclose(got[0], np.mean(alone), rtol=1e-6)
    tags = model.predict(x, lengths=lengths, verbose=0)
    for b, n in enumerate(lengths):
        np.testing.assert_array_equal(tags[b, :n], model(x[b : b + 1, :n])[0])
        assert not tags[b, n:].any()


def test_training_has_the_same_bits_whatever_the_threads(rng):
    x, y, _ = _padded(rng)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        model = _model()
        model.fit(x, y, epochs=3, batch_size=4, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


def _spans(rng, samples):
    """Tags of a chain that hardly ever leaves out one of 0, 1, 2; what is seen is mostly noise."""
    y = np.zeros((samples, 20), int)
    y[:, 0] = rng.integers(0, K, samples)
    for t in range(1, 20):
        stays = rng.random(samples) < 0.7
        y[:, t] = np.where(stays, y[:, t - 1], (y[:, t - 1] + 1) % K)
    x = np.eye(K)[y] + 1.0 * rng.standard_normal((samples, 20, K))
    return x.astype(np.float32), y


def test_it_beats_the_best_tag_of_each_step_where_transitions_matter(rng):
    fastlstm.utils.set_random_seed(1)
    (x, y), (x_new, y_new) = _spans(rng, 400), _spans(rng, 200)
    found = []
    for last, loss in (
        ([Dense(K, activation="softmax")], "sparse_categorical_crossentropy"),
        ([Dense(K), CRF(K)], "crf"),
    ):
        model = Sequential([Input((None, K)), *last])
        model.compile(Adam(0.05), loss, metrics=["accuracy"])
        history = model.fit(x, y, epochs=8, batch_size=32, verbose=0).history["loss"]
        assert history[-1] < history[0]
        found.append(model.evaluate(x_new, y_new, verbose=0)[1])
    alone, together = found
    assert together > alone + 0.08
    # It has seen that 0 goes on to 1, and never to 2.
    transitions = model.layers[-1].get_weights()[0]
    assert transitions[0, 1] > transitions[0, 2] + 1


def test_frozen_transitions_stay(rng):
    x, y, _ = _padded(rng)
    model = _model(trainable=False)
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    for got, wanted in zip(after[-3:], before[-3:], strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert not np.array_equal(after[-4], before[-4])


def test_penalties_and_bounds(rng):
    x, y, _ = _padded(rng)
    model = _model(transitions_regularizer="l2", transitions_constraint="non_neg")
    plain = _model()
    transitions = model.layers[-1].get_weights()[0]
    extra = model.evaluate(x, y, verbose=0)[0] - plain.evaluate(x, y, verbose=0)[0]
    np.testing.assert_allclose(extra, 0.01 * (transitions**2).sum(), rtol=1e-3)
    model.fit(x, y, verbose=0)
    assert model.layers[-1].get_weights()[0].min() >= 0


def test_files_and_configurations(tmp_path, rng):
    x, y, _ = _padded(rng)
    model = _model(use_boundary=False, gives="marginals")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.weight_names == model.weight_names
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    layer = CRF.from_config(model.layers[-1].get_config())
    assert (layer.tags, layer.gives, layer.use_boundary) == (K, "marginals", False)


def test_many_at_once(rng):
    x, y, _ = _padded(rng)
    fastlstm.utils.set_random_seed(1)
    model = Sequential([Input((T, D)), Dense(K), _layer()])
    model.compile("adam", "crf", metrics=["accuracy"])
    many, xs, ys = Ensemble(model, 2), np.stack([x, -x]), np.stack([y, y])
    alone = many[1]
    loss = many.test_on_batch(xs, ys)[1]
    np.testing.assert_allclose(loss, alone.evaluate(-x, y, verbose=0)[0], rtol=1e-6)
    many.fit(xs, ys, epochs=2, verbose=0)
    np.testing.assert_array_equal(many.predict(xs, verbose=0)[1], many[1](-x))


def _with_loss(loss):
    model = _model(compiled=False)
    model.compile("adam", loss)
    return model


def _dense(x, y):
    model = Sequential([Input((T, D)), Dense(K)])
    model.compile("adam", "crf")
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        (lambda x, y: CRF(0), ValueError, ["CRF tags"]),
        (lambda x, y: CRF(3, gives="best"), ValueError, ["'tags' or 'marginals'", "'best'"]),
        (lambda x, y: CRF(K)(x), ValueError, ["(6, 9, 4)", "Dense(3)"]),
        (lambda x, y: CRF(D)(x[:, 0]), ValueError, ["return_sequences=True"]),
        (lambda x, y: _model().fit(x, y + 1), ValueError, ["0 to 2", "got 3"]),
        (lambda x, y: _model().fit(x, y[:, 0]), ValueError, ["y has shape (6,)"]),
        (lambda x, y: _with_loss("mse").fit(x, np.eye(K)[y]), ValueError, ["loss='crf'"]),
        (_dense, ValueError, ["the layer CRF(tags)"]),
        (lambda x, y: _model().stream(), ValueError, ["stream"]),
        (lambda x, y: fastlstm.losses.CRF()(y, x[..., :K]), TypeError, ["crf_log_likelihood"]),
        (
            lambda x, y: fastlstm.vjp(_layer(), x[..., :K])[1](x[..., :K]),
            ValueError,
            ["its own loss", "gives='marginals'"],
        ),
    ],
)
def test_what_does_not_fit_is_said(act, kind, words, rng):
    x, y, _ = _padded(rng)
    with pytest.raises(kind) as caught:
        act(x, y)
    for word in words:
        assert word in str(caught.value)
