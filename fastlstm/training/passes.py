"""What ``fit`` takes in the place of arrays, told apart by what it can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from fastlstm.data.batch import Batch, as_batch
from fastlstm.data.dataset import Dataset
from fastlstm.data.prefetch import Prefetch
from fastlstm.data.samples import Samples
from fastlstm.randomness import rng
from fastlstm.training.data import Batches


class Passes(Protocol):
    """Batches that can be gone over, once or many times."""

    # What the user would call it.
    name: str
    # Whether a new pass has all batches again.
    starts_over: bool

    @property
    def samples(self) -> int | None:
        """Samples in a pass, where that is known."""

    @property
    def batches(self) -> int | None:
        """Batches in a pass, where that is known."""

    def begin(self) -> Iterator[Batch]:
        """Start a new pass, or go on where there is only one."""

    def seek(self, epoch: int, steps: int | None) -> None:
        """Prepare for an epoch of a run, which may be another process's, of so many steps."""

    def where(self, number: int) -> str:
        """Words for where a sample is."""

    def on_epoch_begin(self) -> None:
        """Before the first batch of an epoch."""

    def on_epoch_end(self) -> None:
        """After the last batch of an epoch."""


class _Passes:
    """What most have in common."""

    name = "an iterable"
    starts_over = True
    samples: int | None = None
    batches: int | None = None

    def seek(self, epoch: int, steps: int | None) -> None:
        """Nothing here depends on the epoch."""

    def where(self, number: int) -> str:
        return f"sample {number}"

    def on_epoch_begin(self) -> None:
        """Nobody is told."""

    def on_epoch_end(self) -> None:
        """Nobody is told."""


class OfDataset(_Passes):
    """A ``fastlstm.data.Dataset``; ``in_order`` for what is not training."""

    name = "a Dataset"

    def __init__(self, dataset: Dataset, in_order: bool) -> None:
        self._dataset, self._in_order, self.samples = dataset, in_order, dataset.samples
        self.batches = -(-dataset.samples // dataset.batch_size) if in_order else len(dataset)
        self.where = dataset.where  # type: ignore[method-assign]

    def begin(self) -> Iterator[Batch]:
        return self._dataset.batches(self._in_order)

    def seek(self, epoch: int, steps: int | None) -> None:
        dataset = self._dataset
        number, batch = epoch, 0
        if steps is not None:  # a pass over the data takes several epochs, the last one short
            number, part = divmod(epoch, -(-len(dataset) // steps))
            batch = part * steps
        if epoch and (dataset.epoch != number or batch):
            dataset.set_state({"epoch": number, "batch": batch, "seed": dataset.seed})


class OfSamples(_Passes):
    """Samples that are read batch by batch, in the order that arrays are trained in."""

    name = "an array"
    samples: int
    batches: int

    def __init__(self, samples: Samples, size: int, shuffle: bool) -> None:
        self.samples, self._size = len(samples), size
        self.batches = -(-self.samples // size)
        self._samples, self._order = samples, Batches(self.samples, size, True) if shuffle else None

    def begin(self) -> Iterator[Batch]:
        if self._order is not None:
            for index in self._order.epoch():
                yield self._samples.take(index)
            return
        for first in range(0, self.samples, self._size):
            yield self._samples.take(slice(first, min(first + self._size, self.samples)))

    def where(self, number: int) -> str:
        return self._samples.where(number)


class OfNumbered(_Passes):
    """Batches by number, as ``keras.utils.PyDataset`` has them."""

    name = "a PyDataset"

    def __init__(self, dataset: Any, shuffle: bool) -> None:
        self._dataset, self._shuffle = dataset, shuffle

    @property
    def batches(self) -> int | None:  # type: ignore[override]
        """Asked for each time: a data set may change it between epochs."""
        if hasattr(self._dataset, "num_batches"):
            count = self._dataset.num_batches
        else:
            count = len(self._dataset)
        return None if count is None else int(count)

    def begin(self) -> Iterator[Batch]:
        count = self.batches
        if count is None:
            number = 0
            while True:
                yield self._read(number)
                number += 1
        order = rng().permutation(count) if self._shuffle else np.arange(count)
        ahead = None
        if getattr(self._dataset, "workers", 0) > 1:
            depth = max(int(self._dataset.max_queue_size), 1)
            ahead = Prefetch(lambda number: self._read(int(order[number])), 0, count, depth)
        try:
            yield from ahead or (self._read(int(number)) for number in order)
        finally:
            if ahead is not None:
                ahead.close()

    def _read(self, number: int) -> Batch:
        return as_batch(self._dataset[number], type(self._dataset).__name__)

    def on_epoch_begin(self) -> None:
        getattr(self._dataset, "on_epoch_begin", _nothing)()

    def on_epoch_end(self) -> None:
        getattr(self._dataset, "on_epoch_end", _nothing)()


class OfIterable(_Passes):
    """What can be iterated over: again and again, or, an iterator or generator, once."""

    def __init__(self, iterable: Any) -> None:
        self._iterable = iterable
        self.starts_over = not hasattr(iterable, "__next__")
        self.name = "an iterable" if self.starts_over else "a generator"
        self.batches = None
        if self.starts_over and hasattr(iterable, "__len__"):
            self.batches = len(iterable)

    def begin(self) -> Iterator[Batch]:
        what = type(self._iterable).__name__
        return (as_batch(value, what) for value in self._iterable)


def as_passes(x: Any, *, shuffle: bool = False, training: bool = False) -> Passes | None:
    """Read batches from what is no array; None for arrays, and for what becomes one.

    Parameters
    ----------
    x : object
        What the user gave.
    shuffle : bool
        Whether to take numbered batches in a random order.
    training : bool
        Whether a ``Dataset`` is to use its own order, and count its epochs.

    Returns
    -------
    Passes or None
        Its batches.
    """
    if isinstance(x, Dataset):
        return OfDataset(x, in_order=not training)
    if hasattr(x, "__next__"):
        return OfIterable(x)
    array = any(hasattr(x, name) for name in ("__array__", "__array_interface__", "dtype", "iloc"))
    if array or isinstance(x, (Sequence, Mapping)):
        return None
    if hasattr(x, "__getitem__") and (hasattr(x, "__len__") or hasattr(x, "num_batches")):
        return OfNumbered(x, shuffle)
    return OfIterable(x) if hasattr(x, "__iter__") else None


def _nothing() -> None:
    """What is done where a data set has no such method."""
