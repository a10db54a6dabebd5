"""Windows that slide over time: how many there are, and where the first one begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastlstm.registry import find


@dataclass(frozen=True)
class Window:
    """A window of ``size`` steps, ``dilation`` apart, that moves on by ``stride``.

    ``padding`` is "valid" (windows lie within the sequence), "same" (as many windows as strides,
    as much outside before as after, or one less) or "causal" (no window reaches beyond its last
    step's place).
    """

    size: int
    stride: int
    padding: str
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Steps from the first of a window to its last."""
        return (self.size - 1) * self.dilation + 1

    @property
    def by_steps(self) -> bool:
        """Whether each step makes one of the output by itself."""
        return self.size == 1 and self.stride == 1

    def count(self, steps: int) -> int:
        """Number of windows; below 1 where the sequence is too short."""
        whole = steps - self.reach if self.padding == "valid" else steps - 1
        return whole // self.stride + 1

    def before(self, steps: int) -> int:
        """Steps by which the first window begins before the sequence."""
        if self.padding == "causal":
            return self.reach - 1
        if self.padding == "valid":
            return 0
        return max(0, (self.count(steps) - 1) * self.stride + self.reach - steps) // 2

    def output_steps(self, steps: int | None, kind: str) -> int | None:
        """Number of windows, where the steps are known; an error where there is none."""
        if steps is None:
            return None
        count = self.count(steps)
        if count < 1:
            raise ValueError(
                f"{kind} expects sequences of at least {self.reach} steps, as many as its window "
                f"spans with padding='valid', got {steps}; use padding='same', or longer sequences"
            )
        return count


def padding_name(padding: Any, allowed: tuple[str, ...], kind: str) -> str:
    """The name in lower case if it is among ``allowed``."""
    if not isinstance(padding, str):
        raise TypeError(f"{kind} expects padding as a name, {', '.join(allowed)}, got {padding!r}")
    return find(f"padding of {kind}", padding.lower(), {name: name for name in allowed})
