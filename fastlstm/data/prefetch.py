"""Batches made ready in a thread while the model works on earlier ones."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """An iterator over make(first), ..., make(last - 1), made ahead of time, in order.

    The thread ends with the last item, with the first error, which is raised where its item would
    have come, and when the iterator is closed or nobody holds it any longer. A forked process,
    where the thread is not, starts one of its own at the next item.

    Parameters
    ----------
    make : callable
        ``make(number)`` is called in the thread.
    first, last : int
        Numbers to make, the last one not included.
    depth : int
        Items that may be ready and not taken yet.
    """

    def __init__(self, make: Callable[[int], T], first: int, last: int, depth: int) -> None:
        self._make, self._next, self._last, self._depth = make, first, last, depth
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        # The thread knows the shelf alone, so that the iterator can be collected.
        self._shelf: _Shelf[T] = _Shelf(self._depth)
        args = (self._shelf, self._make, self._next, self._last)
        self._thread = threading.Thread(
            target=_work, args=args, name="fastlstm-prefetch", daemon=True
        )
        self._finalizer = weakref.finalize(self, _stop, self._shelf, self._process)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._next >= self._last:
            raise StopIteration
        if self._process != os.getpid():
            self._finalizer.detach()
            self._start()
        try:
            item = self._shelf.take()
        except BaseException:
            self.close()
            raise
        self._next += 1
        if self._next == self._last:
            self.close()
        return item

    def close(self) -> None:
        """End the thread, and wait until it has ended; nothing more comes out."""
        self._next = self._last
        if self._process == os.getpid():
            self._finalizer()
            if self._thread is not threading.current_thread():
                self._thread.join()


class _Shelf(Generic[T]):
    """What lies ready, between the two threads."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._ready: deque[tuple[T | None, BaseException | None]] = deque()
        self._changed = threading.Condition()
        self._stopped = False

    def put(self, item: T | None, error: BaseException | None = None) -> bool:
        """Add an item as soon as there is room; False if nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._ready) < self._depth)
            if not self._stopped:
                self._ready.append((item, error))
                self._changed.notify_all()
            return not self._stopped

    def take(self) -> T:
        """Take the next item as soon as it is there, or raise its error."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or bool(self._ready))
            if not self._ready:
                raise RuntimeError("the batches were closed while one of them was waited for")
            item, error = self._ready.popleft()
            self._changed.notify_all()
        if error is not None:
            raise error
        return item  # type: ignore[return-value]

    def stop(self) -> None:
        """Let both threads go."""
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()


def _stop(shelf: _Shelf[T], process: int) -> None:
    if process == os.getpid():  # or else a thread that is not here may hold its lock
        shelf.stop()


def _work(shelf: _Shelf[T], make: Callable[[int], T], first: int, last: int) -> None:
    for number in range(first, last):
        try:
            item = make(number)
        except BaseException as error:  # the caller's, with its traceback
            shelf.put(None, error)
            return
        if not shelf.put(item):
            return
