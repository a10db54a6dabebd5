"""One compile policy for everything that becomes machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from fastlstm.kernels.cache import KernelCache

# NaN and infinities must stay visible and every element must get the same bits wherever it
# stands in a vector, so no nnan, ninf, reassoc, arcp or afn: see ``simd`` for explicit sums.
FASTMATH = {"nsz", "contract"}

# Only an explicit prange is parallel: array expressions never launch threads behind our back.
_PRANGE_ONLY = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}

_OPTIONS = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy"}
INLINE = {"forceinline": True, "fastmath": FASTMATH, "error_model": "numpy"}


def body(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that others call."""
    return numba.njit(**_OPTIONS)(function)


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a piece that disappears into its caller."""
    # In Numba's own representation, so that it is compiled once, with its caller. LLVM's way alone
    # would compile each piece by itself first.
    return numba.njit(nogil=True, inline="always", **INLINE)(function)


def cached(function: Callable[..., Any], cache: KernelCache, *, parallel: bool = False) -> Any:
    """Compile what Python calls, or takes the address of; ``cache`` keeps it on disk.

    ``parallel`` says whether its ``prange`` launches threads.
    """
    compiled = numba.njit(parallel=_PRANGE_ONLY if parallel else False, **_OPTIONS)(function)
    if hasattr(compiled, "_cache"):  # a plain function when the JIT is disabled
        compiled._cache = cache
    return compiled
