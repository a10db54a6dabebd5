"""The floating-point type of new models."""

from __future__ import annotations

import pytest

from fastlstm import config


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
