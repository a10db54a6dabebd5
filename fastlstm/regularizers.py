"""Penalties of large weights, with Keras' names and formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.registry import resolve
from fastlstm.validation import real_number

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]


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


# As Keras names them too.
l1, l2, l1_l2 = L1, L2, L1L2
_TABLE: dict[str, type[Regularizer]] = {
    "L1": L1, "L2": L2, "L1L2": L1L2, "l1": L1, "l2": L2, "l1_l2": L1L2, "l1l2": L1L2,
}  # fmt: skip


def get(identifier: Any) -> Regularizer | None:
    """Find a regularizer.

    Parameters
    ----------
    identifier : str, Regularizer, class, dict or None
        A name ("l1", "l2", "l1_l2"), an instance, a class or a configuration.

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
