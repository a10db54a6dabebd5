"""How kernels reach the threads: how many, one launch at a time, safe across fork.

Numba's workqueue layer aborts the process when two threads launch at once, and GNU OpenMP kills
a forked child at its first launch. Both are met here: a launch that finds another one under way,
or that runs in a forked child of an OpenMP process, does all the work on its own thread instead.
The result has the same bits either way.
"""

from __future__ import annotations

import importlib
import operator
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
from numba.core.compiler_lock import global_compiler_lock

# Below this many floating-point operations, waking other threads costs more than it saves.
SERIAL_WORK = 500_000
# How long an idle OpenMP thread looks for work before it sleeps, in GNU OpenMP's own unit: some
# 0.2 milliseconds, enough from one kernel of a training step to the next.
_SPINS = "10000"

_lock = threading.Lock()
_local = threading.local()
_forked_from_openmp = False


def _load_openmp() -> None:
    """Load GNU OpenMP with threads that soon sleep when idle.

    By default they spin, and where another process wants the processor a launch then waits for a
    time slice: 16 ms instead of 0.05, measured. But waking one that sleeps costs 0.04 ms or more.
    It reads its settings only when it is loaded.
    """
    if os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        return
    os.environ["GOMP_SPINCOUNT"] = _SPINS
    try:
        importlib.import_module("numba.np.ufunc.omppool")
    except ImportError:  # this build of Numba has no OpenMP layer
        pass
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _available() -> int:
    """Processors this process may use: affinity and container quota included."""
    limit = int(numba.config.NUMBA_NUM_THREADS)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        limit = min(limit, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup here, or no quota in it
        pass
    return limit


_load_openmp()
_threads = _available()


def set_num_threads(n: int) -> None:
    """Set how many threads the kernels use, in every Python thread of this process.

    The results do not depend on it, to the last bit.

    Parameters
    ----------
    n : int
        At least 1. More than the processors available is allowed, and only slower.

    Raises
    ------
    ValueError
        If ``n`` is not a whole number of at least 1.
    """
    global _threads
    if isinstance(n, bool) or not hasattr(n, "__index__") or operator.index(n) < 1:
        raise ValueError(f"set_num_threads expects a whole number of at least 1, got {n!r}")
    _threads = operator.index(n)


def get_num_threads() -> int:
    """Threads that the kernels use for work that is worth it."""
    return _threads


def workers() -> int:
    """Threads that can be at work at once, however many were asked for."""
    return int(numba.config.NUMBA_NUM_THREADS)


def claim_threads(work: float, most: int) -> int:
    """Number of threads for ``work`` operations; above 1, ``release_threads`` must follow."""
    threads = min(_threads, most, workers())
    if (
        work < SERIAL_WORK
        or threads == 1
        or _forked_from_openmp
        or getattr(_local, "alone", False)
        or not _lock.acquire(blocking=False)
    ):
        return 1
    _mask_threads(threads)
    return threads


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Let what this Python thread launches run on it alone, until the end of the block.

    For small work that somebody waits for: where other processes want the processors, a launch of
    several threads takes until the last of them has its turn.
    """
    before = getattr(_local, "alone", False)
    _local.alone = True
    try:
        yield
    finally:
        _local.alone = before


def release_threads() -> None:
    """Let the next launch have the threads."""
    _lock.release()


def _uses_openmp() -> bool:
    try:
        return bool(numba.threading_layer() == "omp")
    except ValueError:  # no threads have been started yet
        return False


def _mask_threads(threads: int) -> None:
    """Numba's own count is per Python thread; wake no more of its workers than we use."""
    if getattr(_local, "masked", None) != threads:
        numba.set_num_threads(threads)
        _local.masked = threads


def _before_fork() -> None:
    # A child must inherit neither half a launch nor a compilation that nobody will finish.
    _lock.acquire()
    global_compiler_lock._lock.acquire()


def _after_fork_in_parent() -> None:
    global_compiler_lock._lock.release()
    _lock.release()


def _after_fork_in_child() -> None:
    global _forked_from_openmp
    _forked_from_openmp = _uses_openmp()
    _after_fork_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
