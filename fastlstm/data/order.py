"""In which order samples are taken: a function of a seed and the number of the epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.data.batch import Index

# By how much lengths in a batch may differ beyond what its size makes of them: enough for other
# company in each epoch, and little to fill up.
_BLUR = 0.1

# Samples in an order, and where in it each batch starts; None for what needs no array.
_Drawn = tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]


class Order:
    """The samples of each batch of each epoch.

    Parameters
    ----------
    total : int
        Number of samples.
    size : int
        Samples in a batch.
    seed : int or None
        Where random orders come from; None for samples as they are.
    lengths : ndarray, optional
        (total,) steps of each sample. Batches then have samples of like lengths.
    drop_remainder : bool
        Leave out the last batch of an epoch where it is smaller than the others.
    """

    def __init__(
        self,
        total: int,
        size: int,
        seed: int | None = None,
        lengths: npt.NDArray[Any] | None = None,
        drop_remainder: bool = False,
    ) -> None:
        self.total, self.size, self.seed, self.lengths = total, size, seed, lengths
        self.batches = total // size if drop_remainder else -(-total // size)
        self._drop = drop_remainder
        # The last epoch asked for, and its order; replaced as a whole, as threads may ask at once.
        self._kept: tuple[int, _Drawn] = -1, (None, None)

    def batch(self, epoch: int, number: int) -> Index | slice:
        """The samples of a batch; a slice where they are neighbours."""
        known, (samples, starts) = self._kept
        if known != epoch:
            samples, starts = self._draw(epoch)
            self._kept = epoch, (samples, starts)
        first = int(number * self.size if starts is None else starts[number])
        last = min(first + self.size, self.total)
        if samples is None:
            return slice(first, last)
        return samples[first:last].astype(np.intp)

    def _draw(self, epoch: int) -> _Drawn:
        """Samples in the order of an epoch, and where in it each batch starts."""
        if self.seed is None and self.lengths is None:
            return None, None
        # Half the memory will do for all but the longest data.
        dtype = np.int32 if self.total < 2**31 else np.int64
        samples = np.arange(self.total, dtype=dtype)
        generator = None
        if self.seed is not None:
            generator = np.random.default_rng((self.seed, epoch))
            generator.shuffle(samples)
        if self.lengths is None:
            return samples, None
        if self._drop:  # whichever the last batch would have had, not always the longest
            samples = samples[: self.batches * self.size]
        lengths = self.lengths[samples]
        if generator is not None:
            lengths = lengths * generator.uniform(1.0, 1.0 + _BLUR, len(samples))
        samples = samples[np.argsort(lengths, kind="stable")]
        starts = np.arange(0, len(samples), self.size)
        if generator is not None:
            generator.shuffle(starts)
        return samples, starts
