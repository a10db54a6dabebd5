"""Seq2Seq: one network reads the past, another writes what comes and looks back at each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.correction import SeasonCorrector, side_by_side, steps_at_once
from fastlstm.forecasting.network import Sizes
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.windows import Windows
from fastlstm.layers import (
    GRU,
    Activation,
    Add,
    Attention,
    Concatenate,
    Cropping1D,
    Dense,
    Input,
    RepeatVector,
    Reshape,
)
from fastlstm.models import Model

Array = npt.NDArray[Any]

_LOOKING = "attention"


class Seq2Seq(SeasonCorrector):
    """Sequence to sequence, with attention.

    A GRU reads the window. Another GRU, which starts from its last state, goes through the steps to
    come: it is told how far away each is, what was there a season before, the calendar, and what
    else is known of it. Each step to come looks back at all steps of the window. What it sees there
    and its own state make the quantiles, to which a linear function of the window is added. All of
    this is by how much the last season should be corrected, as in ``MQRNN``.

        r = GRU(x)                                keys_i = tanh(K r_i + P x_i)
        w = GRU(z), which starts from r_L         state_k = tanh(D w_k + E z_k)
        weights_ki = softmax_i(Q state_k · keys_i)
        seen_k = sum_i weights_ki [keys_i, x_i]   y_k = V relu(W [seen_k, state_k]) + (A x)_k

    with x the window and z what is known of the steps to come. Of a long window both GRUs take a
    whole season at each step; K and D then have weights for each place in the season, so that
    attention is by single steps in any case.

    It never reads its own forecasts, nor in training what came: quantiles of a step are not made
    better by one value drawn from those before, training and forecasting are the same computation,
    and errors do not feed on themselves.

    Sources: Sutskever, Vinyals, Le, "Sequence to sequence learning with neural networks", NIPS
    2014; Bahdanau, Cho, Bengio, "Neural machine translation by jointly learning to align and
    translate", ICLR 2015; attention by products: Luong, Pham, Manning, "Effective approaches to
    attention-based neural machine translation", EMNLP 2015; for forecasts: Fan et al.,
    "Multi-horizon time series forecasting with temporal attention learning", KDD 2019.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``NetworkForecaster``, as are the others.
    log, pooled
        See ``SeasonCorrector``.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.sin(2 * np.pi * np.arange(300) / 12)
    >>> model = Seq2Seq(h=6, season_length=12, units=16, max_steps=20, verbose=0).fit(y)
    >>> model.predict().shape
    (6,)
    >>> model.attention().shape  # of each step to come, over the steps of the past
    (6, 24)
    """

    def _inputs(self, windows: Windows, base: Array, unit: Array) -> dict[str, Array]:
        inputs = super()._inputs(windows, base, unit)
        began = np.logical_or.accumulate(np.isfinite(windows.past), axis=1)
        began[:, -1] = True
        before = np.arcsinh((base - base.mean(axis=1, keepdims=True)) / unit)
        place = np.broadcast_to(np.linspace(-0.5, 0.5, self.h), before.shape)
        told = [place[..., np.newaxis], before[..., np.newaxis]]
        if "future" in inputs:
            told.append(inputs["future"])
        inputs["future"] = np.concatenate(told, axis=2, dtype=np.float32)
        return {**inputs, "began": began.astype(np.float32)}

    def _network(self, sizes: Sizes) -> Model:
        steps, h, units = sizes.look_back, sizes.horizon, self._units
        past = Input((steps, sizes.past), name="past")
        began = Input((steps,), name="began")
        static = Input((sizes.static,), name="static")
        future = Input((h, sizes.future), name="future")
        width = max(8, units // 2)
        at_once = steps_at_once(sizes)
        reader = GRU(units, return_sequences=True, return_state=True, name="reader")
        states, last = reader(side_by_side(past, at_once))
        keys = _by_step(states, past, at_once, width)
        start = Dense(units, activation="tanh")(Concatenate()([last, static]))
        told = Concatenate()([RepeatVector(h)(static), future])
        writer = GRU(units, return_sequences=True, name="writer")
        written = writer(side_by_side(told, at_once), initial_state=[start])
        written = _by_step(written, told, at_once, width)
        seen, _ = Attention(name=_LOOKING)(
            [Dense(width)(written), Concatenate()([keys, past]), keys],
            mask=[None, began],
            return_attention_scores=True,
        )
        both = Dense(width, activation="relu")(Concatenate()([seen, written]))
        straight = Dense(h * sizes.outputs)(past[:, :, 0])
        parts = [Dense(sizes.outputs)(both), Reshape((h, sizes.outputs))(straight)]
        return Model([past, began, static, future], Add()(parts))

    def _attention(self, panel: Panel, future: Array | None) -> Array:
        """(S, h, L) what each step to come looks at; means over the members."""
        windows, (shift, scale) = self._last(panel, future)
        given = self._inputs(windows, shift, scale)
        each = []
        for model in self.models_:
            if self.pooled:
                each.append(_scores(model, given))
                continue
            one_by_one = [
                _scores(model.model_of(name), {key: x[n : n + 1] for key, x in given.items()})
                for n, name in enumerate(windows.ids)
            ]
            each.append(np.concatenate(one_by_one))
        return np.asarray(np.mean(each, axis=0, dtype=np.float64))


def _by_step(states: Any, steps: Any, at_once: int, width: int) -> Any:
    """A vector of each step, of the state after its season and of the step itself."""
    count, seasons = steps.shape[1], states.shape[1]
    made = Reshape((seasons * at_once, width))(Dense(at_once * width)(states))
    if seasons * at_once > count:
        made = Cropping1D((0, seasons * at_once - count))(made)
    return Activation("tanh")(Add()([made, Dense(width, use_bias=False)(steps)]))


def _scores(model: Any, given: dict[str, Array]) -> Array:
    """(B, h, L) attention of a network."""
    _, scores = model.get_layer(_LOOKING).output
    made: Array = Model(model.inputs, scores).predict(given, verbose=0)
    return made
