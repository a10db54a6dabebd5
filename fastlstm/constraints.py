"""Bounds that weights are brought back to after each update, with Keras' names and formulas."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.config import floatx
from fastlstm.kernels import constraints as kernels
from fastlstm.kernels.program import Program
from fastlstm.registry import named, resolve
from fastlstm.validation import numeric_array, real_number

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "unit_norm",
]

Array = npt.NDArray[Any]


class Constraint(ABC):
    """Base class: call it with an array to get one that is as it should be."""

    @abstractmethod
    def record(self, program: Program, weight: Array) -> None:
        """Record what changes a weight, a C-contiguous array of its own shape, in place."""

    def __call__(self, w: npt.ArrayLike) -> Array:
        """The constrained copy of an array."""
        array = numeric_array("w", w)
        dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(floatx())
        out = np.array(array, dtype, order="C")
        program = Program()
        self.record(program, out)
        program.run()
        return out

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class NonNeg(Constraint):
    """No weight is less than 0."""

    def record(self, program: Program, weight: Array) -> None:
        """Record what changes a weight; see ``Constraint.record``."""
        program.add(kernels.at_least_zero, weight.reshape(-1), work=1.0 * weight.size)


class MinMaxNorm(Constraint):
    """Norms of the weights along an axis are between two bounds.

        w *= (rate · clip(norm, min_value, max_value) + (1 - rate) · norm) / (1e-7 + norm)

    Parameters
    ----------
    min_value, max_value : float
        The bounds, at least 0.
    rate : float
        How far the norms go towards them at each update, in [0, 1].
    axis : int or list of int
        Axis that each norm is taken along, or neighbouring ones: 0 for all weights that lead to
        one unit of a kernel (inputs, units).
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        kind = type(self).__name__
        self.min_value = real_number(f"{kind} min_value", min_value)
        self.max_value = real_number(f"{kind} max_value", max_value)
        if self.min_value > self.max_value:
            raise ValueError(
                f"{kind} expects min_value to be at most max_value, got {min_value} and {max_value}"
            )
        self.rate = real_number(f"{kind} rate", rate, most=1.0)
        axes = [axis] if isinstance(axis, (int, np.integer)) else list(axis)
        if not axes or not all(isinstance(one, (int, np.integer)) for one in axes):
            raise ValueError(f"{kind} expects axis as a number or a list of numbers, got {axis!r}")
        self.axis = int(axes[0]) if len(axes) == 1 else [int(one) for one in axes]

    def record(self, program: Program, weight: Array) -> None:
        """Record what changes a weight; see ``Constraint.record``."""
        first, last = self._axes(weight.ndim)
        depth, inner = math.prod(weight.shape[first:last]), math.prod(weight.shape[last:])
        factors = np.zeros(math.prod(weight.shape[:first]) * inner)
        numbers = depth, inner, self.min_value, self.max_value, self.rate
        args = weight.reshape(-1), factors, *numbers
        program.add(kernels.bound_norms, *args, work=4.0 * weight.size)

    def _axes(self, rank: int) -> tuple[int, int]:
        """First and past-last of the axes, for a weight of so many."""
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        counted = sorted({axis + rank if axis < 0 else axis for axis in axes})
        first, last = counted[0], counted[-1] + 1
        if first < 0 or last > rank or last - first != len(axes):
            raise ValueError(
                f"{self!r} expects axis within the {rank} of the weight, neighbouring and each "
                f"once; got {self.axis}"
            )
        return first, last

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


class MaxNorm(MinMaxNorm):
    """Norms of the weights along an axis are at most ``max_value``.

    Parameters
    ----------
    max_value : float
        The bound, at least 0.
    axis : int or list of int
        As for ``MinMaxNorm``.
    """

    def __init__(self, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> None:
        super().__init__(0.0, max_value, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"max_value": self.max_value, "axis": self.axis}


class UnitNorm(MinMaxNorm):
    """Norms of the weights along an axis are 1.

    Parameters
    ----------
    axis : int or list of int
        As for ``MinMaxNorm``.
    """

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        super().__init__(1.0, 1.0, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"axis": self.axis}


# As Keras names them too.
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm
_TABLE: dict[str, type[Constraint]] = named(MaxNorm, MinMaxNorm, NonNeg, UnitNorm)


def get(identifier: Any) -> Constraint | None:
    """Find a constraint.

    Parameters
    ----------
    identifier : str, Constraint, class, dict or None
        A name ("max_norm", "non_neg"), an instance, a class or a configuration.

    Returns
    -------
    Constraint or None
        None for None.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these; a function, say, since constraints are compiled.
    """
    if identifier is None:
        return None
    return resolve("constraint", identifier, Constraint, _TABLE)
