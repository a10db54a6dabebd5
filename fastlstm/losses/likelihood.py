"""How unlikely targets are under distributions whose parameters a model gives."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import likelihoods
from fastlstm.kernels.static import Static
from fastlstm.losses.base import MEAN, Array, Call, Loss, LossArrays

# Floating-point operations of a target: a few logarithms of gamma functions.
_WORK = 400.0


class _Likelihood(Loss):
    """Base class: the P parameters of each target stand side by side in the last axis.

    C targets take C · P outputs, the parameters of the first target, then those of the second; with
    one target ``Dense(P)``.
    """

    count: ClassVar[int]

    @property
    @abstractmethod
    def _distribution(self) -> tuple[Static, float]:
        """The equation and its constant."""

    def target_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the targets, (..., C), for predictions of shape (..., C · P)."""
        if shape[-1] % self.count:
            raise ValueError(
                f"{self.name} expects {self.count} outputs for each target, its parameters, got "
                f"predictions of shape {shape}: give the last layer {self.count} units, or a "
                "multiple"
            )
        return (*shape[:-1], shape[-1] // self.count)

    def check_targets(self, targets: Array) -> None:
        """An error where there is no number; see ``Loss.check_targets``."""
        if not np.isfinite(targets).all():
            raise ValueError(
                f"{self.name} expects finite targets, got NaN or infinity: put any number there "
                "and give it no weight"
            )

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        equation, constant = self._distribution
        args = (equation, *arrays, constant)
        return likelihoods.likelihood, args, _WORK * arrays.y_true.size


class _WithScale(_Likelihood):
    """Base class of those with a location and a scale."""

    def __init__(
        self,
        least_scale: float = 1e-6,
        reduction: str | None = MEAN,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(reduction, name, **rest)
        if not (isinstance(least_scale, (int, float)) and 0.0 < least_scale < np.inf):
            raise ValueError(f"least_scale expects a number greater than 0, got {least_scale!r}")
        self.least_scale = least_scale

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"least_scale": self.least_scale, **super().get_config()}


class Gaussian(_WithScale):
    """-log of the density of a normal distribution.

    Each target takes 2 outputs (a, b): the mean a, and the standard deviation
    least_scale + softplus(b).

    Source: Salinas, Flunkert, Gasthaus, "DeepAR: Probabilistic Forecasting with Autoregressive
    Recurrent Networks", arXiv:1704.04110, 2017, equation 3.

    Parameters
    ----------
    least_scale : float
        Greater than 0. Targets that are certain have a density without bound, whose slopes grow
        as well: this keeps them finite. In units of the targets.
    reduction, name
        As for ``Loss``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm.losses import Gaussian
    >>> y = [[0.0, np.log(np.e - 1)]]  # mean 0, standard deviation softplus(...) = 1
    >>> round(Gaussian()([[0.0]], y), 4)
    0.9189
    """

    count = 2

    @property
    def _distribution(self) -> tuple[Static, float]:
        return likelihoods.Gaussian(), float(self.least_scale)


class StudentT(_WithScale):
    """-log of the density of Student's t: as ``Gaussian``, but with outliers in its tails.

    Each target takes 3 outputs (a, b, c): the location a, the scale least_scale + softplus(b), and
    2 + softplus(c) degrees of freedom, above 2 so that there is a variance.

    Source: Lange, Little, Taylor, "Robust Statistical Modeling Using the t Distribution", Journal
    of the American Statistical Association 84(408), 1989.

    Parameters
    ----------
    least_scale : float
        As for ``Gaussian``.
    reduction, name
        As for ``Loss``.
    """

    count = 3

    @property
    def _distribution(self) -> tuple[Static, float]:
        return likelihoods.StudentT(), float(self.least_scale)


class NegativeBinomial(_Likelihood):
    """-log of the probability of counts that spread more widely than Poisson's.

    Each target, a whole number from 0, takes 2 outputs (a, b): the mean m = e**a, and the
    dispersion d = e**b, by which the variance is m + d m². Since both are exponentials, what is
    added to a multiplies the mean: log n for a rate per one of n. Beyond ±60, b has no effect.

    Source: Salinas, Flunkert, Gasthaus, "DeepAR: Probabilistic Forecasting with Autoregressive
    Recurrent Networks", arXiv:1704.04110, 2017, equation 4, which has softplus in the place of the
    exponentials.

    Parameters
    ----------
    reduction, name
        As for ``Loss``.
    """

    count = 2

    def check_targets(self, targets: Array) -> None:
        """An error unless they are counts; see ``Loss.check_targets``."""
        super().check_targets(targets)
        wrong = (targets < 0) | (targets != np.floor(targets))
        if wrong.any():
            some = ", ".join(f"{value:g}" for value in targets[wrong][:3])
            raise ValueError(
                f"{self.name} expects counts, whole numbers from 0, but {wrong.sum()} of "
                f"{targets.size} targets are not: {some}. For other numbers there are StudentT and "
                "Gaussian"
            )

    @property
    def _distribution(self) -> tuple[Static, float]:
        return likelihoods.NegativeBinomial(), 0.0
