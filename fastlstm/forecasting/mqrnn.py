"""MQRNN: a recurrent encoder, and all steps to come from its last state."""

from __future__ import annotations

import numpy as np

from fastlstm.forecasting.correction import SeasonCorrector, side_by_side, steps_at_once
from fastlstm.forecasting.intervals import between
from fastlstm.forecasting.network import Sizes
from fastlstm.initializers import Constant
from fastlstm.layers import GRU, Add, Concatenate, Dense, Input, RepeatVector, Reshape
from fastlstm.models import Model

# Levels of the quantiles that are a standard deviation from the median.
_ONE = (0.15865525393145705, 0.8413447460685429)
# Standard deviation of a normal distribution whose mean absolute value is 1.
_NORMAL = 1.2533141373155001


class MQRNN(SeasonCorrector):
    """Direct forecasts of quantiles, all steps at once.

    A GRU reads the window, a long one a whole season at each step. From its last state dense layers
    make the quantiles of all steps to come, to which a linear function of the window is added.
    Where something is known of the steps to come, the state makes a context for each of them, which
    becomes a third part together with what is known. All of this is by how much the last season
    should be corrected, in units of how much seasons differ.

    Series whose values are all well above zero are taken by their logarithms, since they mostly
    grow and swing in proportion. Errors count in units of how much seasons differ, and again in
    proportion to the level, so that very regular series are not all that is learned.

    Sources: Wen, Torkkola, Narayanaswamy, Madeka, "A Multi-Horizon Quantile Recurrent Forecaster",
    arXiv:1711.11053, 2017; seasons as steps: Lin et al., "SegRNN: Segment Recurrent Neural Network
    for Long-Term Time Series Forecasting", arXiv:2308.11200, 2023; the linear part: Zeng, Chen,
    Zhang, Xu, "Are Transformers Effective for Time Series Forecasting?", AAAI 2023.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``NetworkForecaster``, as are the others.
    log, pooled
        See ``SeasonCorrector``.
    """

    def _network(self, sizes: Sizes) -> Model:
        past = Input((sizes.look_back, sizes.past), name="past")
        static = Input((sizes.static,), name="static")
        inputs = [past, static]
        answers = sizes.horizon * sizes.outputs
        read = side_by_side(past, steps_at_once(sizes))
        state = Concatenate()([GRU(self._units)(read), static])
        state = Dense(2 * self._units, activation="relu")(state)
        parts = [
            Dense(answers, kernel_initializer="zeros", bias_initializer=self._usual(sizes))(state),
            Dense(answers, kernel_initializer="zeros")(past[:, :, 0]),
        ]
        made = Reshape((sizes.horizon, sizes.outputs))(Add()(parts))
        if sizes.future:
            future = Input((sizes.horizon, sizes.future), name="future")
            inputs.append(future)
            context = max(8, self._units // 8)
            overall = RepeatVector(sizes.horizon)(Dense(context, activation="relu")(state))
            known = Concatenate()([overall, future])
            known = Dense(self._units // 2, activation="relu")(known)
            made = Add()([made, Dense(sizes.outputs, kernel_initializer="zeros")(known)])
        return Model(inputs, made)

    def _usual(self, sizes: Sizes) -> Constant:
        """Answers to begin with: the last season, as far off as it usually is."""
        scores = between([-1.0, 1.0], _ONE, self.quantiles_)
        return Constant(np.tile(_NORMAL * scores, sizes.horizon))
