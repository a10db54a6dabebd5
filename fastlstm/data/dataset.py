"""A sized source of batches, for data that are better not held, checked or shuffled as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from fastlstm.data.batch import Batch
from fastlstm.data.lengths import mask_of
from fastlstm.data.order import Order
from fastlstm.data.prefetch import Prefetch
from fastlstm.data.samples import ArraySamples, Samples
from fastlstm.data.sequences import SequenceSamples
from fastlstm.data.windows import window_samples
from fastlstm.randomness import rng
from fastlstm.validation import whole_number


class Dataset:
    """Batches of samples that are read as they are needed.

    ``fit``, ``evaluate`` and ``predict`` take it in the place of x. So does anything that goes
    over it: each ``for`` loop is one epoch, of batches x, (x, y) or (x, y, sample_weight).
    ``len(dataset)`` is the number of batches in an epoch, and ``dataset[i]`` is batch ``i`` of the
    current one.

    The order of an epoch follows from the seed and the epoch's number alone. So a run that was
    stopped goes on with the very batches that it would have had, from ``set_state(state)`` on with
    what ``state()`` was when it stopped, or from the start of an epoch by ``initial_epoch`` of
    ``fit``. ``evaluate`` and ``predict`` take the samples as they are, and change no state.

    Parameters
    ----------
    x : array_like, or tuple or dict of them
        (N, ...) inputs. Nothing is copied but the samples of a batch, so that memory-mapped arrays
        may be larger than the memory, and views such as ``sliding_windows`` cost nothing. What is
        not finite is found with its batch.
    y : array_like, or tuple or dict of them, optional
        (N, ...) targets.
    sample_weight : array_like, optional
        (N,) or (N, T) weights.
    mask : array_like, optional
        (N, T) of booleans: the steps that count, as in ``fit``.
    lengths : array_like, optional
        (N,) steps of each sample that count, the first ones; in the place of ``mask``.
    batch_size : int
        Samples in a batch; the last one of an epoch may have fewer.
    shuffle : bool
        Take the samples in a new random order each epoch.
    seed : int, optional
        Where the orders come from; drawn by default, see ``fastlstm.utils.set_random_seed``.
    drop_remainder : bool
        Leave out the last batch where it is smaller than the others, as stateful models need it.
        Not in ``evaluate`` and ``predict``.
    prefetch : int
        Batches that a thread makes ready ahead of time; 0 for no thread.

    Attributes
    ----------
    samples : int
        Number of samples.
    batch_size : int
        Samples in a batch.
    epoch : int
        Number of the epoch that the next loop goes over.

    Examples
    --------
    >>> import numpy as np
    >>> dataset = Dataset(np.arange(10), np.arange(10) * 2, batch_size=4)
    >>> len(dataset)
    3
    >>> for x, y in dataset:
    ...     print(x, y)
    [0 1 2 3] [0 2 4 6]
    [4 5 6 7] [ 8 10 12 14]
    [8 9] [16 18]
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        mask: Any = None,
        *,
        lengths: Any = None,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int | None = None,
        drop_remainder: bool = False,
        prefetch: int = 0,
    ) -> None:
        samples = ArraySamples(x, y, sample_weight, mask_of(mask, lengths, x))
        self._set_up(samples, batch_size, shuffle, seed, drop_remainder, prefetch)

    @classmethod
    def windows(
        cls,
        data: Any,
        targets: Any = None,
        sequence_length: int | None = None,
        *,
        horizon: int | None = None,
        sequence_stride: int = 1,
        sampling_rate: int = 1,
        start_index: int | None = None,
        end_index: int | None = None,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int | None = None,
        drop_remainder: bool = False,
        prefetch: int = 0,
    ) -> Dataset:
        """Make samples of windows over series, which are views of the series and not copies.

        Parameters
        ----------
        data : array_like or list of array_like
            A series (steps,) or (steps, features), or a list of series of any lengths. No window
            reaches from one into the next, and a series that is too short has none.
        targets : array_like or list of array_like, optional
            (steps,) or (steps, values), or one for each series. Without a horizon, the target of a
            window is the one at the index of its first step, as in Keras'
            ``timeseries_dataset_from_array``.
        sequence_length : int
            Steps of a window.
        horizon : int, optional
            Make the targets the so many steps that follow a window: those of ``targets``, with as
            many steps as the data; or of the data themselves. They have shape (N, horizon) where a
            step is one number, else (N, values) for a horizon of 1, else (N, horizon, values).
        sequence_stride : int
            Steps from the start of a window to that of the next.
        sampling_rate : int
            Steps between two neighbours in a window.
        start_index, end_index : int, optional
            Steps of the data to stay within, the latter not included; of each series, in a list.
        batch_size, shuffle, seed, drop_remainder, prefetch
            As for every data set.

        Returns
        -------
        Dataset
            x is (N, sequence_length) or (N, sequence_length, features).

        Raises
        ------
        ValueError, TypeError
            If no window fits.

        Examples
        --------
        >>> import numpy as np
        >>> dataset = Dataset.windows(np.arange(6), sequence_length=3, horizon=2)
        >>> x, y = dataset[0]
        >>> print(x, y)
        [[0 1 2]
         [1 2 3]] [[3 4]
         [4 5]]
        """
        if sequence_length is None:
            raise ValueError("windows expects sequence_length, the steps of a window")
        samples = window_samples(
            data,
            targets,
            whole_number(sequence_length, "sequence_length"),
            horizon,
            whole_number(sequence_stride, "sequence_stride"),
            whole_number(sampling_rate, "sampling_rate"),
            start_index,
            end_index,
        )
        return cls.of_samples(samples, batch_size, shuffle, seed, drop_remainder, prefetch)

    @classmethod
    def sequences(
        cls,
        x: Sequence[Any],
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int | None = None,
        bucket_by_length: bool = True,
        drop_remainder: bool = False,
        prefetch: int = 0,
    ) -> Dataset:
        """Make samples of sequences of unequal length.

        Those of a batch are filled up with zeros at their ends, to the longest one. The models of
        this package leave out what was filled up: recurrent layers hold their states over it, and
        it has no part in the loss and the metrics. ``batches()`` has the mask that says so, beside
        what a loop over the data set has.

        Parameters
        ----------
        x : sequence of array_like
            N arrays (time, features), or (time,) of ids, each with a time of its own.
        y : array_like or sequence of array_like, optional
            (N, ...) targets; or N arrays with as many steps as those of ``x``.
        sample_weight : array_like or sequence of array_like, optional
            (N,) weights; or N arrays with one for each step.
        bucket_by_length : bool
            Let batches have sequences of like lengths, which leaves little to fill up. With
            ``shuffle``, the batches come in random order, and have other sequences each epoch;
            without it, short ones come first.
        batch_size, shuffle, seed, drop_remainder, prefetch
            As for every data set.

        Returns
        -------
        Dataset
            x is (B, the longest time of the batch, ...).

        Raises
        ------
        ValueError, TypeError
            If the parts do not go together.

        Examples
        --------
        >>> dataset = Dataset.sequences([[1, 2, 3], [4], [5, 6]], [0, 1, 0], batch_size=2)
        >>> for x, y in dataset:
        ...     print(x, y)
        [[4 0]
         [5 6]] [1 0]
        [[1 2 3]] [0]
        """
        samples = SequenceSamples(x, y, sample_weight)
        lengths = samples.lengths if bucket_by_length else None
        return cls.of_samples(samples, batch_size, shuffle, seed, drop_remainder, prefetch, lengths)

    @classmethod
    def of_samples(
        cls,
        samples: Samples,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int | None = None,
        drop_remainder: bool = False,
        prefetch: int = 0,
        lengths: npt.NDArray[Any] | None = None,
    ) -> Dataset:
        """Make batches of what has numbered samples.

        Parameters
        ----------
        samples : Samples
            Has a length, ``take(numbers)`` for a ``Batch`` of them, and ``where(number)`` for words
            on where one comes from.
        lengths : numpy.ndarray, optional
            (N,) steps of each sample: batches then have samples of like lengths.
        batch_size, shuffle, seed, drop_remainder, prefetch
            As for every data set.

        Returns
        -------
        Dataset
            Over these samples.
        """
        made = cls.__new__(cls)
        made._set_up(samples, batch_size, shuffle, seed, drop_remainder, prefetch, lengths)
        return made

    def _set_up(
        self,
        samples: Samples,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        drop_remainder: bool,
        prefetch: int,
        lengths: npt.NDArray[Any] | None = None,
    ) -> None:
        size = whole_number(batch_size, "batch_size")
        if seed is None:
            seed = int(rng().integers(2**32)) if shuffle else 0
        self.seed = whole_number(seed, "seed", 0)
        self.prefetch = whole_number(prefetch, "prefetch", 0)
        self.batch_size, self.shuffle = size, bool(shuffle)
        self._samples, self._lengths, self._drop = samples, lengths, bool(drop_remainder)
        self._plain = Order(len(samples), size, None, lengths)
        self._set_seed(self.seed)
        if not len(self):
            raise ValueError(
                f"drop_remainder=True leaves no batch of {size} from {len(samples)} samples"
            )
        self.epoch, self._batch = 0, 0
        self._resumes = False

    def _set_seed(self, seed: int) -> None:
        self.seed = seed
        drawn = seed if self.shuffle else None
        self._order = Order(len(self._samples), self.batch_size, drawn, self._lengths, self._drop)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self._samples)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._order.batches

    def __getitem__(self, number: int) -> Any:
        """Batch of the current epoch: x, (x, y) or (x, y, sample_weight)."""
        at = number + len(self) if number < 0 else number
        if not 0 <= at < len(self):
            raise IndexError(f"there are {len(self)} batches in an epoch, got index {number}")
        return self._samples.take(self._order.batch(self.epoch, at)).as_tuple()

    def __iter__(self) -> Iterator[Any]:
        """Go over one epoch: the rest of it after ``set_state``, all of it otherwise."""
        for batch in self.batches():
            yield batch.as_tuple()

    def batches(self, in_order: bool = False) -> Iterator[Batch]:
        """Go over one epoch; with the samples' numbers and the mask beside them.

        Parameters
        ----------
        in_order : bool
            Whether to go over all samples as they are, whatever the order of the epoch, and leave
            the state alone.

        Yields
        ------
        Batch
            Its parts.
        """
        order, epoch, first = self._plain, 0, 0
        if not in_order:
            order, epoch = self._order, self.epoch
            first = self._batch if self._resumes else 0
            self._resumes = False

        def make(number: int) -> Batch:
            return self._samples.take(order.batch(epoch, number))

        ahead = None
        if self.prefetch:
            ahead = Prefetch(make, first, order.batches, self.prefetch)
        try:
            for number, batch in enumerate(ahead or map(make, range(first, order.batches)), first):
                if not in_order:  # what comes after this batch
                    self.epoch, self._batch = divmod(epoch * len(self) + number + 1, len(self))
                yield batch
        finally:
            if ahead is not None:
                ahead.close()

    def where(self, number: int) -> str:
        """Words for where a sample comes from."""
        return self._samples.where(number)

    # -- the state ----------------------------------------------------------------------------

    def state(self) -> dict[str, int]:
        """Where the data set is, after the last batch that was taken from it.

        Returns
        -------
        dict of str to int
            "epoch", "batch" and "seed", for ``set_state`` of a data set over the same samples; it
            can be written to JSON.
        """
        return {"epoch": self.epoch, "batch": self._batch, "seed": self.seed}

    def set_state(self, state: Mapping[str, int]) -> None:
        """Go on from what ``state()`` returned, with the batch that came next.

        Parameters
        ----------
        state : mapping of str to int
            "epoch", "batch" and "seed".

        Raises
        ------
        ValueError
            If it is no such state, or has a batch that the data set has not.
        """
        if set(state) != {"epoch", "batch", "seed"}:
            raise ValueError(
                f"set_state expects what state() returned: epoch, batch and seed; got "
                f"{sorted(map(str, state))}"
            )
        epoch, batch, seed = (
            whole_number(state[name], f"state[{name!r}]", 0) for name in ("epoch", "batch", "seed")
        )
        if batch >= len(self):
            raise ValueError(
                f"the state is before batch {batch} of an epoch, but here are {len(self)}: "
                "expected the same samples and batch_size"
            )
        self._set_seed(seed)
        self.epoch, self._batch = epoch, batch
        self._resumes = True

    def __repr__(self) -> str:
        order = f"shuffled by seed {self.seed}" if self.shuffle else "in order"
        return f"<Dataset of {self.samples} samples in {len(self)} batches, {order}>"


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Dataset:
    """Make windows over a series, with the arguments and numbers of Keras' function.

    Parameters
    ----------
    data : array_like
        (steps,) or (steps, features) series; the windows are views of it.
    targets : array_like or None
        Target ``i`` belongs to the window that starts at step ``i``.
    sequence_length : int
        Steps of a window.
    sequence_stride : int
        Steps from the start of a window to that of the next.
    sampling_rate : int
        Steps between two neighbours in a window.
    batch_size : int
        Windows in a batch. None, which in Keras stands for single samples, is not taken.
    shuffle : bool
        Take the windows in a new random order each epoch.
    seed : int, optional
        Where the orders come from; they are others than Keras'.
    start_index, end_index : int, optional
        Steps of the data to stay within, the latter not included.

    Returns
    -------
    Dataset
        For ``fit`` and for loops.

    Raises
    ------
    ValueError, TypeError
        If no window fits.
    """
    if batch_size is None:
        raise ValueError("batch_size expects a number; for all windows at once, give their number")
    return Dataset.windows(
        data,
        targets,
        sequence_length,
        sequence_stride=sequence_stride,
        sampling_rate=sampling_rate,
        start_index=start_index,
        end_index=end_index,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
    )
