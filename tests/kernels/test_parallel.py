"""Launches from threads and forked processes, under each of Numba's threading layers."""

from __future__ import annotations

import os
import sys
import threading

import numba
import numpy as np
import pytest

import fastlstm
from fastlstm.kernels import parallel
from fastlstm.kernels.parallel import get_num_threads, set_num_threads
from tests.marks import needs_jit
from tests.process import run_python
from tests.threads import claimed

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# What the processes below share: one kernel that is launched on two threads, and its result.
LAUNCH = """
import os, sys, threading, warnings
import numpy as np
from fastlstm.kernels import embedding
from fastlstm.kernels.parallel import set_num_threads
from tests.threads import claimed

set_num_threads(2)
table = np.arange(12, dtype=np.float32).reshape(4, 3)
ids = np.array([3, 1, 2, 3, 0, 1], np.int32)

def launch():
    out = np.zeros((6, 3), np.float32)
    embedding.look_up(out, ids, table, work=1e9)
    assert (out == table[ids]).all()

def wait_for(child):
    _, status = os.waitpid(child, 0)
    assert status == 0, f"child ended with {status}"

def fork(function):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's own, about forking with threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return child
"""


def _layers():
    """The threading layers that work here."""
    if sys.platform.startswith("linux"):
        return ["workqueue", "omp"]
    return ["workqueue"]


@needs_jit
@pytest.mark.parametrize("layer", _layers())
def test_many_python_threads_launch_at_once(layer):
    """Numba's workqueue aborts the process on its own."""
    run_python(
        LAUNCH
        + """
launch()
workers = [threading.Thread(target=lambda: [launch() for _ in range(200)]) for _ in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
""",
        NUMBA_THREADING_LAYER=layer,
    )


@needs_jit
@needs_fork
@pytest.mark.parametrize("layer", _layers())
def test_fork_after_use(layer):
    """GNU OpenMP kills the child at its first launch on its own; grandchildren as well."""
    run_python(
        LAUNCH
        + """
launch()
def child():
    launch()
    wait_for(fork(launch))
for _ in range(3):
    wait_for(fork(child))
launch()
""",
        NUMBA_THREADING_LAYER=layer,
    )


@needs_jit
@needs_fork
@pytest.mark.parametrize("layer", _layers())
def test_fork_before_use(layer):
    """The child may use all threads: nothing has been started yet."""
    run_python(
        LAUNCH
        + """
def child():
    launch()
    launch()
    with claimed(1e9) as threads:
        assert threads == 2
wait_for(fork(child))
launch()
""",
        NUMBA_THREADING_LAYER=layer,
    )


@needs_jit
@needs_fork
def test_fork_after_somebody_else_used_openmp():
    run_python(
        LAUNCH
        + """
import numba
@numba.njit(parallel=True)
def theirs(x):
    for i in numba.prange(len(x)):
        x[i] += 1
theirs(np.zeros(100))
wait_for(fork(launch))
""",
    )


@needs_jit
@needs_fork
@pytest.mark.parametrize("layer", _layers())
def test_fork_while_another_thread_launches(layer, tmp_path):
    """The child must not inherit a launch, or a compilation, that nobody will finish."""
    run_python(
        LAUNCH
        + """
launch()
stop = threading.Event()
def work():
    while not stop.is_set():
        launch()
worker = threading.Thread(target=work)
worker.start()
for _ in range(10):
    wait_for(fork(launch))
stop.set()
worker.join()
""",
        NUMBA_THREADING_LAYER=layer,
        NUMBA_CACHE_DIR=str(tmp_path),  # a cold one
    )


def test_small_work_stays_on_one_thread():
    set_num_threads(3)
    with claimed(parallel.SERIAL_WORK - 1) as threads:
        assert threads == 1
    with claimed(parallel.SERIAL_WORK) as threads:
        assert threads == min(3, parallel.workers())
    set_num_threads(1)
    with claimed(1e12) as threads:
        assert threads == 1


def test_a_launch_under_way_leaves_others_on_one_thread():
    set_num_threads(2)
    with claimed(1e12) as first:
        with claimed(1e12) as second:
            assert (first, second) == (2, 1)
        with claimed(1e12) as third:
            assert third == 1
    with claimed(1e12) as again:
        assert again == 2


def test_an_error_gives_the_threads_back():
    set_num_threads(2)
    with pytest.raises(KeyboardInterrupt), claimed(1e12):
        raise KeyboardInterrupt
    with claimed(1e12) as threads:
        assert threads == 2


def test_no_more_workers_are_woken_than_are_used():
    set_num_threads(1 + int(numba.config.NUMBA_NUM_THREADS))  # more than there are
    with claimed(1e12):
        assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
    if numba.config.NUMBA_NUM_THREADS > 2:
        set_num_threads(2)
        with claimed(1e12):
            assert numba.get_num_threads() == 2


def test_a_python_thread_may_keep_to_itself():
    set_num_threads(2)
    found = {}

    def elsewhere():
        with claimed(1e12) as threads:
            found["elsewhere"] = threads

    with parallel.on_one_thread():
        with parallel.on_one_thread(), claimed(1e12) as threads:
            assert threads == 1
        with claimed(1e12) as threads:
            assert threads == 1
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert found == {"elsewhere": 2}
    with claimed(1e12) as threads:
        assert threads == 2


def test_set_and_get():
    for n in (1, 2, 7):
        fastlstm.set_num_threads(n)
        assert fastlstm.get_num_threads() == n == get_num_threads()


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None, True])
def test_a_wrong_number_of_threads(n):
    set_num_threads(2)
    with pytest.raises(ValueError, match="whole number of at least 1, got") as caught:
        set_num_threads(n)
    assert repr(n) in str(caught.value)
    assert get_num_threads() == 2


def test_a_numpy_integer_is_a_number_of_threads():
    set_num_threads(np.int64(2))
    assert get_num_threads() == 2


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        ("max 100000", 64),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("", 64),
        (None, 64),
    ],
)
def test_a_container_quota_limits_the_threads(content, limit, monkeypatch):
    def read_text(path):
        if content is None:
            raise FileNotFoundError(path)
        return content

    monkeypatch.setattr(parallel.Path, "read_text", read_text)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 64)
    assert parallel._available() == limit
