"""How weights start: Keras' initializers, drawn from the package's generator.

Values are drawn in float64 and rounded, so that a seed gives a float32 and a float64 model the
same weights up to rounding.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastlstm.config import floatx
from fastlstm.randomness import rng
from fastlstm.registry import named, resolve

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "Zeros",
    "get",
]

# Standard deviation of a standard normal that is cut off at two standard deviations.
_TRUNCATED_STD = 0.87962566103423978

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")


class Initializer(ABC):
    """Base class: call it with a shape to get an array."""

    def __call__(
        self, shape: Sequence[int], dtype: npt.DTypeLike | None = None
    ) -> npt.NDArray[Any]:
        """Make an array of initial values.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weight.
        dtype : dtype, optional
            Type of the result, by default ``floatx()``.

        Returns
        -------
        numpy.ndarray
            A fresh C-contiguous array.

        Raises
        ------
        ValueError
            If the initializer is not defined for this shape.
        """
        checked = tuple(operator.index(size) for size in shape)
        if any(size < 0 for size in checked):
            raise ValueError(f"an initializer expects sizes of at least 0, got shape {checked}")
        values = self.draw(checked)
        return np.asarray(values, np.dtype(dtype or floatx()), order="C")

    @abstractmethod
    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return float64 values of this shape."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class _Random(Initializer):
    """An initializer that draws; with a seed it gives the same values at every call."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def generator(self) -> np.random.Generator:
        return rng() if self.seed is None else np.random.default_rng(self.seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class Zeros(Initializer):
    """All zeros."""

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return np.zeros(shape)


class Ones(Initializer):
    """All ones."""

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return np.ones(shape)


class Constant(Initializer):
    """A given value.

    Parameters
    ----------
    value : float or array_like
        A number, or an array that broadcasts to the weight's shape (pretrained embeddings).
    """

    def __init__(self, value: npt.ArrayLike = 0.0) -> None:
        self.value = value

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        value = np.asarray(self.value, dtype=np.float64)
        try:
            return np.broadcast_to(value, shape).copy()
        except ValueError:
            raise ValueError(
                f"Constant expects a value that broadcasts to the weight's shape {shape}, "
                f"got one of shape {value.shape}"
            ) from None

    def get_config(self) -> dict[str, Any]:
        return {"value": np.asarray(self.value).tolist()}


class Identity(Initializer):
    """The identity matrix times ``gain``; zeros fill what is beyond the square.

    Parameters
    ----------
    gain : float
        Value on the diagonal.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        if len(shape) != 2:
            raise ValueError(f"Identity expects a shape of two dimensions, got {shape}")
        return self.gain * np.eye(*shape)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class RandomUniform(_Random):
    """Uniform values.

    Parameters
    ----------
    minval, maxval : float
        Bounds; ``minval`` is included.
    seed : int, optional
        Give the same values at every call.
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        if minval > maxval:
            raise ValueError(
                f"RandomUniform expects minval <= maxval, got minval={minval}, maxval={maxval}"
            )
        self.minval = minval
        self.maxval = maxval

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return self.generator().uniform(self.minval, self.maxval, shape)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, **super().get_config()}


class RandomNormal(_Random):
    """Normal values.

    Parameters
    ----------
    mean, stddev : float
        Moments of the distribution.
    seed : int, optional
        Give the same values at every call.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        if stddev < 0:
            raise ValueError(f"{type(self).__name__} expects stddev >= 0, got {stddev}")
        self.mean = mean
        self.stddev = stddev

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return self.mean + self.stddev * self.generator().standard_normal(shape)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class TruncatedNormal(RandomNormal):
    """Normal values; those beyond two standard deviations are drawn again.

    Parameters
    ----------
    mean, stddev : float
        Moments of the distribution before it is cut off.
    seed : int, optional
        Give the same values at every call.
    """

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return self.mean + self.stddev * _truncated_normal(self.generator(), shape)


class VarianceScaling(_Random):
    """Values whose variance is ``scale`` / n, where n counts the weight's inputs or outputs.

    Parameters
    ----------
    scale : float
        Greater than 0.
    mode : str
        n is "fan_in", the inputs of a unit; "fan_out", its outputs; "fan_avg", their mean.
    distribution : str
        "uniform", "truncated_normal" or "untruncated_normal".
    seed : int, optional
        Give the same values at every call.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        if not scale > 0:
            raise ValueError(f"VarianceScaling expects scale > 0, got {scale}")
        if mode not in _MODES:
            raise ValueError(f"VarianceScaling expects mode in {_MODES}, got {mode!r}")
        if distribution not in _DISTRIBUTIONS:
            raise ValueError(
                f"VarianceScaling expects distribution in {_DISTRIBUTIONS}, got {distribution!r}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        fan_in, fan_out = _fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        generator = self.generator()
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return generator.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * generator.standard_normal(shape)
        return math.sqrt(variance) / _TRUNCATED_STD * _truncated_normal(generator, shape)

    def get_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            **super().get_config(),
        }


class _Scaled(VarianceScaling):
    """A named choice of variance scaling: only the seed is left to the user."""

    choice: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self.choice, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_Scaled):
    """Uniform within √(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """

    choice = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out); see ``GlorotUniform``."""

    choice = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform within √(6 / fan_in).

    Source: He et al., "Delving deep into rectifiers", ICCV 2015.
    """

    choice = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in; see ``HeUniform``."""

    choice = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform within √(3 / fan_in).

    Source: LeCun et al., "Efficient BackProp", 1998.
    """

    choice = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in; see ``LecunUniform``."""

    choice = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Random):
    """A random matrix with orthonormal columns, or rows where it has fewer rows than columns.

    All dimensions but the last count as rows. Source: Saxe et al., "Exact solutions to the
    nonlinear dynamics of learning in deep linear neural networks", ICLR 2014.

    Parameters
    ----------
    gain : float
        Factor on the result.
    seed : int, optional
        Give the same values at every call.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def draw(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal expects a shape of at least two dimensions, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(self.generator().standard_normal(tall))
        # QR leaves the columns' signs to the algorithm: with R's diagonal positive, all
        # orthogonal matrices are equally likely.
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q.T if rows < columns else q).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, **super().get_config()}


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of a unit; a vector counts as both."""
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def _truncated_normal(
    generator: np.random.Generator, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    values = generator.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        values[outside] = generator.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2]
    return values.reshape(shape)


_TABLE = named(
    Zeros,
    Ones,
    Constant,
    Identity,
    RandomUniform,
    RandomNormal,
    TruncatedNormal,
    VarianceScaling,
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
    Orthogonal,
    zero=Zeros,
    one=Ones,
    uniform=RandomUniform,
    normal=RandomNormal,
)


def get(identifier: Any) -> Initializer | Callable[..., npt.NDArray[Any]]:
    """Find an initializer.

    Parameters
    ----------
    identifier : str, Initializer, class, dict or callable
        A name ("glorot_uniform", "GlorotUniform"), an instance, a class, a configuration, or
        any function of (shape, dtype) that returns an array.

    Returns
    -------
    Initializer or callable
        To be called with (shape, dtype).

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these.
    """
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return resolve("initializer", identifier, Initializer, _TABLE)
