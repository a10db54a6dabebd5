"""Shapes of samples, as people write them."""

from __future__ import annotations

from typing import Any


def sample_shape(shape: Any, name: str) -> tuple[int | None, ...]:
    """A shape without the batch, such as (time, features); None for a time of any length."""
    if isinstance(shape, int):
        shape = (shape,)
    shape = tuple(shape)
    for size in shape:
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ValueError(
                f"layer {name!r} expects input_shape to hold positive whole numbers or None "
                f"(for any number of steps), got {shape}"
            )
    return shape
