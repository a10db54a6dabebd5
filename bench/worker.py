"""A process of its own for each framework, which works only when it is told to.

Thread pools, memory and environment variables of one framework so cannot touch another, and
what one process does can be compared call by call with what the next one does.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
import traceback
from typing import Any

import numpy as np

from bench import memory
from bench.memory import Memory
from bench.roofline import Machine
from bench.shapes import Row

MODULES = {
    "fastlstm": "bench.ours",
    "torch": "bench.peers.torch_peer",
    "onnxruntime": "bench.peers.onnxruntime_peer",
    "jax": "bench.peers.jax_peer",
    "keras": "bench.peers.keras_peer",
}
PEERS = tuple(name for name in MODULES if name != "fastlstm")

# Calls that are shorter are timed in groups, so that reading the clock costs nothing.
SHORTEST_SAMPLE = 200e-6
# Calls whose results are compared before anything is timed.
CHECKED_CALLS = {"forward": 1, "train": 2, "step": 3}


class WorkerError(Exception):
    """What went wrong in the other process."""


class NotInstalledError(Exception):
    """The framework, or a package that it needs, is not there."""


class Worker:
    """The parent's end: starts the process, sends a request, waits for the answer."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, name, threads), daemon=True, name=f"bench-{name}"
        )
        self._process.start()
        other.close()
        try:
            self.version: str = self._ask("prepare", threads)
        except BaseException:
            self.close()
            raise

    def load(self, row: Row, mode: str) -> tuple[float, list[np.ndarray]]:
        """Build the model; seconds of its first call, and the results of the first few."""
        return self._ask("load", row, mode)

    def sample(self, seconds: float) -> list[float]:
        """Work for about that long; seconds a call, once for each sample."""
        return self._ask("sample", seconds)

    def machine(self) -> Machine:
        """What the processor reaches now, of fastlstm's worker only."""
        return self._ask("machine")

    def memory(self, row: Row) -> Memory:
        """Build the model and train a few steps; to be asked of a new process."""
        return self._ask("memory", row)

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()

    def _ask(self, request: str, *args: Any) -> Any:
        try:
            self._connection.send((request, args))
            status, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerError(f"the process of {self.name} ended in {request}") from error
        if status == "missing":
            raise NotInstalledError(answer)
        if status == "error":
            raise WorkerError(answer)
        return answer


class _Server:
    """The other end: one row and mode of one framework at a time."""

    def __init__(self, name: str) -> None:
        self._name = name

    def prepare(self, threads: int) -> str:
        self._threads = threads
        self._module = importlib.import_module(MODULES[self._name])
        return self._module.prepare(threads)

    def load(self, row: Row, mode: str) -> tuple[float, list[np.ndarray]]:
        self._run = None  # the last row's memory goes first
        self._run, to_array = getattr(self._module, mode)(row)
        start = time.perf_counter()
        results = [self._run()]
        first = time.perf_counter() - start
        # Copies: a framework may return the same array again.
        results = [np.array(to_array(results[0]))]
        for _ in range(CHECKED_CALLS[mode] - 1):
            results.append(np.array(to_array(self._run())))
        self._call_seconds = self._time(1)
        return first, results

    def sample(self, seconds: float) -> list[float]:
        calls = max(1, round(SHORTEST_SAMPLE / self._call_seconds))
        self._time(calls)  # other processes had the caches since the last turn
        end = time.perf_counter() + seconds
        samples = [self._time(calls)]
        while time.perf_counter() + samples[-1] * calls < end:
            samples.append(self._time(calls))
        self._call_seconds = sorted(samples)[len(samples) // 2]
        return samples

    def machine(self) -> Machine:
        from bench.bandwidth import bandwidth_gbs
        from bench.peak import peak_gflops
        from bench.roofline import last_level_cache

        cache = last_level_cache()
        return Machine(peak_gflops(self._threads), bandwidth_gbs(self._threads, cache), cache)

    def memory(self, row: Row) -> Memory:
        start = memory.mark()
        self.load(row, "train")
        return memory.since(start)

    def _time(self, calls: int) -> float:
        run = self._run
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls


def _serve(connection: Any, name: str, threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    server = _Server(name)
    while True:
        try:
            request, args = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            connection.send(("done", getattr(server, request)(*args)))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            kind = "error" if package in ("bench", "fastlstm") else "missing"
            connection.send((kind, str(error)))
        except KeyboardInterrupt:
            return
        except Exception:
            connection.send(("error", traceback.format_exc()))
