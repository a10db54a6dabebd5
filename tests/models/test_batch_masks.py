"""Masks and lengths wherever a batch is given: one at a time, for validation, and for gradients."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential, vjp
from fastlstm.callbacks import Callback, GradientFlow
from fastlstm.data import Batch, Dataset
from fastlstm.layers import GRU, LSTM, Concatenate, Dense, Masking
from tests.peers import import_keras
from tests.reference import finite

N, T, D = 6, 7, 3
LENGTHS = np.array([7, 3, 1, 5, 7, 2])
MASK = np.arange(T) < LENGTHS[:, None]
FORMS = {"mask": {"mask": MASK}, "lengths": {"lengths": LENGTHS}}


def _data(rng, dtype=np.float32):
    """Padded with zeros, which a Masking layer would find; a target for each step."""
    x = rng.standard_normal((N, T, D)).astype(dtype)
    x[~MASK] = 0
    return x, rng.standard_normal((N, T, 2)).astype(dtype)


def _model(*first, **options):
    fastlstm.utils.set_random_seed(4)
    model = Sequential(
        [Input((T, D)), *first, LSTM(4, return_sequences=True, **options), Dense(2, **options)]
    )
    model.compile("adam", "mse", weighted_metrics=["mae"])
    return model


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_does_what_a_masking_layer_does(form, rng, serial):
    (x, y), given = _data(rng), FORMS[form]
    ours, expected = _model(), _model(Masking())
    wrong = ours.test_on_batch(x, y)
    assert ours.test_on_batch(x, y, **given) == expected.test_on_batch(x, y)
    assert ours.test_on_batch(x, y) == wrong != expected.test_on_batch(x, y)
    np.testing.assert_array_equal(ours.predict_on_batch(x, **given), expected.predict_on_batch(x))
    for options in ({}, {"bptt": 3}, {"bptt": "checkpoint"}):
        got = ours.train_on_batch(x, y, **given, **options)
        assert got == expected.train_on_batch(x, y, **options)
    loss, grads = ours.value_and_grad(x, y, **given)
    wanted, wanted_grads = expected.value_and_grad(x, y)
    assert loss == wanted
    for one, other in zip(grads, wanted_grads, strict=True):
        np.testing.assert_array_equal(one, other)
    (norms,) = ours.gradient_flow(x, y, **given).values()
    (wanted,) = expected.gradient_flow(x, y).values()
    np.testing.assert_array_equal(norms, wanted)
    watch = GradientFlow(x, y, **given)
    ours.fit(x, y, verbose=0, callbacks=[watch], **given)
    np.testing.assert_array_equal(watch.history[ours.layers[0].name][0], norms)
    assert ours.plot_gradient_flow(x, y, **given) is not None


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form, rng, serial):
    (x, y), given = _data(rng, np.float64), FORMS[form]
    model = _model(dtype="float64")
    loss, grads = model.value_and_grad(x, y, **given)
    assert loss == model.test_on_batch(x, y, **given)[0]
    weights = model.get_weights()

    def value():
        model.set_weights(weights)
        return model.test_on_batch(x, y, **given)[0]

    for weight, grad in zip(weights, grads, strict=True):
        np.testing.assert_allclose(grad, finite.gradient(value, weight), atol=1e-8)
    d_y = rng.standard_normal((N, T, 2))
    _, pull = vjp(model, x, **given)
    d_x, _, _ = pull(d_y)

    def along():
        return float(np.vdot(model.predict_on_batch(x, **given), d_y))

    np.testing.assert_allclose(d_x, finite.gradient(along, x), atol=1e-8)
    (y_layer, _), (y_model, _) = (
        vjp(model.layers[0], x, **given),
        vjp(model.layers[0], x, mask=MASK),
    )
    np.testing.assert_array_equal(y_layer, y_model)


def test_as_in_keras(rng, serial):
    keras = import_keras()
    layers = keras.layers
    theirs = keras.Sequential(
        [layers.Input((T, D)), layers.Masking(), layers.LSTM(4, return_sequences=True),
         layers.Dense(2)]
    )  # fmt: skip
    ours, (x, y) = _model(), _data(rng)
    ours.set_weights(theirs.get_weights())
    for model in (ours, theirs):
        model.compile("sgd", "mse")
    np.testing.assert_allclose(
        ours.predict_on_batch(x, mask=MASK)[MASK], theirs.predict_on_batch(x)[MASK], atol=1e-6
    )
    for _ in range(4):
        theirs.reset_metrics()
        got = ours.train_on_batch(x, y, lengths=LENGTHS)
        assert got == pytest.approx(theirs.train_on_batch(x, y), rel=1e-5)


SOURCES = {
    "tuple": lambda x, y: (x, y, None, MASK),
    "batch with a mask": lambda x, y: Batch(x, y, mask=MASK),
    "batch with lengths": lambda x, y: Batch(x, y, lengths=LENGTHS),
    "data set with a mask": lambda x, y: Dataset(x, y, mask=MASK, batch_size=2),
    "data set with lengths": lambda x, y: Dataset(x, y, lengths=LENGTHS, batch_size=2),
    "tuples": lambda x, y: [(x[i : i + 2], y[i : i + 2], None, MASK[i : i + 2]) for i in (0, 2, 4)],
    "batches": lambda x, y: [
        Batch(x[i : i + 2], y[i : i + 2], lengths=LENGTHS[i : i + 2]) for i in (0, 2, 4)
    ],
}


@pytest.mark.parametrize("source", SOURCES)
def test_validation(source, rng, serial):
    x, y = _data(rng)
    made = SOURCES[source](x, y)
    made = iter(made) if isinstance(made, list) else made
    model = _model()
    history = model.fit(x[:2], y[:2], epochs=1, verbose=0, validation_data=made)
    # Of a batch it is the mean over its steps that count, whatever their number.
    size = None if source == "tuple" or isinstance(made, Batch) else 2
    expected = model.evaluate(x, y, mask=MASK, batch_size=size, verbose=0)
    got = [history.history[name][0] for name in ("val_loss", "val_mae")]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert abs(got[0] - model.evaluate(x, y, verbose=0)[0]) > 1e-4


def test_batches_with_lengths_train_and_predict(rng, serial):
    """A generator's; what is predicted is cut to them."""
    (x, y), models = _data(rng), [_model(), _model()]
    models[0].fit(iter([Batch(x, y, lengths=LENGTHS)]), verbose=0)
    models[1].train_on_batch(x, y, mask=MASK)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    outputs = models[0].predict(iter([Batch(x, lengths=LENGTHS)]), verbose=0)
    whole = models[1].predict_on_batch(x, lengths=LENGTHS)
    for output, row, length in zip(outputs, whole, LENGTHS, strict=True):
        np.testing.assert_array_equal(output, row[:length])


def _two():
    series, facts = Input((T, D), name="series"), Input((2,), name="facts")
    fastlstm.utils.set_random_seed(4)
    model = Model([series, facts], Dense(1)(Concatenate()([GRU(4)(series), facts])))
    model.compile("adam", "mse")
    return model


class Batches(Callback):
    """Counts them, so that it is seen that there were any."""

    seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1


def test_the_first_of_several_inputs(rng, serial):
    x, facts = _data(rng)[0], rng.standard_normal((N, 2)).astype(np.float32)
    y, forms = (
        rng.standard_normal((N, 1)).astype(np.float32),
        ([x, facts], {"facts": facts, "series": x}),
    )
    results = []
    for both in forms:
        for given in FORMS.values():
            model, count = _two(), Batches()
            model.fit(both, y, shuffle=False, batch_size=4, verbose=0, callbacks=[count], **given)
            assert count.seen == 2
            losses = [model.train_on_batch(both, y, **given), model.test_on_batch(both, y, **given)]
            losses.append(model.evaluate(both, y, verbose=0, **given))
            outputs = model.predict(both, verbose=0, **given)
            np.testing.assert_array_equal(model.predict_on_batch(both, **given), outputs)
            results.append([*losses, outputs, *model.get_weights()])
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda m, x, y: m.train_on_batch(x, y, mask=MASK, lengths=LENGTHS), ValueError,
         ["one of them"]),
        (lambda m, x, y: m.train_on_batch(x, y, lengths=[8] * N), ValueError, ["0 to 7", "8"]),
        (lambda m, x, y: m.test_on_batch(x, y, mask=MASK[:, 1:]), ValueError, ["(6, 7)", "(6, 6)"]),
        (lambda m, x, y: m.predict_on_batch(x, lengths=LENGTHS[1:]), ValueError, ["6 samples"]),
        (lambda m, x, y: m.value_and_grad(x, y, mask=MASK[1:]), ValueError, ["(5, 7)"]),
        (lambda m, x, y: vjp(m, x, lengths=LENGTHS[1:]), ValueError, ["6 samples"]),
        (lambda m, x, y: m.fit(x, y, validation_data=(x, y, None, MASK, 1), verbose=0), ValueError,
         ["(x, y, sample_weight, mask)", "Batch"]),
        (lambda m, x, y: m.fit(x, y, validation_data=Batch(x, y, lengths=[9] * N), verbose=0),
         ValueError, ["0 to 7", "9"]),
        (lambda m, x, y: Dataset(x, y, mask=MASK, lengths=LENGTHS), ValueError, ["one of them"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(act, error, parts, rng):
    model, (x, y) = _model(), _data(rng)
    before = model.get_weights()
    with pytest.raises(error) as caught:
        act(model, x, y)
    for part in parts:
        assert part in str(caught.value)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
