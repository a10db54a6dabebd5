"""Fixtures that all tests share."""

from __future__ import annotations

import hypothesis
import numba
import numpy as np
import pytest

import fastlstm
from fastlstm import config
from tests import emulation

if numba.config.DISABLE_JIT:
    emulation.install()

# The same examples in every run; the first one of a kind may take seconds to compile.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives the same numbers in each test."""
    return np.random.default_rng(20240601)


@pytest.fixture
def float64() -> None:
    """Layers that are made in this test compute in float64."""
    config.set_floatx("float64")


@pytest.fixture
def serial() -> None:
    """One thread, so that no parallel version is compiled where it adds nothing."""
    fastlstm.set_num_threads(1)


@pytest.fixture(autouse=True)
def _settings():
    """The same random numbers for each test; whatever it sets is put back."""
    floatx, threads = config.floatx(), fastlstm.get_num_threads()
    fastlstm.utils.set_random_seed(1)
    yield
    config.set_floatx(floatx)
    fastlstm.set_num_threads(threads)
