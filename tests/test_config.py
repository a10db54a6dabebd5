"""The floating-point type of new models, and the one generator."""

from __future__ import annotations

import random

import numpy as np
import pytest

from fastlstm import config, utils


@pytest.fixture(autouse=True)
def _restore():
    before = config.floatx()
    yield
    config.set_floatx(before)


def test_floatx():
    assert config.floatx() == "float32"
    config.set_floatx("float64")
    assert config.floatx() == "float64"
    with pytest.raises(ValueError, match=r"'float32' or 'float64', got 'float16'"):
        config.set_floatx("float16")
    assert config.floatx() == "float64"


def test_a_seed_repeats_everything():
    draws = []
    for seed in (5, 5, 6):
        utils.set_random_seed(seed)
        draws.append((utils.rng().random(), np.random.random(), random.random()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert not set(draws[0]) & set(draws[2])


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", None, True])
def test_seeds_are_checked(seed):
    with pytest.raises(ValueError, match="whole number from 0"):
        utils.set_random_seed(seed)


def test_a_refused_seed_changes_nothing():
    utils.set_random_seed(1)
    generator = utils.rng()
    with pytest.raises(ValueError, match="whole number"):
        utils.set_random_seed(-1)
    assert utils.rng() is generator


def test_numeric_array():
    array = np.arange(3.0)
    assert utils.numeric_array("x", array) is array
    assert utils.numeric_array("x", [[1, 2], [3, 4]]).shape == (2, 2)
    assert utils.numeric_array("x", True).dtype == bool


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
        utils.numeric_array("x", value)
