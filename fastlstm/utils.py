"""The one source of randomness, a check of arrays, and Keras' small helpers for data."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm import figures
from fastlstm.config import floatx

_SEEDS = 2**32

_rng = np.random.default_rng()
# What stands in for it here and now: a variable of the context, so that threads do not share it.
_stand_in: ContextVar[np.random.Generator | None] = ContextVar("stand_in", default=None)


def set_random_seed(seed: int) -> None:
    """Make everything random that follows repeatable.

    Seeds this package's generator, and Python's and NumPy's global ones, so that a script which
    also shuffles with those gives the same result at each run.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If ``seed`` is not such a number.
    """
    global _rng
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < _SEEDS:
        raise ValueError(
            f"set_random_seed expects a whole number from 0 to {_SEEDS - 1}, got {seed!r}"
        )
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - for scripts that use it
    _rng = np.random.default_rng(number)


def rng() -> np.random.Generator:
    """Return the generator that the package draws from.

    Ask for it at each use: ``set_random_seed`` replaces it.

    Returns
    -------
    numpy.random.Generator
        Shared by the whole process, but within ``drawing_from``.
    """
    return _stand_in.get() or _rng


@contextmanager
def drawing_from(generator: np.random.Generator) -> Iterator[None]:
    """Let all that is drawn within come from ``generator``, in this thread alone.

    Parameters
    ----------
    generator : numpy.random.Generator
        What ``rng`` returns until the end of the block.
    """
    token = _stand_in.set(generator)
    try:
        yield
    finally:
        _stand_in.reset(token)


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


def pad_sequences(
    sequences: Iterable[Sequence[Any]],
    maxlen: int | None = None,
    dtype: npt.DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> npt.NDArray[Any]:
    """Bring sequences to one length.

    Parameters
    ----------
    sequences : iterable of sequences
        Ids or numbers, of any lengths.
    maxlen : int, optional
        Length of the result; by default that of the longest.
    dtype : dtype
        Type of the result.
    padding, truncating : {"pre", "post"}
        Where short sequences are filled up, and where long ones are cut.
    value : float
        What to fill up with.

    Returns
    -------
    numpy.ndarray
        (number of sequences, maxlen), and further dimensions of the elements.

    Raises
    ------
    ValueError
        If an option is unknown or elements differ in shape.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"{name} expects 'pre' or 'post', got {side!r}")
    rows = [np.asarray(sequence) for sequence in sequences]
    length = max((len(row) for row in rows), default=0) if maxlen is None else maxlen
    element = next((row.shape[1:] for row in rows if len(row)), ())
    out = np.full((len(rows), length, *element), value, dtype)
    for target, row in zip(out, rows, strict=True):
        if not len(row) or not length:
            continue
        kept = row[-length:] if truncating == "pre" else row[:length]
        if padding == "pre":
            target[-len(kept) :] = kept
        else:
            target[: len(kept)] = kept
    return out


def to_categorical(x: npt.ArrayLike, num_classes: int | None = None) -> npt.NDArray[Any]:
    """Turn class ids into one-hot rows.

    Parameters
    ----------
    x : array_like
        Ids of any shape, from 0.
    num_classes : int, optional
        Number of classes; by default the largest id plus 1.

    Returns
    -------
    numpy.ndarray
        Shape of ``x`` (a last dimension of 1 left out) and ``num_classes``, in ``floatx()``.

    Raises
    ------
    ValueError
        If an id is negative or too large.
    """
    ids = numeric_array("to_categorical", x).astype(np.int64)
    if ids.ndim > 1 and ids.shape[-1] == 1:
        ids = ids[..., 0]
    count = int(ids.max(initial=-1)) + 1 if num_classes is None else num_classes
    if ids.size and (ids.min() < 0 or ids.max() >= count):
        raise ValueError(
            f"to_categorical expects ids from 0 to {count - 1}, got {ids.min()} to {ids.max()}"
        )
    return np.eye(count, dtype=floatx())[ids]


def plot_model(
    model: Any, to_file: Any = "model.png", show_shapes: bool = False, dpi: int = 150
) -> Any:
    """Draw the layers of a model and what they take from one another, with matplotlib.

    Parameters
    ----------
    model : Model
        The model, built.
    to_file : str or path, or None
        Where to write the picture; None to write none.
    show_shapes : bool
        Whether the shapes of the outputs are shown.
    dpi : int
        Dots an inch.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    ax = figures.graph(model.diagram(bool(show_shapes)), title=model.name)
    if to_file is not None:
        ax.figure.savefig(to_file, dpi=dpi)
    return ax
