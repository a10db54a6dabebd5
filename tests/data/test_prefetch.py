"""Batches made in a thread: in order, no more than asked for, and no thread left behind."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
import traceback

import numpy as np
import pytest

from fastlstm.data import Dataset
from fastlstm.data.prefetch import Prefetch
from tests.process import run_python


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "fastlstm-prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    deadline = time.monotonic() + 10.0
    while _threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _threads()


@pytest.mark.parametrize("depth", [1, 3, 50])
def test_items_come_in_order_from_another_thread(depth):
    seen = set()

    def make(number):
        seen.add(threading.current_thread().name)
        return number * number

    assert list(Prefetch(make, 2, 20, depth)) == [n * n for n in range(2, 20)]
    assert seen == {"fastlstm-prefetch"}
    assert list(Prefetch(make, 5, 5, depth)) == []


@pytest.mark.parametrize("depth", [1, 4])
def test_no_more_is_made_than_has_room(depth):
    made = []
    items = Prefetch(lambda number: made.append(number), 0, 100, depth)
    for taken in range(1, 4):
        next(items)
        # One more is held by the thread, which waits for room.
        deadline = time.monotonic() + 10.0
        while len(made) < taken + depth + 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(made) == taken + depth + 1
    items.close()
    assert list(items) == []


class OurError(Exception):
    """Raised in the thread."""


def test_an_error_comes_in_its_place_with_its_traceback():
    def make_the_bad_one(number):
        raise OurError(f"of item {number}")

    def make(number):
        return make_the_bad_one(number) if number == 3 else number

    items = Prefetch(make, 0, 9, 2)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OurError, match="of item 3") as error:
        next(items)
    assert "make_the_bad_one" in "".join(traceback.format_tb(error.value.__traceback__))
    assert list(items) == []


@pytest.mark.parametrize("how", ["close", "collect", "leave"])
def test_the_thread_ends_with_the_one_who_asked(how):
    dataset = Dataset(np.arange(1000), batch_size=2, prefetch=3)
    if how == "leave":
        for _ in dataset:
            assert len(_threads()) == 1
            break
        gc.collect()
        return
    items = Prefetch(lambda number: number, 0, 1000, 2)
    next(items)
    assert len(_threads()) == 1
    if how == "close":
        items.close()
        assert not _threads()
    del items
    gc.collect()


def test_what_waits_is_let_go_when_another_thread_closes():
    gate = threading.Event()

    def make(number):
        gate.wait(10.0)
        return number

    items = Prefetch(make, 0, 9, 1)
    closer = threading.Timer(0.05, lambda: (items._shelf.stop(), gate.set()))
    closer.start()
    with pytest.raises(RuntimeError, match="were closed while one of them was waited for"):
        next(items)
    closer.join()


def test_a_data_set_gives_the_same_with_and_without_a_thread():
    x = np.arange(100)
    options = {"batch_size": 7, "shuffle": True, "seed": 4}
    plain, ahead = Dataset(x, **options), Dataset(x, **options, prefetch=3)
    for _ in range(2):
        for expected, got in zip(plain, ahead, strict=True):
            np.testing.assert_array_equal(got, expected)
            # What lies ready has not been taken.
            assert ahead.state() == plain.state()
    assert pickle.loads(pickle.dumps(ahead)).state() == ahead.state()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_process_goes_on_by_itself(busy):
    """Whatever the thread was doing then: waiting for room, or holding the lock."""
    printed = run_python(
        f"""
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside a thread
        from fastlstm.data.prefetch import Prefetch
        items = Prefetch(lambda number: number, 0, 9, 2)
        first = [next(items) for _ in range(3)]
        if {busy}:
            items._shelf._changed.acquire()
        child = os.fork()
        if child == 0:
            print(first + list(items), flush=True)
            items.close()
            os._exit(0)
        if {busy}:
            items._shelf._changed.release()
        assert os.waitpid(child, 0)[1] == 0
        print(first + list(items))
        """
    )
    assert printed.splitlines() == [str(list(range(9)))] * 2
