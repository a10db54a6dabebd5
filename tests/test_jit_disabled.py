"""Part of the suite again without the JIT: kernels as plain Python, every access in bounds.

``tests.emulation`` has the vectors; compiled code checks no bounds, and a wrong one may go unseen.
"""

from __future__ import annotations

import pytest

from tests.marks import needs_jit
from tests.process import run_pytest

pytestmark = needs_jit


@pytest.mark.parametrize(
    "selection",
    [
        ["tests/kernels/test_recurrent.py"],
        ["tests/kernels/test_matmul.py", "-k", "float64 or pack or shares"],
        ["tests/kernels/test_embedding.py", "tests/kernels/test_layout.py"],
        ["tests/layers/test_gradients.py", "-k", "not finite and not value"],
    ],
    ids=lambda selection: selection[0].rpartition("_")[2][:-3],
)
def test_without_the_jit(selection):
    assert " passed" in run_pytest(*selection, NUMBA_DISABLE_JIT="1")


def test_an_access_out_of_bounds_would_be_noticed():
    output = run_pytest("tests/emulated_fault.py", expected=1, NUMBA_DISABLE_JIT="1")
    assert "IndexError: elements 4 to" in output
    assert "1 failed, 1 passed" in output
