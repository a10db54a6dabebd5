"""Resident memory of this process, as Linux tells it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

STATUS = Path("/proc/self/status")
# Writing 5 there makes the highest value so far the present one.
FORGET_PEAK = Path("/proc/self/clear_refs")


class Memory(NamedTuple):
    """Bytes at the peak: what was added since the mark, and the whole process."""

    added: int
    total: int


def mark() -> int:
    """Bytes resident now, from where on the peak counts."""
    FORGET_PEAK.write_text("5")
    return _bytes("VmRSS")


def since(start: int) -> Memory:
    """The peak since ``mark``, which returned ``start``."""
    peak = _bytes("VmHWM")
    return Memory(peak - start, peak)


def _bytes(name: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise OSError(f"{STATUS} does not tell {name}")
