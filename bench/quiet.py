"""Whether other processes are at work, which makes every figure worthless."""

from __future__ import annotations

import math
import time
from pathlib import Path

# Share of all processors that the system itself may take now and then.
QUIET = 0.05


def busy_share(seconds: float = 0.1) -> float:
    """Share of the processors that is in use while this process sleeps; NaN if not known."""
    try:
        idle, total = _ticks()
        time.sleep(seconds)
        idle_after, total_after = _ticks()
    except (OSError, ValueError):  # only Linux tells it this way
        return math.nan
    return 1 - (idle_after - idle) / max(1, total_after - total)


def _ticks() -> tuple[int, int]:
    first = Path("/proc/stat").read_text().splitlines()[0]
    user, nice, system, idle, waiting, *rest = map(int, first.split()[1:9])
    return idle + waiting, user + nice + system + idle + waiting + sum(rest)
