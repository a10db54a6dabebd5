"""The two decorators that every kernel goes through: one compile policy for all of them.

``kernel`` marks an entry point that Python calls: parallel, cached on disk, GIL released.
``inline`` marks a piece that kernels are built from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from fastlstm.kernels.cache import KernelCache
from fastlstm.kernels.parallel import claim_threads, release_threads

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

_OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy"}
INLINE = {"forceinline": True, **_OPTIONS}


class Kernel:
    """An entry point that Python calls, in two compiled versions: serial and parallel.

    The function's last argument is the number of threads to share the work between; its bits
    must not depend on it. Each version is compiled when it is first needed.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.serial = _cached(numba.njit(nogil=True, **_OPTIONS)(function), function, "serial")
        self.parallel = _cached(
            numba.njit(nogil=True, parallel=_PRANGE_ONLY, **_OPTIONS)(function),
            function,
            "parallel",
        )

    def __call__(self, *args: Any, work: float = 0.0, most: int | None = None) -> Any:
        """Run on as many threads as ``work`` floating-point operations deserve.

        ``most`` bounds their number where scratch memory was laid out for that many.
        """
        threads = 1
        try:
            threads = claim_threads(work, most)
            version = self.serial if threads == 1 else self.parallel
            return version(*args, threads)
        finally:
            if threads > 1:
                release_threads()


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make an entry point; ``prange`` in it runs in parallel."""
    return Kernel(function)


def body(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile what one thread does: called by a kernel, never by Python."""
    return numba.njit(nogil=True, **_OPTIONS)(function)


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a piece that disappears into its caller."""
    return numba.njit(nogil=True, **INLINE)(function)


def _cached(compiled: Any, function: Callable[..., Any], variant: str) -> Any:
    if hasattr(compiled, "_cache"):  # a plain function when the JIT is disabled
        compiled._cache = KernelCache(function, variant)
    return compiled
