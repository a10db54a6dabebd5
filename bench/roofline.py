"""The least time that a row can take on a machine: its arithmetic, or what it must fetch and store.

A call whose working set fits the last-level cache is bound by its arithmetic alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench.shapes import Row

FLOAT = 4
# Floats saved for the way back, for each unit and step: four gates, c and h.
SAVED = 6
# Where the system does not tell.
USUAL_CACHE = 32 << 20


class Machine(NamedTuple):
    """What the processor and its memory reach, all threads together."""

    peak_gflops: float
    bandwidth_gbs: float
    cache_bytes: int

    def attainable_seconds(self, flops: float, transferred: float) -> float:
        """The longer one of computing and transferring, which can go on at the same time."""
        return max(flops / self.peak_gflops, transferred / self.bandwidth_gbs) / 1e9


def compulsory_bytes(row: Row, mode: str, cache: int) -> float:
    """Bytes between memory and processor in one call that computes nothing twice.

    - The batch is read once, parameters too: of an embedding only the rows that are met.
    - A training step moves parameters eight times: it reads and writes them, their gradients and
      both of Adam's moments. Adam moves every row of an embedding.
    - What a layer hands on, or saves for the way back, is written and read once. Models run one
      after the other in the same space.

    Of all this, the share that no cache of that size can keep from call to call is transferred.

    Parameters
    ----------
    row : Row
        Model and batch.
    mode : str
        ``"forward"``, ``"train"`` or ``"step"``.
    cache : int
        Bytes of the last-level cache.
    """
    train = mode == "train"
    batch = FLOAT * row.models * row.batch * row.steps * (1 if row.vocabulary else row.features)
    parameters = FLOAT * row.models * _parameters(row, train)
    handed_on = FLOAT * _handed_on(row, train)
    working_set = batch + parameters * (4 if train else 1) + handed_on
    if working_set <= cache:
        return 0.0
    moved = batch + parameters * (8 if train else 1) + handed_on * row.models * 2
    return moved * (1 - cache / working_set)


def _parameters(row: Row, train: bool) -> int:
    met = row.vocabulary if train else min(row.vocabulary, row.batch * row.steps)
    total, depth = met * row.features, row.features
    for units in row.units:
        total += (depth + units + 1) * 4 * units
        depth = units
    return total + (depth + 1) * row.outputs


def _handed_on(row: Row, train: bool) -> int:
    """Numbers between the layers of one model; to train, what they save as well."""
    if train:
        each_step = SAVED * sum(row.units)
    else:
        each_step = sum(row.units if row.every_step else row.units[:-1])
    outputs = row.outputs * (row.steps if row.every_step else 1)
    return row.batch * (row.steps * each_step + outputs)


def last_level_cache() -> int:
    """Bytes of the largest cache of the first processor."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    found = [size.read_text().strip() for size in sizes]
    units = {"K": 1 << 10, "M": 1 << 20}
    return max((int(text[:-1]) * units[text[-1]] for text in found), default=USUAL_CACHE)
