"""The register tile: every height and layout, and a row's bits whatever its company."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from fastlstm.cells.lstm import LSTMCell
from fastlstm.kernels.cell import PLAIN, panel_vectors
from fastlstm.kernels.host import HOST
from fastlstm.kernels.program import kernel
from fastlstm.kernels.static import Static
from fastlstm.kernels.tile import multiply_panel


@dataclass(frozen=True)
class ThreeBlocks(Static):
    """A layout as a GRU would have it."""

    blocks = 3


LAYOUTS = (PLAIN, LSTMCell(), ThreeBlocks())
DTYPES = (np.float32, np.float64)


@kernel
def _multiply(
    layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, rows, segs, seg_k, threads
):
    multiply_panel(layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, 0, rows, segs, seg_k)


def _columns(layout, dtype):
    return panel_vectors(layout.blocks) * HOST.lanes(8 * np.dtype(dtype).itemsize)


def _product(layout, a, panel, start=0.0):
    rows, depth = a.shape
    c = np.full((rows, panel.shape[1]), start, a.dtype)
    _multiply(layout, c, 0, panel.shape[1], a, 0, depth, 0, 1, panel, rows, 1, depth)
    return c


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: type(layout).__name__)
def test_every_number_of_rows(layout, dtype, rng):
    """More than twice the tallest tile, so that each split of the remainder occurs."""
    panel = rng.standard_normal((7, _columns(layout, dtype))).astype(dtype)
    for rows in range(2 * HOST.tile_rows(panel_vectors(layout.blocks)) + 3):
        a = rng.standard_normal((rows, 7)).astype(dtype)
        got = _product(layout, a, panel, start=1.0)
        exact = 1 + a.astype(np.float64) @ panel.astype(np.float64)
        np.testing.assert_allclose(got, exact, rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: type(layout).__name__)
def test_a_row_has_the_same_bits_in_any_company(layout, dtype, rng):
    panel = rng.standard_normal((33, _columns(layout, dtype))).astype(dtype)
    a = rng.standard_normal((17, 33)).astype(dtype)
    whole = _product(layout, a, panel)
    for r in range(len(a)):
        np.testing.assert_array_equal(_product(layout, a[r : r + 1], panel), whole[r : r + 1])
    for first, last in ((0, 2), (3, 8), (5, 17)):
        np.testing.assert_array_equal(
            _product(layout, a[first:last].copy(), panel), whole[first:last]
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_and_offsets(dtype, rng):
    """A transposed, A in segments, and a C whose rows lie apart: nothing between is touched."""
    columns = _columns(PLAIN, dtype)
    panel = rng.standard_normal((6, columns)).astype(dtype)
    a = rng.standard_normal((5, 6)).astype(dtype)
    expected = _product(PLAIN, a, panel)

    turned = np.ascontiguousarray(a.T)
    c = np.zeros((5, columns), dtype)
    _multiply(PLAIN, c, 0, columns, turned, 0, 1, 0, 5, panel, 5, 1, 6)
    np.testing.assert_array_equal(c, expected)

    segments = np.ascontiguousarray(a.reshape(5, 2, 3).swapaxes(0, 1))  # k = (segment, 3)
    c = np.zeros((5, columns), dtype)
    _multiply(PLAIN, c, 0, columns, segments, 0, 3, 15, 1, panel, 5, 2, 3)
    np.testing.assert_array_equal(c, expected)

    guarded_a = np.full(3 + a.size, np.nan, dtype)
    guarded_a[3:] = a.ravel()
    c = np.full((5, columns + 4), 7.0, dtype)
    c[:, 1 : 1 + columns] = 0
    _multiply(PLAIN, c, 1, columns + 4, guarded_a, 3, 6, 0, 1, panel, 5, 1, 6)
    np.testing.assert_array_equal(c[:, 1 : 1 + columns], expected)
    np.testing.assert_array_equal(c[:, [0, -3, -2, -1]], 7.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_to_sum_changes_nothing(dtype):
    c = np.full((2, _columns(PLAIN, dtype)), 3.0, dtype)
    a, panel = np.zeros((2, 1), dtype), np.zeros((1, c.shape[1]), dtype)
    _multiply(PLAIN, c, 0, c.shape[1], a, 0, 1, 0, 1, panel, 2, 1, 0)
    _multiply(PLAIN, c, 0, c.shape[1], a, 0, 1, 0, 1, panel, 0, 1, 1)
    np.testing.assert_array_equal(c, 3.0)


def test_nan_and_infinity_stay_visible():
    columns = _columns(PLAIN, np.float32)
    panel = np.ones((2, columns), np.float32)
    a = np.array([[np.nan, 1], [np.inf, 1], [np.inf, -np.inf], [1, 1]], np.float32)
    got = _product(PLAIN, a, panel)
    np.testing.assert_array_equal(got[:, 0], np.array([np.nan, np.inf, np.nan, 2], np.float32))
