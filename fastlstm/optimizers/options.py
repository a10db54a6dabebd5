"""Arguments that all optimizers take, and checks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from fastlstm.optimizers.schedules import LearningRateSchedule
from fastlstm.optimizers.schedules import get as get_schedule
from fastlstm.validation import real_number

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


def check_clips(**clips: float | None) -> None:
    """A ``ValueError`` unless at most one of them is given, and greater than 0."""
    given = {key: value for key, value in clips.items() if value is not None}
    if len(given) > 1:
        raise ValueError(
            f"an optimizer expects at most one of clipnorm, clipvalue and global_clipnorm, "
            f"got {', '.join(f'{key}={value}' for key, value in given.items())}"
        )
    for key, value in given.items():
        real_number(key, value, above=0.0)


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
