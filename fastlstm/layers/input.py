"""The input's shape, as the first entry of a model."""

from __future__ import annotations

from typing import Any

from fastlstm.layers.base import sample_shape


class Input:
    """Shape of one sample: the first entry of a ``Sequential``, before its layers.

    Parameters
    ----------
    shape : tuple of int or None
        (time, features), (features,), or (time,) for ids; a time of None means any.
    batch_size : int, optional
        Accepted as in Keras; any batch size works.
    dtype : optional
        Accepted as in Keras; the first layer decides.
    name : str, optional
        Name in summaries.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...],
        batch_size: int | None = None,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        self.name = name or "input"
        self.shape = sample_shape(shape, self.name)

    def __repr__(self) -> str:
        return f"<Input shape={self.shape}>"
