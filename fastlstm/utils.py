"""Keras' small helpers: seeds, and data and pictures on their way in and out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm import figures
from fastlstm.config import floatx
from fastlstm.data import timeseries_dataset_from_array
from fastlstm.elsewhere import advise
from fastlstm.layers.base import forget_names
from fastlstm.randomness import set_random_seed
from fastlstm.validation import numeric_array

__all__ = [
    "clear_session",
    "pad_sequences",
    "plot_model",
    "set_random_seed",
    "timeseries_dataset_from_array",
    "to_categorical",
]


def clear_session(free_memory: bool = True) -> None:
    """Count layers from the first again, in the names that they get by themselves.

    Models are not touched: their memory is free as soon as nothing refers to them.

    Parameters
    ----------
    free_memory : bool
        Keras' argument, without effect.
    """
    forget_names()


def __getattr__(name: str) -> None:
    raise advise(__name__, name)


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
    model: Any, to_file: Any = "model.png", show_shapes: bool = False, *, dpi: int = 150
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
