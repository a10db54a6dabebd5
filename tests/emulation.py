"""The kernels' intrinsics on NumPy arrays, for runs without the JIT (``NUMBA_DISABLE_JIT=1``).

Every kernel then runs as the Python that it is written in: a debugger can step through it, coverage
sees its lines, and each load and store is checked against the bounds of its array.
"""

from __future__ import annotations

import ctypes
import importlib
import pkgutil
from typing import Any

import numpy as np

import fastlstm
from fastlstm.kernels import cell, math, optimizers, rows, simd, team, tile, transpose
from fastlstm.kernels.cell import panel_vectors, vectors_per_block
from fastlstm.kernels.simd import lanes
from tests.reference import math as exact


def install() -> None:
    """Put NumPy in the place of each intrinsic, wherever it was imported."""
    np.seterr(all="ignore")  # as in compiled code: NaN and infinity speak for themselves
    replaced = {
        id(getattr(module, name)): function
        for module, functions in EMULATED.items()
        for name, function in functions.items()
    }
    for info in pkgutil.walk_packages(fastlstm.__path__, "fastlstm."):
        module = importlib.import_module(info.name)
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                setattr(module, name, replaced[id(value)])


def _part(array: np.ndarray, at: int, count: int) -> np.ndarray:
    """View of ``count`` elements of the array's memory; outside of it is an error."""
    flat = array.reshape(-1)
    assert flat.base is not None or flat is array, "a copy: the array is not contiguous"
    if count and (at < 0 or at + count > flat.size):
        raise IndexError(f"elements {at} to {at + count} of {flat.size}")
    return flat[at : at + max(0, count)]


# -- one vector -----------------------------------------------------------------------------------


def _load(array, at):
    return _part(array, at, lanes(array)).copy()


def _store(value, array, at):
    _part(array, at, lanes(array))[:] = value


def _load_first(array, at, count):
    vector = np.zeros(lanes(array), array.dtype)
    count = min(count, len(vector))
    vector[: max(0, count)] = _part(array, at, count)
    return vector


def _store_first(value, array, at, count):
    count = max(0, min(count, lanes(array)))
    _part(array, at, count)[:] = value[:count]


def _fill(array, scalar):
    return np.full(lanes(array), scalar, array.dtype)


def _select(mask, x, y):
    vector = x if isinstance(x, np.ndarray) else y
    return np.where(mask, x, y).astype(vector.dtype)


def _sum_lanes(x):
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 :]
    return x[0]


def _first_lanes(array, count):
    return np.arange(lanes(array)) < count


# -- a cell's blocks and states, of two rows each ------------------------------------


def _load_pair(array, at, second):
    return np.concatenate([_load(array, at), _load(array, at + second)])


def _store_pair(value, array, at, second):
    low, high = np.split(value, 2)
    _store(low, array, at)
    _store(high, array, at + second)


def _sides(chosen, gates, gates_h):
    return (gates, gates_h) if cell.is_apart(chosen) else (gates,)


def _load_blocks(chosen, gates, gates_h, at, second, stride):
    return tuple(
        _load_pair(array, at + stride * g, second)
        for array in _sides(chosen, gates, gates_h)
        for g in range(chosen.blocks)
    )


def _store_blocks(chosen, values, gates, gates_h, at, second, stride):
    places = [
        (array, at + stride * g)
        for array in _sides(chosen, gates, gates_h)
        for g in range(chosen.blocks)
    ]
    for value, (array, place) in zip(values, places, strict=True):
        _store_pair(value, array, place, second)


def _load_fours(chosen, gates, at, row, stride):
    return tuple(
        np.concatenate([_load(gates, at + stride * g + row * r) for r in range(4)])
        for g in range(chosen.blocks)
    )


def _store_fours(chosen, values, gates, at, row, stride):
    for g, value in enumerate(values):
        for r, part in enumerate(np.split(value, 4)):
            _store(part, gates, at + stride * g + row * r)


def _clear_blocks(chosen, gates, gates_h, at, second, stride):
    for array in _sides(chosen, gates, gates_h):
        for g in range(chosen.blocks):
            _store(0.0, array, at + stride * g)
            _store(0.0, array, at + stride * g + second)


def _load_h(h, at, second, count):
    return np.concatenate([_load_first(h, at, count), _load_first(h, at + second, count)])


def _store_h(value, h, at, second, count):
    low, high = np.split(value, 2)
    _store_first(low, h, at, count)
    _store_first(high, h, at + second, count)


def _load_own(chosen, own, at, second, stride, count):
    lines = range(cell.own_count(chosen))
    return tuple(_load_h(own, at + stride * k, second, count) for k in lines)


def _add_own(values, own, at, stride, count):
    for k, value in enumerate(values):
        low, _ = np.split(value, 2)
        _store_first(_load_first(own, at + stride * k, count) + low, own, at + stride * k, count)


def _join_states(chosen, h, carry, at, second, stride):
    others = (_load_pair(carry, at + stride * s, second) for s in range(chosen.states - 1))
    return (h, *others)


def _store_carry(states, carry, at, second, stride):
    for index, value in enumerate(states[1:]):
        _store_pair(value, carry, at + stride * index, second)


def _transpose_square(out, out_at, out_row, a, a_at, a_row):
    rows = [_load(a, a_at + i * a_row) for i in range(lanes(a))]
    for j, column in enumerate(np.stack(rows).T):
        _store(column, out, out_at + j * out_row)


def _add_square(sums, a, a_at, a_row, b, b_at):
    rows = [_load(a, a_at + i * a_row) for i in range(lanes(a))]
    return sums + np.stack(rows) @ _load(b, b_at)


# -- an optimizer's moments -------------------------------------------------------------------


def _load_moments(rule, moments, at, stride, count):
    return tuple(_load_first(moments, at + stride * k, count) for k in range(rule.moments))


def _store_moments(values, moments, at, stride, count):
    for k, value in enumerate(values):
        _store_first(value, moments, at + stride * k, count)


# -- the register tile ----------------------------------------------------------------------------


def _multiply_panel(
    layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, panel_at, count, segs, seg_k
):
    columns = panel_vectors(layout.blocks) * lanes(c)
    b = _part(panel, panel_at, segs * seg_k * columns).reshape(segs * seg_k, columns)
    steps = np.add.outer(np.arange(segs) * a_seg, np.arange(seg_k) * a_k).ravel()
    flat = a.reshape(-1)
    for r in range(count):
        place = a_at + r * a_row + steps
        if place.size and (place.min() < 0 or place.max() >= flat.size):
            raise IndexError(f"elements {place.min()} to {place.max()} of {flat.size}")
        _part(c, c_at + r * c_row, columns)[:] += flat[place] @ b


def _multiply_panel_onto(
    layout, c, c_at, c_row, start, start_at, start_row, a, a_at, a_row, a_seg, a_k,
    panel, panel_at, count, segs, seg_k,
):  # fmt: skip
    columns = panel_vectors(layout.blocks) * lanes(c)
    for r in range(count):
        _part(c, c_at + r * c_row, columns)[:] = _part(start, start_at + r * start_row, columns)
    _multiply_panel(
        layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, panel_at, count, segs, seg_k
    )


def _multiply_panel_ahead(
    layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, panel_at, count, segs, seg_k,
    ahead, ahead_at, ahead_row,
):  # fmt: skip
    _multiply_panel(
        layout, c, c_at, c_row, a, a_at, a_row, a_seg, a_k, panel, panel_at, count, segs, seg_k
    )


def _multiply_two_panels(
    layout, c, c_at, c_second, a, a_at, a_seg, panel, panel_at, panel_second, segs, seg_k
):  # fmt: skip
    for second in (0, 1):
        _multiply_panel(
            layout, c, c_at + second * c_second, 0, a, a_at, 0, a_seg, 1,
            panel, panel_at + second * panel_second, 1, segs, seg_k,
        )  # fmt: skip


def _project_panel(
    layout, c, c_at, c_row, bias, bias_at, fresh, a, a_at, a_row, w, w_at, depth,
    h, h_at, h_row, u, u_at, units, count,
):  # fmt: skip
    columns = panel_vectors(layout.blocks) * lanes(c)
    if fresh:
        for r in range(count):
            _part(c, c_at + r * c_row, columns)[:] = _part(bias, bias_at, columns)
    _multiply_panel(layout, c, c_at, c_row, a, a_at, a_row, 0, 1, w, w_at, count, 1, depth)
    _multiply_panel(layout, c, c_at, c_row, h, h_at, h_row, 0, 1, u, u_at, count, 1, units)


def _project_two_panels(
    layout, c, c_at, c_second, bias, bias_at, bias_second, fresh,
    a, a_at, w, w_at, w_second, depth, h, h_at, u, u_at, u_second, units, line, block,
):  # fmt: skip
    width = vectors_per_block(layout.blocks) * lanes(c)

    def packed(matrix, at, rows):
        places = [at + k * line + g * block for k in range(rows) for g in range(layout.blocks)]
        parts = [_part(matrix, place, width) for place in places]
        return np.concatenate([np.empty(0, c.dtype), *parts])

    for second in (0, 1):
        start = packed(bias, bias_at + second * bias_second, 1) if fresh else bias
        _project_panel(
            layout, c, c_at + second * c_second, 0, start, 0, fresh,
            a, a_at, 0, packed(w, w_at + second * w_second, depth), 0, depth,
            h, h_at, 0, packed(u, u_at + second * u_second, units), 0, units, 1,
        )  # fmt: skip


# -- a team's words --------------------------------------------------------------------------------


def _atomic_add(team, word, value):
    at = ctypes.c_int64.from_address(team + 8 * word)
    at.value += value
    return at.value - value


EMULATED: dict[Any, dict[str, Any]] = {
    simd: {
        "load": _load,
        "store": _store,
        "load_first": _load_first,
        "store_first": _store_first,
        "fill": _fill,
        "eight": lambda scalar: np.full(8, scalar),
        "store_eight": lambda value, array, at: _part(array, at, 8).__setitem__(slice(None), value),
        "load_eight": lambda array, at: _part(array, at, 8).astype(np.float64),
        "select": _select,
        "sum_lanes": _sum_lanes,
        "zero_like": np.zeros_like,
        "absolute": np.abs,
        "square_root": np.sqrt,
        "floor_exponent": lambda x: np.floor(np.log2(x)),
        "copy_sign": np.copysign,
        "fma": lambda x, y, z: x * y + z,
        "flush_denormals": lambda: None,
        "restore_denormals": lambda mode: None,
    },
    math: {
        "exp": exact.exp,
        "exp_falling": exact.exp,
        "log": exact.log,
        "sigmoid": exact.sigmoid,
        "tanh": exact.tanh,
    },
    rows: {"first_lanes": _first_lanes, "max_lanes": np.max},
    cell: {
        "load_blocks": _load_blocks,
        "store_blocks": _store_blocks,
        "load_fours": _load_fours,
        "store_fours": _store_fours,
        "clear_blocks": _clear_blocks,
        "load_own": _load_own,
        "add_own": _add_own,
        "load_h": _load_h,
        "store_h": _store_h,
        "join_states": _join_states,
        "store_carry": _store_carry,
    },
    optimizers: {"load_moments": _load_moments, "store_moments": _store_moments},
    team: {
        "atomic_add": _atomic_add,
        "atomic_store": lambda team, word, value: _atomic_add(
            team, word, value - _atomic_add(team, word, 0)
        ),
        "atomic_load": lambda team, word: _atomic_add(team, word, 0),
    },
    tile: {
        "multiply_panel": _multiply_panel,
        "multiply_panel_ahead": _multiply_panel_ahead,
        "multiply_panel_onto": _multiply_panel_onto,
        "multiply_two_panels": _multiply_two_panels,
        "project_panel": _project_panel,
        "project_two_panels": _project_two_panels,
    },
    transpose: {"transpose_square": _transpose_square, "add_square": _add_square},
}
