"""Words looked up in a table of their products: the bits and the messages of the long way."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest

import fastlstm
from fastlstm.kernels.cell import panel_units
from fastlstm.layers import GRU, LSTM, SLSTM, Dense, Embedding, MinGRU, SimpleRNN, vocabulary
from fastlstm.layers.vocabulary import WordsOp
from fastlstm.models import Ensemble, Sequential

WORDS, STEPS = 90, 11


def _model(kind=LSTM, units=21, **options):
    return Sequential([Embedding(WORDS, 7), kind(units, **options), Dense(3)])


def _ids(rng, batch=6, steps=STEPS):
    return rng.integers(0, WORDS, (batch, steps))


def _looks_up(model):
    """Whether the layout that was used last has a table."""
    return any(isinstance(op, WordsOp) for op in _last_chain(model).ops)


def _last_chain(model):
    *_, chain = model._runner._chains.values()
    return chain


@pytest.fixture
def long_way(monkeypatch):
    """Switches the table off, for layouts made from then on."""

    def switch(*models):
        monkeypatch.setattr(vocabulary, "_MOST", 0)
        for model in models:
            model._runner.forget()

    return switch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [LSTM, GRU, SimpleRNN, MinGRU, SLSTM])
def test_same_bits_as_without(kind, dtype, rng, long_way):
    layers = [
        Embedding(WORDS, 150, dtype=dtype),  # more than one block of k
        kind(21, return_sequences=True, dtype=dtype),
        Dense(3, dtype=dtype),
    ]
    model, x = Sequential(layers), _ids(rng)
    mask = rng.random(x.shape) < 0.7
    plain, masked = model(x), model(x, mask=mask)
    assert _looks_up(model)
    long_way(model)
    np.testing.assert_array_equal(model(x), plain)
    assert not _looks_up(model)
    np.testing.assert_array_equal(model(x, mask=mask), masked)


def test_same_bits_for_any_batch_and_steps(rng):
    model = Sequential(
        [Embedding(WORDS, 7), LSTM(40, return_sequences=True), LSTM(9, return_sequences=True)]
    )
    x = _ids(rng, batch=70, steps=100)
    whole = model(x)
    np.testing.assert_array_equal(np.concatenate([model(x[:1]), model(x[1:])]), whole)
    stream = model.stream(70)
    for t in range(100):
        np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])


@pytest.mark.parametrize("ahead", [1, 10_000, 1 << 30])
def test_same_bits_however_many_steps_are_looked_up_at_once(ahead, rng, monkeypatch):
    fastlstm.set_num_threads(2)  # as a wavefront
    model = Sequential([Embedding(WORDS, 7), LSTM(32, return_sequences=True), LSTM(20)])
    x = _ids(rng, batch=5, steps=50)
    y = model(x)
    monkeypatch.setattr(vocabulary, "_AHEAD", ahead)
    model._runner.forget()
    np.testing.assert_array_equal(model(x), y)


def test_states_are_carried_on(rng, long_way):
    models = [_model(stateful=True) for _ in range(2)]
    models[0].build((None, None))
    models[1].build((None, None))
    models[1].set_weights(models[0].get_weights())
    x = _ids(rng)
    first = [models[0](part) for part in (x[:, :4], x[:, 4:])]
    assert _looks_up(models[0])
    long_way()
    for part, expected in zip((x[:, :4], x[:, 4:]), first, strict=True):
        np.testing.assert_array_equal(models[1](part), expected)


def test_words_are_learned_when_they_are_met(rng, long_way):
    model = _model()
    known = rng.permutation(WORDS).reshape(6, 15)
    outputs = [model(known[:count]) for count in (1, 1, 4, 6)]
    (table,) = (op.vocabulary for op in _last_chain(model).ops if op.vocabulary)
    assert table.known.sum() == WORDS
    long_way(model)
    for count, output in zip((1, 1, 4, 6), outputs, strict=True):
        np.testing.assert_array_equal(model(known[:count]), output)


def test_it_follows_the_weights(rng):
    """Also where something without a table has packed them anew in between."""
    model, twin, x = _model(), _model(), _ids(rng)
    model.compile("adam", "mse")
    model.build((None, None))
    y = np.zeros((6, 3), np.float32)
    stream = model.stream()
    for change in (
        lambda: model.train_on_batch(x, y),
        lambda: model.layers[0].set_weights([rng.normal(size=(WORDS, 7))]),
        lambda: model.layers[1].set_weights([w / 2 for w in model.layers[1].get_weights()]),
    ):
        before = model(x)
        np.testing.assert_array_equal(model(x), before)  # the short way of a repeated call
        change()
        model.value_and_grad(x, y)
        assert not _looks_up(model)
        after = model(x)
        assert _looks_up(model)
        assert (after != before).any()
        twin(x[:1])
        twin.set_weights(model.get_weights())
        np.testing.assert_array_equal(twin(x), after)
        stream.reset()
        np.testing.assert_array_equal([stream.step(x[0, t]) for t in range(STEPS)][-1][0], after[0])


def test_each_model_of_an_ensemble_has_its_own(rng):
    models = [_model() for _ in range(5)]
    x = rng.integers(0, WORDS, (5, 6, STEPS))
    for model in models:
        model.build((None, None))
    ensemble = Ensemble(models[0], 5)
    weights = zip(*(model.get_weights() for model in models), strict=True)
    ensemble.set_weights([np.stack(each) for each in weights])
    for _ in range(2):
        y = ensemble.predict(x)
        for model, ids, expected in zip(models, x, y, strict=True):
            np.testing.assert_array_equal(model(ids), expected)


def test_layouts_share_one_table_and_it_goes_with_them(rng):
    model = _model()
    model(_ids(rng))
    model(_ids(rng, batch=3))
    tables = {
        id(op.vocabulary)
        for chain in model._runner._chains.values()
        for op in chain.ops
        if op.vocabulary
    }
    assert len(tables) == 1
    model._runner.forget()
    gc.collect()
    assert (id(model.layers[0]), id(model.layers[1])) not in vocabulary._tables


@pytest.mark.parametrize(
    ("words", "units", "expected"), [(10_000, 128, True), (10_000, 650, True), (90_000, 128, False)]
)
def test_tables_have_a_largest_size(words, units, expected):
    embedding, layer = Embedding(words, 1), LSTM(units)
    embedding.build((None,))
    layer.build((None, 1))
    assert (vocabulary.shared_vocabulary(embedding, layer) is not None) == expected


def test_training_and_other_layers_take_the_long_way(rng):
    model, x = _model(), _ids(rng)
    model.compile("adam", "mse")
    model.train_on_batch(x, np.zeros((6, 3), np.float32))
    assert not _looks_up(model)
    dense = Sequential([Embedding(WORDS, 7), Dense(3)])
    assert dense(x).shape == (6, STEPS, 3)
    assert not _looks_up(dense)


def test_models_with_a_table_are_copied(rng):
    model, x = _model(), _ids(rng)
    y = model(x)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other(x), y)
        other.layers[0].set_weights([rng.normal(size=(WORDS, 7))])
        assert (other(x) != y).any()
        np.testing.assert_array_equal(model(x), y)


def test_ids_outside_of_it_are_refused(rng):
    model = _model()
    x = _ids(rng)
    for _ in range(3):
        model(x)
        with pytest.raises(ValueError, match=f"ids from 0 to {WORDS - 1}, got {WORDS}"):
            model(np.full_like(x, WORDS))


def test_its_bytes_are_reported():
    model = _model()
    model.build((None, None))
    with_table = model.memory_report(6, time=STEPS).prediction.packed
    layer, dense = model.layers[1:]
    units = panel_units(4, 4)  # of a panel, by the processor
    table = WORDS * -(-21 // units) * units * 4 * 4
    packed = [
        layer.packed_kernel,
        layer.packed_recurrent,
        *layer.packed_biases,
        dense.packed_kernel,
    ]
    assert with_table == table + sum(4 * np.prod(one.forward_shape) for one in packed)
