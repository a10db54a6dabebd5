"""Real models on data that come batch by batch: the very weights of arrays."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.data import Dataset, sliding_windows
from fastlstm.layers import LSTM, Dense, Input

SERIES = np.sin(np.arange(80.0))[:, None]
X = sliding_windows(SERIES, 8)[:-1]
Y = SERIES[8:]


def _model(**options):
    fastlstm.utils.set_random_seed(1)
    model = Sequential([Input((8, 1)), LSTM(4, **options), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def _equal(got, expected):
    for a, b in zip(got.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _batches():
    return ((X[at : at + 16], Y[at : at + 16]) for at in range(0, len(X), 16))


@pytest.mark.parametrize("kind", ["windows", "arrays", "prefetched", "generator"])
def test_training_has_the_bits_of_arrays(kind):
    expected = _model()
    history = expected.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    model = _model()
    if kind == "generator":
        losses = [model.fit(_batches(), verbose=0).history["loss"][0] for _ in range(2)]
    else:
        options = {"batch_size": 16, "prefetch": 2 * (kind == "prefetched")}
        dataset = (
            Dataset.windows(SERIES, sequence_length=8, horizon=1, **options)
            if kind == "windows"
            else Dataset(X, Y, **options)
        )
        losses = model.fit(dataset, epochs=2, verbose=0).history["loss"]
    assert losses == history.history["loss"]
    _equal(model, expected)
    dataset = Dataset(X, Y, batch_size=16, shuffle=True)
    assert model.evaluate(dataset, verbose=0) == expected.evaluate(X, Y, 16, verbose=0)
    np.testing.assert_array_equal(
        model.predict(dataset, verbose=0), expected.predict(X, batch_size=16, verbose=0)
    )


def test_what_is_not_finite_is_reported_with_its_window():
    broken = SERIES.copy()
    broken[37] = np.nan
    dataset = Dataset.windows(broken, sequence_length=8, horizon=1, batch_size=16)
    found = r"x has nan at index \[14, 7, 0\].*batch 2 .* whose row 14 is the window from step 30"
    with pytest.raises(ValueError, match=found):
        _model().fit(dataset, verbose=0)


def test_a_batch_that_does_not_fit_is_named():
    def batches():
        yield X[:4], Y[:4]
        yield X[:4, :, [0, 0]], Y[:4]

    with pytest.raises(ValueError, match=r"\(in batch 2 of the epoch\)"):
        _model().fit(batches(), verbose=0)


@pytest.mark.parametrize(
    ("source", "options", "text"),
    [
        (_batches, {"epochs": 2}, "the first epoch goes on until it has run out"),
        (_batches, {"epochs": 2}, "training ends after 1 of 2 epochs"),
        (_batches, {"steps_per_epoch": 9}, "ran out after 5 of the 9 batches asked for"),
        (lambda: X, {"y": Y, "steps_per_epoch": 9}, "ran out after 3 of steps_per_epoch=9"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_warnings_point_at_the_line_that_asked(source, options, text):
    with pytest.warns(UserWarning, match=text) as record:
        _model().fit(source(), verbose=0, **options)
    assert {warning.filename for warning in record} == {__file__}


def test_a_stateful_model_on_a_data_set():
    model, expected = _model(stateful=True), _model(stateful=True)
    dataset = Dataset(X, Y, batch_size=16, drop_remainder=True)
    model.fit(dataset, epochs=2, verbose=0)
    expected.fit(X[:64], Y[:64], 16, epochs=2, shuffle=False, verbose=0)
    _equal(model, expected)


def test_an_ensemble_on_mapped_arrays(tmp_path):
    """Whose first axis is that of the models, not of the samples."""
    x, y = np.stack([X, -X]), np.stack([Y, Y])
    mapped = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    mapped[:] = x
    losses = []
    for given in (x, mapped):
        ensemble = fastlstm.models.Ensemble(_model(), 2)
        losses.append(ensemble.fit(given, y, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_a_saved_run_goes_on_in_the_middle_of_an_epoch(tmp_path):
    """Model, optimizer and data set together: the very weights of a run without a stop."""

    def dataset():
        return Dataset(X, Y, batch_size=16, shuffle=True, seed=3, prefetch=1)

    def stop(batch, logs):
        if data.state()["epoch"] == 1 and batch == 2:
            states.append(data.state())
            model.stop_training = True

    expected = _model()
    expected.fit(dataset(), epochs=3, verbose=0)
    model, data, states = _model(), dataset(), []
    callback = fastlstm.callbacks.LambdaCallback(on_train_batch_end=stop)
    model.fit(data, epochs=3, verbose=0, callbacks=[callback])
    assert states == [{"epoch": 1, "batch": 3, "seed": 3}]
    model.save(tmp_path / "model")
    resumed, data = fastlstm.models.load_model(tmp_path / "model"), dataset()
    data.set_state(states[0])
    resumed.fit(data, epochs=3, initial_epoch=1, verbose=0)
    _equal(resumed, expected)
