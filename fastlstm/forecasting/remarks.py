"""What users should know of how a model takes their series."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]


def not_learned(panel: Panel, h: int) -> list[str]:
    """What a network cannot learn from."""
    present, begins = np.isfinite(panel.y), panel.offsets[:-1]
    least = np.minimum.reduceat(np.where(present, panel.y, np.inf), begins)
    most = np.maximum.reduceat(np.where(present, panel.y, -np.inf), begins)
    told = []
    for which, what in (
        (most <= least, "constant, and teach a network nothing"),
        (panel.lengths <= h, f"no longer than h={h}, and are forecast without being learned from"),
    ):
        if which.any():
            some = ", ".join(repr(name) for name in panel.ids[which][:3])
            more = ", ..." if which.sum() > 3 else ""
            told.append(f"{which.sum()} of {len(panel)} series are {what}: {some}{more}")
    return told
