"""Part of the suite again without the JIT: kernels as plain Python, every access in bounds.

``tests.emulation`` has the vectors; compiled code checks no bounds, and a wrong one may go unseen.
"""

from __future__ import annotations

from tests.marks import needs_jit
from tests.process import run_pytest

pytestmark = needs_jit


def test_without_the_jit():
    names = ("recurrent", "embedding", "layout", "crf", "ctc", "extended")
    names += ("layer_norm", "noise", "pooling", "steps", "unfold", "unit", "products", "smoothing")
    kernels = [f"tests/kernels/test_{name}.py" for name in names]
    left_out = "not against_finite and not value_and_grad and not 130 and not test_threads"
    left_out += " and not whatever_the_shape and not long_sequence"
    output = run_pytest(
        *kernels, "tests/layers/test_gradients.py", "-k", left_out, NUMBA_DISABLE_JIT="1"
    )
    assert " passed" in output


def test_cells_of_more_than_one_product_without_the_jit():
    """Those with weights of their own too, and dropout and zoneout between the steps."""
    names = "cells", "recurrent_dropout", "zoneout"
    files = [f"tests/layers/test_{name}.py" for name in names]
    kinds = "reset or peephole or projected or layer_norm"
    chosen = f"(equations or gradients) and ({kinds}) and not other"
    chosen += " and not 130 and not 50 and not backwards and not no-bias"
    output = run_pytest(*files, "-k", chosen, NUMBA_DISABLE_JIT="1")
    assert "62 passed" in output


def test_optimizers_without_the_jit():
    files = [f"tests/kernels/test_{name}.py" for name in ("optimizers", "clipping", "penalties")]
    output = run_pytest(*files, NUMBA_DISABLE_JIT="1")
    assert "158 passed, 1 skipped" in output


def test_losses_and_metrics_without_the_jit():
    chosen = "(value_of_each and 37 or result_over_batches and False) and not keras"
    files = ["tests/kernels/test_losses.py", "tests/metrics/test_counts.py"]
    output = run_pytest(*files, "-k", chosen, NUMBA_DISABLE_JIT="1")
    assert " passed" in output


def test_segments_and_windows_without_the_jit():
    files = [f"tests/models/test_{name}.py" for name in ("checkpoint", "bptt")]
    chosen = "full_way and every or windows_are and 5"
    output = run_pytest(*files, "-k", chosen, NUMBA_DISABLE_JIT="1")
    assert "3 passed" in output


def test_an_access_out_of_bounds_would_be_noticed():
    output = run_pytest("tests/emulated_fault.py", expected=1, NUMBA_DISABLE_JIT="1")
    assert "IndexError: elements 4 to" in output
    assert "1 failed, 1 passed" in output
