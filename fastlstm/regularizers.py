"""Penalties of large weights, with Keras' names and formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.registry import named, resolve
from fastlstm.validation import real_number

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
]


class Regularizer:
    """Base class: a penalty l1 · sum of |w| + l2 · sum of w² for the elements of a weight.

    It is added to the loss, in training and in testing, and so its slope to the gradient. That of a
    weight which is not trained does not count.

    Parameters
    ----------
    l1, l2 : float
        Factors, at least 0.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = real_number(f"{type(self).__name__} l1", l1)
        self.l2 = real_number(f"{type(self).__name__} l2", l2)

    def __call__(self, x: npt.ArrayLike) -> float:
        """Penalty of an array."""
        w = np.asarray(x, np.float64)
        return float(self.l1 * np.abs(w).sum() + self.l2 * np.square(w).sum())

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"l1": self.l1, "l2": self.l2}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class L1L2(Regularizer):
    """Penalty of absolute values and of squares.

    Parameters
    ----------
    l1, l2 : float
        Factors, at least 0.
    """


class L1(Regularizer):
    """Penalty l1 · sum of |w|, which brings small weights to about 0.

    Parameters
    ----------
    l1 : float
        Factor, at least 0.
    """

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"l1": self.l1}


class L2(Regularizer):
    """Penalty l2 · sum of w².

    With Adam this is not the same as the optimizer's ``weight_decay``, since its slope is scaled
    like the gradient that it is part of: Loshchilov and Hutter, "Decoupled weight decay
    regularization", ICLR 2019.

    Parameters
    ----------
    l2 : float
        Factor, at least 0.
    """

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Penalty of rows, or columns, of a matrix that are not orthogonal to each other.

    It is factor · mean of |u · v| over all pairs of them, each brought to length 1. To compute it
    takes as long as a product of the matrix and its transpose.

    Parameters
    ----------
    factor : float
        At least 0.
    mode : {"rows", "columns"}
        Which of them are meant.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        super().__init__()
        self.factor = real_number("OrthogonalRegularizer factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(
                f"OrthogonalRegularizer expects mode 'rows' or 'columns', got {mode!r}"
            )
        self.mode = mode

    def __call__(self, x: npt.ArrayLike) -> float:
        """Penalty of a matrix."""
        w = np.asarray(x, np.float64)
        self.check_rank(w.shape)
        lines = w if self.mode == "rows" else w.T
        norms = np.sqrt(np.square(lines).sum(axis=1, keepdims=True))
        units = lines / np.where(norms == 0, 1, norms)
        products = np.abs(units @ units.T)
        return self.each(len(lines)) * float(np.tril(products, -1).sum())

    def each(self, lines: int) -> float:
        """The factor of each pair, where there are so many rows or columns."""
        return self.factor / max(1, lines * (lines - 1) // 2)

    def check_rank(self, shape: tuple[int, ...]) -> None:
        """An error unless a weight of this shape is a matrix."""
        if len(shape) != 2:
            raise ValueError(
                f"OrthogonalRegularizer expects a matrix, such as a kernel, got shape {shape}"
            )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"factor": self.factor, "mode": self.mode}


# As Keras names them too.
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
_TABLE: dict[str, type[Regularizer]] = {
    "L1": L1,
    "L2": L2,
    "L1L2": L1L2,
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    **named(OrthogonalRegularizer),
}


def get(identifier: Any) -> Regularizer | None:
    """Find a regularizer.

    Parameters
    ----------
    identifier : str, Regularizer, class, dict or None
        A name ("l1", "l2", "l1_l2", "orthogonal_regularizer"), an instance, a class or a
        configuration.

    Returns
    -------
    Regularizer or None
        None for None.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these; a function, say, since penalties are compiled.
    """
    if identifier is None:
        return None
    return resolve("regularizer", identifier, Regularizer, _TABLE)
