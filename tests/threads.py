"""A claim of threads that is always given back."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastlstm.kernels.parallel import claim_threads, release_threads


@contextmanager
def claimed(work: float) -> Iterator[int]:
    """Number of threads that a launch of so much work gets."""
    threads = claim_threads(work, 8)
    try:
        yield threads
    finally:
        if threads > 1:
            release_threads()
