"""Optimizers with Keras' arguments and formulas, over one flat buffer of parameters."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import optimizers as kernels
from fastlstm.kernels.layout import halt_unless_finite
from fastlstm.kernels.program import Program
from fastlstm.memory import check_room
from fastlstm.registry import named, resolve

__all__ = [
    "SGD",
    "Adam",
    "Optimizer",
    "get",
]

Array = npt.NDArray[Any]

# Floating-point operations an element, square root and division counted by their time.
_STEP_WORK = 16.0
_CLIP_WORK = 2.0


class Optimizer(ABC):
    """Base class of the optimizers.

    Parameters
    ----------
    learning_rate : float
        Step size, at least 0; may be set at any time.
    clipnorm : float, optional
        Bring the norm of each variable's gradient down to this.
    clipvalue : float, optional
        Bring each element of the gradients into [-clipvalue, clipvalue].
    global_clipnorm : float, optional
        Bring the norm of all gradients together down to this. Of the three, at most one.
    name : str
        Any name.

    Attributes
    ----------
    iterations : int
        Updates since ``build``.
    """

    def __init__(
        self,
        learning_rate: float,
        *,
        clipnorm: float | None,
        clipvalue: float | None,
        global_clipnorm: float | None,
        name: str,
    ) -> None:
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {key: value for key, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(
                f"an optimizer expects at most one of clipnorm, clipvalue and global_clipnorm, "
                f"got {', '.join(f'{key}={value}' for key, value in given.items())}"
            )
        for key, value in given.items():
            _number(key, value, above=0.0)
        self.learning_rate = learning_rate
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.name = name
        self.iterations = 0
        self._size: int | None = None
        self._rates = np.zeros(4)  # read by the kernels when they run

    @property
    def learning_rate(self) -> float:
        """Step size of the next update."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = _number("learning_rate", value)

    def build(
        self, segments: Sequence[tuple[str, int, int]], size: int, dtype: npt.DTypeLike
    ) -> None:
        """Start afresh for a buffer of parameters: moments of zero, no updates counted.

        Parameters
        ----------
        segments : sequence of (str, int, int)
            Name, offset and size of each trainable variable in the buffer.
        size : int
            Elements of the buffer.
        dtype : dtype
            Its type, float32 or float64.
        """
        self.iterations = 0
        self._size = size
        names = self._moment_names()
        needed = len(names) * size * np.dtype(dtype).itemsize
        check_room(needed, f"the moments of {type(self).__name__}", "use SGD, or smaller layers")
        self._moments = {name: np.zeros(size, dtype) for name in names}
        self._chunks = _chunks(segments)
        self._partial = np.zeros(len(self._chunks))
        self._factors = np.ones(max(1, len(segments)))

    def update(self, params: Array, grads: Array) -> None:
        """Make one step, in place, now.

        Parameters
        ----------
        params : numpy.ndarray
            (size,), the parameters.
        grads : numpy.ndarray
            (size,), the gradients; clipped in place where a clip option is set.

        Raises
        ------
        RuntimeError
            If ``build`` has not been called.
        ValueError
            If the arrays are not as long as ``build`` was told.
        """
        program = Program()
        self.record(program, params, grads)
        self.prepare()
        program.run()
        self.iterations += 1

    def record(
        self, program: Program, params: Array, grads: Array, *, only_finite: bool = False
    ) -> None:
        """Record one step; before each run of it, ``prepare`` must be called.

        Parameters
        ----------
        program : Program
            What the calls are added to.
        params, grads : numpy.ndarray
            As for ``update``.
        only_finite : bool
            Halt the program, with nothing updated, where a gradient is not finite.
        """
        if self._size is None:
            raise RuntimeError(f"{type(self).__name__}.update needs build() to be called first")
        if params.shape != (self._size,) or grads.shape != (self._size,):
            raise ValueError(
                f"{type(self).__name__} was built for arrays of shape ({self._size},), "
                f"got params {params.shape} and grads {grads.shape}; call build() again"
            )
        norm = self.global_clipnorm if self.clipnorm is None else self.clipnorm
        work = _CLIP_WORK * grads.size
        if only_finite or norm is not None:
            program.add(kernels.sum_squares, self._partial, grads, self._chunks, work=work)
        if only_finite:
            program.add(halt_unless_finite, self._partial)
        if norm is not None:
            args = (self._factors, self._partial, self._chunks, float(norm), self.clipnorm is None)
            program.add(kernels.clip_factors, *args)
            program.add(kernels.scale, grads, self._chunks, self._factors, work=work)
        if self.clipvalue is not None:
            program.add(kernels.clip_by_value, grads, float(self.clipvalue), work=work)
        self._record_step(program, params, grads)

    def shared_arrays(self) -> list[Array]:
        """What a recorded step reads beside parameters, gradients and moments."""
        return [self._rates, self._chunks]

    def state(self) -> dict[str, Array]:
        """Return the moments by name; these are the live arrays, not copies."""
        if self._size is None:
            return {}
        return dict(self._moments)

    def load_state(self, state: Mapping[str, Array], iterations: int) -> None:
        """Take over moments that ``state`` gave.

        Parameters
        ----------
        state : mapping of str to numpy.ndarray
            Moments by name, each (size,).
        iterations : int
            Updates that led to them, at least 0.

        Raises
        ------
        RuntimeError
            If ``build`` has not been called.
        ValueError
            If names, shapes or ``iterations`` do not fit; nothing has changed then.
        """
        name = type(self).__name__
        if self._size is None:
            raise RuntimeError(f"{name}.load_state needs build() to be called first")
        if state.keys() != self._moments.keys():
            raise ValueError(
                f"the state of {name} has {sorted(self._moments)}, got {sorted(state)}"
            )
        for key, value in state.items():
            if np.shape(value) != (self._size,):
                raise ValueError(
                    f"{key!r} of {name} has shape ({self._size},), got {np.shape(value)}"
                )
        if isinstance(iterations, bool) or iterations != int(iterations) or iterations < 0:
            raise ValueError(f"iterations is a whole number of at least 0, got {iterations!r}")
        for key, value in state.items():
            self._moments[key][:] = value
        self.iterations = int(iterations)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "name": self.name,
            "learning_rate": self.learning_rate,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Optimizer:
        """Make an optimizer from what ``get_config`` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(
            f"{key}={value!r}" for key, value in self.get_config().items() if value is not None
        )
        return f"{type(self).__name__}({arguments})"

    @abstractmethod
    def _moment_names(self) -> Sequence[str]:
        """Names of the moments, each an array like the parameters."""

    @abstractmethod
    def prepare(self) -> None:
        """Set the rates of the next step, which is number ``iterations`` + 1."""

    @abstractmethod
    def _record_step(self, program: Program, params: Array, grads: Array) -> None:
        """Record the update of parameters and moments from clipped gradients."""


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

        m += (g - m)(1 - beta_1)        v += (g² - v)(1 - beta_2)
        p -= learning_rate · √(1 - beta_2^t) / (1 - beta_1^t) · m / (√v + epsilon)

    Source: Kingma and Ba, "Adam: A method for stochastic optimization", ICLR 2015; epsilon
    stands as in Keras ("epsilon hat" in the paper).

    Parameters
    ----------
    learning_rate : float
        Step size, at least 0; may be set at any time.
    beta_1, beta_2 : float
        How much of the averages is kept at each step, in [0, 1).
    epsilon : float
        Keeps the division defined, greater than 0.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Bring down each variable's gradient norm, each element, or the norm of all; see
        ``Optimizer``.
    name : str
        Any name.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "adam",
    ) -> None:
        super().__init__(
            learning_rate,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
        )
        self.beta_1 = _number("beta_1", beta_1, below=1.0)
        self.beta_2 = _number("beta_2", beta_2, below=1.0)
        self.epsilon = _number("epsilon", epsilon, above=0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def _moment_names(self) -> Sequence[str]:
        return ("momentum", "velocity")

    def prepare(self) -> None:
        """Set the rates of the next step; see ``Optimizer.prepare``."""
        t = self.iterations + 1
        # Both moments start at zero and are too small at first.
        correction = math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        self._rates[:] = (
            self.learning_rate * correction,
            1.0 - self.beta_1,
            1.0 - self.beta_2,
            self.epsilon,
        )

    def _record_step(self, program: Program, params: Array, grads: Array) -> None:
        moments = self._moments["momentum"], self._moments["velocity"]
        work = _STEP_WORK * params.size
        program.add(kernels.adam, params, *moments, grads, self._rates, work=work)


class SGD(Optimizer):
    """Gradient descent, with momentum where asked for.

        v = momentum · v - learning_rate · g
        p += v                    with nesterov: p += momentum · v - learning_rate · g

    Source: Sutskever et al., "On the importance of initialization and momentum in deep
    learning", ICML 2013; the learning rate is part of the velocity, as in Keras.

    Parameters
    ----------
    learning_rate : float
        Step size, at least 0; may be set at any time.
    momentum : float
        How much of the velocity is kept at each step, in [0, 1].
    nesterov : bool
        Look ahead along the velocity.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Bring down each variable's gradient norm, each element, or the norm of all; see
        ``Optimizer``.
    name : str
        Any name.
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "sgd",
    ) -> None:
        super().__init__(
            learning_rate,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
        )
        self.momentum = _number("momentum", momentum, most=1.0)
        self.nesterov = bool(nesterov)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}

    def _moment_names(self) -> Sequence[str]:
        return ("momentum",) if self.momentum else ()

    def build(
        self, segments: Sequence[tuple[str, int, int]], size: int, dtype: npt.DTypeLike
    ) -> None:
        """Start afresh for a buffer of parameters; see ``Optimizer.build``."""
        super().build(segments, size, dtype)
        self._velocity = self._moments.get("momentum", np.zeros(0, dtype))

    def prepare(self) -> None:
        """Set the rates of the next step; see ``Optimizer.prepare``."""
        self._rates[:2] = self.learning_rate, self.momentum

    def _record_step(self, program: Program, params: Array, grads: Array) -> None:
        args = (params, self._velocity, grads, self._rates, self.nesterov)
        program.add(kernels.sgd, *args, work=_CLIP_WORK * params.size)


def _number(
    name: str, value: Any, *, above: float | None = None, below: float | None = None,
    most: float | None = None,
) -> float:  # fmt: skip
    """Check a finite number of at least 0, or above ``above``; return it as a float."""
    fits = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if fits else math.nan
    fits = math.isfinite(number) and (number >= 0.0 if above is None else number > above)
    if not fits or (below is not None and number >= below) or (most is not None and number > most):
        wanted = "at least 0" if above is None else f"greater than {above:g}"
        wanted += f" and less than {below:g}" if below is not None else ""
        wanted += f" and at most {most:g}" if most is not None else ""
        raise ValueError(f"{name} expects a number {wanted}, got {value!r}")
    return number


def _chunks(segments: Sequence[tuple[str, int, int]]) -> npt.NDArray[np.int64]:
    """First and past-last element and variable of each chunk of the flat buffer."""
    rows = [
        (start, min(start + kernels.CHUNK, offset + size), index)
        for index, (_, offset, size) in enumerate(segments)
        for start in range(offset, offset + size, kernels.CHUNK)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


_TABLE = named(Adam, SGD)


def get(identifier: Any) -> Optimizer:
    """Find an optimizer.

    Parameters
    ----------
    identifier : str, Optimizer, class or dict
        A name ("adam", "SGD"), an instance, a class or a configuration.

    Returns
    -------
    Optimizer
        The instance itself, or a new one.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these.
    """
    return resolve("optimizer", identifier, Optimizer, _TABLE)
