"""How a recurrent layer's work is split between threads: the one place that decides it.

Rows of a batch are independent through all steps, so threads can take rows and meet only at the
end. Or they take units, and meet at every step (a fraction of a microsecond, where every thread has
a processor): then each reads its own part of the weights alone, and each slice of them meets all
rows. Measured on two cores with 512 KiB of second-level cache each: time by units over time by
rows.

batch                      1     2     4     8     16    32    64    128   256
forward, 32 units                      1.22  1.13  1.15  1.14  1.05  1.00
forward, 64 units                      1.01  1.05  1.04  0.98  1.01  0.99
forward, 128 units                     0.75  0.85  0.96  0.98  0.99  0.97
forward, 256 units         0.56  0.62  0.88  0.83  0.97  0.94  1.00  1.01  1.02
forward, 512 units                     0.84  0.84  0.94  0.95  0.99  0.99  0.98
training step, 64 units    0.82  0.87  1.08  0.96  1.02  0.98  0.99  0.99  0.97
training step, 128 units                           0.99  0.99  0.98  0.98  0.97
training step, 256 units   0.65  0.77  0.98  1.00  0.98  0.98  0.97  0.99  1.01
training step, 512 units   0.81  0.86  0.93  0.90  0.96  0.96  1.00  0.94  0.92

While neighbours used the last-level cache, 64 rows of 512 units took 108 ms by units and 117 by
rows. But barriers want threads that all run: beside as many busy processes as there are processors,
64 rows of 128 units took 84 ms by units and 32 by rows (14 alone). Beside one, both took 26. And
panels of units must divide evenly: 50 units, seven panels, took 1.14 times as long forward; 32 and
96 units, one and three panels of Uᵀ, 1.1 and 1.04 times as long to train.

Many rows are taken in more pieces than there are threads: a thread whose processor is slowed by
something else takes fewer. But each piece reads the weights anew: of 64 rows of 128 units, two
layers, pieces of 16 rows took 15.1 ms forward and 47 to train; of 32, 14.4 and 43.

The inputs' product may be taken for several steps at once, so that a panel of W meets some 128
rows. Then the gates go through memory twice, which only a W from beyond the first caches is worth:
time ahead over time step by step, with as many inputs as said and units as pay best.

batch                      4     8     16    24    32    64
32 units, 8 inputs         1.33  1.21  1.25  1.15  1.08  1.05
64 units, 8 inputs         1.03  1.05  1.04  1.03  1.02  1.04
64 units, 64 inputs        1.01  1.00  1.00  1.03  1.01  1.00
128 units, 128 inputs      0.96  1.00  0.96  1.00  0.99  0.98
256 units, 256 inputs      0.84  0.92  0.95  0.97  0.99  0.98
512 units, 256 inputs      0.93  0.97  0.96  0.98  0.99  0.99

A lone row takes 0.9 of the time with 64 inputs, 0.97 with 8.

Without h·U, as in MinGRU and MinLSTM, a unit sees no other one, so threads that take units meet
nowhere. In training each then passes through its own part of the gates from first to last, and x·W
meets all rows; in inference, where gates stay in the caches, pieces of h are what parts them, and
rows are better while W is small. Time by units over time by rows, with other processes about,
hence unevenly:

                                              inference  saving  back
batch 8, 1000 steps, 64 units, 4 inputs            1.22    1.05  0.83
batch 32, 24 steps, 64 units, 1 input              1.06    0.80  0.54
batch 32, 100 steps, 64 units, 4 inputs            1.16    0.82  0.78
batch 64, 96 steps, 128 units, 8 inputs            0.99    1.19  0.81
the same, MinLSTM                                  1.09    0.70  0.71
batch 256, 50 steps, 128 units, 16 inputs          1.48    1.15  1.04
batch 32, 100 steps, 96 units, three panels        1.35    1.07  1.07
batch 128, 100 steps, 96 units, three panels       1.57    1.41  1.43

A panel taken through many steps before the next one is slower, likely as a step then waits for what
the last one has just stored: 1.46 times as long to go forward, a lone row of 256 units. A scan over
pieces of time in parallel, which h' = a·h + b allows, is no choice: its sums are in another order
than those of a stream.

Stacked layers can go forward as a wavefront, each on a thread of its own, some steps behind the one
below, and meet every few steps: then neither rows nor units need to be divided, but nothing is
done in the other's part of the caches, and an odd layer leaves a thread idle. Time as a wavefront
that meets every 4 steps over time without, two layers; 8 steps are level, 16 are worse:

batch                                  1     4     8     16    32    64
100 steps, 16 units, 4 inputs          0.75  0.73  0.83  0.87  0.90  0.98
100 steps, 32 units, 4 inputs          0.81  0.83  0.86  0.89  0.94  1.00
100 steps, 48 units, 8 inputs          0.87  0.90  0.98  1.01
100 steps, 64 units, 64 inputs         1.03  0.88  0.95  0.95
100 steps, 128 units, 8 inputs         1.19  1.20
24 steps, 32 units, 4 inputs           0.83  0.92  0.96  0.96
three layers, 100 steps, 32 units      0.77  0.93  0.96  0.97  0.99  1.05

The two directions of a bidirectional layer do not wait for each other at all. Each on one of two
threads, over one after the other on both; with other processes about, hence unevenly:

batch                                  1     4     8     16    32    64    128
forward, 16 units, 8 inputs            1.01  0.98  0.96  0.97  0.95  1.00  0.91
forward, 32 units, 8 inputs            0.69  0.94  0.93  0.90  0.92  0.91  0.96
forward, 64 units, 64 inputs           0.92  0.88  0.59  0.77  0.92  0.92  0.95
forward, 128 units, 128 inputs         0.91  0.99  1.17  0.99  1.02  0.96  0.95
forward, 256 units, 256 inputs         1.44  1.01  1.00  0.98  0.99  0.98  1.00
training step, 32 units, 8 inputs      0.86  0.95  0.87  0.90  0.93  0.96  0.95
training step, 64 units, 64 inputs     0.89  0.90  0.79  0.92  0.98  0.99  1.14
training step, 128 units, 128 inputs   1.03  0.94  0.81  0.99  0.97  0.95  0.94
training step, 256 units, 256 inputs   0.96  1.00  0.95  1.00  1.01  1.00  0.98
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.cell import panel_units
from fastlstm.kernels.parallel import SERIAL_WORK

# Most rows for each thread that go by units; and those that do so even if panels divide unevenly.
_ROWS_BY_UNITS, _ROWS_ANYWAY = 64, 4
# Weights, in bytes, that are worth barriers.
_WORTH_BARRIERS = 1 << 16
# What the largest share of the panels may be over the mean.
_EVEN = 1.05
_SECOND_LEVEL = 1 << 19
# Rows of a piece of the batch, twice as many where the weights come from further away; and pieces
# for each thread, of which a slow one takes fewer.
_ROWS_A_PIECE, _PIECES = 32, 4
# Rows that a panel of W should meet at once, where a step alone has no more than are enough (twice
# as many where they are those of all threads), and a W so large that it is worth it. For a lone
# row any is, but of inputs so few that a product of their own costs more than it saves.
_ROWS_TOGETHER, _ROWS_ENOUGH, _WORTH_AHEAD = 128, 32, 1 << 17
_FEW_INPUTS = 2
# Units that a thread should have, to be worth its barriers.
_FEWEST_UNITS = 16
# Multiply-adds that a cell's equations are worth for each pre-activation, where there is no h·U.
_EQUATIONS = 16
# Steps after which the threads of a wavefront meet, and how many times they should; the largest
# layer, in bytes of U, and batch that go so.
_STEPS_OF_WAVE, _WAVES = 4, 6
_LAYER_OF_WAVE, _ROWS_OF_WAVE = 1 << 14, 16


@dataclass(frozen=True)
class Work:
    """What a recurrent layer has to do at a step."""

    batch: int
    depth: int
    units: int
    blocks: int
    itemsize: int
    recurrent: bool = True  # whether there is a product h·U

    @property
    def w_bytes(self) -> int:
        """Size of W."""
        return self.depth * self.units * self.blocks * self.itemsize

    @property
    def u_bytes(self) -> int:
        """Size of U."""
        return self._reach * self.units * self.blocks * self.itemsize

    @property
    def flops(self) -> float:
        """Floating-point operations of the products, or of the equations where there are more."""
        return 2.0 * self.batch * (self.depth + self._others) * self.blocks * self.units

    @property
    def flops_back(self) -> float:
        """The same on the way back through the steps, in which W has no part."""
        return 2.0 * self.batch * self._others * self.blocks * self.units

    @property
    def _reach(self) -> int:
        """Units that the product reads."""
        return self.units if self.recurrent else 0

    @property
    def _others(self) -> int:
        """What a pre-activation takes beside x·W, in multiply-adds."""
        return self.units if self.recurrent else _EQUATIONS


def rows_at_a_time(work: Work, threads: int, *, back: bool = False, saving: bool = True) -> int:
    """Rows that a thread takes at a time, through all steps; 0 where threads take units instead.

    On the way ``back`` W has no part, and units go by panels of Uᵀ as well. ``saving`` is whether
    forward keeps what backward needs.
    """
    if _by_units(work, threads, back, saving):
        return 0
    if threads == 1:
        return work.batch
    least = _ROWS_A_PIECE if work.u_bytes <= _SECOND_LEVEL else 2 * _ROWS_A_PIECE
    pieces = min(_PIECES * threads, max(threads, work.batch // least // threads * threads))
    return -(-work.batch // pieces)


def _by_units(work: Work, threads: int, back: bool, saving: bool) -> bool:
    batch, units = work.batch, work.units
    if threads == 1 or units < _FEWEST_UNITS * threads:
        return False
    if batch < 2 * threads:
        return True
    kept_apart = saving and not work.recurrent  # no barriers, and gates that go through memory
    weights = work.u_bytes + (0 if back else work.w_bytes)
    if weights < _WORTH_BARRIERS and not kept_apart:
        return False
    if batch <= _ROWS_ANYWAY * threads:
        return True
    widths = [panel_units(work.blocks, work.itemsize)]
    if back and work.recurrent:
        widths.append(panel_units(1, work.itemsize))
    panels = [-(-units // width) for width in widths]
    even = all(-(-count // threads) * threads <= _EVEN * count for count in panels)
    return even and batch <= _ROWS_BY_UNITS * threads


def steps_ahead(work: Work, steps: int, rows: int) -> int:
    """For how many steps the inputs' product is taken at once; with 1, as part of each step."""
    enough = _ROWS_ENOUGH if rows else 2 * _ROWS_ENOUGH
    rows = rows or work.batch
    worth = work.w_bytes >= _WORTH_AHEAD or (rows == 1 and work.depth > _FEW_INPUTS)
    if rows > enough or not worth:
        return 1
    return max(1, min(steps, -(-_ROWS_TOGETHER // rows)))


def one_each(work: Work, threads: int) -> bool:
    """Whether two layers that do not wait for each other get a thread each."""
    return threads == 2 and work.w_bytes + work.u_bytes <= _SECOND_LEVEL


def wave_steps(layers: list[Work], steps: int, threads: int) -> int:
    """Steps after which stacked layers meet that go forward as a wavefront; 0 where they do not."""
    batch, flops = layers[0].batch, steps * sum(work.flops for work in layers)
    enough = len(layers) > 1 and steps >= _WAVES * _STEPS_OF_WAVE and flops >= SERIAL_WORK
    largest = max(work.units**2 * work.blocks * work.itemsize for work in layers)
    small = largest <= _LAYER_OF_WAVE and batch <= _ROWS_OF_WAVE
    # More threads than layers are better off with the rows, if those suffice.
    suits = threads > 1 and (threads <= len(layers) or batch < threads)
    return _STEPS_OF_WAVE if enough and small and suits else 0
