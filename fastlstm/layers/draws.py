"""Where the random numbers of a layer come from."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.randomness import rng
from fastlstm.validation import whole_number


class Draws:
    """A generator of a layer's own, where it has a seed; everybody's otherwise.

    Parameters
    ----------
    seed : int or None
        Makes what the layer draws repeatable, whatever else is drawn. None for the generator that
        ``fastlstm.utils.set_random_seed`` seeds.
    kind : str
        What the layer is called in errors.
    """

    def __init__(self, seed: Any = None, kind: str = "") -> None:
        self.seed = None if seed is None else whole_number(seed, f"{kind} seed", 0)
        self._own = None if self.seed is None else np.random.default_rng(self.seed)

    def draw(self) -> int:
        """A seed for the numbers of one batch."""
        generator = rng() if self._own is None else self._own
        return int(generator.integers(0, 2**63))
