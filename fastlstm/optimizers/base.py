"""What all optimizers share: learning rate, clipping, decay, averages, and gradients collected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import clipping
from fastlstm.kernels import optimizers as kernels
from fastlstm.kernels.layout import halt_unless_finite, record_clear
from fastlstm.kernels.program import Program
from fastlstm.kernels.static import Static
from fastlstm.memory import aligned, check_room
from fastlstm.optimizers.exclusion import Exclusion
from fastlstm.optimizers.options import (
    Rate,
    check_at_most_one,
    check_rest,
    checked_rate,
    optional_count,
    optional_number,
)
from fastlstm.optimizers.schedules import LearningRateSchedule
from fastlstm.registry import serialize
from fastlstm.validation import real_number

Array = npt.NDArray[Any]

_CLIP_WORK = 2.0
_AVERAGE_WORK = 4.0
_AVERAGE = "average"
_TOTAL = "gradient_accumulator"


class Optimizer(ABC):
    """Base class of the optimizers.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0, which may be set at any time; or what tells it for each step.
    weight_decay : float, optional
        Before each update, take this part times the learning rate off every weight that
        ``exclude_from_weight_decay`` does not name.
    clipnorm : float, optional
        Bring the norm of each variable's gradient down to this.
    clipvalue : float, optional
        Bring each element of the gradients into [-clipvalue, clipvalue].
    global_clipnorm : float, optional
        Bring the norm of all gradients together down to this. Of the three, at most one.
    use_ema : bool
        Keep a running mean of the weights, which ``fit`` puts in their place at its end.
    ema_momentum : float
        How much of that mean is kept at each step, in [0, 1].
    ema_overwrite_frequency : int, optional
        Put the mean in the weights' place after every so many updates too.
    gradient_accumulation_steps : int, optional
        Update once for so many gradients, at least 2, with their mean. Schedules and the running
        mean go on with every gradient, as in Keras.
    name : str, optional
        Any name; by default that of the class.

    Attributes
    ----------
    steps : int
        Gradients since ``build``.
    iterations : int
        Updates since ``build``.
    """

    # Floating-point operations an element, square root and division counted by their time.
    step_work = 16.0

    def __init__(
        self,
        learning_rate: Rate,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        check_rest(type(self), rest)
        check_at_most_one(clipnorm=clipnorm, clipvalue=clipvalue, global_clipnorm=global_clipnorm)
        self._set_rate(learning_rate)
        self.weight_decay = optional_number("weight_decay", weight_decay)
        self.clipnorm = optional_number("clipnorm", clipnorm, above=0.0)
        self.clipvalue = optional_number("clipvalue", clipvalue, above=0.0)
        self.global_clipnorm = optional_number("global_clipnorm", global_clipnorm, above=0.0)
        self.use_ema = bool(use_ema)
        self.ema_momentum = real_number("ema_momentum", ema_momentum, most=1.0)
        often, collected = ema_overwrite_frequency, gradient_accumulation_steps
        self.ema_overwrite_frequency = optional_count("ema_overwrite_frequency", often, 1)
        self.gradient_accumulation_steps = optional_count(
            "gradient_accumulation_steps", collected, 2
        )
        self.name = type(self).__name__.lower() if name is None else name
        self.steps = 0
        self._excluded = Exclusion()
        self._size: int | None = None
        # Read by the kernels when they run.
        self._rates = np.zeros(kernels.RATES)
        self._window = np.ones(1)
        self._blend = np.zeros(2)

    # -- the learning rate --------------------------------------------------------------------

    @property
    def learning_rate(self) -> float:
        """Step size of the next update."""
        if self._schedule is None:
            return self._rate
        return real_number("a learning rate schedule's result", self._schedule(self.steps))

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if self.scheduled and not isinstance(value, (LearningRateSchedule, Mapping)):
            raise TypeError(
                f"the learning rate of this {type(self).__name__} comes from "
                f"{self._schedule!r} and cannot be set to {value!r}; give the optimizer a "
                f"number as learning_rate, or set another schedule"
            )
        self._set_rate(value)

    def _set_rate(self, value: Rate) -> None:
        self._schedule: LearningRateSchedule | None
        checked = checked_rate(value)
        if isinstance(checked, LearningRateSchedule):
            self._rate, self._schedule = 0.0, checked
        else:
            self._rate, self._schedule = checked, None

    @property
    def scheduled(self) -> bool:
        """Whether a schedule tells the learning rate, so that it cannot be set."""
        return self._schedule is not None

    @property
    def iterations(self) -> int:
        """Updates since ``build``."""
        return self.steps // (self.gradient_accumulation_steps or 1)

    # -- building -----------------------------------------------------------------------------

    def exclude_from_weight_decay(
        self, var_list: Sequence[str] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Let some variables not decay; to be called before the model is compiled.

        Parameters
        ----------
        var_list : sequence of str, optional
            Whole names of variables, such as "lstm/bias"; see ``model.weight_names``.
        var_names : sequence of str, optional
            Regular expressions; a variable is left out where one is found in its name: "bias".

        Raises
        ------
        RuntimeError
            If ``build`` has been called.
        ValueError
            If an entry is not a string, or not a regular expression.
        """
        if self._size is not None:
            raise RuntimeError(
                "exclude_from_weight_decay() comes before the optimizer is built, which "
                "compile() does; call it on a new optimizer and compile the model with that"
            )
        self._excluded = Exclusion(var_list or (), var_names or ())

    def excluded_from_weight_decay(self, names: Sequence[str]) -> list[str]:
        """Those of these variables that do not decay."""
        return [name for name in names if self._excluded.covers(name)]

    def build(
        self, segments: Sequence[tuple[str, int, int]], size: int, dtype: npt.DTypeLike
    ) -> None:
        """Start afresh for a buffer of parameters: moments as at first, no updates counted.

        Parameters
        ----------
        segments : sequence of (str, int, int)
            Name, offset and size of each variable in the buffer, in the order of the offsets.
        size : int
            Elements of the buffer.
        dtype : dtype
            Its type, float32 or float64.
        """
        self._excluded.check([name for name, _, _ in segments])
        names = [*self._moment_names()]
        names += [_AVERAGE] if self.use_ema else []
        names += [_TOTAL] if self.gradient_accumulation_steps else []
        needed = len(names) * size * np.dtype(dtype).itemsize
        check_room(needed, f"the moments of {type(self).__name__}", "use SGD, or smaller layers")
        self.steps = 0
        self._size = size
        self.buffer = aligned((len(names), size), np.dtype(dtype), np.zeros)
        self._state = dict(zip(names, self.buffer, strict=True))
        self._segments, self._frozen = list(segments), frozenset[str]()
        self._choose(self._segments)

    def _choose(self, segments: Sequence[tuple[str, int, int]]) -> None:
        """Let the steps concern these variables alone."""
        self._chunks = _chunks(segments)
        self._partial = np.zeros(len(self._chunks))
        self._factors = np.ones(max(1, len(segments)))
        self._bounds, self._decayed = self._excluded.stretches(segments)
        self._decays = np.zeros(len(self._decayed))

    def freeze(self, names: Collection[str], params: Array) -> None:
        """Change nothing of some variables, until this is called again.

        Their gradients have no part in norms, and need not be finite. What is kept of them stays
        as it is. A step that was recorded before must be recorded anew.

        Parameters
        ----------
        names : collection of str
            As in the segments that ``build`` was given; none, to let all go on.
        params : numpy.ndarray
            (size,), the parameters: the running mean of a variable that goes on starts from them.

        Raises
        ------
        RuntimeError
            If ``build`` has not been called.
        """
        if self._size is None:
            raise RuntimeError(f"{type(self).__name__}.freeze needs build() to be called first")
        frozen = frozenset(names)
        for name, offset, size in self._segments:
            if name in self._frozen - frozen:
                part = slice(offset, offset + size)
                if self.use_ema:
                    self._state[_AVERAGE][part] = params[part]
                if self.gradient_accumulation_steps:
                    self._state[_TOTAL][part] = 0
        self._frozen = frozen
        self._choose([segment for segment in self._segments if segment[0] not in frozen])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": list(getattr(self, "_state", ()))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if hasattr(self, "buffer"):  # of which the state is views
            self._state = dict(zip(state["_state"], self.buffer, strict=True))

    # -- one step -----------------------------------------------------------------------------

    def update(self, params: Array, grads: Array) -> None:
        """Make one step, in place, now.

        Parameters
        ----------
        params : numpy.ndarray
            (size,), the parameters.
        grads : numpy.ndarray
            (size,), the gradients; clipped in place where a clip option is set, and zero
            afterwards where they are collected.

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
        self.steps += 1

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
        if self.gradient_accumulation_steps:
            if only_finite:
                self._record_squares(program, grads, only_finite)
            args = self._state[_TOTAL], grads, self._window
            program.add(kernels.accumulate, *args, work=_AVERAGE_WORK * grads.size)
        norm = self.global_clipnorm if self.clipnorm is None else self.clipnorm
        if only_finite or norm is not None:
            self._record_squares(program, grads, only_finite)
        self._record_clipping(program, grads, norm)
        rule = self._rule()
        moments = self.buffer[: rule.moments]  # type: ignore[attr-defined]
        numbers = self._rates, self._decays, self._bounds, self._window
        work = self.step_work * params.size
        program.add(kernels.step, rule, params, moments, grads, *numbers, work=work)
        if self.gradient_accumulation_steps:
            # They hold a mean now, and an embedding clears the rows of its last batch alone.
            record_clear(program, grads)
        if self.use_ema:
            means = self._state[_AVERAGE], self._bounds, self._blend
            program.add(kernels.average, params, *means, work=_AVERAGE_WORK * params.size)

    def _record_squares(self, program: Program, grads: Array, only_finite: bool) -> None:
        args = self._partial, grads, self._chunks
        program.add(clipping.sum_squares, *args, work=_CLIP_WORK * grads.size)
        if only_finite:
            program.add(halt_unless_finite, self._partial)

    def _record_clipping(self, program: Program, grads: Array, norm: float | None) -> None:
        work = _CLIP_WORK * grads.size
        if norm is not None:
            args = (self._factors, self._partial, self._chunks, float(norm), self.clipnorm is None)
            program.add(clipping.clip_factors, *args)
            program.add(clipping.scale, grads, self._chunks, self._factors, work=work)
        if self.clipvalue is not None:
            program.add(clipping.clip_by_value, grads, float(self.clipvalue), work=work)

    def prepare(self) -> None:
        """Set the numbers of the next step, number ``steps`` + 1, where kernels read them."""
        rate, updates = self.learning_rate, self.steps
        collected = self.gradient_accumulation_steps
        if collected:
            self._window[0] = 0.0 if (updates + 1) % collected else collected
            updates //= collected
        if self.weight_decay is not None:
            np.multiply(self._decayed, rate * self.weight_decay, out=self._decays)
        values = self._step_rates(rate, updates + 1)
        self._rates[: len(values)] = values
        if self.use_ema:
            often = self.ema_overwrite_frequency
            # The first mean is that of one.
            self._blend[0] = self.ema_momentum if updates else 0.0
            self._blend[1] = often is not None and (updates + 1) % often == 0

    def finalize_variable_values(self, params: Array) -> None:
        """Put the running mean of the parameters in their place, where one is kept."""
        if self.use_ema and self.steps:
            self.put_averages(params, self._state[_AVERAGE])

    def put_averages(self, params: Array, averages: Array) -> None:
        """Copy running means to parameters, both (..., size), but for those that are frozen."""
        for first, last in self._bounds:
            params[..., first:last] = averages[..., first:last]

    def shared_arrays(self) -> list[Array]:
        """What a recorded step reads beside parameters, gradients and ``buffer``."""
        numbers = [self._rates, self._window, self._blend]
        return [*numbers, self._chunks, self._bounds, self._decays]

    # -- state and configuration --------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """Return what is kept of each parameter, by name; these are live arrays, not copies."""
        if self._size is None:
            return {}
        return dict(self._state)

    def load_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take over what ``state`` gave.

        Parameters
        ----------
        state : mapping of str to numpy.ndarray
            Moments and so on by name, each (size,).
        steps : int
            Gradients that led to them, at least 0.

        Raises
        ------
        RuntimeError
            If ``build`` has not been called.
        ValueError
            If names, shapes or ``steps`` do not fit; nothing has changed then.
        """
        name = type(self).__name__
        if self._size is None:
            raise RuntimeError(f"{name}.load_state needs build() to be called first")
        if state.keys() != self._state.keys():
            raise ValueError(f"the state of {name} has {sorted(self._state)}, got {sorted(state)}")
        for key, value in state.items():
            if np.shape(value) != (self._size,):
                raise ValueError(
                    f"{key!r} of {name} has shape ({self._size},), got {np.shape(value)}"
                )
        if isinstance(steps, bool) or steps != int(steps) or steps < 0:
            raise ValueError(f"iterations is a whole number of at least 0, got {steps!r}")
        for key, value in state.items():
            self._state[key][:] = value
        self.steps = int(steps)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, a schedule as its configuration."""
        config = self._config()
        if self.scheduled:
            config["learning_rate"] = serialize(config["learning_rate"])
        return config

    def _config(self) -> dict[str, Any]:
        """The constructor's arguments; subclasses add their own."""
        return {
            "name": self.name,
            "learning_rate": self._rate if self._schedule is None else self._schedule,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Optimizer:
        """Make an optimizer from what ``get_config`` returned."""
        return cls(**config)

    def copy(self) -> Optimizer:
        """A new optimizer with the same options, not built."""
        # Not by way of a stored configuration, which a schedule of the user's own may not have.
        made = self.from_config(self._config())
        made._excluded = self._excluded
        return made

    def __repr__(self) -> str:
        shown = {key: value for key, value in self._config().items() if value is not None}
        if not self.use_ema:
            del shown["use_ema"], shown["ema_momentum"]
        arguments = ", ".join(f"{key}={value!r}" for key, value in shown.items())
        return f"{type(self).__name__}({arguments})"

    @abstractmethod
    def _moment_names(self) -> Sequence[str]:
        """Names of the rule's moments, each an array like the parameters."""

    @abstractmethod
    def _rule(self) -> Static:
        """The equations, of ``fastlstm.kernels.rules``."""

    @abstractmethod
    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        """The rule's numbers for update ``t``, counted from 1."""


def _chunks(segments: Sequence[tuple[str, int, int]]) -> npt.NDArray[np.int64]:
    """First and past-last element and variable of each chunk of the flat buffer."""
    rows = [
        (start, min(start + clipping.CHUNK, offset + size), index)
        for index, (_, offset, size) in enumerate(segments)
        for start in range(offset, offset + size, clipping.CHUNK)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)
