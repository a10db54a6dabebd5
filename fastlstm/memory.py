"""One block of memory for all activations and scratch of a computation, planned before it runs.

A computation is laid out twice by the same code: first with a measuring ``Plan``, which only adds
up bytes, then with a placing one, which hands out views of the block. After that it runs in place
and allocates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np

_ALIGNMENT = 64

T = TypeVar("T")


class Plan:
    """Hands out arrays: untouched virtual memory while measuring, views of a block afterwards."""

    def __init__(self, block: np.ndarray | None = None, scratch_at: int = 0) -> None:
        self._block = block
        self._scratch_at = scratch_at
        self.kept_bytes = 0
        self.scratch_bytes = 0

    @property
    def total_bytes(self) -> int:
        """Bytes that everything laid out so far needs."""
        return self.kept_bytes + self.scratch_bytes

    def array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """An uninitialised array that keeps its contents for the whole computation."""
        at = self.kept_bytes
        self.kept_bytes += _rounded(shape, dtype)
        return self._view(at, shape, dtype)

    def scratch(self, *requests: tuple[tuple[int, ...], np.dtype | type]) -> list[np.ndarray]:
        """Arrays for one kernel call: whatever asks next gets the same memory."""
        at, views = self._scratch_at, []
        for shape, dtype in requests:
            views.append(self._view(at, shape, dtype))
            at += _rounded(shape, dtype)
        self.scratch_bytes = max(self.scratch_bytes, at - self._scratch_at)
        return views

    def _view(self, at: int, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        if self._block is None:
            return np.empty(shape, dtype)
        count = math.prod(shape) * np.dtype(dtype).itemsize
        return self._block[at : at + count].view(dtype).reshape(shape)


class Arena:
    """The block that the plans of one model share; it grows to the largest of them."""

    def __init__(self) -> None:
        self._block = _aligned(0)

    @property
    def nbytes(self) -> int:
        """Size of the block."""
        return self._block.nbytes

    def lay_out(self, build: Callable[[Plan], T]) -> tuple[T, bool]:
        """Call ``build`` with a measuring plan, then with a placing one.

        Returns what the second call returned, and whether the block moved: if so, everything
        that was laid out in it before must be laid out again.
        """
        measured = Plan()
        build(measured)
        moved = measured.total_bytes > self._block.nbytes
        if moved:
            self._block = _aligned(0)  # let the old one go first
            self._block = _aligned(measured.total_bytes)
        return build(Plan(self._block, measured.kept_bytes)), moved


def _rounded(shape: tuple[int, ...], dtype: np.dtype | type) -> int:
    count = math.prod(shape) * np.dtype(dtype).itemsize
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def _aligned(count: int) -> np.ndarray:
    raw = np.empty(count + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + count]
