"""Packing and the three matrix products, against NumPy in float64, for any number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from fastlstm.cells.gru import GRUCell
from fastlstm.cells.lstm import LSTMCell
from fastlstm.kernels import lone, matmul, team
from fastlstm.kernels.activations import Linear, Tanh
from fastlstm.kernels.cell import PANEL_VECTORS, PLAIN, panel_units, tile_layout
from fastlstm.kernels.host import HOST
from fastlstm.kernels.parallel import set_num_threads
from tests.marks import needs_jit

LAUNCH = 1e9  # work that is always shared between the threads
THREADS = 3

# M, K, N: one, sizes that do not divide a tile or a block, and more than one block of each.
SHAPES = [
    (1, 1, 1), (2, 3, 5), (5, 33, 7), (13, 17, 50), (65, 300, 33), (301, 5, 130), (3, 700, 9),
    (205, 7 * matmul.K_BLOCK + 30, 70),  # sums in parts, several groups of rows
]  # fmt: skip


def _pack(matrix, blocks=1):
    width = panel_units(blocks, matrix.itemsize)
    panels = -(-matrix.shape[1] // blocks // width)
    packed = np.full((panels, matrix.shape[0], blocks * width), np.nan, matrix.dtype)
    matmul.pack(packed, matrix, blocks, width, work=LAUNCH)
    return packed


OWN = np.empty(0, np.intp)  # places of rows, each its own
ALL = np.empty(0, np.uint8)  # a mask that leaves nothing out


def _multiply(activation, a, b, bias, steps=1, origin=OWN, mask=ALL):
    packed = _pack(b)
    out = np.full((len(a), b.shape[1]), np.nan, a.dtype)
    scratch = np.full((THREADS, matmul.scratch_size(a.itemsize)), np.nan, a.dtype)
    depth = a.shape[1]
    matmul.multiply(
        activation, out, scratch, a, depth, 0, 1, depth, packed, bias, steps, origin, mask,
        work=LAUNCH,
    )  # fmt: skip
    return out


def _multiply_transposed(layout, a, b, ones, parts=(slice(None),), mask=ALL):
    """[a, ones]ᵀ·b over these rows, with b as it is, or packed where the layout has blocks."""
    depth = a.shape[1]
    packed = layout.blocks > 1
    width = panel_units(layout.blocks, a.itemsize)
    panels = -(-b.shape[1] // layout.blocks // width)
    columns = layout.blocks * width
    d = np.full((depth + ones, b.shape[1]), np.nan, a.dtype)
    partial = np.full((panels, depth + ones, columns), np.nan, a.dtype)
    room = matmul.packed_size(depth + ones)
    packed_a = np.full((THREADS, room), np.nan, a.dtype)
    room = (
        0
        if packed and not mask.size
        else THREADS * matmul.PANELS_AHEAD * matmul.SUM_BLOCK * columns
    )
    packed_b = np.full(room, np.nan, a.dtype)
    for part in parts:
        given = _pack(b[part], layout.blocks) if packed else b[part]
        if packed:  # panels of more rows than there are, as those of a longer part would be
            given = np.concatenate([given, np.full((panels, 3, columns), np.nan, a.dtype)], axis=1)
        matmul.multiply_transposed(
            tile_layout(layout.blocks), layout.blocks, d, partial, packed_a, packed_b, a[part],
            given.reshape(-1), given.shape[1] if packed else 0, ones, part is not parts[0],
            mask[part], work=LAUNCH,
        )  # fmt: skip
    return d


def _close(got, exact, depth):
    limit = 16 * np.sqrt(depth) * np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, exact, rtol=limit, atol=limit)


def _normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


# Each combination is compiled for seconds, so not all of them.
@pytest.fixture(params=[(np.float32, 1), (np.float32, 3), (np.float64, 1)], ids=str)
def dtype(request):
    """The elements' type, with the number of threads set."""
    chosen, threads = request.param
    set_num_threads(threads)
    return chosen


@pytest.mark.parametrize("total", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_shares_cover_everything_once(total, parts):
    share = getattr(team.share, "py_func", team.share)
    shares = [share(total, team.Crew(part, parts, 0)) for part in range(parts)]
    assert [i for first, last in shares for i in range(first, last)] == list(range(total))
    sizes = [last - first for first, last in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("blocks", [1, 4])
def test_pack_groups_the_blocks_of_the_same_units(blocks, rng):
    units, depth = 21, 3
    matrix = _normal(rng, np.float32, depth, blocks * units)
    packed = _pack(matrix, blocks)
    width = panel_units(blocks, 4)
    for p in range(len(packed)):
        for g in range(blocks):
            for u in range(width):
                unit = p * width + u
                expected = matrix[:, g * units + unit] if unit < units else np.zeros(depth)
                np.testing.assert_array_equal(packed[p, :, g * width + u], expected)


@pytest.mark.parametrize("blocks", [1, 4])
def test_pack_transposed_runs_over_columns_in_panel_order(blocks, rng):
    """Its product with a packed row is the product with the rows of the matrix."""
    units, rows = 21, 37
    matrix = _normal(rng, np.float64, rows, blocks * units)
    line = _normal(rng, np.float64, 1, blocks * units)
    width, columns = panel_units(blocks, 8), panel_units(1, 8)
    panels = -(-units // width)
    packed = np.full((-(-rows // columns), panels * blocks * width, columns), np.nan)
    matmul.pack_transposed(packed, matrix, blocks, width, work=0)
    a = _pack(line, blocks).reshape(-1)
    got = np.einsum("k,qkn->qn", a, packed).ravel()
    np.testing.assert_allclose(got[:rows], (line @ matrix.T)[0], atol=1e-12)
    np.testing.assert_array_equal(got[rows:], 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_multiply(shape, dtype, rng):
    m, k, n = shape
    a, b, bias = _normal(rng, dtype, m, k), _normal(rng, dtype, k, n), _normal(rng, dtype, n)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    _close(_multiply(Linear(), a, b, bias), exact + bias, k)
    _close(_multiply(Linear(), a, b, np.zeros(0, dtype)), exact, k)


def test_multiply_applies_the_activation(rng):
    set_num_threads(1)
    a, b, bias = (_normal(rng, np.float64, *shape) for shape in ((5, 3), (3, 9), (9,)))
    got = _multiply(Tanh(), a, b, bias)
    np.testing.assert_allclose(got, np.tanh(a @ b + bias), rtol=1e-14)


@pytest.mark.parametrize("layout", [PLAIN, LSTMCell()], ids=["plain", "gates"])
@pytest.mark.parametrize("ones", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_multiply_transposed(shape, ones, layout, dtype, rng):
    rows, depth, units = shape[1], shape[0], shape[2]  # more than one block of rows for K = 300
    a, b = _normal(rng, dtype, rows, depth), _normal(rng, dtype, rows, layout.blocks * units)
    got = _multiply_transposed(layout, a, b, ones)
    with_ones = np.concatenate([a, np.ones((rows, ones))], axis=1, dtype=np.float64)
    _close(got, with_ones.T @ b.astype(np.float64), rows)


@pytest.mark.parametrize("ones", [0, 1])
def test_multiply_transposed_of_any_depth(ones, rng):
    """Also where a group of columns of A ends within a vector."""
    b = _normal(rng, np.float32, 70, 20)
    for depth in range(1, 100):
        a = _normal(rng, np.float32, 70, depth)
        got = _multiply_transposed(PLAIN, a, b, ones)
        _close(got[:depth], a.T.astype(np.float64) @ b.astype(np.float64), 70)
        _close(got[depth:], b.astype(np.float64).sum(axis=0, keepdims=True)[:ones], 70)


@pytest.mark.parametrize("layout", [PLAIN, LSTMCell()], ids=["plain", "gates"])
def test_multiply_transposed_by_parts_from_the_last_on(layout, rng):
    block, depth, units = matmul.SUM_BLOCK, 7, 37
    rows = 4 * block + 5
    a, b = (_normal(rng, np.float32, rows, n) for n in (depth, layout.blocks * units))
    parts = [slice(3 * block, None), slice(block, 3 * block), slice(0, block)]
    got = _multiply_transposed(layout, a, b, 1, parts)
    np.testing.assert_array_equal(got, _multiply_transposed(layout, a, b, 1))


def _some(rng, rows, kind):
    """Rows that count: scattered, in spans with whole blocks between, one, or none."""
    some = {"scattered": rng.random(rows) < 0.4, "spans": np.arange(rows) // 70 % 3 == 1}
    some |= {"one": np.arange(rows) == rows // 2, "none": np.zeros(rows, bool)}
    return some[kind].astype(np.uint8)


each_kind = pytest.mark.parametrize("kind", ["scattered", "spans", "one", "none"])


@each_kind
def test_rows_that_do_not_count_are_neither_read_nor_written(kind, rng):
    rows, depth, n = 500, 70, 90
    a, b, bias = (_normal(rng, np.float32, *s) for s in ((rows, depth), (depth, n), (n,)))
    mask = _some(rng, rows, kind)
    expected = np.where(mask[:, None], _multiply(Linear(), a, b, bias), np.nan)  # as it was
    a[mask == 0] = np.nan
    for threads in (1, 2, 3):
        set_num_threads(threads)
        np.testing.assert_array_equal(_multiply(Linear(), a, b, bias, mask=mask), expected)


@each_kind
@pytest.mark.parametrize("layout", [PLAIN, LSTMCell()], ids=["plain", "gates"])
def test_rows_that_do_not_count_add_nothing(layout, kind, rng):
    """The bits are those of a sum with zeros in their place."""
    rows, depth, units = 500, 30, 37
    a, b = (_normal(rng, np.float32, rows, n) for n in (depth, layout.blocks * units))
    mask = _some(rng, rows, kind)
    b[mask == 0] = 0
    expected = _multiply_transposed(layout, a, b, 1)
    a[mask == 0] = b[mask == 0] = np.nan
    for threads in (1, 2, 3):
        set_num_threads(threads)
        got = _multiply_transposed(layout, a, b, 1, mask=mask)
        if numba.config.DISABLE_JIT:  # NumPy's sums have bits of their own
            _close(got, expected, rows)
        else:
            np.testing.assert_array_equal(got, expected)


def test_rows_put_in_another_order(rng):
    a, b, bias = (_normal(rng, np.float32, *s) for s in ((5 * 7, 6), (6, 9), (9,)))
    plain, origin = _multiply(Linear(), a, b, bias), rng.permutation(7)
    expected = np.empty_like(plain).reshape(7, 5, 9)
    expected[origin] = plain.reshape(5, 7, 9).swapaxes(0, 1)
    got = _multiply(Linear(), a, b, bias, steps=5, origin=origin)
    np.testing.assert_array_equal(got, expected.reshape(35, 9))


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("ones", [0, 1])
def test_outer_product_has_the_bits_of_multiply_transposed(blocks, ones, rng):
    depth, units = 19, 37
    layout = LSTMCell() if blocks == 4 else PLAIN
    a, b = _normal(rng, np.float32, 1, depth), _normal(rng, np.float32, 1, blocks * units)
    a[0, 3] = -0.0
    expected = _multiply_transposed(layout, a, b, ones)
    packed = _pack(b, blocks).reshape(-1)
    d = np.full_like(expected, np.nan)
    width = panel_units(blocks, 4)
    for more, times in ((False, 1), (True, 2)):
        lone.outer_product(d, a, packed, width, blocks, ones, more, work=LAUNCH)
        np.testing.assert_array_equal(d, times * expected)
        np.testing.assert_array_equal(np.signbit(d), np.signbit(expected))


@pytest.mark.parametrize("cell", [PLAIN, GRUCell(), LSTMCell()], ids=["plain", "gru", "lstm"])
@pytest.mark.parametrize("vectors", [1, 2, 7])
def test_multiply_by_rows_has_the_bits_of_multiply(cell, vectors, dtype, rng):
    blocks = cell.blocks
    width, lanes = panel_units(blocks, np.dtype(dtype).itemsize), HOST.lanes(8 * dtype().itemsize)
    depth, units = vectors * lanes, 11 * width  # more than one block of k
    matrix, row = _normal(rng, dtype, depth, blocks * units), _normal(rng, dtype, blocks * units)
    ordered = row.reshape(blocks, -1, width).swapaxes(0, 1).reshape(-1)
    columns = lanes * PANEL_VECTORS
    packed = np.full((-(-depth // columns), blocks * units, columns), np.nan, dtype)
    matmul.pack_transposed(packed, matrix, blocks, width, work=LAUNCH)
    expected, got = np.full((1, depth), np.nan, dtype), np.full((1, depth), np.nan, dtype)
    scratch = np.full((THREADS, matmul.scratch_size(matrix.itemsize)), np.nan, dtype)
    matmul.multiply(
        Linear(), expected, scratch, ordered, 0, blocks * width, units // width, blocks * width,
        packed, np.empty(0, dtype), 1, OWN, ALL, work=LAUNCH,
    )  # fmt: skip
    for count in (1, 2, 3):
        set_num_threads(count)
        got.fill(np.nan)
        lone.multiply_by_rows(got, ordered, matrix, width, blocks, work=LAUNCH)
        _close(
            got, row.astype(np.float64)[np.newaxis] @ matrix.T.astype(np.float64), blocks * units
        )
        if not numba.config.DISABLE_JIT:  # NumPy's sums have bits of their own
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_bits_do_not_depend_on_the_threads(shape, rng):
    m, k, n = shape
    a, b, bias = (_normal(rng, np.float32, *s) for s in ((m, k), (k, n), (n,)))
    left, right = _normal(rng, np.float32, k, m), _normal(rng, np.float32, k, n)
    results = []
    for count in (1, 2, 3):
        set_num_threads(count)
        product = _multiply(Linear(), a, b, bias)
        results.append([product, _multiply_transposed(PLAIN, left, right, 1)])
    for other in results[1:]:
        for got, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_a_row_has_the_same_bits_in_any_batch(rng):
    a, b, bias = (_normal(rng, np.float32, *s) for s in ((101, 300), (300, 70), (70,)))
    whole = _multiply(Linear(), a, b, bias)
    for r in range(0, 101, 7):
        np.testing.assert_array_equal(_multiply(Linear(), a[r : r + 1], b, bias), whole[r : r + 1])


@needs_jit
@pytest.mark.skipif(not HOST.x86, reason="only x86 has the mode")
def test_denormals_do_not_appear(rng):
    """Products below the smallest normal number count as zero, whatever the order of work."""
    set_num_threads(1)
    a = np.full((4, 8), 1e-25, np.float32)
    b = np.full((8, 4), 1e-15, np.float32)
    np.testing.assert_array_equal(_multiply(Linear(), a, b, np.zeros(0, np.float32)), 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_several_steps_can_be_written_by_sample(shape, rng):
    m, k, n = shape
    a, b, bias = (_normal(rng, np.float32, *s) for s in ((4 * m, k), (k, n), (n,)))
    plain = _multiply(Linear(), a, b, bias)
    expected = plain.reshape(4, m, n).swapaxes(0, 1).reshape(-1, n)
    np.testing.assert_array_equal(_multiply(Linear(), a, b, bias, steps=4), expected)
