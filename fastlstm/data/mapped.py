"""Arrays in files: how the system is to read ahead."""

from __future__ import annotations

import mmap
from typing import Any

import numpy.typing as npt

# Bytes of a row up to which reading on behind it, in the middle of random ones, is a waste.
_SHORT = 2**16


def advise(array: npt.NDArray[Any], scattered: bool) -> None:
    """Say whether rows of an array, if that is in a file, are going to be read here and there.

    The system reads far ahead otherwise, which for short rows in random order costs a hundred times
    what they do. Nothing but speed depends on it.
    """
    file: Any = array
    while file is not None and not isinstance(file, mmap.mmap):
        file = getattr(file, "base", None)
    if file is None or not hasattr(file, "madvise") or not hasattr(mmap, "MADV_RANDOM"):
        return
    short = array.nbytes <= _SHORT * len(array)
    file.madvise(mmap.MADV_RANDOM if scattered and short else mmap.MADV_NORMAL)
