"""The one generator, the check of arrays, and the helpers against Keras' own."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastlstm import randomness, utils, validation
from tests.peers import import_keras


def test_a_seed_repeats_everything():
    draws = []
    for seed in (5, 5, 6):
        utils.set_random_seed(seed)
        draws.append((randomness.rng().random(), np.random.random(), random.random()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert not set(draws[0]) & set(draws[2])


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", None, True])
def test_seeds_are_checked(seed):
    with pytest.raises(ValueError, match="whole number from 0"):
        utils.set_random_seed(seed)


def test_a_refused_seed_changes_nothing():
    utils.set_random_seed(1)
    generator = randomness.rng()
    with pytest.raises(ValueError, match="whole number"):
        utils.set_random_seed(-1)
    assert randomness.rng() is generator


def test_numeric_array():
    array = np.arange(3.0)
    assert validation.numeric_array("x", array) is array
    assert validation.numeric_array("x", [[1, 2], [3, 4]]).shape == (2, 2)
    assert validation.numeric_array("x", True).dtype == bool


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ([[1], [1, 2]], ValueError, "x does not form an array"),
        (np.ma.masked_array([1, 2], [0, 1]), TypeError, "masked array"),
        (["a"], TypeError, "x has dtype <U1, expected real numbers"),
        (np.array([None]), TypeError, "object"),
        (np.array([1j]), TypeError, "complex128"),
    ],
)
def test_what_is_no_numeric_array(value, error, text):
    with pytest.raises(error, match=text):
        validation.numeric_array("x", value)


SEQUENCES = [[1, 2, 3], [], [4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize("maxlen", [None, 2, 4, 7])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_pad_sequences_is_that_of_keras(maxlen, padding, truncating):
    keras = import_keras()
    options = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "value": -1}
    ours = utils.pad_sequences(SEQUENCES, **options)
    theirs = keras.utils.pad_sequences(SEQUENCES, **options)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_pad_sequences_of_vectors_and_of_nothing():
    padded = utils.pad_sequences([[[1, 2]], [[3, 4], [5, 6]]], dtype="float32")
    np.testing.assert_array_equal(padded, [[[0, 0], [1, 2]], [[3, 4], [5, 6]]])
    assert padded.dtype == np.float32
    assert utils.pad_sequences([]).shape == (0, 0)
    assert utils.pad_sequences([[1, 2]], maxlen=0).shape == (1, 0)
    with pytest.raises(ValueError, match="padding expects 'pre' or 'post', got 'left'"):
        utils.pad_sequences([[1]], padding="left")
    with pytest.raises(ValueError, match="truncating expects"):
        utils.pad_sequences([[1]], truncating="right")


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 3), (2, 3, 1)])
def test_to_categorical_is_that_of_keras(shape, rng):
    keras = import_keras()
    ids = rng.integers(0, 5, shape)
    for classes in (None, 6):
        ours = utils.to_categorical(ids, classes)
        np.testing.assert_array_equal(ours, keras.utils.to_categorical(ids, classes))
        assert ours.dtype == np.float32


@pytest.mark.parametrize(("ids", "classes"), [([0, 3], 3), ([-1, 0], None), ([-1], 3)])
def test_to_categorical_checks_ids(ids, classes):
    with pytest.raises(ValueError, match=r"ids from 0 to .* got"):
        utils.to_categorical(ids, classes)


def test_a_generator_that_stands_in(rng):
    expected = np.random.default_rng(5).random(3)
    before = randomness.rng()
    with ThreadPoolExecutor(1) as pool, randomness.drawing_from(np.random.default_rng(5)):
        np.testing.assert_array_equal(randomness.rng().random(3), expected)
        assert pool.submit(randomness.rng).result() is before
        with randomness.drawing_from(rng):
            assert randomness.rng() is rng
        assert randomness.rng() is not rng
    assert randomness.rng() is before
