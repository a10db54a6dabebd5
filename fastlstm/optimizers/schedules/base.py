"""The base class of schedules."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


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
