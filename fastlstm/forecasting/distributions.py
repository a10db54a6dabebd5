"""Distributions by their parameters as networks give them: draws, means and quantiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastlstm.kernels.paths import polar
from fastlstm.losses import Gaussian, Loss, NegativeBinomial, StudentT

Array = npt.NDArray[Any]

# Of a scale, in units of the window: a series that can be told without error keeps a likelihood.
_LEAST_SCALE = 1e-3
# Degrees of freedom are above this.
_LEAST_FREEDOM = 2.0
# As far as e**x goes without overflow.
_LARGEST = 700.0
# Mean above which counts are drawn as real numbers: NumPy's end at 2**63.
_MOST_COUNTED = 1e15
# Probabilities that are added up at most.
_MOST_LISTED = 10_000_000
# Places of a rule of Gauss and Legendre, and steps of bisection to the last digit.
_PLACES, _HALVINGS = 48, 60
# Floating-point operations of a draw, about.
_WORK_OF_A_DRAW = 200.0


class Distribution(ABC):
    """Base class: a kind of distribution, whose parameters stand along the last axis of arrays.

    They are those that ``loss`` reads, without bounds, for targets in the units of a window:
    ``(target - shift) / scale``.

    Attributes
    ----------
    count : int
        How many parameters it has.
    counts : bool
        Whether it is one of whole numbers, which are not scaled: ``offsets`` are added to the
        parameters instead.
    loss : Loss
        Their negative log-likelihood.
    """

    count: ClassVar[int]
    counts: ClassVar[bool] = False
    loss: Loss
    # Numbers between 0 and 1 that a draw is made of; 0 where it is made otherwise.
    uniforms: ClassVar[int] = 0

    def offsets(self, scale: Array) -> Array:
        """(..., count) to add to the parameters of series of this scale, (...)."""
        return np.zeros((*np.shape(scale), self.count))

    def made_of(self, parameters: Array, uniform: Array) -> Array:
        """(...) draws, made of (uniforms, ...) numbers that are at least 0 and below 1."""
        raise NotImplementedError

    def sample(self, parameters: Array, generator: np.random.Generator) -> Array:
        """One draw from each distribution.

        Parameters
        ----------
        parameters : ndarray
            (..., count).
        generator : numpy.random.Generator

        Returns
        -------
        ndarray
            (...) float64.
        """
        made: Array = self.sample_each(np.asarray(parameters)[np.newaxis], [generator])[0]
        return made

    def sample_each(self, parameters: Array, generators: Sequence[np.random.Generator]) -> Array:
        """(S, ...) draws of (S, ..., count), each row by its own generator, as ``sample``."""
        shape = (self.uniforms, *np.shape(parameters)[1:-1])
        uniform = np.stack([generator.random(shape) for generator in generators], axis=1)
        return self.made_of(parameters, uniform)

    @abstractmethod
    def mean(self, parameters: Array) -> Array:
        """(...) of parameters (..., count)."""

    @abstractmethod
    def quantiles(self, parameters: Array, levels: npt.ArrayLike) -> Array:
        """Quantiles of each distribution.

        Parameters
        ----------
        parameters : ndarray
            (..., count).
        levels : array_like
            (Q,) between 0 and 1.

        Returns
        -------
        ndarray
            (..., Q).
        """


class _Normal(Distribution):
    """A normal distribution; parameters as for ``losses.Gaussian``.

    Draws are those of Box, Muller, "A note on the generation of random normal deviates", Annals of
    Mathematical Statistics 29(2), 1958.
    """

    count = 2
    uniforms = 2
    loss = Gaussian(_LEAST_SCALE)

    def made_of(self, parameters: Array, uniform: Array) -> Array:
        return _polar(parameters, uniform)

    def mean(self, parameters: Array) -> Array:
        return _place_and_scale(parameters)[0]

    def quantiles(self, parameters: Array, levels: npt.ArrayLike) -> Array:
        place, scale = _place_and_scale(parameters)
        scores = np.array([NormalDist().inv_cdf(level) for level in np.ravel(levels).tolist()])
        return place[..., np.newaxis] + scale[..., np.newaxis] * scores


class _Student(Distribution):
    """Student's t; parameters as for ``losses.StudentT``.

    Draws are those of Bailey, "Polar generation of random variates with the t-distribution",
    Mathematics of Computation 62(206), 1994: as normal ones, but for the radius.
    """

    count = 3
    uniforms = 2
    loss = StudentT(_LEAST_SCALE)

    def made_of(self, parameters: Array, uniform: Array) -> Array:
        return _polar(parameters, uniform)

    def mean(self, parameters: Array) -> Array:
        return _place_and_scale(parameters)[0]

    def quantiles(self, parameters: Array, levels: npt.ArrayLike) -> Array:
        place, scale = _place_and_scale(parameters)
        levels = np.ravel(np.asarray(levels, np.float64))
        made = np.empty((*place.shape, levels.size))
        freedom = _freedom(parameters)
        for place_of, level in enumerate(levels):
            made[..., place_of] = place + scale * _student_quantile(freedom, float(level))
        return made


class _NegativeBinomial(Distribution):
    """Counts; parameters as for ``losses.NegativeBinomial``.

    A series of scale s has counts whose mean is s times that of the network's parameters, and a
    dispersion that goes with the root of s, as in the paper: variances are then alike in size.
    """

    count = 2
    counts = True
    loss = NegativeBinomial()

    def offsets(self, scale: Array) -> Array:
        logarithm = np.log(scale)
        return np.stack([logarithm, -0.5 * logarithm], axis=-1)

    def sample_each(self, parameters: Array, generators: Sequence[np.random.Generator]) -> Array:
        mean, r = _mean_and_shape(parameters)
        rate = np.stack([g.standard_gamma(one) for g, one in zip(generators, r, strict=True)])
        rate *= mean / r
        most = np.minimum(rate, _MOST_COUNTED)
        drawn = np.stack([g.poisson(one) for g, one in zip(generators, most, strict=True)])
        return np.where(rate > _MOST_COUNTED, np.floor(rate), drawn.astype(np.float64))

    def mean(self, parameters: Array) -> Array:
        return _mean_and_shape(parameters)[0]

    def quantiles(self, parameters: Array, levels: npt.ArrayLike) -> Array:
        mean, r = _mean_and_shape(parameters)
        levels = np.ravel(np.asarray(levels, np.float64))
        made = np.empty((*mean.shape, levels.size))
        for at in np.ndindex(mean.shape):
            made[at] = _count_quantiles(float(mean[at]), float(r[at]), levels)
        return made


_DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "normal": _Normal,
    "studentt": _Student,
    "negativebinomial": _NegativeBinomial,
}
_NAMES = ("Normal", "StudentT", "NegativeBinomial")
_SAME = {"gaussian": "normal", "student": "studentt", "negbinomial": "negativebinomial"}


def distribution(name: Any) -> Distribution:
    """The distribution of this name.

    Parameters
    ----------
    name : str
        "StudentT", "Normal" (or "Gaussian") or "NegativeBinomial"; capitals, hyphens and
        underscores make no difference.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> normal = distribution("Normal")
    >>> normal.quantiles(np.array([10.0, 0.5413]), [0.025, 0.5]).round(2).tolist()
    [8.04, 10.0]
    """
    plain = name.lower().replace("-", "").replace("_", "") if isinstance(name, str) else None
    plain = _SAME.get(plain, plain) if plain else plain
    if plain not in _DISTRIBUTIONS:
        names = ", ".join(map(repr, _NAMES))
        raise ValueError(f"distribution expects one of {names}; got {name!r}")
    return _DISTRIBUTIONS[plain]()


# -- what the links make of parameters -------------------------------------------------------------


def _polar(parameters: Array, uniform: Array) -> Array:
    columns = np.reshape(parameters, (-1, np.shape(parameters)[-1])).T.astype(np.float64, order="C")
    numbers = np.ascontiguousarray(uniform, np.float64).reshape(len(uniform), -1)
    made = np.empty(np.shape(uniform)[1:])
    work = _WORK_OF_A_DRAW * made.size
    polar(made.reshape(-1), columns, numbers, _LEAST_SCALE, _LEAST_FREEDOM, work=work)
    return made


def _place_and_scale(parameters: Array) -> tuple[Array, Array]:
    parameters = np.asarray(parameters, np.float64)
    return parameters[..., 0], _LEAST_SCALE + np.logaddexp(0.0, parameters[..., 1])


def _freedom(parameters: Array) -> Array:
    freedom: Array = _LEAST_FREEDOM + np.logaddexp(0.0, np.asarray(parameters)[..., 2])
    return freedom


def _mean_and_shape(parameters: Array) -> tuple[Array, Array]:
    """The mean, and the reciprocal of the dispersion, within what the loss keeps it."""
    parameters = np.asarray(parameters, np.float64)
    shape = np.exp(-np.clip(parameters[..., 1], -60.0, 60.0))
    return np.exp(np.minimum(parameters[..., 0], _LARGEST)), shape


# -- quantiles that have no formula ----------------------------------------------------------------


def _student_quantile(freedom: Array, level: float) -> Array:
    """Of Student's t, by bisection of the angle whose tangent is the quantile over √freedom.

    In terms of the angle the density is cos**(freedom - 1), smooth, on a bounded range.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_PLACES)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights

    # Where the density has fallen to nothing there is nothing to add up.
    widest = np.minimum(0.5 * np.pi, 9.0 / np.sqrt(freedom - 1.0))

    def above(angle: Array) -> Array:
        """What lies beyond the angle, of what lies beyond 0, not normed."""
        width = np.maximum(widest - angle, 0.0)[..., np.newaxis]
        density = np.cos(angle[..., np.newaxis] + width * nodes) ** (freedom[..., np.newaxis] - 1.0)
        tail: Array = (width * weights * density).sum(axis=-1)
        return tail

    whole, wanted = above(np.zeros(freedom.shape)), 2.0 * min(level, 1.0 - level)
    low, high = np.zeros(freedom.shape), widest.copy()
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        outside = above(middle) > wanted * whole
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    size = np.sqrt(freedom) * np.tan(low)
    return size if level > 0.5 else -size


def _count_quantiles(mean: float, r: float, levels: Array) -> Array:
    """Least counts that reach the levels: sums of probabilities, each from the one before."""
    spread = np.sqrt(mean + mean * mean / r)
    top = int(mean + 40.0 * spread + 100.0)
    if top > _MOST_LISTED:
        raise ValueError(
            f"quantiles of counts are sums over all of them, and there are too many for a mean of "
            f"{mean:g} with a standard deviation of {spread:g}: take those of draws, from sample()"
        )
    p = mean / (mean + r)
    counts = np.arange(1, top)
    # Ratio of neighbouring probabilities: (n - 1 + r) / n · p.
    logarithms = np.cumsum(np.log((counts - 1 + r) / counts) + np.log(p))
    first = -r * np.log1p(mean / r)
    reached = np.cumsum(np.exp(first + np.concatenate([[0.0], logarithms])))
    found: Array = np.searchsorted(reached, levels * reached[-1]).astype(np.float64)
    return found
