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

from fastlstm.available import available_memory

_ALIGNMENT = 64
# Bytes for which it is not worth to ask the system what is left: that takes up to a millisecond.
_SMALL = 1 << 20
_ADVICE = (
    "take a smaller batch_size or shorter sequences, or train with fit(..., bptt='checkpoint'). "
    "model.memory_report(batch, time) tells the bytes before anything is run"
)

T = TypeVar("T")


class Plan:
    """Hands out arrays: of the right shape with nothing behind them, or views of a block."""

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
            return stand_in(shape, dtype)
        count = math.prod(shape) * np.dtype(dtype).itemsize
        return self._block[at : at + count].view(dtype).reshape(shape)


class Arena:
    """The block that the plans of one model share; it grows to the largest of them."""

    def __init__(self) -> None:
        self._block = aligned((0,), np.uint8)

    @property
    def nbytes(self) -> int:
        """Size of the block."""
        return self._block.nbytes

    def lay_out(self, build: Callable[[Plan], T], release: Callable[[], object] | None = None) -> T:
        """Call ``build`` with a measuring plan, then with a placing one; return what that made.

        Where the block must grow, what was laid out in it is lost: ``release`` is called first,
        to let go of everything that holds a view of it.

        Raises
        ------
        MemoryError
            If there is no room for it; nothing has been allocated then.
        """
        measured = Plan()
        build(measured)
        if measured.total_bytes > self._block.nbytes:
            if release is not None:
                release()
            self._block = aligned((0,), np.uint8)  # let the old one go first
            check_room(measured.total_bytes, "activations and scratch", _ADVICE)
            self._block = aligned((measured.total_bytes,), np.uint8)
        return build(Plan(self._block, measured.kept_bytes))


def check_room(needed: int, what: str, advice: str) -> None:
    """A ``MemoryError`` that says what to do, unless so many bytes are left.

    Without this, Linux grants the memory and kills the process when it is used.
    """
    room = available_memory() if needed > _SMALL else None
    if room is not None and needed > room:
        raise MemoryError(
            f"{what} need {megabytes(needed)}, and {megabytes(room)} are available to this "
            f"process; {advice}"
        )


def megabytes(count: int) -> str:
    """A number of bytes for people to read."""
    return f"{count / 1e6:,.1f} MB"


def stand_in(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array of any shape, all of whose elements are one."""
    return np.ndarray(shape, dtype, np.empty(1, dtype), strides=(0,) * len(shape))


def _rounded(shape: tuple[int, ...], dtype: np.dtype | type) -> int:
    count = math.prod(shape) * np.dtype(dtype).itemsize
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def aligned(
    shape: tuple[int, ...], dtype: np.dtype | type, make: Callable[..., np.ndarray] = np.empty
) -> np.ndarray:
    """An array as ``make`` makes it, but that starts with a cache line.

    NumPy's own start 16 bytes into one: every second vector would be read from two lines.
    """
    count = math.prod(shape) * np.dtype(dtype).itemsize
    raw = make(count + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + count].view(dtype).reshape(shape)
