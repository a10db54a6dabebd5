"""Checkpoints and windows in graphs that branch and join: the bits of the full way."""

from __future__ import annotations

import platform

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential
from fastlstm.layers import (
    GRU,
    LSTM,
    RNN,
    Add,
    Attention,
    Average,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    GRUCell,
    LayerNormalization,
    LSTMCell,
    Masking,
    Maximum,
    Multiply,
    RepeatVector,
    SimpleRNN,
    Subtract,
)
from fastlstm.memory import Plan
from fastlstm.models.checkpoint import Checkpointed
from fastlstm.models.segments import segments
from fastlstm.models.supervised import Supervised
from fastlstm.optimizers import Adam
from tests.marks import needs_jit
from tests.process import run_python

D, B, T = 5, 8, 131


def _residual():
    x = Input((None, D))
    first = Dropout(0.1)(Dense(9, "tanh")(x))
    second = Add()([first, LSTM(9, return_sequences=True)(first)])
    third = Add()([second, GRU(9, return_sequences=True, dropout=0.2)(second), first])
    return Model(x, Dense(2)(SimpleRNN(7)(third)))


def _side_by_side():
    """Three layers on one input, of which another takes the whole."""
    x = Input((None, D))
    parts = [LSTM(6)(x), GRU(5)(x), GlobalMaxPooling1D()(x)]
    return Model(x, Dense(2)(Concatenate()(parts)))


def _arithmetic():
    x = Input((None, D))
    a, b = (LSTM(6, return_sequences=True)(x) for _ in range(2))
    c = Dense(1)(x)
    parts = [Multiply()([a, b, c]), Subtract()([a, b]), Maximum()([a, b]), Average()([a, c])]
    return Model(x, Dense(2)(Concatenate()([*parts, x])))


def _several_outputs():
    """A sequence, what is made of the whole of it, and states."""
    x = Input((None, D))
    y, h, c = LSTM(6, return_sequences=True, return_state=True)(x)
    return Model(x, [Dense(2, "softmax")(y), GlobalAveragePooling1D()(y), h, Dense(2)(c), y])


def _several_inputs():
    """Words with padding, a series, facts, and states that are made of the facts."""
    words, series = Input((None,), name="words"), Input((None, D), name="series")
    facts = Input((3,), name="facts")
    known = Embedding(11, 4, mask_zero=True)(words)
    both = Concatenate()([known, Masking()(series)])
    start = [Dense(6, "tanh")(facts), Dense(6)(facts)]
    y = LSTM(6, return_sequences=True)(both, initial_state=start)
    return Model([words, series, facts], [Dense(2)(y), GRU(4)(y)])


def _siamese():
    """One encoder for two series, which need not be of one length."""
    a, b = Input((None, D), name="a"), Input((None, D), name="b")
    encoder, before = GRU(6, reset_after=False), Dense(7, "tanh")
    return Model([a, b], Dense(2)(Multiply()([encoder(before(a)), encoder(before(b))])))


def _translator():
    """An encoder, a decoder that starts from its states, and attention."""
    source, target = Input((None, D), name="source"), Input((None, 2), name="target")
    seen, h, c = LSTM(7, return_sequences=True, return_state=True)(source)
    made = LSTM(7, return_sequences=True)(target, initial_state=[h, c])
    both = Concatenate()([made, Attention(use_scale=True)([made, seen])])
    return Model([source, target], Dense(3, "softmax")(both))


def _cells():
    x = Input((None, D))
    y, (h, c), (g,) = RNN([LSTMCell(5), GRUCell(6)], return_state=True)(x)
    return Model(x, Dense(2)(Concatenate()([y, h, c, g, LSTM(4)(x)])))


def _crossed():
    """A layer whose calls come in another order than what they are made of."""
    a, b = Input((None, D), name="a"), Input((None, D), name="b")
    hidden, shared = LSTM(6, return_sequences=True)(a), Dense(7, "tanh")
    first = shared(Dense(6)(b))
    return Model([a, b], [GlobalMaxPooling1D()(shared(hidden)), GRU(4)(first)])


def _on_itself():
    """One layer on what it made itself."""
    x = Input((None, D))
    layer = LSTM(D, return_sequences=True, dropout=0.2)
    return Model(x, Dense(2)(GRU(3)(Add()([layer(layer(x)), x]))))


def _step_by_step():
    """One encoder for two sentences that are then compared step by step, three times in a row."""
    a, b = Input((None,), name="a"), Input((None,), name="b")
    words, before = Embedding(11, D, mask_zero=True), Dense(D, "tanh")
    encoder = RNN([LSTMCell(D), GRUCell(D)], return_sequences=True)
    norm = LayerNormalization()
    one, two = (norm(encoder(before(words(x)))) for x in (a, b))
    both = Concatenate()([one, two, norm(Subtract()([one, two]))])
    return Model([a, b], [Dense(2)(GRU(4)(both)), GlobalMaxPooling1D()(one)])


MODELS = {
    "on itself": _on_itself,
    "step by step": _step_by_step,
    "residual": _residual,
    "side by side": _side_by_side,
    "arithmetic": _arithmetic,
    "several outputs": _several_outputs,
    "several inputs": _several_inputs,
    "siamese": _siamese,
    "translator": _translator,
    "cells": _cells,
    "crossed": _crossed,
}


def _data(model, rng, steps=(T, T)):
    xs, ids = [], model.graph.takes_ids
    for symbol, takes_ids, time in zip(model.inputs, ids, (*steps, 0), strict=False):
        if takes_ids:
            lengths = rng.integers(1, time + 1, B)
            counts = np.arange(time) < lengths[:, None]
            xs.append(rng.integers(1, 11, (B, time)) * counts)
        else:
            shape = (time if size is None else size for size in symbol.shape[1:])
            xs.append(rng.standard_normal((B, *shape)).astype(np.float32))
    ys = [
        rng.random((B, *(steps[-1] if size is None else size for size in shape[1:])))
        for shape in model.output_shapes_of(model.input_shapes)
    ]
    return (xs if len(xs) > 1 else xs[0]), (ys if len(ys) > 1 else ys[0])


def _compiled(make):
    fastlstm.utils.set_random_seed(3)
    model = make()
    model.compile(Adam(0.01, global_clipnorm=0.5), "mse")
    return model


def _results(make, x, y, bptt, weight=None):
    """Losses of two steps, then a loss and its gradients, then the weights."""
    model = _compiled(make)
    steps = [model.train_on_batch(x, y, weight, bptt=bptt) for _ in range(2)]
    loss, gradients = model.value_and_grad(x, y, weight, bptt=bptt)
    return [*np.ravel(steps), loss, *gradients, *model.get_weights()]


def _assert_same_bits(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_the_bits_of_the_full_way(name, rng):
    parts = segments(T, B)
    assert len(parts) >= 4
    assert parts[-1].steps < parts[0].steps
    make = MODELS[name]
    x, y = _data(make(), rng)
    weight = rng.random(B)
    fastlstm.set_num_threads(1)
    expected = _results(make, x, y, "full", weight)
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        _assert_same_bits(_results(make, x, y, "checkpoint", weight), expected)


def test_sums_over_calls_are_those_of_layers_with_equal_weights(rng):
    """Of one LSTM that is called twice, and of two."""

    def make(count):
        x = Input((None, D), name="x")
        layers = [
            LSTM(D, return_sequences=True, dtype="float64", name=f"lstm{number}")
            for number in range(count)
        ]
        y = layers[-1](layers[0](x))
        return Model(x, Dense(2, dtype="float64", name="dense")(y))

    one, two = (_compiled(lambda count=count: make(count)) for count in (1, 2))
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, 2))
    shared = one.get_layer("lstm0").get_weights()
    for name in ("lstm0", "lstm1"):
        two.get_layer(name).set_weights(shared)
    two.get_layer("dense").set_weights(one.get_layer("dense").get_weights())
    for bptt in ("full", "checkpoint"):
        (loss, got), (same, apart) = (m.value_and_grad(x, y, bptt=bptt) for m in (one, two))
        assert loss == same
        for mine, first, second in zip(got[:3], apart[:3], apart[3:6], strict=True):
            np.testing.assert_allclose(mine, first + second, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["siamese", "translator"])
@pytest.mark.parametrize("steps", [(T, 100), (T, 3), (4, T)])
def test_inputs_of_unequal_length(name, steps, rng):
    make = MODELS[name]
    x, y = _data(make(), rng, steps)
    expected = _results(make, x, y, "full")
    _assert_same_bits(_results(make, x, y, "checkpoint"), expected)


def test_a_mask_of_ones_own(rng):
    """For sequences that one layer takes by segments, and another as a whole."""
    results = []
    for bptt in ("full", "checkpoint"):
        model = _compiled(_side_by_side)
        x, y = _data(model, np.random.default_rng(0))
        lengths = np.arange(1, B + 1) * 12
        model.fit(x, y, lengths=lengths, batch_size=B, shuffle=False, verbose=0, bptt=bptt)
        results.append([*model.history.history.values(), *model.get_weights()])
    _assert_same_bits(results[1], results[0])


def test_stateful_layers_carry_on(rng):
    def make():
        x = Input((None, D))
        y = Add()([Dense(6)(x), LSTM(6, return_sequences=True, stateful=True)(x)])
        return Model(x, Dense(2)(GRU(4, stateful=True)(y)))

    x, y = rng.standard_normal((B, 2 * T, D)), rng.standard_normal((B, 2))
    results = []
    for bptt in ("full", "checkpoint"):
        model = _compiled(make)
        losses = [model.train_on_batch(part, y, bptt=bptt) for part in (x[:, :T], x[:, T:])]
        results.append([*losses, model.predict(x[:, :3], verbose=0), *model.get_weights()])
    _assert_same_bits(results[1], results[0])


def test_a_layer_across_steps_after_the_recurrent_ones(rng):
    """It needs the whole sequence, but no tape."""

    def make():
        return Sequential(
            [
                Input((None, D)),
                LSTM(6, return_sequences=True),
                BatchNormalization(),
                GlobalAveragePooling1D(),
                Dense(2),
            ]
        )

    x, y = _data_of_vectors(rng)
    _assert_same_bits(_results(make, x, y, "checkpoint"), _results(make, x, y, "full"))


def _data_of_vectors(rng):
    return rng.standard_normal((B, T, D)), rng.standard_normal((B, 2))


# -- memory ---------------------------------------------------------------------------------------


def _planned(model, kind, steps):
    plan = Plan()
    shapes = [(steps, B, D)] * len(model.graph.inputs)
    kind(model.graph, shapes, plan, model=model, weighted=False, task="train")
    return plan.total_bytes


@pytest.mark.parametrize("name", ["residual", "siamese"])
def test_memory_grows_with_the_square_root_of_the_steps(name):
    model = _compiled(MODELS[name])
    sizes = [_planned(model, Checkpointed, steps) for steps in (4096, 16384, 65536)]
    assert sizes[1] / sizes[0] <= 2.3
    assert sizes[2] / sizes[1] <= 2.3
    assert sizes[1] < _planned(model, Supervised, 16384) / 20


@pytest.mark.parametrize("name", MODELS)
def test_the_report_is_what_is_then_laid_out(name, rng):
    model = _compiled(MODELS[name])
    x, y = _data(model, rng)
    use = model.memory_report(B, T, bptt="checkpoint").training
    full = model.memory_report(B, T).training
    model.train_on_batch(x, y, bptt="checkpoint")
    assert model._runner._arena.nbytes == use.activations + use.scratch
    assert use.activations < full.activations


PROCESS = """
import ctypes, gc, os
import numpy as np
from fastlstm import Input, Model
from fastlstm.layers import Add, Dense, LSTM

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

def model():
    x = Input((None, 32))
    first = Dense(128)(x)
    made = Add()([first, LSTM(128, return_sequences=True)(first)])
    made = Model(x, Dense(64)(made))
    made.compile(loss="mse")
    return made

def run(model, x, y):
    for _ in range(3):
        model.train_on_batch(x, y, bptt="checkpoint")

run(model(), np.zeros((64, 400, 32), "f4"), np.zeros((64, 400, 64), "f4"))
x, y = np.zeros((64, 4000, 32), "f4"), np.zeros((64, 4000, 64), "f4")
gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # what was freed must not serve the model that is measured
before = resident()
made = model()
report = made.memory_report(64, 4000, "checkpoint")
run(made, x, y)
print(report.training.total, resident() - before)
"""


@needs_jit
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="measures on Linux")
def test_what_a_process_takes():
    told, taken = map(int, run_python(PROCESS).split())
    assert taken > 100e6
    assert told == pytest.approx(taken, rel=0.05)


# -- windows --------------------------------------------------------------------------------------


def _windowed():
    """Two series and a sequence for each of two outputs, with connections past the layers."""
    a, b = Input((None, D), name="a"), Input((None, D), name="b")
    both, shared = Concatenate()([a, b]), Dense(6)
    y = Add()([LSTM(6, return_sequences=True)(both), shared(a), shared(b)])
    return Model([a, b], [Dense(2)(y), GRU(3, return_sequences=True)(y)])


def _twice():
    """A layer on two series and on what it made itself, each call with states of its own."""
    a, b = Input((None, D), name="a"), Input((None, D), name="b")
    shared = GRU(D, return_sequences=True)
    cells = RNN([LSTMCell(3), GRUCell(4)], return_sequences=True)
    y = Concatenate()([shared(a), shared(shared(b)), cells(a), cells(b)])
    return Model([a, b], [Dense(2)(y), cells(b)])


def _from_facts():
    """A layer that starts from what is made of facts, which every step sees as well."""
    x, facts = Input((None, D), name="x"), Input((3,), name="facts")
    start = [Dense(6, "tanh")(facts), Dense(6)(facts)]
    y = LSTM(6, return_sequences=True)(x, initial_state=start)
    return Model([x, facts], Dense(2)(GRU(3, return_sequences=True)(y)))


STEPS, WINDOW = 20, 6


def _window_by_window(make, x, y):
    """Losses and weights by a chain for each window that is told the states it starts from."""
    model = _compiled(make)
    losses, lengths, states = [], [], {}
    for start in range(0, STEPS, WINDOW):
        part = slice(start, start + WINDOW)
        parts = [v[:, part] if v.ndim == 3 else v for v in x]
        data = model.prepare(parts, [v[:, part] for v in y] if len(y) > 1 else y[0][:, part])
        shapes = model.batch_shapes(data.x, B)
        chain = model._runner.chain(shapes, Supervised, model=model, weighted=False, task="train")
        ops = [op for made in chain.ops for op in made.recurrent_ops]
        for number, op in enumerate(ops):
            op.initial_state = states.get(number)
            if states:
                op.given = []
                for d_state in op._d_given:
                    d_state.fill(0)
        chain.load(data, np.arange(B))
        losses.append(chain.train())
        for number, op in enumerate(ops):
            states[number] = [op.last_h.copy(), *op._unpacked(op.last_carry)]
        lengths.append(min(WINDOW, STEPS - start))
        model._runner.forget()  # chains that were told otherwise
    assert len(losses) == 4
    return np.average(losses, weights=lengths), model.get_weights()


@pytest.mark.parametrize("make", [_windowed, _twice, _from_facts])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_windows_go_on_from_the_states_before(make, threads, rng):
    fastlstm.set_num_threads(threads)
    model = _compiled(make)
    x, y = _data(model, rng, (STEPS, STEPS))
    several = y if isinstance(y, list) else [y]
    loss = model.train_on_batch(x, y, bptt=WINDOW)
    wanted, weights = _window_by_window(make, x, several)
    np.testing.assert_allclose(np.ravel(loss)[0], wanted, rtol=1e-12)
    _assert_same_bits(model.get_weights(), weights)
    again = model.train_on_batch(x, y, bptt=WINDOW)  # from the beginning
    assert np.ravel(again)[0] < np.ravel(loss)[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_windows_are_batches_over_carried_states(threads, rng):
    fastlstm.set_num_threads(threads)
    steps, window = 20, 6
    model = _compiled(_windowed)
    x, y = _data(model, rng, (steps, steps))
    loss = model.train_on_batch(x, y, bptt=window)

    def stateful():
        made = _windowed()
        for layer in made.layers:
            if hasattr(layer, "stateful"):
                layer.stateful = True
        return made

    by_hand = _compiled(stateful)
    losses, lengths = [], []
    for start in range(0, steps, window):
        part = slice(start, start + window)
        losses.append(by_hand.train_on_batch([v[:, part] for v in x], [v[:, part] for v in y]))
        lengths.append(min(window, steps - start))
    assert len(losses) == 4
    np.testing.assert_allclose(loss, np.average(losses, axis=0, weights=lengths), rtol=1e-12)
    _assert_same_bits(model.get_weights(), by_hand.get_weights())


def test_windows_take_inputs_of_one_length(rng):
    model = _compiled(lambda: _pair_of_outputs())
    x = [rng.standard_normal((B, steps, D)) for steps in (20, 12)]
    y = [rng.standard_normal((B, steps, 3)) for steps in (20, 12)]
    with pytest.raises(ValueError, match=r"as many steps, got \[12, 20\]"):
        model.train_on_batch(x, y, bptt=6)


def _pair_of_outputs():
    inputs = Input((None, D)), Input((None, D))
    return Model(inputs, [GRU(3, return_sequences=True)(x) for x in inputs])


# -- what does not fit ----------------------------------------------------------------------------


def _around(layer, *, above=True):
    """A layer between recurrent ones, in a graph that branches."""
    x = Input((None, D))
    y = layer(LSTM(D, return_sequences=True)(x), x)
    return Model(x, GRU(3, return_sequences=True)(y) if above else Dense(2)(y))


def _from_itself():
    """A decoder of the very sequence that its first states are made of."""
    x = Input((None, D))
    y, *states = LSTM(D, return_sequences=True, return_state=True)(x)
    return Model(x, LSTM(D, return_sequences=True, name="waits")(y, initial_state=states))


def _repeated():
    x, facts = Input((20, D)), Input((3,))
    both = Concatenate()([x, RepeatVector(20, name="waits")(facts)])
    return Model([x, facts], GRU(3, return_sequences=True)(both))


WAITING = {
    "attention": lambda: _around(lambda y, x: Attention(name="waits")([y, x])),
    "both directions": lambda: _around(
        lambda y, x: Bidirectional(GRU(3, return_sequences=True), name="waits")(y), above=False
    ),
    "backwards": lambda: _around(
        lambda y, x: Add()([LSTM(D, return_sequences=True, go_backwards=True, name="waits")(y), x]),
        above=False,
    ),
    "steps after steps": lambda: _around(lambda y, x: Concatenate(axis=1, name="waits")([y, x])),
    "repeated": _repeated,
    "states": _from_itself,
}


@pytest.mark.parametrize("name", WAITING)
@pytest.mark.parametrize("bptt", ["checkpoint", 10])
def test_layers_that_need_the_whole_sequence_are_named(name, bptt):
    model = _compiled(WAITING[name])
    with pytest.raises(ValueError, match=r"part by part, but layer 'waits' .*use bptt='full'"):
        model.check_bptt(bptt)


def test_a_model_that_its_data_build(rng):
    """What fits is trained, and what does not is named, once the shapes are there."""

    def batches():
        while True:
            yield rng.standard_normal((B, T, D)), np.zeros((B, 2))

    for layers in ([GRU(4)], [Bidirectional(GRU(4), name="waits")]):
        model = _compiled(lambda layers=layers: Sequential([*layers, Dense(2)]))
        if layers[0].name == "waits":
            with pytest.raises(ValueError, match="layer 'waits' needs all of them first"):
                model.fit(batches(), steps_per_epoch=1, verbose=0, bptt="checkpoint")
        else:
            model.fit(batches(), steps_per_epoch=1, verbose=0, bptt="checkpoint")


def test_a_layer_whose_statistics_are_of_all_steps():
    model = _compiled(lambda: _around(lambda y, x: BatchNormalization(name="waits")(Add()([y, x]))))
    with pytest.raises(ValueError, match="layer 'waits' needs all of them first"):
        model.check_bptt("checkpoint")
    assert model.check_bptt(10) == 10


def test_windows_take_a_target_for_every_step_of_every_output():
    def make():
        x = Input((None, D))
        y = LSTM(4, return_sequences=True)(x)
        return Model(x, [Dense(2)(y), GRU(3)(y)])

    with pytest.raises(ValueError, match=r"every step, but the model gives \(None, 3\)"):
        _compiled(make).check_bptt(10)
