"""Streams of models whose graph branches and joins: the bits of ``predict``, step by step."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import fastlstm
from fastlstm import Input, Model
from fastlstm.layers import (
    GRU,
    LSTM,
    Add,
    AdditiveAttention,
    Attention,
    Bidirectional,
    Concatenate,
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    MultiHeadAttention,
    Multiply,
    RepeatVector,
)
from tests.marks import needs_jit

T, D = 6, 5


def _residual():
    """Connections past recurrent layers, one model inside another."""
    inner = Input((None, 8))
    block = Model(inner, Add()([LSTM(8, return_sequences=True)(inner), inner]), name="block")
    x = Input((None, D))
    y = block(Dense(8, "relu")(x))
    return Model(x, Dense(3, "softmax")(Add()([y, LSTM(8, return_sequences=True)(y)])))


def _side_by_side():
    """Two layers on one input, of which one gives its last step alone."""
    x = Input((None, D))
    return Model(x, Dense(2)(Concatenate()([LSTM(9)(x), GRU(7)(x)])))


def _several_outputs():
    """A sequence, a vector, and the states of a layer."""
    x = Input((None, D))
    y, h, c = LSTM(6, return_sequences=True, return_state=True)(x)
    return Model(x, [Dense(2)(y), GRU(4)(y), h, c])


def _several_inputs():
    """Words, a series, and facts that stay the same."""
    words, series = Input((None,), name="words"), Input((None, D), name="series")
    facts = Input((3,), name="facts")
    both = Concatenate()([Embedding(11, 4, mask_zero=True)(words), series])
    last = LSTM(10)(both)
    out = Multiply()([Dense(4, "tanh")(facts), Dense(4)(last)])
    return Model([words, series, facts], [out, last])


def _shared():
    """One layer for two series, each with states of its own."""
    a, b = Input((None, D), name="a"), Input((None, D), name="b")
    encoder = GRU(6)
    return Model([a, b], Dense(1)(Multiply()([encoder(a), encoder(b)])))


def _arrays(model, batch, rng):
    found = []
    for symbol, ids in zip(model.inputs, model.graph.takes_ids, strict=True):
        if ids:
            found.append(rng.integers(0, 11, (batch, T)).astype(np.int32))
        else:
            shape = (batch, *(T if size is None else size for size in symbol.shape[1:]))
            found.append(rng.standard_normal(shape).astype(np.float32))
    return found


def _timed(model):
    pairs = zip(model.inputs, model.graph.takes_ids, strict=True)
    return [symbol.ndim == (2 if ids else 3) for symbol, ids in pairs]


def _at(model, arrays, t):
    """What a step takes."""
    pairs = zip(arrays, _timed(model), strict=True)
    given = [array[:, t] if timed else array for array, timed in pairs]
    return given if len(given) > 1 else given[0]


def _predict(model, arrays, steps):
    """Outputs after so many steps."""
    pairs = zip(arrays, _timed(model), strict=True)
    given = [array[:, :steps] if timed else array for array, timed in pairs]
    ys = model.predict(given if len(given) > 1 else given[0], verbose=0)
    ys = ys if isinstance(ys, list) else [ys]
    return [y[:, -1] if y.ndim == 3 else y for y in ys]


def _assert_same(got, expected):
    got = got if isinstance(got, list) else [got]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


MODELS = [_residual, _side_by_side, _several_outputs, _several_inputs, _shared]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize(("batch", "threads"), [(1, 2), (3, 1)])
def test_each_step_is_predict_on_the_sequence_so_far(make, batch, threads, rng):
    fastlstm.set_num_threads(threads)
    model = make()
    arrays = _arrays(model, batch, rng)
    stream = model.stream(batch)
    for _ in range(2):
        for t in range(T):
            _assert_same(stream.step(_at(model, arrays, t)), _predict(model, arrays, t + 1))
        stream.reset()


def test_rows_start_anew_and_change_places(rng):
    model = _shared()
    arrays = _arrays(model, 2, rng)
    stream = model.stream(2)
    for t in range(3):
        stream.step(_at(model, arrays, t))
    stream.reset(0)
    got = stream.step(_at(model, arrays, 3)).copy()
    np.testing.assert_array_equal(got[:1], model.predict([x[:1, 3:4] for x in arrays], verbose=0))
    np.testing.assert_array_equal(got[1:], _predict(model, arrays, 4)[0][1:])
    stream.take_rows([1, 1])
    got = stream.step([x[[1, 1], 4] for x in arrays])
    np.testing.assert_array_equal(got, _predict(model, arrays, 5)[0][[1, 1]])


def test_inputs_by_name_and_of_a_lone_row(rng):
    model = _several_inputs()
    arrays = _arrays(model, 1, rng)
    given = dict(zip(model.input_names, [x[0] for x in _at(model, arrays, 0)], strict=True))
    _assert_same(model.stream().step(given), _predict(model, arrays, 1))


def test_what_is_wrong_with_which_input(rng):
    """And the states are those before."""
    model = _several_inputs()
    arrays = _arrays(model, 2, rng)
    stream = model.stream(2)
    words, series, facts = _at(model, arrays, 0)
    wrong = {
        r"list of 3 arrays.*\['words', 'series', 'facts'\]": [words, series],
        r"x\['series'\] of shape \(batch, features\) = \(2, 5\), got \(2, 4\)": [
            words, series[:, :4], facts
        ],
        r"x\['words'\] of shape \(batch\) = \(2,\), got \(2, 1\)": [words[:, None], series, facts],
        r"0 to 10": [words + 11, series, facts],
        r"x\['facts'\].*(NaN|finite)": [words, series, facts * np.nan],
    }  # fmt: skip
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            stream.step(given)
    _assert_same(stream.step([words, series, facts]), _predict(model, arrays, 1))


def test_it_follows_the_weights(rng):
    model = _shared()
    arrays = _arrays(model, 1, rng)
    stream = model.stream()
    before = stream.step(_at(model, arrays, 0)).copy()
    model.set_weights([weight * 0.5 for weight in model.get_weights()])
    stream.reset()
    after = stream.step(_at(model, arrays, 0))
    assert (before != after).any()
    _assert_same(after, _predict(model, arrays, 1))


# -- what does not fit ----------------------------------------------------------------------------


def _pair(layer):
    x = Input((None, D))
    return Model(x, layer([LSTM(D, return_sequences=True)(x), x]))


def _alone(layer):
    x = Input((None, D))
    y = layer(x)
    return Model(x, Concatenate()([y, y]))


def _across_times():
    """One step for all of another input."""
    once, x = Input((1, D)), Input((None, D))
    return Model([once, x], Add(name="waits")([once, LSTM(D, return_sequences=True)(x)]))


def _repeated():
    x, facts = Input((4, D)), Input((3,))
    repeated = RepeatVector(4, name="waits")(facts)
    return Model([x, facts], LSTM(2)(Concatenate()([x, repeated])))


WAITING = {
    "attention": lambda: _pair(Attention(name="waits")),
    "additive attention": lambda: _pair(AdditiveAttention(name="waits")),
    "heads": lambda: _pair(lambda pair: MultiHeadAttention(2, 3, name="waits")(*pair)),
    "steps after steps": lambda: _pair(Concatenate(axis=1, name="waits")),
    "one step for all": _across_times,
    "both directions": lambda: _alone(Bidirectional(GRU(3), name="waits")),
    "pooling": lambda: _alone(GlobalAveragePooling1D(name="waits")),
    "backwards": lambda: _alone(LSTM(3, go_backwards=True, name="waits")),
    "repeated": _repeated,
}


@pytest.mark.parametrize("name", WAITING)
def test_layers_that_need_the_whole_sequence_are_named(name):
    with pytest.raises(ValueError, match="layer 'waits' needs the end of the sequence first"):
        WAITING[name]().stream()


def test_models_without_sequences():
    a, b = Input((3,)), Input((3,))
    with pytest.raises(ValueError, match="model of sequences"):
        Model([a, b], Add()([a, b])).stream()


@needs_jit
@pytest.mark.parametrize("make", [_several_inputs, _residual])
def test_steps_allocate_nothing(make, rng):
    model = make()
    x = _at(model, [np.ascontiguousarray(x) for x in _arrays(model, 1, rng)], 0)
    stream = model.stream()
    stream.step(x)
    _nrt_python.memsys_enable_stats()
    tracemalloc.start()
    try:
        stream.step(x)
        before = rtsys.get_allocation_stats(), tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            stream.step(x)
        after = rtsys.get_allocation_stats(), tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        _nrt_python.memsys_disable_stats()
    assert after[0] == before[0]
    assert after[1] - before[1] < 10_000  # the smallest view takes 100 bytes a step
