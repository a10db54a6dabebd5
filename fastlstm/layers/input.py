"""The input of a model: its shape, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

from fastlstm.layers.shapes import sample_shape
from fastlstm.layers.symbol import Symbol

_numbers = itertools.count()


def Input(
    shape: tuple[int | None, ...],
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
) -> Symbol:
    """Where a model begins: the shape of one sample.

    It is the first entry of a ``Sequential``, or what the first layers of a ``Model`` are called
    on.

    Parameters
    ----------
    shape : tuple of int or None
        (time, features), (features,), or (time,) for ids; a time of None means any.
    batch_size : int, optional
        Accepted as in Keras; any batch size works.
    dtype : optional
        Accepted as in Keras; the first layer decides.
    name : str, optional
        Name in summaries, and of the array where a model takes a dict of them.
    """
    name = name or f"input_{next(_numbers)}"
    return Symbol((None, *sample_shape(shape, name)), name)
