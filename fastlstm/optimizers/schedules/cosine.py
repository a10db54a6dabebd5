"""Learning rates that follow half a cosine, or several."""

from __future__ import annotations

import math

from fastlstm.optimizers.schedules.base import LearningRateSchedule
from fastlstm.validation import real_number, whole_number


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
