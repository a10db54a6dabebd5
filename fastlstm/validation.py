"""Checks at the boundary: kernels cannot fail, so what reaches them is already right."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

# Elements for which an array of answers costs less than to avoid it.
_FEW = 4096


class NotFinite(ValueError):
    """A number is NaN, infinite or too large, in this row of an array."""

    def __init__(self, text: str, row: int = 0) -> None:
        super().__init__(text)
        self.row = row


def numeric_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Turn data into a NumPy array of numbers, or say why it is none.

    Parameters
    ----------
    name : str
        What the caller names the data, for errors.
    value : array_like
        Anything that NumPy can read: lists, arrays, tensors, tables.

    Returns
    -------
    numpy.ndarray
        Of a boolean, integer or floating-point type; ``value`` itself where it is one.

    Raises
    ------
    ValueError
        If lists are ragged.
    TypeError
        If the elements are no real numbers, or a mask would be lost.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; fill it with .filled(value), or "
            "pass the mask where a layer takes one"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} does not form an array of one shape ({error}); pad its rows to one length"
        ) from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected real numbers; convert it, for instance with "
            "astype('float32')"
        )
    return array


def as_floats(values: Any, dtype: np.dtype, what: str) -> np.ndarray:
    """A C-contiguous array of finite ``dtype`` numbers."""
    array = numeric_array(what, values)
    if array.dtype == dtype and array.flags.c_contiguous:
        converted = array
    else:
        with np.errstate(over="ignore"):  # reported below
            converted = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f" and not all_finite(converted):
        place = first_not_finite(converted)
        index = [int(i) for i in place]
        if np.isfinite(array[place]):
            raise NotFinite(
                f"{what} has {array[place]} at index {index}, too large for {dtype}; scale the "
                "data, or call fastlstm.config.set_floatx('float64') before building the model",
                index[0] if index else 0,
            )
        raise NotFinite(
            f"{what} has {array[place]} at index {index}; expected finite numbers: fill or drop "
            "what is missing first",
            index[0] if index else 0,
        )
    return converted


def as_ids(values: Any, limit: int, what: str) -> np.ndarray:
    """A C-contiguous int32 array of ids from 0 to ``limit`` - 1."""
    array = numeric_array(what, values)
    if array.dtype.kind == "f":
        if not all_finite(array) or not np.array_equal(array, np.trunc(array)):
            raise TypeError(
                f"{what} expects whole-number ids, got {array.dtype} with fractions, NaN or "
                "infinity"
            )
    elif array.dtype.kind == "b":
        raise TypeError(f"{what} expects integer ids, got booleans")
    if array.size:
        low, high = array.min(), array.max()
        if low < 0 or high >= limit:
            wrong = low if low < 0 else high
            raise ValueError(
                f"{what} expects ids from 0 to {limit - 1}, got {int(wrong)}; enlarge the table "
                "(the first argument of Embedding, or the units of the last layer) or map "
                "unknown ids into it"
            )
    return np.ascontiguousarray(array, dtype=np.int32)


def all_finite(array: np.ndarray) -> bool:
    """Whether no element is NaN or infinite, without an array of answers as large as the data."""
    if array.size <= _FEW:
        return bool(np.isfinite(array).all())
    # A sum is quickly taken, and finite only if all of it is. It may overflow where all of it is.
    with np.errstate(over="ignore", invalid="ignore"):
        if array.dtype.kind == "f" and math.isfinite(np.add.reduce(array, axis=None)):
            return True
    flat = array.reshape(-1)
    return all(
        bool(np.isfinite(flat[start : start + 65536]).all()) for start in range(0, flat.size, 65536)
    )


def first_not_finite(array: np.ndarray) -> tuple[np.intp, ...]:
    """Index of the first NaN or infinity."""
    return np.unravel_index(int(np.argmax(~np.isfinite(array))), array.shape)


def whole_number(value: Any, what: str, least: int = 1) -> int:
    """``value`` as an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{what} expects a whole number of at least {least}, got {value!r}")
    return int(value)


def real_number(
    name: str, value: Any, *, above: float | None = None, below: float | None = None,
    most: float | None = None,
) -> float:  # fmt: skip
    """``value`` as a finite float of at least 0, or above ``above``."""
    fits = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if fits else math.nan
    fits = math.isfinite(number) and (number >= 0.0 if above is None else number > above)
    if not fits or (below is not None and number >= below) or (most is not None and number > most):
        wanted = "at least 0" if above is None else f"greater than {above:g}"
        if above == -math.inf:
            wanted = "that is finite"
        wanted += f" and less than {below:g}" if below is not None else ""
        wanted += f" and at most {most:g}" if most is not None else ""
        raise ValueError(f"{name} expects a number {wanted}, got {value!r}")
    return number
