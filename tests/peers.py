"""Other frameworks to compare with; the tests that need them are skipped where they are missing."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest


def import_torch() -> Any:
    """PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


def import_keras() -> Any:
    """Keras on PyTorch."""
    import_torch()
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras")
    # Until the end of the calling test: its way to NumPy arrays is deprecated.
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
    if keras.backend.backend() != "torch":
        pytest.skip("Keras runs on another backend")
    return keras
