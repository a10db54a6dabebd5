"""MQRNN: a recurrent encoder, and all steps to come from its last state."""

from __future__ import annotations

from fastlstm.forecasting.network import NetworkForecaster, Sizes
from fastlstm.layers import GRU, Concatenate, Dense, Input, RepeatVector, Reshape
from fastlstm.models import Model


class MQRNN(NetworkForecaster):
    """Direct forecasts of quantiles, all steps at once.

    A GRU reads the window. From its last state a dense layer makes a context for each step to come,
    which, with what is known of that step, becomes its quantiles.

    Source: Wen, Torkkola, Narayanaswamy, Madeka, "A Multi-Horizon Quantile Recurrent Forecaster",
    arXiv:1711.11053, 2017.
    """

    def _network(self, sizes: Sizes) -> Model:
        past = Input((sizes.look_back, sizes.past), name="past")
        inputs = [past]
        state = GRU(self.units)(past)
        if sizes.static:
            static = Input((sizes.static,), name="static")
            inputs.append(static)
            state = Concatenate()([state, static])
        context = max(8, self.units // 8)
        steps = Dense(sizes.horizon * context, activation="relu")(state)
        steps = Reshape((sizes.horizon, context))(steps)
        if sizes.future:
            future = Input((sizes.horizon, sizes.future), name="future")
            inputs.append(future)
            overall = RepeatVector(sizes.horizon)(Dense(context, activation="relu")(state))
            steps = Concatenate()([steps, overall, future])
            steps = Dense(self.units // 2, activation="relu")(steps)
        return Model(inputs, Dense(sizes.outputs)(steps))
