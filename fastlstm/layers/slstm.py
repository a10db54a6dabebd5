"""The scalar long short-term memory of xLSTM."""

from __future__ import annotations

from fastlstm.cells.slstm import SLSTMCell
from fastlstm.layers.recurrent import Recurrent


class SLSTM(Recurrent):
    """Scalar long short-term memory, with exponential gates and a stabiliser.

    Equations and their source: ``fastlstm.cells.slstm``. Weights: kernel (features, 4·units),
    recurrent_kernel (units, 4·units), bias (4·units), in the order i, f, z, o. The states are h, c,
    n and m; parameters as for every recurrent layer, see ``Recurrent``.
    """

    cell = SLSTMCell()
