"""Arguments that all optimizers take, and checks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from fastlstm import registry
from fastlstm.optimizers.schedules import LearningRateSchedule
from fastlstm.optimizers.schedules import get as get_schedule
from fastlstm.registry import arguments_of_class
from fastlstm.validation import real_number, whole_number

Rate = float | LearningRateSchedule | Mapping[str, Any]


class DecayedOptions(TypedDict, total=False):
    """Arguments of an optimizer that always decays the weights; see ``Optimizer``."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    name: str | None


class Options(DecayedOptions, total=False):
    """Arguments that every other optimizer takes."""

    weight_decay: float | None


# Of Keras, and of older versions of it.
_INSTEAD = {
    "decay": "give a schedule as learning_rate, such as schedules.InverseTimeDecay",
    "jit_compile": "everything is compiled; leave it out",
    "loss_scale_factor": "gradients are float32 or float64, and small ones do not vanish",
    "lr": "it is called learning_rate",
}


def check_rest(kind: type, arguments: Mapping[str, Any]) -> None:
    """An error where arguments that an optimizer does not know ask for what is not here."""
    if arguments:
        registry.check_rest(kind.__name__, arguments, arguments_of_class(kind), _INSTEAD)


def check_at_most_one(**clips: float | None) -> None:
    """A ``ValueError`` where several of them are given."""
    given = [f"{key}={value}" for key, value in clips.items() if value is not None]
    if len(given) > 1:
        raise ValueError(
            f"an optimizer expects at most one of clipnorm, clipvalue and global_clipnorm, "
            f"got {', '.join(given)}"
        )


def optional_number(name: str, value: Any, above: float | None = None) -> float | None:
    """None, or a number as ``real_number`` wants it."""
    return None if value is None else real_number(name, value, above=above)


def optional_count(name: str, value: Any, least: int) -> int | None:
    """None, or a whole number of at least ``least``."""
    return None if value is None else whole_number(value, name, least)


def checked_rate(value: Any) -> float | LearningRateSchedule:
    """A number, or a schedule from itself or its configuration."""
    if isinstance(value, (LearningRateSchedule, Mapping)):
        return get_schedule(value)
    if isinstance(value, type) and issubclass(value, LearningRateSchedule):
        raise ValueError(
            f"learning_rate expects a number or a schedule, got the class {value.__name__}; give "
            f"it its arguments, as in {value.__name__}(...)"
        )
    return real_number("learning_rate", value)
