"""Reading labels out of logits: all label sequences of small sizes, Keras, options, bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlstm
from fastlstm.ctc import ctc_beam_search_decode, ctc_greedy_decode, ctc_loss
from tests.peers import import_keras
from tests.reference import ctc as reference
from tests.reference.losses import log_softmax


def _labels(row):
    """The labels of a row; -1 stands after them only."""
    labels = row[row >= 0]
    np.testing.assert_array_equal(row[len(labels) :], -1)
    return tuple(labels.tolist())


# -- greedy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("blank", [0, 3, 6])
def test_best_path(blank, dtype, rng):
    y = rng.standard_normal((5, 11, 7)).astype(dtype)
    lengths = [11, 7, 1, 0, 10]
    sequences, log_probabilities = ctc_greedy_decode(y, lengths, blank)
    assert sequences.shape == (1, 5, 11)
    assert sequences.dtype == np.int32
    assert log_probabilities.shape == (5, 1)
    for b, steps in enumerate(lengths):
        path = y[b, :steps].argmax(axis=1)
        assert _labels(sequences[0, b]) == reference.collapse(path, blank)
        exact = log_softmax(y[b, :steps].astype(float)).max(axis=1, initial=-np.inf).sum()
        np.testing.assert_allclose(log_probabilities[b, 0], exact, rtol=1e-6, atol=1e-12)
    plain, same = ctc_greedy_decode(y, lengths, blank, merge_repeated=False)
    np.testing.assert_array_equal(same, log_probabilities)
    for b, steps in enumerate(lengths):
        path = y[b, :steps].argmax(axis=1)
        assert _labels(plain[0, b]) == tuple(path[path != blank])


def test_labels_that_repeat():
    path = [1, 1, 0, 1, 2, 2, 2, 0, 0, 2, 3]
    y = 10.0 * np.eye(4)[path][np.newaxis]
    assert _labels(ctc_greedy_decode(y)[0][0, 0]) == (1, 1, 2, 2, 3)
    assert _labels(ctc_beam_search_decode(y)[0][0, 0]) == (1, 1, 2, 2, 3)
    plain, _ = ctc_greedy_decode(y, merge_repeated=False)
    assert _labels(plain[0, 0]) == (1, 1, 1, 2, 2, 2, 2, 3)


@pytest.mark.parametrize("merge_repeated", [True, False])
def test_greedy_is_that_of_keras(merge_repeated, rng):
    keras = import_keras()
    y = rng.standard_normal((4, 30, 6)).astype(np.float32)
    lengths = np.array([30, 17, 1, 25])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, scores = keras.ops.ctc_decode(
            y, lengths, strategy="greedy", merge_repeated=merge_repeated
        )
    ours, log_probabilities = ctc_greedy_decode(y, lengths, merge_repeated=merge_repeated)
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    # Keras' score is the negative sum of logits.
    norms = [np.log(np.exp(y[b, :n]).sum(axis=1)).sum() for b, n in enumerate(lengths)]
    np.testing.assert_allclose(-log_probabilities[:, 0], scores.numpy()[:, 0] + norms, rtol=1e-5)


# -- beam search -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "classes", "blank"), [(1, 2, 0), (4, 3, 1), (6, 3, 2), (5, 4, 0)]
)
def test_all_label_sequences(steps, classes, blank, rng):
    """A beam that holds all of them gives the exact probabilities, in their order."""
    y = 2 * rng.standard_normal((3, steps, classes))
    paths = 200
    sequences, log_probabilities = ctc_beam_search_decode(y, None, 5000, paths, blank)
    assert sequences.shape == (paths, 3, steps)
    for b in range(3):
        exact = reference.all_label_sequences(y[b], blank)
        order = sorted(exact, key=exact.get, reverse=True)[:paths]
        for path, labels in enumerate(order):
            assert _labels(sequences[path, b]) == labels
        count = len(order)
        np.testing.assert_allclose(
            log_probabilities[b, :count], [exact[labels] for labels in order], rtol=1e-12
        )
        assert (log_probabilities[b, count:] == -np.inf).all()
        assert (sequences[count:, b] == -1).all()


@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 30), st.integers(1, 40), st.integers(1, 12),
    st.sampled_from([0.3, 3.0, 100.0]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_shape(batch, steps, classes, width, size, seed):
    """Sequences are distinct, their probabilities fall, and none is above its true one."""
    rng = np.random.default_rng(seed)
    y = size * rng.standard_normal((batch, steps, classes))
    blank, lengths = int(rng.integers(classes)), rng.integers(0, steps + 1, batch)
    sequences, log_probabilities = ctc_beam_search_decode(y, lengths, width, width, blank)
    assert (np.diff(np.maximum(log_probabilities, -1e300), axis=1) <= 0).all()
    for b in range(batch):
        found = [_labels(sequences[path, b]) for path in range(width)]
        count = int(np.isfinite(log_probabilities[b]).sum())
        assert len(set(found[:count])) == count >= 1
        for path in range(min(count, 3)):
            assert len(found[path]) <= lengths[b]
            row = np.array(found[path]).reshape(1, -1)
            exact = -ctc_loss(row, y[b : b + 1], None, lengths[b : b + 1], blank)
            assert log_probabilities[b, path] <= exact + 1e-9 * max(1, abs(exact))


def _search(y, width, blank):
    """Prefix beam search as it is told: dictionaries of prefixes, in one sequence."""
    log_p = log_softmax(y)
    beam = {(): (0.0, -np.inf)}
    for row in log_p:
        grown: dict = {}

        def add(prefix, on_blank, value, grown=grown):
            pair = list(grown.get(prefix, (-np.inf, -np.inf)))
            pair[not on_blank] = np.logaddexp(pair[not on_blank], value)
            grown[prefix] = tuple(pair)

        for prefix, (of_blank, of_label) in beam.items():
            total = np.logaddexp(of_blank, of_label)
            add(prefix, True, total + row[blank])
            for k in range(len(row)):
                if k == blank:
                    continue
                same = prefix[-1:] == (k,)
                if same:
                    add(prefix, False, of_label + row[k])
                add((*prefix, k), False, (of_blank if same else total) + row[k])
        best = sorted(grown, key=lambda prefix: np.logaddexp(*grown[prefix]), reverse=True)
        beam = {prefix: grown[prefix] for prefix in best[:width]}
    found = [(prefix, np.logaddexp(*pair)) for prefix, pair in beam.items()]
    return [(prefix, value) for prefix, value in found if value > -np.inf]


@pytest.mark.parametrize("width", [1, 2, 5, 20])
@pytest.mark.parametrize("classes", [2, 3, 6, 50])
def test_narrow_beams_keep_what_is_likeliest(width, classes, rng):
    """With few classes, prefixes leave the beam and come back again."""
    y = rng.standard_normal((2, 25, classes))
    blank = classes - 1
    sequences, log_probabilities = ctc_beam_search_decode(y, None, width, width, blank)
    for b in range(2):
        expected = _search(y[b], width, blank)
        for path, (labels, value) in enumerate(expected):
            assert _labels(sequences[path, b]) == labels
            np.testing.assert_allclose(log_probabilities[b, path], value, rtol=1e-11)


def test_at_least_as_likely_as_the_best_path(rng):
    y = 2 * rng.standard_normal((8, 40, 10))
    greedy, of_path = ctc_greedy_decode(y)
    beam, log_probabilities = ctc_beam_search_decode(y, beam_width=30)
    for b in range(8):
        rows = [np.array(_labels(found[0, b])).reshape(1, -1) for found in (greedy, beam)]
        plain, best = (-ctc_loss(row, y[b : b + 1]) for row in rows)
        assert of_path[b, 0] <= plain <= best + 1e-12
        assert log_probabilities[b, 0] <= best + 1e-12


def test_the_likeliest_labels_may_not_be_those_of_the_best_path():
    """Graves et al., figure 2: two steps, a blank of 0.6 in each, and a label of 0.4."""
    y = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    greedy, of_path = ctc_greedy_decode(y)
    assert _labels(greedy[0, 0]) == ()
    np.testing.assert_allclose(np.exp(of_path), 0.36)
    sequences, log_probabilities = ctc_beam_search_decode(y, beam_width=2, top_paths=2)
    assert [_labels(row) for row in sequences[:, 0]] == [(1,), ()]
    np.testing.assert_allclose(np.exp(log_probabilities[0]), [0.64, 0.36])


def test_float32_logits(rng):
    y = rng.standard_normal((3, 50, 30)).astype(np.float32)
    sequences, log_probabilities = ctc_beam_search_decode(y, None, 10, 3)
    exact, exact_probabilities = ctc_beam_search_decode(y.astype(float), None, 10, 3)
    np.testing.assert_array_equal(sequences, exact)
    np.testing.assert_allclose(log_probabilities, exact_probabilities, rtol=1e-6)


def test_beams_are_those_of_keras(rng):
    """Where both are wide enough, with Keras' blank."""
    keras = import_keras()
    y = rng.standard_normal((2, 5, 3)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, scores = keras.ops.ctc_decode(
            y, np.array([5, 5]), strategy="beam_search", beam_width=200, top_paths=4
        )
    ours, log_probabilities = ctc_beam_search_decode(y, None, 200, 4)
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    gaps = np.diff(log_probabilities, axis=1)
    np.testing.assert_allclose(gaps, np.diff(np.asarray(scores), axis=1), rtol=1e-4, atol=1e-5)


def test_threads_and_batches_change_no_bits(rng):
    y = rng.standard_normal((17, 60, 40)).astype(np.float32)
    lengths = rng.integers(0, 61, 17)
    for decode in (ctc_greedy_decode, lambda *args: ctc_beam_search_decode(*args, 8, 3)):
        fastlstm.set_num_threads(1)
        expected = decode(y, lengths)
        for threads in (2, 3):
            fastlstm.set_num_threads(threads)
            for got, array in zip(decode(y, lengths), expected, strict=True):
                np.testing.assert_array_equal(got, array)
        sequences, log_probabilities = decode(y[4:9], lengths[4:9])
        np.testing.assert_array_equal(sequences, expected[0][:, 4:9])
        np.testing.assert_array_equal(log_probabilities, expected[1][4:9])


def test_extreme_logits(rng):
    y = (1e4 * rng.standard_normal((2, 30, 5))).astype(np.float32)
    sequences, log_probabilities = ctc_beam_search_decode(y, None, 5, 2)
    assert np.isfinite(log_probabilities).all()
    exact = [-ctc_loss(row, y, reduction="none") for row in sequences]
    np.testing.assert_allclose(log_probabilities.T, exact, rtol=1e-5, atol=1e-2)


def test_classes_that_are_not_possible(rng):
    y = rng.standard_normal((2, 9, 5))
    y[:, :, 3] = -np.inf
    for sequences, log_probabilities in (
        ctc_greedy_decode(y), ctc_beam_search_decode(y, None, 50, 50)
    ):  # fmt: skip
        assert not (sequences == 3).any()
        assert np.isfinite(log_probabilities).all()


# -- what is refused -------------------------------------------------------------------------------

Y = np.zeros((2, 5, 4), np.float32)


def _with(place, value):
    y = Y.copy()
    y[place] = value
    return y


BAD = {
    "two axes": (Y[0], {}, "expects y_pred of shape (batch, time, classes), got (5, 4)"),
    "empty": (Y[:0], {}, "not empty"),
    "NaN": (_with((1, 2, 0), np.nan), {}, "the largest of y_pred at [1, 2] is nan"),
    "infinity": (_with((0, 4, 1), np.inf), {}, "at [0, 4] is inf"),
    "no class": (_with((0, 3), -np.inf), {}, "at [0, 3] is -inf"),
    "lengths": (Y, {"input_lengths": [5]}, "input_lengths expects shape (2,)"),
    "long": (Y, {"input_lengths": [5, 6]}, "from 0 to 5"),
    "blank": (Y, {"blank": 4}, "one of the 4 classes"),
    "no blank": (Y, {"blank": -1}, "blank expects a whole number"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("decode", [ctc_greedy_decode, ctc_beam_search_decode])
def test_what_is_refused(decode, name):
    y, options, text = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its words follow
        decode(y, **options)
    assert text in str(caught.value)


@pytest.mark.parametrize(("options", "text"), [
    ({"beam_width": 0}, "beam_width expects a whole number of at least 1"),
    ({"beam_width": 2.5}, "beam_width expects a whole number"),
    ({"top_paths": 0}, "top_paths expects a whole number of at least 1"),
    ({"beam_width": 3, "top_paths": 4}, "top_paths expects at most beam_width, 3, got 4"),
])  # fmt: skip
def test_beams_that_are_refused(options, text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its words follow
        ctc_beam_search_decode(Y, **options)
    assert text in str(caught.value)


def test_what_lies_beyond_the_end_is_not_read():
    y = _with((1, slice(3, None)), np.nan)
    for decode in (ctc_greedy_decode, ctc_beam_search_decode):
        sequences, log_probabilities = decode(y, [5, 3])
        assert np.isfinite(log_probabilities).all()
        assert (sequences[:, 1, 3:] == -1).all()


def test_beams_that_do_not_fit_into_memory():
    with pytest.raises(MemoryError, match="fewer or shorter sequences"):
        ctc_beam_search_decode(Y, beam_width=10**11)
