"""Checks of what ``fit``, ``evaluate`` and ``predict`` are given."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from fastlstm.validation import whole_number

_BATCH_SIZE = 32


def batch_size_of(value: Any, name: str = "batch_size", default: int | None = None) -> int:
    """The number of samples in a batch."""
    return (default or _BATCH_SIZE) if value is None else whole_number(value, name)


def number_or_none(value: Any, name: str) -> int | None:
    """A whole number of at least 1, or None."""
    return None if value is None else whole_number(value, name)


def verbosity(verbose: Any) -> int:
    """0, 1 or 2."""
    if verbose == "auto":
        return 1
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose expects 0, 1, 2 or 'auto', got {verbose!r}")
    return int(verbose)


def check_shuffle(shuffle: Any) -> bool:
    """True or False."""
    if not isinstance(shuffle, (bool, np.bool_)):
        raise ValueError(f"shuffle expects True or False, got {shuffle!r}")
    return bool(shuffle)


def check_validation_split(value: Any) -> None:
    """A part of the samples."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"validation_split expects a number from 0 to less than 1, got {value!r}")


def check_validation_freq(value: Any) -> None:
    """A number of epochs, or the epochs' numbers."""
    epochs = value if _is_several(value) else [value]
    for epoch in epochs:
        whole_number(epoch, "validation_freq")


def validates(epoch: int, validation_freq: int | Collection[int]) -> bool:
    """Whether there is a validation after this epoch."""
    if isinstance(validation_freq, Collection):
        return epoch + 1 in validation_freq
    return (epoch + 1) % validation_freq == 0


def check_alone(name: str, **others: Any) -> None:
    """An error where arguments come with what has them in its batches, or has no use for them."""
    for argument, value in others.items():
        if value is None:
            continue
        if argument.endswith("batch_size"):
            why = "whose batches have a size already"
        elif argument == "mask":
            why = "which gives it with its batches: fastlstm.data.Batch(x, y, mask=mask)"
        elif argument == "validation_split":
            why = "which cannot be split: give validation_data"
        else:
            why = "which yields them with x, as (x, y) or (x, y, sample_weight)"
        raise ValueError(f"{argument} cannot be given together with {name}, {why}")


def check_stateful(task: str, total: int, batch_size: int) -> None:
    """An error where the last batch would be smaller than the others."""
    if total > batch_size and total % batch_size:
        raise ValueError(
            f"{task} with a stateful model expects a number of samples that batch_size divides, "
            f"since row i of a batch continues row i of the one before; got {total} samples and "
            f"batch_size={batch_size}. Leave out {total % batch_size} or change batch_size"
        )


def _is_several(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str)
