"""How a recurrent layer's work is split between threads: the one place that decides it.

Rows of a batch are independent through all steps, so threads take rows and meet only at the end.
But a lone row leaves half of the arithmetic idle, fewer rows than threads leave threads idle, and
each thread reads all recurrent weights at every step. Where that costs more than a barrier a step
(a fraction of a microsecond, where every thread has a processor), threads take the units instead.

Measured on two cores with 512 KiB of second-level cache each, time by units over time by rows:

batch                                1     2     3     4     8     16    32    64
forward, 256 units               0.56  0.62  0.68  0.89  0.88  0.95  0.93  0.99
training step, 256 units         0.65  0.77  0.82  0.98  1.00  1.00  0.98  0.99
training step, 64 units          0.82  0.87  0.98  1.08  0.96  1.03  0.99  1.01
training step, 512 units         0.81  0.86  0.85  0.93  0.90  0.96  0.93  0.96

and over 10,000 steps of 64 units, batch 8: forward 0.89, training step 0.94. Of a small batch at
most four rows a thread are worth it, and only where the weights outgrow the first-level cache.

Beside two busy processes 64 rows of 512 units took 1.6 times as long by units: barriers want
threads that all run. So many rows are never split by units.
"""

from __future__ import annotations

# Recurrent weights that a core's first- and second-level caches keep, and the rows of a thread
# that make up for reading them from further away.
_FIRST_LEVEL, _ROWS_FOR_FIRST = 1 << 15, 4
_SECOND_LEVEL, _ROWS_FOR_SECOND = 1 << 19, 16
# Units that a thread should have, to be worth its barriers.
_FEWEST_UNITS = 16


def by_units(batch: int, units: int, blocks: int, itemsize: int, threads: int) -> bool:
    """Whether threads take units rather than rows."""
    if threads == 1 or units < _FEWEST_UNITS * threads:
        return False
    size = units * units * blocks * itemsize
    return (
        batch < 2 * threads
        or (size > _FIRST_LEVEL and batch <= _ROWS_FOR_FIRST * threads)
        or (size > _SECOND_LEVEL and batch <= _ROWS_FOR_SECOND * threads)
    )
