"""Shapes of inputs, as people write them, and checks of them that several layers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastlstm.validation import whole_number

if TYPE_CHECKING:
    from fastlstm.layers.base import Layer

_FORMS = {2: "(batch, features)", 3: "(batch, time, features)"}


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


def check_rank(
    layer: Layer, shape: tuple[int | None, ...], ranks: tuple[int, ...], advice: str = ""
) -> None:
    """An error unless ``shape``, the batch included, is of one of the ranks."""
    if len(shape) not in ranks:
        forms = " or ".join(_FORMS[rank] for rank in ranks)
        raise ValueError(
            f"{type(layer).__name__} expects input {forms}, got shape {tuple(shape)}"
            + (f"; {advice}" if advice else "")
        )


def check_features(layer: Layer, shape: tuple[int | None, ...], built_for: int | None) -> None:
    """An error unless the features are known, and as many as the layer was ``built_for``."""
    kind = type(layer).__name__
    if shape[-1] is None:
        raise ValueError(f"{kind} {layer.name!r} needs to know the number of features")
    if built_for is not None and shape[-1] != built_for:
        raise ValueError(
            f"{kind} {layer.name!r} was built for {built_for} features, got input of shape "
            f"{tuple(shape)} with {shape[-1]}"
        )


def one_number(value: Any, what: str, least: int = 1) -> int:
    """A whole number; or one in a tuple or list, as Keras writes it for one dimension."""
    if isinstance(value, (tuple, list)) and len(value) == 1:
        value = value[0]
    return whole_number(value, what, least)


def two_numbers(value: Any, what: str) -> tuple[int, int]:
    """How many at the beginning and at the end; one number stands for both."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{what} expects a whole number or a pair of them, got {value!r}")
    first, last = (whole_number(number, what, 0) for number in pair)
    return first, last


def check_last_axis(axis: Any, what: str) -> int:
    """-1, the only axis that there is; 1 and 2 are checked when the input's rank is known."""
    if isinstance(axis, (tuple, list)) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int) or axis not in (-1, 1, 2):
        raise ValueError(f"{what} expects axis=-1, the last one, got {axis!r}")
    return axis


def check_axis_is_last(layer: Layer, axis: int, shape: tuple[int | None, ...]) -> None:
    """An error unless the axis is the last of ``shape``."""
    if axis not in (-1, len(shape) - 1):
        raise ValueError(
            f"{type(layer).__name__} works along the last axis: for input of shape {tuple(shape)} "
            f"expected axis=-1, got {axis}; Permute((2, 1)) exchanges time and features"
        )


def check_data_format(data_format: Any, kind: str) -> None:
    """An error unless features come last, as everywhere here."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"{kind} expects data_format='channels_last', input (batch, time, features), got "
            f"{data_format!r}; Permute((2, 1)) exchanges time and features"
        )
