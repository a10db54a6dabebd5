"""Generated sequences: against a walk over all that there could be, and from trained models."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.generation import beam_search, greedy, sample, take_rows
from fastlstm.generation.source import Largest
from fastlstm.layers import LSTM, Dense, Embedding

V, H, END = 4, 5, 3


class Toy:
    """A recurrent network in NumPy, whose scores depend on all tokens so far."""

    def __init__(self, rng):
        self.table, self.u = 2 * rng.standard_normal((V, H)), rng.standard_normal((H, H))
        self.w = 2 * rng.standard_normal((H, V))

    def step(self, tokens, states):
        h = np.tanh(self.table[tokens] + states["h"] @ self.u)
        return h @ self.w, {"h": h, "count": states["count"] + 1}

    def states(self, rows):
        return {"h": np.zeros((rows, H)), "count": np.zeros(rows, int)}

    def log_probability(self, prompt, tokens):
        """Of the tokens after a prompt, one by one."""
        states, total = self.states(1), 0.0
        for n, token in enumerate([*prompt, *tokens][:-1]):
            scores, states = self.step(np.array([token]), states)
            if n >= len(prompt) - 1:
                p = np.exp(scores[0] - scores[0].max())
                total += np.log(p / p.sum())[tokens[n - len(prompt) + 1]]
        return total


@pytest.fixture
def toy(rng):
    return Toy(rng)


def _all_sequences(length):
    """Everything that ends at the end token, or at the full length without any."""
    for n in range(1, length + 1):
        for tokens in itertools.product(range(V), repeat=n):
            if END not in tokens[:-1] and (tokens[-1] == END or n == length):
                yield tokens


def _ranked(toy, prompt, length, alpha):
    def normalised(tokens):
        return toy.log_probability(prompt, tokens) / ((5 + len(tokens)) / 6) ** alpha

    return sorted(((normalised(y), y) for y in _all_sequences(length)), reverse=True)


# -- greedy ----------------------------------------------------------------------------------


def test_greedy_takes_the_most_probable_each_time(toy):
    prompts = np.array([[0, 1], [2, 0], [1, 1]])
    got = greedy(toy.step, prompts, 6, states=toy.states(3))
    assert got.tokens.shape == (3, 6)
    assert got.tokens.dtype == np.int32
    for prompt, tokens, score in zip(prompts, got.tokens, got.scores, strict=True):
        for n in range(6):
            before = [*tokens[:n]]
            each = [toy.log_probability(prompt, [*before, token]) for token in range(V)]
            assert tokens[n] == np.argmax(each)
        np.testing.assert_allclose(score, max(each), rtol=1e-12)


def test_a_row_stops_at_its_end_and_all_stop_when_the_last_has(toy):
    count_on = np.eye(V)[[1, 2, 3, 3]]

    def step(tokens, states):
        return count_on[tokens] * 50, states

    got = greedy(step, [0, 1, 2], 10, end=END)
    assert got.tokens.tolist() == [[1, 2, 3], [2, 3, 3], [3, 3, 3]]
    assert got.lengths.tolist() == [3, 2, 1]
    np.testing.assert_allclose(got.scores, 0, atol=1e-12)
    assert greedy(step, [0, 1, 2], 2, end=END).tokens.tolist() == [[1, 2], [2, 3], [3, 3]]


def test_probabilities_are_taken_as_such(toy):
    def probabilities(tokens, states):
        scores, states = toy.step(tokens, states)
        p = np.exp(scores)
        return p / p.sum(axis=1, keepdims=True), states

    def log_probabilities(tokens, states):
        p, states = probabilities(tokens, states)
        return np.log(p), states

    expected = greedy(toy.step, [0, 1], 7, states=toy.states(2))
    for step, from_logits in ((probabilities, False), (log_probabilities, True)):
        got = greedy(step, [0, 1], 7, states=toy.states(2), from_logits=from_logits)
        np.testing.assert_array_equal(got.tokens, expected.tokens)
        np.testing.assert_allclose(got.scores, expected.scores)


# -- sampling --------------------------------------------------------------------------------

SCORES = np.log([0.5, 0.3, 0.15, 0.05])


def _constant(tokens, states):
    return np.tile(SCORES, (len(tokens), 1)), states


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 0.5}, np.array([0.25, 0.09, 0.0225, 0.0025]) / 0.365),
        ({"temperature": 100.0}, np.exp(SCORES / 100) / np.exp(SCORES / 100).sum()),
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 99}, [0.5, 0.3, 0.15, 0.05]),
        ({"top_p": 0.7}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.81}, np.array([0.5, 0.3, 0.15, 0]) / 0.95),
        ({"top_p": 1.0}, [0.5, 0.3, 0.15, 0.05]),
        ({"top_p": 1e-9}, [1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.8}, [0.625, 0.375, 0, 0]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_should(options, expected):
    got = sample(_constant, np.zeros(50, int), 400, seed=3, **options)
    share = np.bincount(got.tokens.ravel(), minlength=V) / got.tokens.size
    np.testing.assert_allclose(share, expected, atol=0.01)
    assert (share[np.array(expected) == 0] == 0).all()
    np.testing.assert_allclose(got.scores, SCORES[got.tokens].sum(axis=1))


def test_a_seed_and_a_row_make_the_draw(toy):
    def draw(rows, length, seed):
        return sample(toy.step, np.arange(rows) % V, length, seed=seed, states=toy.states(rows))

    whole = draw(6, 12, 5)
    np.testing.assert_array_equal(draw(6, 12, 5).tokens, whole.tokens)
    np.testing.assert_array_equal(draw(2, 7, 5).tokens, whole.tokens[:2, :7])
    assert (draw(6, 12, 6).tokens != whole.tokens).any()
    results = []
    for _ in range(2):
        fastlstm.utils.set_random_seed(4)
        results.append([draw(6, 12, None).tokens, draw(6, 12, None).tokens])
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0][0] != results[0][1]).any()


def test_what_is_impossible_is_never_drawn():
    def step(tokens, states):
        return np.tile([-np.inf, 0.0, -np.inf, -1000.0], (len(tokens), 1)), states

    for options in ({}, {"top_k": 3}, {"top_p": 0.9}):
        got = sample(step, [0, 0], 300, seed=1, **options)
        assert (got.tokens == 1).all()


# -- beam search -----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_beam_that_is_wide_enough_finds_the_best_of_all(length, alpha, toy):
    prompts = np.array([[0, 1], [2, 2], [1, 0]])
    got = beam_search(
        toy.step, prompts, length, width=V**length, results=V, alpha=alpha, end=END,
        states=toy.states(3),
    )  # fmt: skip
    for row, prompt in enumerate(prompts):
        ranked = _ranked(toy, prompt, length, alpha)[:V]
        for n, (score, tokens) in enumerate(ranked):
            np.testing.assert_allclose(got.scores[row, n], score, rtol=1e-12)
            assert got.lengths[row, n] == len(tokens)
            assert tuple(got.tokens[row, n, : len(tokens)]) == tokens
            assert (got.tokens[row, n, len(tokens) :] == END).all()


def _plain_beam(toy, prompt, length, width, alpha):
    """The same search in plain Python, each beginning scored from the first token on."""

    def normalised(tokens):
        return toy.log_probability(prompt, tokens) / ((5 + len(tokens)) / 6) ** alpha

    beams = [()]
    for _ in range(length):
        candidates = []
        for tokens in beams:
            ended = tokens[-1:] == (END,)
            candidates += [tokens] if ended else [(*tokens, token) for token in range(V)]
        beams = sorted(candidates, key=normalised, reverse=True)[:width]
    return [(normalised(tokens), tokens) for tokens in beams]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_narrow_beam(width, alpha, toy):
    got = beam_search(
        toy.step, [0, 1, 2], 6, width=width, results=width, alpha=alpha, end=END,
        states=toy.states(3),
    )  # fmt: skip
    for row in range(3):
        for n, (score, tokens) in enumerate(_plain_beam(toy, [row], 6, width, alpha)):
            np.testing.assert_allclose(got.scores[row, n], score, rtol=1e-12)
            assert tuple(got.tokens[row, n, : got.lengths[row, n]]) == tokens


def test_a_beam_of_one_is_greedy(toy):
    one = beam_search(toy.step, [0, 1, 2], 8, width=1, states=toy.states(3))
    expected = greedy(toy.step, [0, 1, 2], 8, states=toy.states(3))
    np.testing.assert_array_equal(one.tokens[:, 0], expected.tokens)
    np.testing.assert_array_equal(one.scores[:, 0], expected.scores)


def test_longer_sequences_win_as_alpha_grows():
    """An end at once has a probability of 0.4; two tokens and an end, 0.6 · 0.9 · 0.7 = 0.378."""
    table = np.log([[0.6, 1e-9, 1e-9, 0.4], [1e-9, 0.9, 1e-9, 0.1], [1e-9, 1e-9, 0.3, 0.7]])
    # Token 2 begins, then 0, 1, and the end.
    following = {2: 0, 0: 1, 1: 2, 3: 0}

    def step(tokens, states):
        return table[[following[int(token)] for token in tokens]], states

    assert beam_search(step, [2], 5, width=4, end=END).tokens[0, 0, 0] == END
    long = beam_search(step, [2], 5, width=4, end=END, alpha=1.0)
    assert long.tokens[0, 0].tolist()[:3] == [0, 1, 3]


def test_fewer_sequences_than_results(toy):
    got = beam_search(toy.step, [0], 1, width=6, results=6, states=toy.states(1))
    assert np.isfinite(got.scores[0, :V]).all()
    assert (got.scores[0, V:] == -np.inf).all()
    assert sorted(got.tokens[0, :V, 0]) == list(range(V))


def test_rows_do_not_depend_on_the_rows_beside_them(toy):
    options = {"width": 3, "results": 2, "end": END}
    whole = beam_search(toy.step, [0, 1, 2, 0], 6, states=toy.states(4), **options)
    for row in range(3):
        alone = beam_search(toy.step, [row], 6, states=toy.states(1), **options)
        n = alone.tokens.shape[2]
        np.testing.assert_array_equal(alone.tokens[0], whole.tokens[row, :, :n])
        np.testing.assert_allclose(alone.scores[0], whole.scores[row], rtol=1e-12)


# -- states ----------------------------------------------------------------------------------


def test_states_of_any_form_are_taken_by_rows(toy):
    a, b = np.arange(6).reshape(3, 2), np.arange(3)
    index = np.array([2, 0, 0])
    taken = take_rows({"x": [a, (b, None)]}, index)
    np.testing.assert_array_equal(taken["x"][0], a[index])
    np.testing.assert_array_equal(taken["x"][1][0], b[index])
    assert isinstance(taken["x"][1], tuple)
    assert taken["x"][1][1] is None
    with pytest.raises(ValueError, match="states expects arrays with the row first, got 3"):
        take_rows([3], index)


def test_a_stream_takes_rows(rng):
    model = Sequential(
        [Embedding(9, 6, input_shape=(None,)), LSTM(20, return_sequences=True), LSTM(9), Dense(3)]
    )
    x = rng.integers(0, 9, (3, 5))
    stream = model.stream(3)
    for t in range(4):
        stream.step(x[:, t])
    index = [2, 2, 0]
    assert stream.take_rows(index) is stream
    y = stream.step(x[:, 4])
    mixed = np.concatenate([x[index, :4], x[:, 4:]], axis=1)
    np.testing.assert_array_equal(y, model.predict(mixed, verbose=0))


# -- models ----------------------------------------------------------------------------------

TEXT = "the quick brown fox jumps over the lazy dog. "


@pytest.fixture(scope="module")
def characters():
    """A model that has learned a sentence by heart, and its letters."""
    letters = sorted(set(TEXT))
    ids = np.array([letters.index(letter) for letter in TEXT * 8])
    fastlstm.utils.set_random_seed(0)
    model = Sequential(
        [
            Embedding(len(letters), 16, input_shape=(None,)),
            LSTM(64, return_sequences=True),
            Dense(len(letters), activation="softmax"),
        ]
    )
    adam = fastlstm.optimizers.Adam(0.01)
    model.compile(optimizer=adam, loss="sparse_categorical_crossentropy")
    x = np.stack([ids[i : i + 60] for i in range(0, 280, 7)])
    y = np.stack([ids[i + 1 : i + 61] for i in range(0, 280, 7)])
    model.fit(x, y, epochs=40, batch_size=10, verbose=0)
    return model, letters


def test_a_model_says_what_it_has_learned(characters):
    model, letters = characters
    prompt = [[letters.index(letter) for letter in "the quick"]]
    n = len(TEXT) - len("the quick")
    found = [
        greedy(model.stream(1), prompt, n, from_logits=False).tokens[0],
        sample(model.stream(1), prompt, n, temperature=0.2, seed=0, from_logits=False).tokens[0],
        beam_search(model.stream(3), prompt, n, width=3, from_logits=False).tokens[0, 0],
    ]
    for tokens in found:
        assert "the quick" + "".join(letters[token] for token in tokens) == TEXT


def test_a_stream_gives_what_the_whole_model_gives(characters):
    """A step that runs the model on everything so far, whose states are the tokens."""
    model, letters = characters
    prompts = np.array([[3, 1, 4], [1, 5, 9]])

    def step(tokens, states):
        so_far = np.concatenate([states, tokens[:, None]], axis=1)
        return model.predict(so_far, verbose=0)[:, -1], so_far

    options = {"from_logits": False, "end": letters.index(".")}
    nothing = np.zeros((2, 0), np.int32)
    for search, more, rows in (
        (greedy, {}, 2),
        (sample, {"seed": 1, "temperature": 2.0}, 2),
        (beam_search, {"width": 4, "results": 4}, 8),
    ):
        expected = search(step, prompts, 9, states=nothing, **options, **more)
        got = search(model.stream(rows), prompts, 9, **options, **more)
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other)


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize("search", [greedy, sample, beam_search])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": np.zeros((1, 2, 3), int)}, r"tokens expects ids of shape \(rows,\) or"),
        ({"tokens": np.zeros((0,), int)}, "tokens expects ids of shape"),
        ({"length": 0}, "length expects a whole number of at least 1, got 0"),
        ({"end": V}, "end expects an id from 0 to 3, got 4"),
        ({"end": -1}, "end expects a whole number of at least 0"),
        ({"step": lambda tokens, s: (np.zeros(V), s)}, "step expects to give scores of shape"),
        ({"step": lambda tokens, s: (np.zeros((9, V)), s)}, r"got \(9, 4\)"),
        ({"step": lambda tokens, s: (np.full((len(tokens), V), np.nan), s)}, "with NaN"),
        ({"step": lambda tokens, s: (np.full((len(tokens), V), -np.inf), s)}, "-inf for all"),
        ({"step": lambda tokens, s: (np.full((len(tokens), V), -0.5), s), "from_logits": False},
         "from_logits=False step expects to give probabilities"),
        ({"step": lambda tokens, s: (np.zeros((len(tokens), V)), s), "from_logits": False},
         "not all 0"),
    ],
)  # fmt: skip
def test_errors_say_what_was_expected(search, options, message):
    given = {"step": _constant, "tokens": [0, 1], "length": 3, **options}
    if search is beam_search:
        given["width"] = 2
    with pytest.raises(ValueError, match=message):
        search(**given)


@pytest.mark.parametrize("search", [greedy, sample])
def test_tokens_are_whole_numbers(search):
    with pytest.raises(TypeError, match="whole-number ids, got float64"):
        search(_constant, [0.5], 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature expects a number above 0, got 0; .* take greedy"),
        ({"temperature": np.nan}, "temperature expects"),
        ({"top_k": 0}, "top_k expects a whole number of at least 1"),
        ({"top_p": 0.0}, "top_p expects a number above 0 and up to 1"),
        ({"top_p": 1.5}, "top_p expects"),
        ({"seed": -1}, "seed expects a whole number of at least 0"),
    ],
)
def test_wrong_options_of_sample(options, message):
    with pytest.raises(ValueError, match=message):
        sample(_constant, [0], 3, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width expects a whole number of at least 1"),
        ({"width": 2, "results": 3}, "results expects at most the width, 2, got 3"),
        ({"width": 2, "results": 0}, "results expects a whole number"),
        ({"width": 2, "alpha": -1}, "alpha expects a number of at least 0"),
        ({"width": 2, "alpha": np.inf}, "alpha expects"),
    ],
)
def test_wrong_options_of_beam_search(options, message):
    with pytest.raises(ValueError, match=message):
        beam_search(_constant, [0], 3, **options)


def test_a_stream_that_does_not_fit(characters):
    model, _ = characters
    with pytest.raises(ValueError, match=r"has 2 rows, expected 3; make one with model.stream\(3"):
        greedy(model.stream(2), [0, 1, 2], 3)
    with pytest.raises(ValueError, match=r"expected 3 · width = 6; .*model.stream\(6\)"):
        beam_search(model.stream(3), [0, 1, 2], 3, width=2)
    with pytest.raises(ValueError, match="states expects None for a stream"):
        greedy(model.stream(1), [0], 3, states=np.zeros((1, 4)))
    stream = model.stream(3)
    with pytest.raises(ValueError, match=r"\(batch,\) = \(3,\), got int64 of shape \(2,\)"):
        stream.take_rows([0, 1])
    with pytest.raises(ValueError, match="got float64"):
        stream.take_rows([0.0, 1.0, 2.0])
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=f"expects rows 0 to 2, got {wrong}"):
            stream.take_rows([0, wrong, 1])


@pytest.mark.parametrize("columns", [1, 5, 100, 1000, 4097])
@pytest.mark.parametrize("kinds", [7, 10**9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_come_in_order_and_of_equals_the_first(columns, kinds, dtype, rng):
    scores = rng.integers(-kinds, kinds, (6, columns)).astype(dtype)
    scores[0, : columns // 2] = -np.inf
    scores[1, ::2] *= dtype == "float64"  # zeros, of which some are negative
    expected = np.argsort(-scores, axis=1, kind="stable")
    for count in {1, min(4, columns), min(20, columns), columns}:
        places, values = Largest(count)(scores)
        np.testing.assert_array_equal(places, expected[:, :count])
        np.testing.assert_array_equal(values, np.take_along_axis(scores, places, axis=1))
