"""The network of ES-RNN: from pieces of series and their coefficients to quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.streaming import Asked, Live
from fastlstm.kernels.smoothing import HEAD
from fastlstm.layers import LSTM, Add, Dense, Embedding, Flatten, Input, Reshape
from fastlstm.layers.dilated import Dilated
from fastlstm.layers.smoothing import Smoothing
from fastlstm.models import Model

Array = npt.NDArray[Any]

# How much wider than a state what is made of it is.
_WIDER = 4


# Views of a network to forecast by, by its number and the steps of a piece.
Readers = dict[tuple[int, int], tuple[Model, Model]]


class SmoothingNetwork:
    """Methods of ``ESRNN`` that stack its layers, to train and to forecast."""

    def _network(self: Any, steps: int, table: Array) -> Model:
        """From the values of pieces, and which row of the table is theirs, to all quantiles."""
        count = len(self.quantiles_)
        values = Input((steps, 2), name="values")
        row = Input((1,), name="row", dtype="int32")
        starts = Input((1,), name="starts")
        series = Embedding(*table.shape, weights=table / self.series_rate, name="series")
        coefficients = Flatten()(series(row)) * self.series_rate
        seen, base = self._smoothing(count, self.level_penalty)([values, coefficients, starts])
        layers = [
            [
                Dilated(LSTM(self.units_, return_sequences=True), dilation, name=_name(number, n))
                for n, dilation in enumerate(block)
            ]
            for number, block in enumerate(self.dilations_)
        ]
        size = self.h * count
        mixed = Dense(_WIDER * self.units_, activation="relu", name="mixed")
        answers = Dense(size, kernel_initializer="zeros", name="answers")
        linear = Dense(size, use_bias=False, kernel_initializer="zeros", name="linear")
        made = Add()([answers(mixed(_through(layers, seen))), linear(seen), base])
        return Model([values, row, starts], Reshape((made.shape[1] * self.h, count))(made))

    def _smoothing(self: Any, outputs: int = 1, penalty: float = 0.0) -> Smoothing:
        return Smoothing(
            self.input_size_,
            self.h,
            self.seasons_,
            outputs,
            ahead=max(self.seasons_, default=0),
            stride=self.stride_,
            penalty=penalty,
        )

    def _readers(self: Any, model: Model, steps: int) -> tuple[Model, Model]:
        """Two views of a network: from values and coefficients to what each step sees; answers."""
        values = Input((steps, 2), name="values")
        starts = Input((1,), name="starts")
        coefficients = Input((HEAD + sum(self.seasons_),), name="coefficients")
        seen, base = self._smoothing()([values, coefficients, starts])
        layers = [
            [model.get_layer(_name(number, n)) for n in range(len(block))]
            for number, block in enumerate(self.dilations_)
        ]
        reader = Model([values, coefficients, starts], [_through(layers, seen), seen, base])
        state = Input((self.units_,), name="state")
        window = Input((seen.shape[-1],), name="window")
        mixed, answers, linear = map(model.get_layer, ("mixed", "answers", "linear"))
        made = Add()([answers(mixed(state)), linear(window)])
        return reader, Model([state, window], made)


def _name(block: int, layer: int) -> str:
    return f"lstm_{block}_{layer}"


def _through(layers: Sequence[Sequence[Any]], made: Any) -> Any:
    """What the blocks of layers make, one after the other."""
    for number, block in enumerate(layers):
        before = made
        for layer in block:
            made = layer(made)
        if number:
            made = Add()([made, before])
    return made


class SmoothingLive(Live):
    """Of ``ESRNN``: series are smoothed again, by views of its networks that are made once."""

    def _begin(self, panel: Panel) -> None:
        super()._begin(panel)
        self._readers: Readers = {}

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        # Series become longer, and pieces with them: what was made for shorter ones goes.
        if len(self._readers) > len(self.model.models_):
            self._readers.clear()
        made = self.model._forecast_by(self._readers, self._end, self.h, asked.quantiles)
        return made.point, made.bands
