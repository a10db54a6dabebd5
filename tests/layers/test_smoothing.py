"""Layers of ES-RNN: smoothing by coefficients that are learned, and dilated recurrent layers."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.layers import LSTM, Add, Dense, Embedding, Flatten, Input
from fastlstm.layers.dilated import Dilated
from fastlstm.layers.smoothing import Smoothing
from fastlstm.models import Model, load_model
from fastlstm.models.vjp import vjp
from tests.reference import smoothing as reference
from tests.reference.finite import slope

L, H, SEASONS = 5, 4, (2, 3)
STARTS = np.array([[0.0], [1.0], [1.0]])


def test_dilated_is_the_layer_on_every_so_many_steps(rng):
    inner = LSTM(6, return_sequences=True)
    layer = Dilated(inner, 3)
    x = rng.standard_normal((2, 12, 5)).astype(np.float32)
    made = layer(x)
    assert made.shape == (2, 12, 6)
    copy = LSTM(6, return_sequences=True)
    copy.build((None, 5))
    copy.set_weights(layer.get_weights())
    for start in range(3):
        np.testing.assert_array_equal(made[:, start::3], copy(x[:, start::3]))


def test_dilated_gradients_are_those_of_its_sequences(rng):
    layer = Dilated(LSTM(3, return_sequences=True, dtype="float64"), 2)
    x, d = rng.standard_normal((2, 6, 4)), rng.standard_normal((2, 6, 3))
    _, pull = vjp(layer, x)
    d_x, _, d_weights = pull(d)
    weights = layer.get_weights()
    directions = [rng.standard_normal(array.shape) for array in [x, *weights]]

    def value():
        layer.set_weights(weights)
        return float((layer(x) * d).sum())

    expected = slope(value, [x, *weights], directions)
    pairs = zip([d_x, *d_weights], directions, strict=True)
    assert np.isclose(sum((one * other).sum() for one, other in pairs), expected, rtol=1e-7)


def test_dilated_refuses_what_does_not_fit(rng):
    layer = Dilated(LSTM(2, return_sequences=True), 4)
    with pytest.raises(ValueError, match="expects a multiple of dilation=4 steps, got 6"):
        layer(np.zeros((1, 6, 3)))
    with pytest.raises(ValueError, match="return_sequences=True"):
        Dilated(LSTM(2), 4)


def _model(answers=2):
    values = Input((L - 1 + 12, 2), name="values", dtype="float64")
    starts = Input((1,), name="starts", dtype="float64")
    row = Input((1,), name="row", dtype="int32")
    table = Embedding(4, 4 + sum(SEASONS), dtype="float64", name="series")
    smoothing = Smoothing(
        L, H, SEASONS, answers, ahead=2, stride=2, dtype="float64", name="smoothing"
    )
    seen, base = smoothing([values, Flatten(dtype="float64")(table(row)), starts])
    state = Dilated(LSTM(3, return_sequences=True, dtype="float64"), 3)(seen)
    made = Dense(H * answers, dtype="float64")(state)
    return Model([values, row, starts], Add(dtype="float64")([made, base]))


def _values(rng, batch=3):
    values = rng.standard_normal((batch, L - 1 + 12, 2))
    values[..., 1] = rng.random(values.shape[:2]) > 0.2
    return values


def test_smoothing_gives_windows_and_bases(rng):
    layer = Smoothing(L, H, SEASONS, 2, ahead=2, stride=2, dtype="float64")
    values, coefficients = _values(rng), rng.standard_normal((3, 9))
    inputs = [Input(shape, dtype="float64") for shape in ((16, 2), (9,), (1,))]
    model = Model(inputs, layer(inputs))
    made = model.predict([values, coefficients, STARTS], verbose=0)
    first = np.ascontiguousarray(values.swapaxes(0, 1))
    levels, found = reference.smooth(first, coefficients, SEASONS)
    expected = reference.windows(first, levels, found, SEASONS, STARTS, L, H, 2, 2, 2)
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_allclose(one, other.swapaxes(0, 1), atol=1e-13)


def test_gradients_reach_the_table_of_coefficients(rng):
    model = _model()
    x = [_values(rng), np.array([[0], [3], [1]], np.int32), STARTS]
    made, pull = vjp(model, x)
    d = rng.standard_normal(made.shape)
    _, _, d_weights = pull(d)
    weights = model.get_weights()
    directions = [rng.standard_normal(array.shape) for array in weights]

    def value():
        model.set_weights(weights)
        return float((model.predict(x, verbose=0) * d).sum())

    expected = slope(value, weights, directions)
    pairs = zip(d_weights, directions, strict=True)
    assert np.isclose(sum((one * other).sum() for one, other in pairs), expected, rtol=1e-7)


def test_a_model_of_these_is_kept_in_a_file(rng, tmp_path):
    model = _model()
    x = [_values(rng), np.array([[0], [3], [1]], np.int32), STARTS]
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_smoothing_says_what_it_expects():
    layer, starts = Smoothing(L, H, SEASONS, stride=3), Input((1,))
    with pytest.raises(ValueError, match=r"coefficients \(batch, 9\).* got .*, \(None, 8\) and"):
        layer([Input((10, 2)), Input((8,)), starts])
    with pytest.raises(ValueError, match=r"starts \(batch, 1\), got .* and \(None, 2\)"):
        layer([Input((10, 2)), Input((9,)), Input((2,))])
    with pytest.raises(ValueError, match="at least 7 steps, of a window and to the next, got 6"):
        layer([Input((6, 2)), Input((9,)), starts])
