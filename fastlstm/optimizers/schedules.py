"""Learning rates that change from step to step, with Keras' arguments and values.

A schedule is called with the number of gradients so far, from 0, and returns the learning rate of
the next update: ``Adam(learning_rate=CosineDecay(1e-3, 10_000))``.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from fastlstm.registry import named, resolve
from fastlstm.validation import real_number, whole_number

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "get",
]


class LearningRateSchedule(ABC):
    """Base class: override ``__call__``.

    The constructor's arguments should be attributes of the same names, from which ``get_config``
    takes them.
    """

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients, at least 0."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = inspect.signature(type(self)).parameters
        missing = [name for name in names if not hasattr(self, name)]
        if missing:
            raise NotImplementedError(
                f"{type(self).__name__} has no attributes {', '.join(missing)}, which its "
                f"constructor takes: set them there, or override get_config()"
            )
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LearningRateSchedule:
        """Make a schedule from what ``get_config`` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        try:
            config = self.get_config()
        except NotImplementedError:
            return object.__repr__(self)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in config.items())})"


class _Decay(LearningRateSchedule):
    """Base of those that start at a rate and count in units of ``decay_steps``."""

    def __init__(self, initial_learning_rate: float, decay_steps: float, name: str) -> None:
        self.initial_learning_rate = real_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = real_number("decay_steps", decay_steps, above=0.0)
        self.name = name


class ExponentialDecay(_Decay):
    """initial_learning_rate · decay_rate^(step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
        The rate at first, at least 0.
    decay_steps : float
        Steps after which the rate has been multiplied by ``decay_rate``.
    decay_rate : float
        At least 0.
    staircase : bool
        Round the exponent down, so that the rate falls every ``decay_steps`` steps.
    name : str
        Any name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.decay_rate = real_number("decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients."""
        exponent = step / self.decay_steps
        if self.staircase:
            exponent = math.floor(exponent)
        return self.initial_learning_rate * self.decay_rate**exponent


class InverseTimeDecay(_Decay):
    """initial_learning_rate / (1 + decay_rate · step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
        The rate at first, at least 0.
    decay_steps : float
        The unit in which steps are counted.
    decay_rate : float
        At least 0.
    staircase : bool
        Round step / decay_steps down.
    name : str
        Any name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.decay_rate = real_number("decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients."""
        time = step / self.decay_steps
        if self.staircase:
            time = math.floor(time)
        return self.initial_learning_rate / (1.0 + self.decay_rate * time)


class PolynomialDecay(_Decay):
    """From initial_learning_rate to end_learning_rate as (1 - step / decay_steps)^power.

    Parameters
    ----------
    initial_learning_rate : float
        The rate at first, at least 0.
    decay_steps : float
        Steps until the last rate is reached.
    end_learning_rate : float
        The rate at last, at least 0.
    power : float
        1 for a straight line.
    cycle : bool
        Beyond ``decay_steps``, go on with the next multiple of it rather than stay.
    name : str
        Any name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.end_learning_rate = real_number("end_learning_rate", end_learning_rate)
        self.power = real_number("power", power)
        self.cycle = bool(cycle)

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients."""
        steps = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / steps))
        rest = (1.0 - min(step / steps, 1.0)) ** self.power
        return (self.initial_learning_rate - self.end_learning_rate) * rest + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] for the steps up to and including boundaries[i], then the last of them.

    Parameters
    ----------
    boundaries : sequence of float
        Steps, each larger than the one before.
    values : sequence of float
        One more than there are boundaries, each at least 0.
    name : str
        Any name.
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        self.boundaries = [real_number("boundaries", boundary) for boundary in boundaries]
        self.values = [real_number("values", value) for value in values]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay expects one value more than boundaries, got "
                f"{len(self.boundaries)} boundaries and {len(self.values)} values"
            )
        if sorted(set(self.boundaries)) != self.boundaries:
            raise ValueError(
                f"PiecewiseConstantDecay expects boundaries of which each is larger than the one "
                f"before, got {self.boundaries}"
            )

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients."""
        return self.values[bisect_left(self.boundaries, step)]


class CosineDecay(LearningRateSchedule):
    """Half a cosine from initial_learning_rate to alpha times that, after a warm-up if asked for.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR
    2017; the straight line up before it: Goyal et al., "Accurate, large minibatch SGD", 2017.

    Parameters
    ----------
    initial_learning_rate : float
        The rate at first, at least 0.
    decay_steps : float
        Steps of the cosine.
    alpha : float
        What is left at its end, as a part of where it starts.
    name : str
        Any name.
    warmup_target : float, optional
        Rate to go up to first, in a straight line; the cosine starts from there.
    warmup_steps : int
        Steps of that line.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = real_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = real_number("decay_steps", decay_steps, above=0.0)
        self.alpha = real_number("alpha", alpha)
        self.name = name
        self.warmup_target = warmup_target
        if warmup_target is not None:
            self.warmup_target = real_number("warmup_target", warmup_target)
        self.warmup_steps = whole_number(warmup_steps, "warmup_steps", least=0)

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients."""
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * step / self.warmup_steps
            start, step = self.warmup_target, step - self.warmup_steps
        cosine = _half_cosine(min(step / self.decay_steps, 1.0))
        return start * ((1.0 - self.alpha) * cosine + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine from initial_learning_rate to alpha times that, again and again.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR
    2017.

    Parameters
    ----------
    initial_learning_rate : float
        The rate at first, at least 0.
    first_decay_steps : float
        Steps of the first cosine.
    t_mul : float
        How many times as long each cosine is as the one before, at least 1.
    m_mul : float
        How many times as high, at least 0.
    alpha : float
        The lowest rate, as a part of the initial one.
    name : str
        Any name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = real_number("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = real_number("first_decay_steps", first_decay_steps, above=0.0)
        self.t_mul = real_number("t_mul", t_mul)
        if self.t_mul < 1.0:
            raise ValueError(f"t_mul expects a number of at least 1, got {t_mul!r}")
        self.m_mul = real_number("m_mul", m_mul)
        self.alpha = real_number("alpha", alpha)
        self.name = name

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients."""
        restarts, fraction = self._place(step / self.first_decay_steps)
        cosine = self.m_mul**restarts * _half_cosine(fraction)
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)

    def _place(self, time: float) -> tuple[int, float]:
        """Number of restarts, and part of the cosine done, after so many first lengths."""
        if self.t_mul == 1.0:
            restarts = math.floor(time)
            return restarts, time - restarts
        restarts = math.floor(math.log(1.0 + time * (self.t_mul - 1.0)) / math.log(self.t_mul))
        # The logarithm may miss a boundary by its rounding.
        restarts += self._start(restarts + 1) <= time
        restarts -= self._start(restarts) > time
        return restarts, (time - self._start(restarts)) / self.t_mul**restarts

    def _start(self, restarts: int) -> float:
        return (self.t_mul**restarts - 1.0) / (self.t_mul - 1.0)


class OneCycle(LearningRateSchedule):
    """Half a cosine up to max_learning_rate, and one down far below the start.

    Source: Smith and Topin, "Super-convergence: Very fast training of neural networks using large
    learning rates", 2018; arguments, cosines and values are those of PyTorch's ``OneCycleLR``,
    which has the same three rates. The momentum stays as it is.

    Parameters
    ----------
    max_learning_rate : float
        The highest rate, at least 0.
    total_steps : int
        Steps of the whole cycle; after them the rate stays at its lowest.
    pct_start : float
        Part of the steps that lead up, in [0, 1].
    div_factor : float
        The rate at first is the highest divided by this, greater than 0.
    final_div_factor : float
        The rate at last is that at first divided by this, greater than 0.
    name : str
        Any name.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        name: str = "OneCycle",
    ) -> None:
        self.max_learning_rate = real_number("max_learning_rate", max_learning_rate)
        self.total_steps = whole_number(total_steps, "total_steps")
        self.pct_start = real_number("pct_start", pct_start, most=1.0)
        self.div_factor = real_number("div_factor", div_factor, above=0.0)
        self.final_div_factor = real_number("final_div_factor", final_div_factor, above=0.0)
        self.name = name

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` gradients."""
        highest = self.max_learning_rate
        first = highest / self.div_factor
        last = first / self.final_div_factor
        top, end = self.pct_start * self.total_steps - 1.0, self.total_steps - 1.0
        if top > 0.0 and step <= top:
            return _between(highest, first, _half_cosine(step / top))
        fraction = (min(step, end) - top) / (end - top) if end > top else 1.0
        return _between(last, highest, _half_cosine(fraction))


def _half_cosine(fraction: float) -> float:
    """From 1 to 0 as ``fraction`` goes from 0 to 1."""
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


def _between(low: float, high: float, part: float) -> float:
    return low + (high - low) * part


_TABLE = named(
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)


def get(identifier: Any) -> LearningRateSchedule:
    """Find a schedule.

    Parameters
    ----------
    identifier : LearningRateSchedule or dict
        An instance, or a configuration as a model file holds it.

    Returns
    -------
    LearningRateSchedule
        The instance itself, or a new one.

    Raises
    ------
    ValueError
        If the name is unknown, or its arguments do not fit.
    """
    return resolve("learning rate schedule", identifier, LearningRateSchedule, _TABLE)
