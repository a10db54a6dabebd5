"""Fixtures that all tests share."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels.parallel import get_num_threads, set_num_threads


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives the same numbers in each test."""
    return np.random.default_rng(20240601)


@pytest.fixture(autouse=True)
def _restore_threads():
    before = get_num_threads()
    yield
    set_num_threads(before)
