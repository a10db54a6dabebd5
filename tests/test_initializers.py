"""Initializers: distributions, shapes and reproducibility, and Keras' own statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastlstm import initializers as init
from fastlstm.config import set_floatx
from fastlstm.utils import set_random_seed
from tests.peers import import_keras

SHAPE = (200, 300)  # fan-in 200, fan-out 300: all three modes differ

# Expected standard deviation and bound of the values.
SPREADS = {
    "glorot_uniform": (math.sqrt(2 / 500), math.sqrt(6 / 500)),
    "glorot_normal": (math.sqrt(2 / 500), 2 * math.sqrt(2 / 500) / 0.8796),
    "he_uniform": (math.sqrt(2 / 200), math.sqrt(6 / 200)),
    "he_normal": (math.sqrt(2 / 200), 2 * math.sqrt(2 / 200) / 0.8796),
    "lecun_uniform": (math.sqrt(1 / 200), math.sqrt(3 / 200)),
    "lecun_normal": (math.sqrt(1 / 200), 2 * math.sqrt(1 / 200) / 0.8796),
    "random_uniform": (0.1 / math.sqrt(12), 0.05),
    "random_normal": (0.05, np.inf),
    "truncated_normal": (0.05 * 0.8796, 0.1),
    "variance_scaling": (math.sqrt(1 / 200), 2 * math.sqrt(1 / 200) / 0.8796),
}
RANDOM = [*SPREADS, "orthogonal"]
FIXED = ["zeros", "ones", "constant", "identity"]


@pytest.fixture(autouse=True)
def _seed():
    set_random_seed(0)


@pytest.mark.parametrize("name", SPREADS)
def test_spread(name):
    values = init.get(name)(SHAPE)
    spread, bound = SPREADS[name]
    # 60,000 values: four standard errors are about one percent.
    assert values.std() == pytest.approx(spread, rel=0.015)
    assert abs(values.mean()) < 4 * spread / math.sqrt(values.size)
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    assert np.abs(values).max() > min(0.98 * bound, 3.5 * spread)


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_repeats_the_values_and_calls_differ(name):
    make = init.get(name)
    set_random_seed(1)
    first, second = make((7, 5)), make((7, 5))
    set_random_seed(1)
    np.testing.assert_array_equal(make((7, 5)), first)
    assert (first != second).any()


@pytest.mark.parametrize("name", RANDOM)
def test_its_own_seed_gives_the_same_values_at_every_call(name):
    make = init.get({"class_name": name, "config": {"seed": 3}})
    np.testing.assert_array_equal(make((7, 5)), make((7, 5)))


@pytest.mark.parametrize("name", RANDOM)
def test_float32_and_float64_start_alike(name):
    make = init.get(name)
    set_random_seed(2)
    double = make((6, 4), "float64")
    set_random_seed(2)
    np.testing.assert_array_equal(make((6, 4), np.float32), double.astype(np.float32))


@pytest.mark.parametrize("name", RANDOM + FIXED)
def test_result_is_a_fresh_contiguous_array_of_the_asked_type(name):
    make = init.get(name)
    for dtype in (np.float32, np.float64):
        values = make([3, 4], dtype)
        assert values.dtype == dtype
        assert values.shape == (3, 4)
        assert values.flags.c_contiguous
        assert values.flags.writeable
        assert values is not make([3, 4], dtype)
    assert make((2, 2)).dtype == np.float32
    set_floatx("float64")
    try:
        assert make((2, 2)).dtype == np.float64
    finally:
        set_floatx("float32")


@pytest.mark.parametrize("name", RANDOM + FIXED)
def test_configuration_makes_the_same(name):
    make = init.get(name)
    again = type(make)(**make.get_config())
    assert again.get_config() == make.get_config()
    set_random_seed(4)
    values = make((3, 4))
    set_random_seed(4)
    np.testing.assert_array_equal(again((3, 4)), values)


def test_fans_of_other_shapes():
    make = init.VarianceScaling(1.0, "fan_in", "uniform")
    for shape, fan_in in (((30_000,), 30_000), ((3, 5, 7, 400), 105)):
        assert np.abs(make(shape)).max() == pytest.approx(math.sqrt(3 / fan_in), rel=0.01)
    # No inputs: nothing to divide by.
    assert np.isfinite(make((0, 4))).all()
    assert make(()).shape == ()


@pytest.mark.parametrize("shape", [(20, 80), (80, 20), (16, 16), (2, 3, 4), (4, 1)])
def test_orthogonal(shape):
    values = init.Orthogonal(gain=1.5)(shape, "float64").reshape(-1, shape[-1])
    small = values.T @ values if values.shape[0] >= values.shape[1] else values @ values.T
    np.testing.assert_allclose(small, 2.25 * np.eye(len(small)), atol=1e-12)


def test_orthogonal_prefers_no_sign():
    make = init.Orthogonal()
    signs = [np.sign(make((2, 2), "float64")) for _ in range(400)]
    # Plain QR gives a first column of one sign; 400 fair coins stay within 4 errors of 0.
    assert np.abs(np.mean(signs, axis=0)).max() < 0.2


def test_fixed_values():
    np.testing.assert_array_equal(init.Zeros()((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(init.Ones()((2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(init.Constant(2.5)((2,)), [2.5, 2.5])
    np.testing.assert_array_equal(init.Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])


def test_a_constant_array_is_copied():
    table = np.arange(6.0).reshape(3, 2)
    values = init.Constant(table)((3, 2), "float64")
    np.testing.assert_array_equal(values, table)
    values[:] = 0
    assert table[2, 1] == 5


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: init.Orthogonal()((4,)), r"at least two dimensions, got \(4,\)"),
        (lambda: init.Identity()((2, 2, 2)), "two dimensions"),
        (lambda: init.Constant([1.0, 2.0])((3,)), r"shape \(3,\), got one of shape \(2,\)"),
        (lambda: init.Zeros()((2, -1)), r"sizes of at least 0, got shape \(2, -1\)"),
        (lambda: init.RandomUniform(1.0, 0.0), "minval <= maxval"),
        (lambda: init.RandomNormal(stddev=-1.0), "stddev >= 0"),
        (lambda: init.VarianceScaling(0.0), "scale > 0"),
        (lambda: init.VarianceScaling(mode="fan"), "mode in"),
        (lambda: init.VarianceScaling(distribution="normal"), "distribution in"),
    ],
)
def test_errors(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_any_function_will_do():
    def own(shape, dtype=None):
        return np.full(shape, 7, dtype)

    assert init.get(own) is own


@pytest.mark.parametrize("name", RANDOM)
def test_distribution_is_that_of_keras(name):
    keras = import_keras()
    theirs = np.sort(np.asarray(keras.initializers.get(name)(SHAPE)).ravel())
    ours = np.sort(init.get(name)(SHAPE).ravel())
    # Largest distance between the two cumulative distributions (Kolmogorov and Smirnov).
    places = np.searchsorted(theirs, ours) / theirs.size
    assert np.abs(places - np.arange(ours.size) / ours.size).max() < 0.02
