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

Many rows are taken in more pieces than there are threads: a thread whose processor is slowed by
something else takes fewer. Training steps of 32 rows of 64 units took 0.80 to 0.85 ms in the median
when they were dealt out, and 0.68 when taken. But each piece reads the weights anew: of 64 rows of
128 units, two layers, pieces of 16 rows took 15.1 ms forward and 47 to train; of 32, 14.4 and 43.
"""

from __future__ import annotations

# Recurrent weights that a core's first- and second-level caches keep, and the rows of a thread
# that make up for reading them from further away.
_FIRST_LEVEL, _ROWS_FOR_FIRST = 1 << 15, 4
_SECOND_LEVEL, _ROWS_FOR_SECOND = 1 << 19, 16
# Rows of a piece of the batch, twice as many where the weights come from further away; and pieces
# for each thread, of which a slow one takes fewer.
_ROWS_A_PIECE, _PIECES = 32, 4
# Rows that a panel of W should meet at once, where a step alone has too few; and inputs so few that
# a product of their own costs more than it saves.
_ROWS_TOGETHER, _ROWS_ENOUGH = 128, 32
_FEW_INPUTS = 2
# Units that a thread should have, to be worth its barriers.
_FEWEST_UNITS = 16


def rows_at_a_time(batch: int, units: int, blocks: int, itemsize: int, threads: int) -> int:
    """Rows that a thread takes at a time, through all steps; 0 where threads take units instead."""
    size = units * units * blocks * itemsize
    if _by_units(batch, units, size, threads):
        return 0
    if threads == 1:
        return batch
    least = _ROWS_A_PIECE if size <= _SECOND_LEVEL else 2 * _ROWS_A_PIECE
    pieces = min(_PIECES * threads, max(threads, batch // least // threads * threads))
    return -(-batch // pieces)


def _by_units(batch: int, units: int, size: int, threads: int) -> bool:
    if threads == 1 or units < _FEWEST_UNITS * threads:
        return False
    return (
        batch < 2 * threads
        or (size > _FIRST_LEVEL and batch <= _ROWS_FOR_FIRST * threads)
        or (size > _SECOND_LEVEL and batch <= _ROWS_FOR_SECOND * threads)
    )


def steps_ahead(steps: int, batch: int, depth: int, rows: int) -> int:
    """For how many steps the inputs' product is taken at once; with 1, as part of each step.

    Measured as time with all inputs first over time step by step: 1 row of 64 inputs 0.9; 16 rows
    of 1 input 1.04; 32 rows a thread and more 1.00, in a fraction of the memory.
    """
    rows = rows or batch
    if depth <= _FEW_INPUTS or rows >= _ROWS_ENOUGH:
        return 1
    return max(1, min(steps, -(-_ROWS_TOGETHER // rows)))
