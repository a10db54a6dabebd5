"""Marks that several tests share."""

from __future__ import annotations

import numba
import pytest

needs_jit = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NumPy stands in for compiled code"
)
