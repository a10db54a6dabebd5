"""Learning rates that fall by a simple rule."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from fastlstm.optimizers.schedules.base import LearningRateSchedule
from fastlstm.validation import real_number


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
