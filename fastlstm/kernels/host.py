"""What the host's vector unit offers: register length, register count, fused multiply-add."""

from __future__ import annotations

import platform
from typing import NamedTuple

import llvmlite.binding as llvm
import numba

# Rows of a tile whose addresses x86 has registers for, beside counters and the panel.
_MOST_ADDRESSES = 7


class Host(NamedTuple):
    """Vector unit that the kernels are generated for."""

    vector_bytes: int
    registers: int
    fma: bool
    x86: bool

    def lanes(self, bits: int) -> int:
        """Elements of ``bits`` bits in one vector register."""
        return self.vector_bytes * 8 // bits

    @property
    def masks(self) -> bool:
        """Whether it moves some lanes of a vector alone."""
        return self.vector_bytes >= 32

    @property
    def fetches_ahead(self) -> bool:
        """Whether a tile has loads to spare for what it does not read yet."""
        return self.vector_bytes == 64

    def tile_rows(self, vectors: int) -> int:
        """Rows of a register tile that is ``vectors`` wide.

        A tile needs rows * vectors accumulators. Sixteen registers leave room for one weight
        vector and a broadcast per row; thirty-two for all weight vectors and one broadcast. Each
        row also has an address, for which x86 has few registers: 9 rows by 3 vectors took 1.6 times
        as long for an element as 7.
        """
        if self.registers >= 32:
            rows = max(1, (self.registers - 1 - vectors) // vectors)
            return min(rows, _MOST_ADDRESSES) if self.x86 else rows
        return max(1, (self.registers - 1) // (vectors + 1))


def detect() -> Host:
    """Read the features that Numba compiles for (its environment variables included)."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return Host(vector_bytes=16, registers=32, fma=True, x86=False)
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    features = _features()
    if x86 and "avx512f" in features:
        return Host(vector_bytes=64, registers=32, fma=True, x86=True)
    if x86 and "avx2" in features:
        return Host(vector_bytes=32, registers=16, fma="fma" in features, x86=True)
    return Host(vector_bytes=16, registers=16, fma=False, x86=x86)


def _features() -> set[str]:
    listed = numba.config.CPU_FEATURES
    if listed is None:
        if numba.config.CPU_NAME:  # a named processor without a list: assume the least
            return set()
        return {name for name, present in llvm.get_host_cpu_features().items() if present}
    return {name[1:] for name in listed.split(",") if name.startswith("+")}


HOST = detect()
