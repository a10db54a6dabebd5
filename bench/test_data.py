"""An epoch of batches and nothing else, in turn with PyTorch's ``DataLoader``.

PyTorch is fastest on arrays in memory with a data set that takes the numbers of a batch at once,
``__getitems__``, without worker processes; that of its tutorials takes them one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.beside import torch_or_skip
from bench.measure import measure_in_turn
from fastlstm.data import Dataset

STEPS, FEATURES, BATCH = 20_000, 8, 64
LENGTH, HORIZON = 96, 24
SEQUENCES, LONGEST = 4_000, 100

KINDS = ["windows", "windows, shuffled", "arrays, shuffled", "buckets", "unequal lengths"]


def _arrays(kind: str) -> Any:
    rng = np.random.default_rng(0)
    if kind.startswith("windows"):
        return rng.standard_normal((STEPS, FEATURES), dtype=np.float32)
    if kind.startswith("arrays"):
        return rng.standard_normal((SEQUENCES, LENGTH, FEATURES), dtype=np.float32)
    lengths = rng.integers(5, LONGEST, SEQUENCES)
    return [rng.standard_normal((length, FEATURES), dtype=np.float32) for length in lengths]


def _ours(kind: str) -> Dataset:
    x = _arrays(kind)
    shuffle = kind != "windows"
    if kind.startswith("windows"):
        options = {"sequence_length": LENGTH, "horizon": HORIZON, "batch_size": BATCH}
        return Dataset.windows(x, shuffle=shuffle, **options)
    y = np.arange(SEQUENCES)
    if kind.startswith("arrays"):
        return Dataset(x, y, shuffle=True, batch_size=BATCH)
    bucket = kind == "buckets"
    return Dataset.sequences(x, y, shuffle=True, bucket_by_length=bucket, batch_size=BATCH)


def _theirs(torch: Any, kind: str) -> dict[str, Any]:
    """Loaders: each takes the numbers of a batch at once, or one by one."""
    data = torch.utils.data
    x = _arrays(kind)

    class Windows(data.Dataset):
        series = torch.from_numpy(x) if kind.startswith("windows") else None

        def __len__(self) -> int:
            return STEPS - LENGTH - HORIZON + 1

        def __getitem__(self, n: int) -> Any:
            return self.series[n : n + LENGTH], self.series[n + LENGTH : n + LENGTH + HORIZON]

    class Together(Windows):
        def __getitems__(self, numbers: list[int]) -> Any:
            views = self.series.unfold(0, LENGTH + HORIZON, 1).mT
            both = views[torch.tensor(numbers)]
            return both[:, :LENGTH], both[:, LENGTH:]

    class Rows(data.Dataset):
        y = torch.arange(SEQUENCES)

        def __init__(self, parts: Any) -> None:
            self.parts = parts

        def __len__(self) -> int:
            return SEQUENCES

        def __getitem__(self, n: int) -> Any:
            return self.parts[n], self.y[n]

    class RowsTogether(Rows):
        def __getitems__(self, numbers: list[int]) -> Any:
            index = torch.tensor(numbers)
            return self.parts[index], self.y[index]

    def padded(pairs: list[Any]) -> Any:
        parts, y = zip(*pairs, strict=True)
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True), torch.stack(y)

    loader, shuffle = data.DataLoader, kind != "windows"
    if kind.startswith("windows"):
        together = loader(Together(), BATCH, shuffle, collate_fn=lambda batch: batch)
        return {"pytorch_together": together, "pytorch": loader(Windows(), BATCH, shuffle)}
    if kind.startswith("arrays"):
        whole = torch.from_numpy(x)
        together = loader(RowsTogether(whole), BATCH, True, collate_fn=lambda batch: batch)
        return {"pytorch_together": together, "pytorch": loader(Rows(whole), BATCH, True)}
    sequences = Rows([torch.from_numpy(part) for part in x])
    if kind == "unequal lengths":
        return {"pytorch": loader(sequences, BATCH, True, collate_fn=padded)}
    order = np.argsort([len(part) for part in x], kind="stable").tolist()
    batches = [order[n : n + BATCH] for n in range(0, SEQUENCES, BATCH)]
    return {"pytorch": loader(sequences, batch_sampler=batches, collate_fn=padded)}


def _epoch(batches: Any) -> Callable[[], int]:
    def run() -> int:
        return sum(len(x) for x, _ in batches)

    return run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="an epoch of batches")
def test_epoch(benchmark: Any, kind: str) -> None:
    run = _epoch(_ours(kind))
    count = STEPS - LENGTH - HORIZON + 1 if kind.startswith("windows") else SEQUENCES
    assert run() == count
    peers: dict[str, Callable[[], Any]] = {}
    if not benchmark.disabled:
        peers = {name: _epoch(it) for name, it in _theirs(torch_or_skip(), kind).items()}
        assert {peer() for peer in peers.values()} == {count}
    measure_in_turn(benchmark, run, **peers)
