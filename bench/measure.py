"""Rounds for pytest-benchmark: many of what is quick, few of what is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Per benchmark, after a first call that may compile.
SECONDS = 1.0
FEWEST_ROUNDS = 3
MOST_ROUNDS = 200
# Shorter calls are timed in groups, so that reading the clock costs nothing.
SHORTEST_ROUND = 200e-6


def measure(benchmark: Any, run: Callable[[], Any], flops: float) -> None:
    """Time ``run``, which does ``flops`` floating-point operations."""
    if benchmark.disabled:
        benchmark(run)
        return
    run()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    calls = max(1, round(SHORTEST_ROUND / seconds))
    rounds = int(SECONDS / (seconds * calls))
    rounds = min(max(rounds, FEWEST_ROUNDS), MOST_ROUNDS)
    benchmark.pedantic(run, rounds=rounds, iterations=calls, warmup_rounds=1)
    benchmark.extra_info["gflops"] = flops / benchmark.stats.stats.median / 1e9


def measure_in_turn(benchmark: Any, run: Callable[[], Any], **others: Callable[[], Any]) -> None:
    """Time ``run`` in turn with what it is compared with.

    ``extra_info`` gets of each how many times as long it takes, by the fastest rounds.
    """
    if benchmark.disabled:
        benchmark(run)
        return
    fastest = dict.fromkeys(others, float("inf"))

    def take_turns() -> None:
        for name, other in others.items():
            start = time.perf_counter()
            other()
            fastest[name] = min(fastest[name], time.perf_counter() - start)

    take_turns()
    start = time.perf_counter()
    run()
    take_turns()
    rounds = int(2 * SECONDS / (time.perf_counter() - start))
    rounds = min(max(rounds, FEWEST_ROUNDS), MOST_ROUNDS)
    benchmark.pedantic(run, setup=take_turns, rounds=rounds, warmup_rounds=1)
    for name, seconds in fastest.items():
        ratio = seconds / benchmark.stats.stats.min
        benchmark.extra_info[f"{name}_over_this"] = ratio
        print(f"\n{benchmark.name}: {name} takes {ratio:.2f} times as long")
