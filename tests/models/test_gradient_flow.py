"""The gradient on its way back through time, against losses of states that were moved by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastlstm
from fastlstm.callbacks import GradientFlow
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Input,
    LayerNormLSTM,
    Masking,
    PeepholeLSTM,
    ProjectedLSTM,
    SimpleRNN,
)
from fastlstm.models import Ensemble, Model, Sequential
from fastlstm.models.gradient_flow import gradients
from tests.marks import needs_jit
from tests.reference import finite

B, T, D = 3, 5, 2


def _compiled(layers, rng, loss="mse"):
    model = Sequential(layers)
    model.compile("adam", loss)
    model.set_weights([0.7 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def _moved(layer, x, mask, at, by):
    """Output of a layer whose h is moved ``by`` so much after step ``at``."""
    twin = type(layer).from_config(
        {**layer.get_config(), "name": None, "return_sequences": True, "return_state": True}
        | {"go_backwards": False}
    )
    twin.build((None, x.shape[2]))
    twin.set_weights(layer.get_weights())
    if layer.go_backwards:
        x, mask = x[:, ::-1], mask[:, ::-1]
    parts, states = [], None
    for start, stop in ((0, at + 1), (at + 1, x.shape[1])):
        if start < stop:
            cut = slice(start, stop)
            y, *states = twin(x[:, cut], initial_state=states, mask=mask[:, cut])
            parts.append(y)
        if start == 0:
            states[0] = parts[0][:, -1] = states[0] + by
    y = np.concatenate(parts, axis=1)
    return y if layer.return_sequences else y[:, -1]


def _loss(model, x, y, moved, at, by, mask):
    """Mean squared error where the layer ``moved`` is; the others are as they are."""
    for layer in model.layers:
        if isinstance(layer, Masking):
            continue
        timed = {"mask": mask} if hasattr(layer, "reset_states") else {}
        if layer is moved:
            x = _moved(layer, x, mask, at, by)
        elif isinstance(layer, Bidirectional) and moved in layer.layers:
            x = np.concatenate(
                [
                    _moved(one, x, mask, at, by if one is moved else 0 * by)[:, ::way]
                    for one, way in zip(layer.layers, (1, -1), strict=True)
                ],
                axis=2,
            )
        else:
            x = layer(x, **timed)
    return np.mean((x - y) ** 2)


MODELS = {
    "two": lambda: [LSTM(4, return_sequences=True), GRU(3), Dense(2)],
    "each step": lambda: [SimpleRNN(9, return_sequences=True), LSTM(3, return_sequences=True)],
    "backwards": lambda: [GRU(3, go_backwards=True, return_sequences=True), LSTM(2)],
    "both ways": lambda: [Bidirectional(LSTM(3, return_sequences=True)), SimpleRNN(2)],
    "peepholes": lambda: [PeepholeLSTM(4, return_sequences=True), GRU(3, reset_after=False)],
    "projected": lambda: [ProjectedLSTM(5, 3, return_sequences=True), ProjectedLSTM(4, 2)],
    "masked, projected": lambda: [Masking(), ProjectedLSTM(4, 3), Dense(1)],
    "masked, normalised": lambda: [
        Masking(),
        LayerNormLSTM(4, return_sequences=True),
        LayerNormLSTM(3),
    ],
    "masked": lambda: [Masking(), GRU(4, return_sequences=True), LSTM(3), Dense(1)],
}


@pytest.mark.usefixtures("float64", "serial")
@pytest.mark.parametrize("name", MODELS)
def test_gradients_by_finite_differences(name, rng):
    model = _compiled([Input((T, D)), *MODELS[name]()], rng)
    x = rng.standard_normal((B, T, D))
    mask = np.ones((B, T), bool)
    if "masked" in name:
        mask[0, 3:], mask[1, 0] = False, False
        x[~mask] = 0
    y = rng.standard_normal(model(x).shape)
    found = gradients(model, x, y)
    inner = [one for layer in model.layers for one in getattr(layer, "layers", [layer])]
    inner = [layer for layer in inner if hasattr(layer, "cell")]
    assert [key.split("/")[-1] for key in found] == [layer.name for layer in inner]
    for got, layer in zip(found.values(), inner, strict=True):
        assert got.shape == (B, T, layer.state_sizes[0])
        for t in range(T):
            by = np.zeros((B, layer.state_sizes[0]))
            expected = finite.gradient(lambda: _loss(model, x, y, layer, t, by, mask), by)  # noqa: B023
            np.testing.assert_allclose(got[:, t], expected, rtol=1e-6, atol=1e-9)


@needs_jit
def test_norms_are_of_the_batch_from_the_last_step(rng):
    model = _compiled([Input((T, D)), LSTM(4, return_sequences=True, name="a"), GRU(3)], rng)
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, 3))
    norms, found = model.gradient_flow(x, y), gradients(model, x, y)
    assert list(norms) == ["a", model.layers[1].name]
    for name, values in norms.items():
        expected = [np.linalg.norm(found[name][:, t]) for t in range(T)]
        np.testing.assert_allclose(values[::-1], expected, rtol=1e-6)
    halved = model.gradient_flow(x, y, sample_weight=np.full(B, 0.5))
    np.testing.assert_allclose(halved["a"], 0.5 * norms["a"], rtol=1e-5)


@needs_jit
def test_the_same_bits_whatever_the_threads_and_like_the_training(rng):
    """The gradient of the weights is that of ``value_and_grad``, where steps go back together."""
    x, y = rng.standard_normal((33, 20, 5)), rng.standard_normal((33, 1))
    model = _compiled([Input((20, 5)), LSTM(40, return_sequences=True), LSTM(24), Dense(1)], rng)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        _, expected = model.value_and_grad(x, y)
        found = gradients(model, x, y)
        got = [grad for layer in model.layers for grad in layer.grads()]
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        results.append(found)
    for found in results[1:]:
        for name, values in found.items():
            np.testing.assert_array_equal(values, results[0][name])


def _remembering(rng, **options):
    ids = rng.integers(1, 20, (48, 12))
    fastlstm.utils.set_random_seed(4)
    layers = [Embedding(20, 6), LSTM(8, name="lstm", dropout=0.2), Dropout(0.3), Dense(1)]
    model = Sequential([Input((None,)), *layers])
    model.compile("adam", "mse")
    history = model.fit(ids, ids[:, :1] / 20, epochs=5, batch_size=16, verbose=0, **options)
    return model, ids, history.history


@needs_jit
def test_watching_changes_nothing(rng):
    """Dropout draws from numbers of its own, and weights and batches are as without."""
    ids = rng.integers(1, 20, (7, 12))
    watch = GradientFlow(ids, ids[:, :1] / 20, every=2)
    model, _, history = _remembering(np.random.default_rng(0), callbacks=[watch])
    other, _, expected = _remembering(np.random.default_rng(0))
    assert history == expected
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert watch.epochs == [0, 2, 4]
    records = watch.history["lstm"]
    assert [record.shape for record in records] == [(12,)] * 3
    assert np.any(records[0] != records[2])
    now = model.gradient_flow(watch.x, watch.y)["lstm"]
    assert np.any(now != records[2])
    np.testing.assert_array_equal(now, model.gradient_flow(watch.x, watch.y)["lstm"])


@needs_jit
def test_figures(rng):
    pytest.importorskip("matplotlib")
    import matplotlib.pyplot as plt

    watch = GradientFlow(np.ones((4, 9), int), np.ones((4, 1)), every=1)
    model, _, _ = _remembering(rng, callbacks=watch)
    ax = watch.plot()
    assert [line.get_label() for line in ax.get_lines()] == [f"after {n} epochs" for n in range(6)]
    assert "'lstm'" in ax.get_title(loc="left")
    np.testing.assert_array_equal(ax.get_lines()[3].get_ydata(), watch.history["lstm"][3])
    watch.epochs, watch.history = list(range(30)), {"lstm": list(np.ones((30, 9)))}
    names = [text.get_text() for text in watch.plot().get_legend().get_texts()]
    assert len(names) == 8
    assert [names[0], names[-1]] == ["after 0 epochs", "after 29 epochs"]
    drawn = model.plot_gradient_flow(watch.x, watch.y, ax=plt.subplots()[1])
    (line,) = drawn.get_lines()
    assert line.get_label() == "lstm"
    assert line.get_xdata().tolist() == list(range(9))
    assert drawn.get_yscale() == "log"
    assert drawn.get_xlabel() == "steps back in time"
    drawn.figure.canvas.draw()
    plt.close("all")


@needs_jit
def test_a_figure_without_matplotlib(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    model = _compiled([Input((T, D)), GRU(3)], rng)
    with pytest.raises(ImportError, match=r"pip install 'fastlstm\[examples\]'"):
        model.plot_gradient_flow(rng.standard_normal((B, T, D)), np.zeros((B, 3)))


def test_what_does_not_fit_is_said(rng):
    x, y = rng.standard_normal((B, T, D)), np.zeros((B, 1))
    with pytest.raises(RuntimeError, match="compile"):
        Sequential([Input((T, D)), LSTM(1)]).gradient_flow(x, y)
    with pytest.raises(ValueError, match=r"recurrent layers.*none"):
        _compiled([Input((D,)), Dense(1)], rng).gradient_flow(x[:, 0], y)
    with pytest.raises(ValueError, match="every"):
        GradientFlow(x, y, every=0)
    with pytest.raises(ValueError, match=r"'lstm'.*pass the callback to fit"):
        GradientFlow(x, y).plot("lstm")
    model = _compiled([Input((T, D)), LSTM(1)], rng)
    with pytest.raises(TypeError, match="Ensemble"):
        GradientFlow(x, y).set_model(Ensemble(model, 2))


@needs_jit
def test_graphs_in_which_a_layer_is_called_twice(rng):
    """The first call hands its final states to the second."""
    encoder = LSTM(4, return_state=True, name="encoder")
    shared = GRU(3, return_sequences=True, name="shared")
    given, other = Input((T, D)), Input((T, D))
    _, h, c = encoder(shared(given))
    y = LSTM(4, name="decoder")(shared(other), initial_state=[h, c])
    model = Model([given, other], Dense(1)(y))
    model.compile("adam", "mse")
    x, z = rng.standard_normal((2, B, T, D))
    target = np.ones((B, 1))
    found = gradients(model, [x, z], target)
    assert list(found) == ["shared", "encoder", "shared, call 2", "decoder"]
    # By way of the decoder's first state alone: nothing else comes out of the encoder.
    start = Input((4,)), Input((4,))
    rest = Input((T, 3))
    last = LSTM(4)(rest, initial_state=list(start))
    tail = Model([rest, *start], Dense(1)(last))
    tail.set_weights(model.get_weights()[-5:])
    _, h, c = encoder(shared(x))
    _, pull = fastlstm.vjp(tail, [shared(z), h, c])
    output = model([x, z])
    d_inputs, *_ = pull(2 * (output - target) / output.size)
    np.testing.assert_allclose(found["encoder"][:, -1], d_inputs[1], rtol=1e-5, atol=1e-7)
