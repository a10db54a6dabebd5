"""Masks that a call of an attention is given: values, gradients, Keras, models and files."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, layers, vjp
from fastlstm.layers import AdditiveAttention, Attention, Dense, Embedding, MultiHeadAttention
from fastlstm.models import load_model
from tests.peers import import_keras
from tests.reference import finite

B, TQ, TV, D, E = 4, 5, 6, 3, 2

KINDS = {
    "dot": lambda **options: Attention(use_scale=True, **options),
    "additive": lambda **options: AdditiveAttention(**options),
    "heads": lambda **options: MultiHeadAttention(2, 3, **options),
}


def _arrays(rng, dtype=np.float64):
    shapes = (B, TQ, D), (B, TV, E), (B, TV, D)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _masks(rng):
    """Of queries, values and keys, and of pairs; no query is without a value."""
    masks = {
        "query_mask": rng.random((B, TQ)) < 0.6,
        "value_mask": rng.random((B, TV)) < 0.7,
        "key_mask": rng.random((B, TV)) < 0.7,
        "attention_mask": rng.random((B, TQ, TV)) < 0.7,
    }
    masks["value_mask"][:, 2] = masks["key_mask"][:, 2] = True
    masks["attention_mask"][:, :, 2] = True
    return masks


def _call(layer, arrays, given, **options):
    if isinstance(layer, MultiHeadAttention):
        return layer(*arrays, **given, **options)
    mask = [given.get("query_mask"), given.get("value_mask")]
    return layer(arrays, mask if given else None, **options)


def _allowed(given, causal=False):
    """Which queries see which keys."""
    allowed = np.ones((B, TQ, TV), bool)
    for kind, mask in given.items():
        if kind == "query_mask":
            continue
        mask = np.asarray(mask)
        allowed &= mask if kind == "attention_mask" else mask[:, None]
    return allowed & np.tri(TQ, TV, dtype=bool) if causal else allowed


# Which masks there are together.
TOGETHER = {
    "values": ("value_mask",),
    "queries": ("query_mask",),
    "both": ("query_mask", "value_mask"),
    "pairs": ("attention_mask",),
    "keys": ("key_mask",),
    "all": ("query_mask", "value_mask", "key_mask", "attention_mask"),
}
CASES = [
    (kind, together)
    for kind in KINDS
    for together in TOGETHER
    if kind == "heads" or together in ("values", "queries", "both")
]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("kind", "together"), CASES)
def test_values(kind, together, causal, rng, float64, serial):
    """The weights are those without a mask, but for what is left out; the rest is as ever."""
    layer, arrays, masks = KINDS[kind](), _arrays(rng), _masks(rng)
    given = {name: masks[name] for name in TOGETHER[together]}
    _, plain = _call(layer, arrays, {}, return_attention_scores=True)
    output, weights = _call(
        layer, arrays, given, return_attention_scores=True, use_causal_mask=causal
    )
    counts = given.get("query_mask", np.ones((B, TQ), bool))
    allowed = _allowed(given, causal)
    allowed = allowed[:, None] if kind == "heads" else allowed
    expected = plain * allowed
    seen = expected.sum(axis=-1, keepdims=True)
    rows = counts if kind != "heads" else np.broadcast_to(counts[:, None], weights.shape[:3])
    rows = rows & (seen[..., 0] > 0)
    np.testing.assert_allclose(weights[rows], (expected / np.where(seen > 0, seen, 1))[rows])
    if kind == "heads":
        assert not weights[~rows].any()
        kernel, bias = (np.asarray(w) for w in layer.get_weights()[-2:])
        v_kernel, v_bias = layer.get_weights()[4:6]
        values = np.einsum("bse,ehv->bhsv", arrays[1], v_kernel) + v_bias[:, None]
        mean = np.einsum("bhts,bhsv->bthv", weights, values)
        np.testing.assert_allclose(output, np.einsum("bthv,hvo->bto", mean, kernel) + bias)
    else:
        np.testing.assert_allclose(output[counts], (weights @ arrays[1])[counts])
        assert not output[~counts].any()


def _model(kind, together, api=fastlstm, keyed=True, **options):
    """A model whose masks are inputs, named as they are."""
    dtypes = {} if api is fastlstm else {"dtype": "bool"}
    starts = [api.Input(shape) for shape in ((TQ, D), (TV, E if keyed else D), (TV, D))]
    starts = starts if keyed else starts[:2]
    shapes = {"query_mask": (TQ,), "attention_mask": (TQ, TV)}
    given = {
        name: api.Input(shapes.get(name, (TV,)), name=name, **dtypes) for name in TOGETHER[together]
    }
    of = api.layers
    make = {"dot": of.Attention, "additive": of.AdditiveAttention}
    if kind == "heads":
        seen = of.MultiHeadAttention(2, 3, **options)(*starts, **given)
    else:
        mask = [given.get("query_mask"), given.get("value_mask")]
        seen = make[kind](use_scale=True, **options)(starts, mask=mask)
    return api.Model([*starts, *given.values()], of.Dense(2, **options)(seen))


@pytest.mark.parametrize("keyed", [False, True], ids=["two inputs", "three inputs"])
@pytest.mark.parametrize(("kind", "together"), [case for case in CASES if case[1] != "keys"])
def test_gradients(kind, together, keyed, rng, float64, serial):
    if together == "all" and not keyed:
        pytest.skip("there is no key")
    model, masks = _model(kind, together, keyed=keyed), _masks(rng)
    arrays = _arrays(rng) if keyed else [_arrays(rng)[0], _arrays(rng)[2]]
    x = [*arrays, *(masks[name] for name in TOGETHER[together])]
    got, pull = vjp(model, x)
    d_out = rng.standard_normal(got.shape)
    d_xs, _, d_weights = pull(d_out)
    assert d_xs[len(arrays) :] == [None] * len(TOGETHER[together])

    def value():
        return float(np.vdot(model(x), d_out))

    for array, d_x in zip(arrays, d_xs[: len(arrays)], strict=True):
        np.testing.assert_allclose(d_x, finite.gradient(value, array), atol=1e-7)
    weights = model.get_weights()

    def with_weights():
        model.set_weights(weights)
        return value()

    for weight, d_weight in zip(weights, d_weights, strict=True):
        np.testing.assert_allclose(d_weight, finite.gradient(with_weights, weight), atol=1e-7)


@pytest.mark.parametrize("keyed", [False, True], ids=["two inputs", "three inputs"])
@pytest.mark.parametrize(
    ("kind", "together"),
    [(k, t) for k, t in CASES if k != "heads" or t in ("values", "pairs", "keys")],
)
def test_as_in_keras(kind, together, keyed, rng, serial):
    """Values, and training. Keras' MultiHeadAttention overwrites a query_mask that it is given."""
    if together == "keys" and not keyed:
        pytest.skip("there is no key")
    keras = import_keras()
    ours, theirs = (_model(kind, together, api, keyed) for api in (fastlstm, keras))
    theirs.set_weights(weights := [w + 0.1 for w in theirs.get_weights()])
    ours.set_weights(weights)
    masks, arrays = _masks(rng), _arrays(rng, np.float32)
    x = [*(arrays if keyed else (arrays[0], arrays[2]))]
    x += [masks[name] for name in TOGETHER[together]]
    y = rng.standard_normal((B, TQ, 2)).astype(np.float32)
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), atol=1e-5)
    for model in (ours, theirs):
        model.compile("sgd", "mse")
    for _ in range(3):
        theirs.reset_metrics()
        assert ours.train_on_batch(x, y) == pytest.approx(theirs.train_on_batch(x, y), rel=1e-4)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_queries_that_see_nothing_as_in_keras(rng, serial):
    """Their weights are zero, where Keras computes weights at all rather than the output alone."""
    keras = import_keras()
    theirs, ours = (api.layers.MultiHeadAttention(2, 3) for api in (keras, fastlstm))
    arrays, mask = _arrays(rng, np.float32), rng.random((B, TQ, TV)) < 0.5
    mask[1], mask[2, 3] = False, False
    how = {"attention_mask": mask, "return_attention_scores": True}
    ours(*arrays)
    theirs.build(*(array.shape for array in arrays))
    ours.set_weights(weights := [np.asarray(w.value.detach()) + 0.1 for w in theirs.weights])
    theirs.set_weights(weights)
    expected = [np.asarray(array.detach()) for array in theirs(*arrays, **how)]
    for got, wanted in zip(ours(*arrays, **how), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert not expected[1][1].any()


@pytest.mark.parametrize(("kind", "together"), [("heads", "all"), ("dot", "both")])
def test_the_engine_keeps_its_promises(kind, together, rng, tmp_path):
    masks = _masks(rng)
    x = [*_arrays(rng, np.float32), *(masks[name] for name in TOGETHER[together])]
    y = rng.standard_normal((B, TQ, 2)).astype(np.float32)
    results = []
    for threads in (1, 2):
        fastlstm.set_num_threads(threads)
        fastlstm.utils.set_random_seed(1)
        model = _model(kind, together)
        model.compile("adam", "mse")
        model.fit(x, y, epochs=2, batch_size=3, verbose=0)
        results.append([*model.get_weights(), model.predict(x, batch_size=1, verbose=0)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.predict(x, verbose=0), results[0][-1])
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), results[0][-1])


def test_forms_of_one_mask(rng, serial):
    """For all samples alike, for all queries alike, and by a mask of values."""
    layer = MultiHeadAttention(2, 3)
    query, value, _ = _arrays(rng, np.float32)
    counts = np.array([1, 0, 1, 1, 0, 1], bool)
    expected = layer(query, value, value_mask=np.tile(counts, (B, 1)))
    assert np.abs(expected - layer(query, value)).max() > 1e-3
    whole = np.tile(counts, (TQ, 1))
    for mask in (whole, whole[None], np.tile(whole, (B, 1, 1)), np.tile(counts, (B, 1, 1))):
        np.testing.assert_array_equal(layer(query, value, attention_mask=mask), expected)
    causal = layer(query, value, attention_mask=np.tri(TQ, TV))
    np.testing.assert_array_equal(causal, layer(query, value, use_causal_mask=True))


def test_masks_given_go_with_those_that_come(rng, serial):
    """In the place of them for Attention, as in Keras; and for several heads, kind by kind."""
    start, words = Input((TV,)), Embedding(9, D, mask_zero=True)
    ids = rng.integers(0, 2, (B, TV)) * rng.integers(1, 9, (B, TV))
    ids[:, 0] = 1
    seen = words(start)
    outputs = [
        Attention()([seen, seen], mask=[None, start]),  # ids: 0 does not count
        Attention()([seen, seen], mask=[start, start]),
        MultiHeadAttention(1, 2, name="heads")(seen, seen, attention_mask=Input((TV, TV))),
    ]
    x = words(ids)
    np.testing.assert_allclose(
        Model(start, outputs[0])(ids), Attention()([x, x], mask=[None, ids > 0]), rtol=1e-6
    )
    np.testing.assert_allclose(
        Model(start, outputs[1])(ids), Attention()([x, x], mask=[ids > 0, ids > 0]), rtol=1e-6
    )
    pairs = outputs[2].made_by.inputs[-1]
    mask = np.tri(TV, TV)[None].repeat(B, axis=0)
    heads = outputs[2].made_by.layer
    expected = heads(x, x, query_mask=ids > 0, value_mask=ids > 0, attention_mask=mask)
    np.testing.assert_allclose(Model([start, pairs], outputs[2])([ids, mask]), expected, rtol=1e-6)


Q, V = np.zeros((2, 3, 4)), np.zeros((2, 5, 4))


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda: Attention()([Q, V], mask=Q), ValueError, ["[query_mask, value_mask]", "ndarray"]),
        (lambda: Attention()([Q, V], mask=[np.ones((2, 5)), None]), ValueError,
         ["query_mask", "(2, 3)", "(2, 5)"]),
        (lambda: MultiHeadAttention(1, 2)(Q, V, attention_mask=np.ones((2, 5, 3))), ValueError,
         ["attention_mask", "(2, 3, 5)", "(2, 5, 3)"]),
        (lambda: MultiHeadAttention(1, 2)(Q, V, attention_mask=np.ones((2, 1, 3, 5))), ValueError,
         ["(batch, query, key)", "(2, 1, 3, 5)"]),
        (lambda: MultiHeadAttention(1, 2)(Q, V, value_mask=np.ones((3, 5))), ValueError,
         ["as many samples"]),
        (lambda: Attention()([Q, V[:1]]), ValueError, ["as many samples"]),
        (lambda: MultiHeadAttention(1, 2)(Q, V, key_mask=np.ones((2, 5))), ValueError, ["a key"]),
        (lambda: MultiHeadAttention(1, 2)(Q, V, attention_mask=Input((3, 5))), TypeError,
         ["attention_mask", "Model"]),
        (lambda: Attention()([Input((3, 4)), Input((5, 4))], mask=[None, Input((3,))]), ValueError,
         ["value_mask", "(None, 5)", "(None, 3)"]),
        (lambda: layers.Attention()([Q, V], mask=[None, "x"]), TypeError, []),
        (lambda: Dense(1)(Input((3,)), mask=Input((3,))), TypeError, ["mask="]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)
