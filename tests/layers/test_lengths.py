"""Sequences of given lengths: as PyTorch's packed ones."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential, vjp
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, Input, ProjectedLSTM
from tests.reference import finite

B, T, D = 5, 7, 3
LENGTHS = np.array([7, 1, 4, 7, 2])
MASK = np.arange(T) < LENGTHS[:, None]


@pytest.fixture
def float64():
    fastlstm.config.set_floatx("float64")
    yield
    fastlstm.config.set_floatx("float32")


LAYERS = {
    "lstm": lambda **options: LSTM(4, **options),
    "gru": lambda **options: GRU(4, **options),
    "reset before": lambda **options: GRU(4, reset_after=False, **options),
    "projected": lambda **options: ProjectedLSTM(5, 4, **options),
    "backwards": lambda **options: LSTM(4, go_backwards=True, **options),
}


@pytest.mark.parametrize("name", LAYERS)
def test_zeros_behind_the_end(name, rng, float64):
    layer = LAYERS[name](return_sequences=True, return_state=True, zero_output_for_mask=True)
    plain = LAYERS[name](return_sequences=True, return_state=True)
    x = rng.standard_normal((B, T, D))
    for each in (layer, plain):
        each.build((T, D))
    plain.set_weights(layer.get_weights())
    mask = MASK[:, ::-1] if name == "backwards" else MASK
    counts = mask[:, ::-1] if name == "backwards" else mask
    (y, *states), (expected, *ends) = layer(x, mask=mask), plain(x, mask=mask)
    np.testing.assert_array_equal(y, np.where(counts[..., None], expected, 0.0))
    for state, end in zip(states, ends, strict=True):
        np.testing.assert_array_equal(state, end)

    layer = LAYERS[name](return_sequences=True, zero_output_for_mask=True)
    y, pull = vjp(layer, x, mask=mask)
    d_y = rng.standard_normal(y.shape)
    d_x, _, d_weights = pull(d_y)
    value = lambda: float(np.vdot(layer(x, mask=mask), d_y))  # noqa: E731
    np.testing.assert_allclose(d_x, finite.gradient(value, x), atol=1e-8)
    weights = layer.get_weights()

    def with_weights():
        layer.set_weights(weights)
        return value()

    np.testing.assert_allclose(d_weights[1], finite.gradient(with_weights, weights[1]), atol=1e-8)


def test_as_packed_in_torch(rng):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.LSTM(D, 4, bidirectional=True, batch_first=True)
    ours = Bidirectional(LSTM(4, return_sequences=True, return_state=True))
    ours.build((T, D))
    weights = []
    for side in ("", "_reverse"):
        w, u, b, c = (
            getattr(theirs, f"{name}_l0{side}").detach().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        weights += [w.T, u.T, b + c]
    ours.set_weights(weights)
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(x), LENGTHS, batch_first=True, enforce_sorted=False
    )
    out, (h, c) = theirs(packed)
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
    y, *states = ours(x, mask=MASK)
    np.testing.assert_allclose(y, out.detach().numpy(), atol=1e-6)
    ends = [h[0], c[0], h[1], c[1]]
    for state, end in zip(states, ends, strict=True):
        np.testing.assert_allclose(state, end.detach().numpy(), atol=1e-6)


def _model():
    fastlstm.utils.set_random_seed(2)
    layers = [LSTM(6, return_sequences=True, zero_output_for_mask=True), GRU(5), Dense(1)]
    model = Sequential([Input((T, D)), *layers])
    model.compile("adam", "mse")
    return model


def test_lengths_are_a_mask(rng):
    x = rng.standard_normal((40, T, D)).astype(np.float32)
    y = rng.standard_normal((40, 1)).astype(np.float32)
    lengths = rng.integers(1, T + 1, 40)
    mask = np.arange(T) < lengths[:, None]
    results = []
    for given in ({"lengths": lengths}, {"mask": mask}):
        model = _model()
        history = model.fit(x, y, epochs=2, verbose=0, shuffle=False, **given)
        results.append([
            *history.history["loss"], model.evaluate(x, y, verbose=0, **given),
            *model.predict(x, verbose=0, **given), *model.get_weights(),
        ])  # fmt: skip
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    cut = model.predict(x[:1, : lengths[0]], verbose=0)
    np.testing.assert_allclose(model.predict(x[:1], lengths=lengths[:1], verbose=0), cut, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"lengths": [3, 3]}, ["each of the 5 samples", "(2,)"]),
        ({"lengths": [8, 1, 1, 1, 1]}, ["0 to 7 steps, got 8"]),
        ({"lengths": [-1, 1, 1, 1, 1]}, ["got -1"]),
        ({"lengths": np.ones(5)}, ["whole number", "float64"]),
        ({"lengths": LENGTHS, "mask": MASK}, ["one of them"]),
    ],
)
def test_what_does_not_fit_is_said(given, parts):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the parts are looked for below
        _model().predict(np.zeros((B, T, D)), verbose=0, **given)
    for part in parts:
        assert part in str(caught.value)
