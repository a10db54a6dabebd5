"""Where the batches of the loop come from: arrays that are whole, or one batch after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from fastlstm.data.batch import Batch
from fastlstm.training.data import Batches
from fastlstm.training.passes import Passes
from fastlstm.validation import NotFinite

Index = npt.NDArray[np.intp]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """Batches, epoch after epoch, in the form that the model's steps take."""

    @property
    def steps(self) -> int | None:
        """Batches in an epoch, where that is known."""

    def epoch(self) -> Iterator[tuple[T_co, Index, Batch | None]]:
        """Go over the next epoch.

        Yields
        ------
        data
            What a step takes.
        index : ndarray
            The samples of it to take.
        batch : Batch or None
            What was read, where it came batch by batch.
        """

    def rewind(self) -> None:
        """Let the next epoch start from the beginning, where that is possible."""

    def close(self) -> None:
        """Let go of what an epoch holds."""


class ArraySource(Generic[T]):
    """Batches out of data that have been checked and converted as a whole.

    Parameters
    ----------
    data : object
        The data.
    batches : Batches
        Their samples.
    """

    def __init__(self, data: T, batches: Batches) -> None:
        self._data, self._batches = data, batches

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self._batches)

    def epoch(self) -> Iterator[tuple[T, Index, None]]:
        """Go over the next epoch."""
        data = self._data
        for index in self._batches.epoch():
            yield data, index, None

    def rewind(self) -> None:
        """Let the next epoch start from the beginning."""
        self._batches.rewind()

    def close(self) -> None:
        """Nothing is held."""


class StreamSource(Generic[T]):
    """Batches that are read, checked and converted one by one.

    Parameters
    ----------
    passes : Passes
        What gives them.
    prepare : callable
        ``prepare(batch)`` checks and converts one.
    count : callable
        ``count(data)`` is the number of its samples.
    steps : int, optional
        Batches in an epoch. The next epoch goes on where the last one stopped, as in Keras;
        without it, an epoch is one pass.
    alike : bool
        Whether all batches must have as many samples: stateful models take no others.
    """

    def __init__(
        self,
        passes: Passes,
        prepare: Callable[[Batch], T],
        count: Callable[[T], int],
        steps: int | None = None,
        alike: bool = False,
    ) -> None:
        self._passes, self._prepare, self._count, self._wanted = passes, prepare, count, steps
        self._alike = alike
        self._pass: Iterator[Batch] | None = None  # that is under way
        self._taken = 0  # batches of it
        self._learned: int | None = None  # batches in a pass
        self._size: int | None = None  # of the first batch
        self._index = np.arange(0)

    @property
    def steps(self) -> int | None:
        """Batches in an epoch; without ``steps``, known after the first one at the latest."""
        if self._wanted is not None:
            return self._wanted
        return self._learned if self._passes.batches is None else self._passes.batches

    def epoch(self) -> Iterator[tuple[T, Index, Batch]]:
        """Go over the next epoch."""
        self._passes.on_epoch_begin()
        step = 0
        while self._wanted is None or step < self._wanted:
            batch = self._next(fresh=step == 0)
            if batch is None:
                if self._wanted is not None:
                    warnings.warn(
                        f"the data ran out after {step} of the {self._wanted} batches asked for; "
                        "the epoch ends early",
                        stacklevel=5,  # the caller of model.fit
                    )
                break
            yield self._ready(batch, step)
            step += 1
        if self._taken and self._taken == self._passes.batches:
            self._drop()
        self._passes.on_epoch_end()

    def _next(self, fresh: bool) -> Batch | None:
        """The next batch; from a new pass where none is under way, or it is over at once."""
        for _ in range(2):
            if self._pass is None:
                self._pass, self._taken = self._passes.begin(), 0
            batch = next(self._pass, None)
            if batch is not None:
                self._taken += 1
                return batch
            self._learned = self._taken or self._learned
            over = not fresh or not self._taken
            self._drop()
            if over:
                return None
        return None

    def _ready(self, batch: Batch, step: int) -> tuple[T, Index, Batch]:
        try:
            data = self._prepare(batch)
        except NotFinite as error:
            raise NotFinite(f"{error} ({self._place(batch, step, error.row)})", error.row) from None
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{error} (in batch {step + 1} of the epoch)") from error
        size = self._count(data)
        if self._alike and self._size not in (None, size):
            raise ValueError(
                f"a stateful model expects batches of as many samples, since row i of a batch "
                f"continues row i of the one before; batch {step + 1} has {size}, the first had "
                f"{self._size}. A Dataset leaves out a smaller last one with drop_remainder=True"
            )
        self._size = self._size or size
        if len(self._index) != size:
            self._index = np.arange(size)
        return data, self._index, batch

    def _place(self, batch: Batch, step: int, row: int) -> str:
        text = f"in batch {step + 1} of the epoch"
        if batch.numbers is None:
            return text
        return f"{text}, whose row {row} is {self._passes.where(int(batch.numbers[row]))}"

    def rewind(self) -> None:
        """Let the next epoch start from the beginning, where that is possible."""
        if self._passes.starts_over:
            self._drop()

    def _drop(self) -> None:
        close: Any = getattr(self._pass, "close", None)
        self._pass = None
        if close is not None and self._passes.starts_over:
            close()

    def close(self) -> None:
        """Let go of what an epoch holds, such as a thread."""
        self._drop()
