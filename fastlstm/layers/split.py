"""How a recurrent layer's work is split between threads: the one place that decides it.

Rows of a batch are independent through all steps, so threads take rows and meet only at the end.
But then each of them reads all recurrent weights at every step. Where these outgrow a core's
second-level cache and a thread has few rows to use them on, that is slower than one barrier a step
(about 30 microseconds) between threads that take the units instead. Measured on two cores with
512 KiB each: training 20 rows of 650 units takes by units four fifths of the time by rows, 64 rows
of 512 units a tenth more.
"""

from __future__ import annotations

# Recurrent weights that a core keeps at hand.
_CACHED_BYTES = 1 << 20
# Rows of a thread that make up for reading them from further away.
_ROWS_ENOUGH = 16
# Operations of a step that make up for a barrier.
_WORK_ENOUGH = 1e7


def by_units(batch: int, units: int, blocks: int, itemsize: int, threads: int) -> bool:
    """Whether threads take units rather than rows."""
    weights = units * units * blocks
    return (
        threads > 1
        and weights * itemsize > _CACHED_BYTES
        and batch <= _ROWS_ENOUGH * threads
        and 2.0 * batch * weights >= _WORK_ENOUGH
    )
