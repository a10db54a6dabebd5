"""Scheduled sampling: against a decoder that goes step by step, schedules, and what is learned."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastlstm
from fastlstm import Model, Sequential
from fastlstm.generation import (
    ScheduledSampling,
    exponential_decay,
    inverse_sigmoid_decay,
    linear_decay,
    shift_right,
)
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import LSTM, Dense, Embedding, Input
from fastlstm.optimizers import Adam

# Ids 2 to V - 1 are what is said; 0 is padding and 1 the start.
V, S = 7, 5
START = 1


def _translator(units=8, activation=None):
    """An encoder whose states a decoder starts from."""
    fastlstm.utils.set_random_seed(2)
    source, fed = Input((None,), name="source"), Input((None,), name="fed")
    _, h, c = LSTM(units, return_state=True)(Embedding(V, 6)(source))
    said = LSTM(units, return_sequences=True)(Embedding(V, 6)(fed), initial_state=[h, c])
    model = Model([source, fed], Dense(V, activation=activation)(said))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    return model


def _pairs(rng, samples=20):
    source = rng.integers(2, V, (samples, S))
    y = source[:, ::-1].copy()
    return source, shift_right(y, START), y


def _with_logits(model):
    model.compile(Adam(0.01), fastlstm.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def _step_by_step(model, source, true, own, noise=None):
    """One step after the other, each from what was fed before."""
    fed = true.copy()
    for t in range(1, S):
        scores = model([source, fed[:, :t]])[:, -1]
        said = (scores if noise is None else scores + noise[:, t - 1]).argmax(axis=1)
        fed[:, t] = np.where(own[:, t], said, true[:, t])
    return fed


@pytest.mark.parametrize("choice", ["greedy", "sample"])
@pytest.mark.parametrize("forcing", [0.0, 0.4, 1.0])
def test_it_is_what_going_step_by_step_comes_to(forcing, choice, rng):
    source, fed, y = _pairs(rng)
    model = _with_logits(_translator())
    options = {"batch_size": 20, "shuffle": False, "choice": choice, "seed": 5}
    (batch,) = ScheduledSampling(model, [source, fed], y, forcing, **options)
    draws = np.random.default_rng([5, 1, 0])
    own = draws.random((20, S)) >= forcing
    noise = draws.gumbel(size=(20, S, V)) if choice == "sample" else None
    wanted = _step_by_step(model, source, fed, own, noise)
    np.testing.assert_array_equal(batch.x[1], wanted)
    np.testing.assert_array_equal(batch.x[0], source)
    np.testing.assert_array_equal(batch.y, y)
    assert np.array_equal(wanted, fed) == (forcing == 1.0)
    (batch,) = ScheduledSampling(model, {"source": source, "fed": fed}, y, forcing, **options)
    np.testing.assert_array_equal(batch.x["fed"], wanted)


def test_one_pass_predicts_from_the_truth(rng):
    source, fed, y = _pairs(rng)
    model = _with_logits(_translator())
    options = {"batch_size": 20, "shuffle": False, "passes": 1}
    (batch,) = ScheduledSampling(model, [source, fed], y, 0.0, **options)
    said = model([source, fed]).argmax(axis=2)
    np.testing.assert_array_equal(batch.x[1], shift_right(said, START))


def test_draws_have_the_models_probabilities():
    model = Sequential([Embedding(V, 6, input_shape=(2,)), Dense(V, activation="softmax")])
    fed = np.full((4000, 2), START)
    options = {"choice": "sample", "from_logits": False, "batch_size": 4000}
    (batch,) = ScheduledSampling(model, fed, fed, 0.0, **options)
    found = np.bincount(batch.x[:, 1], minlength=V) / 4000
    np.testing.assert_allclose(found, model(fed[:1])[0, 0], atol=0.03)


def test_numbers_are_fed_as_they_were_predicted(rng):
    model = Sequential([Input((4, 2)), LSTM(6, return_sequences=True), Dense(2)])
    y = rng.standard_normal((3, 4, 2)).astype(np.float32)
    fed = shift_right(y, 0.0)
    (batch,) = ScheduledSampling(model, fed, y, 0.0, shuffle=False)
    wanted = fed.copy()
    for t in range(1, 4):
        wanted[:, t] = model(wanted)[:, t - 1]
    np.testing.assert_array_equal(batch.x, wanted)


def test_padding_stays_and_is_never_said(rng):
    source, fed, y = _pairs(rng)
    fed[::2, 3:] = 0
    model = _with_logits(_translator())
    weights = model.get_weights()
    weights[-1][0] = 100  # the model would always say it
    model.set_weights(weights)
    options = {"batch_size": 20, "shuffle": False}
    (batch,) = ScheduledSampling(model, [source, fed], y, 0.0, padding=0, **options)
    np.testing.assert_array_equal(batch.x[1] == 0, fed == 0)
    (batch,) = ScheduledSampling(model, [source, fed], y, 0.0, **options)
    assert not batch.x[1][:, 1:].any()


def test_schedules():
    forcing = linear_decay(10, least=0.25)
    assert [forcing(step) for step in (0, 5, 10, 99)] == [1.0, 0.5, 0.25, 0.25]
    assert exponential_decay(0.9)(3) == 0.9**3
    forcing = inverse_sigmoid_decay(20)
    np.testing.assert_allclose(forcing(20 * math.log(20)), 0.5)
    assert forcing(0) > 0.95
    assert 0 <= forcing(10**9) < 1e-100


def test_a_schedule_counts_batches_and_orders_differ_by_epoch(rng):
    source, fed, y = _pairs(rng)
    seen = []

    def forcing(step):
        seen.append(step)
        return 1.0

    samples = ScheduledSampling(_translator(), [source, fed], y, forcing, batch_size=8)
    assert len(samples) == 3
    orders = [np.concatenate([batch.numbers for batch in samples]) for _ in range(2)]
    assert seen == list(range(6))
    assert not np.array_equal(*orders)
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(20))


def test_the_same_seed_trains_the_same_bits_whatever_the_threads(rng):
    source, fed, y = _pairs(rng)
    weights = rng.uniform(0.5, 1.5, 20)
    results = []
    for threads, seed in ((1, 3), (2, 3), (2, 4)):
        set_num_threads(threads)
        model = _translator(activation="softmax")
        samples = ScheduledSampling(
            model, [source, fed], y, 0.3, batch_size=8, seed=seed, sample_weight=weights
        )
        model.fit(samples, epochs=2, verbose=0)
        results.append(model.get_weights())
    one, two, other = results
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[-1], other[-1])


def test_a_decoder_learns_to_reverse_on_its_own(rng):
    model = _with_logits(_translator(units=48))
    source, fed, y = _pairs(rng, 1500)
    samples = ScheduledSampling(model, [source, fed], y, linear_decay(350))
    losses = model.fit(samples, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 3
    source, fed, y = _pairs(rng, 200)
    # Nothing but the first token is given.
    own = _step_by_step(model, source, fed, np.ones((200, S), bool))
    said = model([source, own]).argmax(axis=2)
    assert (said == y).mean() > 0.9


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (ValueError, {"forcing": 1.5}, ["forcing", "1.5"]),
        (ValueError, {"forcing": lambda step: 2.0}, ["probability", "2.0 at step 0"]),
        (ValueError, {"choice": "best"}, ["'greedy' or 'sample'"]),
        (ValueError, {"feed": "target"}, ["feed", "'target'"]),
        (ValueError, {"x": [np.zeros((20, S)), np.zeros((20, S))]}, ["whole numbers", "float64"]),
        (ValueError, {"y": np.zeros((19, S))}, ["as many samples", "19"]),
        (ValueError, {"passes": 0}, ["passes"]),
        (ValueError, {"model": lambda x: np.zeros((20, V))}, ["(batch, 5, vocabulary)", "(20, 7)"]),
    ],
)
def test_what_does_not_fit_is_said(kind, options, words, rng):
    source, fed, y = _pairs(rng)
    given = {"model": _translator(), "x": [source, fed], "y": y, "forcing": 0.5, **options}
    with pytest.raises(kind) as caught:
        list(ScheduledSampling(**given))
    for word in words:
        assert word in str(caught.value)


def test_only_sequences_can_be_shifted():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        shift_right([1, 2, 3], 0)


@pytest.mark.parametrize("choice", ["greedy", "sample"])
def test_step_by_step_comes_to_what_runs_of_the_whole_batch_come_to(choice, rng, monkeypatch):
    layers = [Input((None,)), Embedding(V, 6), LSTM(8, return_sequences=True), Dense(V)]
    model, y = Sequential(layers), rng.integers(2, V, (20, 3 * S))
    fed = shift_right(y, START)

    def batches():
        return list(ScheduledSampling(model, fed, y, 0.3, batch_size=8, choice=choice))

    stepped = batches()
    monkeypatch.setattr(ScheduledSampling, "_stream", lambda self, true: None)
    for one, other in zip(stepped, batches(), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert any((x != shift_right(said, START)).any() for x, said, *_ in stepped)
