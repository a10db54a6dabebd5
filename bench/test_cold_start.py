"""What a new process waits for: the import, and its first fit with an empty and a warm cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import json, time
start = time.perf_counter()
import numpy
numpy_ready = time.perf_counter()
import fastlstm
ready = time.perf_counter()
seconds = {"numpy": numpy_ready - start, "import": ready - numpy_ready}
if FIT:
    from fastlstm.layers import LSTM, Dense, Input
    from fastlstm.models import Sequential
    model = Sequential([Input((24, 1)), LSTM(32), Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    x = numpy.random.default_rng(0).standard_normal((320, 24, 1)).astype("float32")
    model.fit(x, x[:, -1], epochs=1, verbose=0)
    seconds["fit"] = time.perf_counter() - ready
print(json.dumps(seconds))
"""


def start_process(cache: Path, fit: bool) -> dict[str, float]:
    """Run the script in a new process; seconds of its parts."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("FIT", str(fit))],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.benchmark(group="cold start, whole process")
def test_import(benchmark: Any, cache: Path) -> None:
    seconds = benchmark.pedantic(start_process, (cache, False), rounds=5)
    benchmark.extra_info.update(seconds)


@pytest.mark.benchmark(group="cold start, whole process")
def test_first_fit_with_empty_cache(benchmark: Any, cache: Path) -> None:
    assert not any(cache.rglob("*.bin"))
    seconds = benchmark.pedantic(start_process, (cache, True), rounds=1)
    benchmark.extra_info.update(seconds)
    assert any(cache.rglob("*.bin"))


@pytest.mark.benchmark(group="cold start, whole process")
def test_first_fit_with_warm_cache(benchmark: Any, cache: Path) -> None:
    if not any(cache.rglob("*.bin")):
        start_process(cache, True)
    seconds = benchmark.pedantic(start_process, (cache, True), rounds=3)
    benchmark.extra_info.update(seconds)
