"""Streams that start from states the model computes: the bits of ``predict``, step by step."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model
from fastlstm.generation import beam_search, greedy
from fastlstm.layers import (
    GRU,
    LSTM,
    RNN,
    Add,
    AdditiveAttention,
    Attention,
    Bidirectional,
    Concatenate,
    Dense,
    Embedding,
    GRUCell,
    LSTMCell,
    MultiHeadAttention,
    Multiply,
    RepeatVector,
)

T, S, D, WORDS = 6, 5, 4, 11


def _caption():
    """Words from facts, which are the first states, made of them."""
    words, facts = Input((None,), name="words"), Input((3,), name="facts")
    start = [Dense(6, "tanh")(facts), Dense(6)(facts)]
    y = LSTM(6, return_sequences=True)(Embedding(WORDS, 4)(words), initial_state=start)
    return Model([words, facts], Dense(WORDS, "softmax")(LSTM(5, return_sequences=True)(y)))


def _given():
    """The states themselves, of several cells, and an input of each step that has none."""
    h, c, g = (Input((units,), name=name) for units, name in ((5, "h"), (5, "c"), (3, "g")))
    x, facts = Input((None, D), name="x"), Input((3,), name="facts")
    y = RNN([LSTMCell(5), GRUCell(3)])(x, initial_state=[h, c, g])
    return Model([h, facts, x, c, g], Multiply()([y, Dense(3)(facts)]))


def _facts_again():
    """Facts that make the states, and that each step sees as well; and an output made once."""
    x, facts = Input((None, D), name="x"), Input((3,), name="facts")
    seen = Dense(5, "tanh")(facts)
    y = GRU(5)(x, initial_state=[seen])
    return Model([x, facts], [Add()([y, seen, Dense(5)(facts)]), Dense(2)(seen)])


def _translator(look):
    """An encoder with padding, and a decoder that looks at its outputs at each step."""
    source, target = Input((None,), name="source"), Input((None,), name="target")
    both = Bidirectional(LSTM(3, return_sequences=True, return_state=True))
    seen, h, c, g, d = both(Embedding(WORDS, 4, mask_zero=True)(source))
    start = [Concatenate()([h, g]), Concatenate()([c, d])]
    words = Embedding(WORDS, 4)(target)
    made = LSTM(6, return_sequences=True)(words, initial_state=start)
    out = Concatenate()([made, look(made, seen)])
    return Model([source, target], Dense(WORDS, "softmax")(GRU(6, return_sequences=True)(out)))


def _looking():
    """Attention alone, with no states given: what it looks at is given once."""
    source, x = Input((None, D), name="source"), Input((None, D), name="x")
    y = LSTM(D, return_sequences=True)(x)
    return Model([source, x], Dense(2)(Attention()([y, source])))


MODELS = {
    "caption": _caption,
    "given": _given,
    "facts again": _facts_again,
    "attention": lambda: _translator(lambda q, v: Attention(use_scale=True)([q, v])),
    "additive": lambda: _translator(lambda q, v: AdditiveAttention()([q, v])),
    "heads": lambda: _translator(lambda q, v: MultiHeadAttention(2, 3)(q, v)),
    "looking": _looking,
}


def _arrays(model, batch, rng, source=S):
    """Arrays by the inputs' names; sources end with padding."""
    found = {}
    for name, symbol in zip(model.input_names, model.inputs, strict=True):
        steps = source if name == "source" else T
        if symbol.shape == (None, None):
            ids = rng.integers(1, WORDS, (batch, steps))
            lengths = rng.integers(1, steps + 1, batch)
            found[name] = ids * (np.arange(steps) < lengths[:, None]) if name == "source" else ids
        else:
            shape = (batch, *(steps if size is None else size for size in symbol.shape[1:]))
            found[name] = rng.standard_normal(shape).astype(np.float32)
    return found


def _apart(model, arrays):
    """What is given once, and what comes with each step."""
    once = model.stream().start_names
    start = {name: x for name, x in arrays.items() if name in once}
    return start, {name: x for name, x in arrays.items() if name not in once}


def _at(rest, t):
    """What a step takes: for a lone input the array itself."""
    given = {name: x[:, t] if name in ("x", "words", "target") else x for name, x in rest.items()}
    return given if len(given) > 1 else next(iter(given.values()))


def _predict(model, start, rest, t):
    """Outputs after ``t`` steps."""
    timed = ("x", "words", "target")
    now = {name: x[:, :t] if name in timed else x for name, x in rest.items()}
    ys = model.predict({**start, **now}, verbose=0)
    ys = ys if isinstance(ys, list) else [ys]
    return [y[:, -1] if y.ndim == 3 else y for y in ys]


def _assert_same(got, expected):
    got = got if isinstance(got, list) else [got]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("batch", "threads"), [(1, 2), (3, 1), (4, 3)])
def test_each_step_is_predict_on_the_sequence_so_far(name, batch, threads, rng):
    fastlstm.set_num_threads(threads)
    model = MODELS[name]()
    stream = model.stream(batch)
    for source in (S, S + 3):
        start, rest = _apart(model, _arrays(model, batch, rng, source))
        stream.reset(start=start)
        for _ in range(2):
            for t in range(T):
                _assert_same(stream.step(_at(rest, t)), _predict(model, start, rest, t + 1))
            stream.reset()  # from what it was given


def test_what_is_given_once():
    wanted = {
        "caption": ["facts"],
        "given": ["h", "c", "g"],
        "facts again": ["facts"],
        "attention": ["source"],
        "looking": ["source"],
    }
    for name, names in wanted.items():
        assert MODELS[name]().stream().start_names == names
    x = Input((None, D))
    assert Model(x, GRU(2)(x)).stream().start_names == []


@pytest.mark.parametrize("name", ["caption", "facts again", "attention"])
def test_rows_start_anew_and_change_places(name, rng):
    model = MODELS[name]()
    start, rest = _apart(model, _arrays(model, 3, rng))
    other = {key: x[:1].copy() * 2 % WORDS for key, x in start.items()}
    stream = model.stream(3)
    stream.reset(start=start)
    for t in range(3):
        stream.step(_at(rest, t))
    stream.reset(1, start=other)
    got = stream.step(_at(rest, 3))
    kept = [part[[0, 2]].copy() for part in (got if isinstance(got, list) else [got])]
    new = [part[1:2].copy() for part in (got if isinstance(got, list) else [got])]
    _assert_same(kept, [y[[0, 2]] for y in _predict(model, start, rest, 4)])
    _assert_same(new, _predict(model, other, {k: x[1:2, 3:] for k, x in rest.items()}, 1))
    stream.take_rows([2, 0, 2])
    moved = {key: x[[2, 0, 2]] for key, x in rest.items()}
    expected = [y[[2, 0, 2]] for y in _predict(model, start, rest, 5)]
    _assert_same(stream.step(_at(moved, 4)), expected)
    stream.reset([0])  # now from what row 2 was given
    last = {key: x[2:, 5:] for key, x in rest.items()}
    got = stream.step(_at(moved, 5))
    first = [part[:1] for part in (got if isinstance(got, list) else [got])]
    _assert_same(first, _predict(model, {k: x[2:] for k, x in start.items()}, last, 1))


def test_rows_may_start_one_after_the_other(rng):
    model = _caption()
    start, rest = _apart(model, _arrays(model, 2, rng))
    stream = model.stream(2)
    stream.reset(0, start=start["facts"][0])
    with pytest.raises(ValueError, match=r"rows \[1\] of the stream .*\['facts'\].*reset\(start"):
        stream.step(_at(rest, 0))
    stream.reset(1, start=[start["facts"][1]])
    _assert_same(stream.step(_at(rest, 0)), _predict(model, start, rest, 1))


def test_it_follows_the_weights(rng):
    model = _caption()
    start, rest = _apart(model, _arrays(model, 1, rng))
    stream = model.stream()
    stream.reset(start=start)
    before = stream.step(_at(rest, 0)).copy()
    model.set_weights([weight * 0.5 for weight in model.get_weights()])
    stream.reset(start=start)
    after = stream.step(_at(rest, 0))
    assert (before != after).any()
    _assert_same(after, _predict(model, start, rest, 1))


@pytest.mark.parametrize("name", ["caption", "attention"])
def test_generation_from_facts_and_from_sources(name, rng):
    model = MODELS[name]()
    start, _ = _apart(model, _arrays(model, 2, rng))
    (once,) = start.values()
    stream = model.stream(2)
    stream.reset(start=once)
    got = greedy(stream, [1, 2], 4, from_logits=False).tokens
    tokens = np.array([[1], [2]])
    for _ in range(4):
        rest = {"words" if name == "caption" else "target": tokens}
        best = _predict(model, start, rest, tokens.shape[1])[0].argmax(-1)
        tokens = np.concatenate([tokens, best[:, None]], axis=1)
    np.testing.assert_array_equal(got, tokens[:, 1:])
    many = model.stream(4)
    many.reset(start=np.repeat(once, 2, axis=0))
    found = beam_search(many, [1, 2], 4, width=2, from_logits=False)
    assert (found.scores[:, 0] >= greedy_scores(model, once)).all()


def greedy_scores(model, once):
    stream = model.stream(2)
    stream.reset(start=once)
    return greedy(stream, [1, 2], 4, from_logits=False).scores - 1e-9


# -- what does not fit ----------------------------------------------------------------------------


def test_nothing_to_start_from(rng):
    model = _caption()
    stream = model.stream(2)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"rows \[0, 1\] of the stream have nothing"):
            stream.step([1, 2])
        stream.reset()
    x = Input((None, D))
    with pytest.raises(ValueError, match="this one starts from zeros"):
        Model(x, GRU(2)(x)).stream().reset(start=[0.0])


def test_what_is_wrong_with_a_start(rng):
    """And the states are those before."""
    model = _given()
    start, rest = _apart(model, _arrays(model, 2, rng))
    stream = model.stream(2)
    stream.reset(start=start)
    h, c, g = start.values()
    wrong = {
        r"list of 3 arrays, one for each of \['h', 'c', 'g'\]": [h, c],
        r"missing \['g'\]": {"h": h, "c": c},
        r"start\['c'\] of shape \(2, 5\), a row for each that starts, got \(2, 4\)": [
            h, c[:, :4], g
        ],
        r"start\['h'\] of shape \(2, 5\).*got \(1, 5\)": [h[:1], c, g],
        r"start\['g'\].*(NaN|finite)": [h, c, g * np.nan],
    }  # fmt: skip
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            stream.reset(start=given)
    with pytest.raises(ValueError, match=r"start\['h'\] of shape \(1, 5\)"):
        stream.reset(1, start=start)
    _assert_same(stream.step(_at(rest, 0)), _predict(model, start, rest, 1))


def test_rows_that_go_on_look_at_as_many_steps(rng):
    model = MODELS["attention"]()
    start, _ = _apart(model, _arrays(model, 2, rng))
    stream = model.stream(2)
    stream.reset(start=start)
    with pytest.raises(ValueError, match=r"one length, \[5\] steps .* got \[4\]\. Pad it"):
        stream.reset(0, start=start["source"][:1, :4])
    with pytest.raises(ValueError, match="0 to 10"):
        stream.reset(start=start["source"] + WORDS)


def _from_itself():
    x = Input((None, D))
    y, *states = LSTM(D, return_sequences=True, return_state=True)(x)
    return Model(x, LSTM(D, name="waits")(y, initial_state=states))


def _side_by_side():
    """Steps of the source go with those of the target."""
    source, target = Input((None, D)), Input((None, D))
    seen, h = GRU(4, return_sequences=True, return_state=True)(source)
    made = GRU(4, return_sequences=True)(target, initial_state=[h])
    return Model([source, target], Add(name="waits")([made, seen]))


def _repeated():
    x, facts = Input((4, D)), Input((3,))
    made = LSTM(3, return_sequences=True)(x, initial_state=[facts, Dense(3)(facts)])
    return Model([x, facts], Concatenate(name="waits")([made, RepeatVector(4)(facts)]))


def _at_itself():
    x, facts = Input((None, D)), Input((D,))
    y = GRU(D, return_sequences=True)(x, initial_state=[facts])
    return Model([x, facts], Attention(name="waits")([y, y]))


@pytest.mark.parametrize("make", [_from_itself, _side_by_side, _repeated, _at_itself])
def test_layers_that_need_the_whole_sequence_are_named(make):
    with pytest.raises(ValueError, match=r"layer 'waits' (needs the end|starts from what)"):
        make().stream()
