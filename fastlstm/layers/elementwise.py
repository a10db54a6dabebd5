"""What an activation records: on its output's rows, and on their gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlstm.activations import ACTIVATIONS, FROM_INPUT
from fastlstm.kernels import dense, probabilities
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.program import Program
from fastlstm.kernels.static import Static

# Floating-point operations an element, forward and back.
_WORK, _BACK = 20.0, 10.0


class OfRows(NamedTuple):
    """An activation of rows as a whole: kernels ``of(y, x)`` and ``gradient(d, y)``."""

    of: Any
    gradient: Any


SOFTMAX = OfRows(dense.softmax_of, dense.softmax_gradient)
_OF_ROWS = {
    "softmax": SOFTMAX,
    "log_softmax": OfRows(probabilities.log_softmax, probabilities.log_softmax_gradient),
    "sparsemax": OfRows(probabilities.sparsemax, probabilities.sparsemax_gradient),
}
# Of single numbers, or of rows.
Kind = Static | OfRows


def kind_of(name: str) -> Kind:
    """The activation of a name that is among ``LAYER_ACTIVATIONS``."""
    if name in _OF_ROWS:
        return _OF_ROWS[name]
    return ACTIVATIONS[name] if name in ACTIVATIONS else FROM_INPUT[name]


def keeps_input(kind: Kind) -> bool:
    """Whether its gradient is from the input, which is to be kept for it."""
    return hasattr(kind, "slope_at")


def record_of(program: Program, kind: Kind, y: np.ndarray, x: np.ndarray) -> None:
    """Record: y = activation(x), rows of both."""
    if isinstance(kind, OfRows):
        program.add(kind.of, y, x, work=_WORK * y.size)
    else:
        program.add(dense.activate_of, kind, y, x, work=_WORK * y.size)


def record_all(program: Program, kind: Kind, y: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Record: y = activation(y), of so many numbers. The call, with each argument that is y."""
    work = _WORK * size
    if kind is SOFTMAX:
        return [(program.add(dense.softmax, y, work=work), 0)]
    if isinstance(kind, OfRows):
        number = program.add(kind.of, y, y, work=work)
        return [(number, 0), (number, 1)]
    return [(program.add(dense.activate_all, kind, y, work=work), 1)]


def record_gradient(
    program: Program, kind: Kind, d: np.ndarray, y: np.ndarray, x: np.ndarray
) -> None:
    """Record: the gradient of y = activation(x), rows of all, becomes that of x."""
    work = _BACK * y.size
    if isinstance(kind, OfRows):
        program.add(kind.gradient, d, y, work=work)
    elif keeps_input(kind):
        program.add(dense.activation_gradient_of, kind, d, x, work=work)
    elif kind != Linear():
        program.add(dense.activation_gradient, kind, d, y, work=work)
