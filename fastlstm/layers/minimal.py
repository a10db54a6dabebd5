"""Minimal recurrent units, whose gates see the input alone: no weights for h."""

from __future__ import annotations

from fastlstm.cells.mingru import MinGRUCell
from fastlstm.cells.minlstm import MinLSTMCell
from fastlstm.layers.recurrent import Recurrent


class MinGRU(Recurrent):
    """Minimal gated recurrent unit.

    Equations and their source: ``fastlstm.cells.mingru``. Weights: kernel (features, 2·units) and
    bias (2·units), in the order z, n. The state is h; parameters as for every recurrent layer, see
    ``Recurrent``, but ``recurrent_initializer`` has nothing to draw.
    """

    cell = MinGRUCell()


class MinLSTM(Recurrent):
    """Minimal long short-term memory, its two gates normalised to sum to 1.

    Equations and their source: ``fastlstm.cells.minlstm``. Weights: kernel (features, 3·units) and
    bias (3·units), in the order f, i, n. The state is h; parameters as for ``MinGRU``.
    """

    cell = MinLSTMCell()
