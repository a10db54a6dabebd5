"""A result depends on weights and sample alone: not on threads, batch, repetition or slicing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.kernels.host import HOST
from fastlstm.layers import LSTM, Dense, Dropout, Embedding, SimpleRNN, recurrent_op, split
from fastlstm.optimizers import Adam
from tests.marks import needs_jit
from tests.process import run_python

THREADS = (1, 2, 3)

# Large enough that kernels really are launched on several threads.
N, T, D = 37, 12, 17


def _classifier():
    return Sequential(
        [
            LSTM(50, return_sequences=True, input_shape=(T, D)),
            Dropout(0.25),
            LSTM(33),
            Dense(7, activation="softmax"),
        ]
    )


def _words():
    return Sequential(
        [
            Embedding(40, 64, input_shape=(T,)),
            SimpleRNN(65, return_sequences=True),
            Dense(33, activation="tanh"),
            SimpleRNN(40),
            Dense(1, activation="sigmoid"),
        ]
    )


CASES = {
    "classifier": (_classifier, "categorical_crossentropy", ["accuracy"]),
    "words": (_words, "binary_crossentropy", ["mae"]),
}


def _data(name, rng):
    if name == "words":
        return rng.integers(0, 40, (N, T)), rng.integers(0, 2, (N, 1)).astype(np.float32)
    x = rng.standard_normal((N, T, D)).astype(np.float32)
    return x, np.eye(7, dtype=np.float32)[rng.integers(0, 7, N)]


def _compiled(name):
    make, loss, metrics = CASES[name]
    fastlstm.utils.set_random_seed(3)
    model = make()
    model.compile(optimizer=Adam(0.01, global_clipnorm=0.5), loss=loss, metrics=metrics)
    return model


def _assert_same_bits(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("name", CASES)
def test_training_for_any_number_of_threads_and_again(name, rng):
    """Losses and metrics of five Adam steps, then outputs, gradients and weights."""
    x, y = _data(name, rng)
    results = []
    for threads in (*THREADS, THREADS[-1]):
        fastlstm.set_num_threads(threads)
        model = _compiled(name)
        steps = [model.train_on_batch(x, y) for _ in range(5)]
        loss, gradients = model.value_and_grad(x, y)
        results.append(
            [*steps, model(x), model.predict(x, verbose=0), loss, *gradients, *model.get_weights()]
        )
    assert results[0][0] != results[0][4]  # it learns
    for other in results[1:]:
        _assert_same_bits(other, results[0])


def test_fit_for_any_number_of_threads(rng):
    x, y = _data("classifier", rng)
    results = []
    for threads in THREADS:
        fastlstm.set_num_threads(threads)
        model = _compiled("classifier")
        history = model.fit(x, y, epochs=2, batch_size=16, validation_split=0.3, verbose=0)
        results.append([*history.history.values(), *model.get_weights()])
    for other in results[1:]:
        _assert_same_bits(other, results[0])


def test_the_number_of_threads_may_change_while_a_tape_is_kept(rng):
    x = rng.standard_normal((N, T, D)).astype(np.float32)
    layer = LSTM(50, return_sequences=True)
    fastlstm.set_num_threads(1)
    y, pullback = fastlstm.vjp(layer, x)
    d_y = rng.standard_normal(y.shape).astype(np.float32)
    d_x, _, d_weights = pullback(d_y)
    for threads in (3, 1, 2):
        fastlstm.set_num_threads(threads)
        other_x, _, other_weights = pullback(d_y)
        _assert_same_bits([other_x, *other_weights], [d_x, *d_weights])


@pytest.mark.parametrize(("units", "batch"), [(300, 20), (90, 3), (50, 70), (64, 150)])
def test_a_layer_whose_threads_take_units_or_rows(units, batch, rng):
    """Of even panels and few rows threads take units: ``fastlstm.layers.split`` decides."""
    by_units = HOST.vector_bytes == 32 and units in (90, 300)
    work = split.Work(batch, D, units, 4, 4)
    assert HOST.vector_bytes != 32 or (split.rows_at_a_time(work, 2) == 0) == by_units
    assert split.rows_at_a_time(work, 1) == batch
    layer = LSTM(units, return_sequences=True)
    x = rng.standard_normal((batch, 40, D)).astype(np.float32)
    d_y = rng.standard_normal((batch, 40, units)).astype(np.float32)
    results = []
    for threads in THREADS:
        fastlstm.set_num_threads(threads)
        y, pullback = fastlstm.vjp(layer, x)
        d_x, _, d_weights = pullback(d_y)
        results.append([y, layer(x), d_x, *d_weights])
    for other in results[1:]:
        _assert_same_bits(other, results[0])
    for row in (0, 2):
        np.testing.assert_array_equal(layer(x[row : row + 1]), results[0][0][row : row + 1])


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_sequence_in_several_launches(threads, masked, rng, monkeypatch):
    """As is done so that Ctrl-C is heard; here after every chunk of steps."""
    fastlstm.set_num_threads(threads)
    layer = LSTM(33, return_sequences=True, return_state=True)
    x = rng.standard_normal((70, 11, D)).astype(np.float32)
    mask = rng.random((70, 11)) < 0.7 if masked else None
    d_outputs = [rng.standard_normal(s).astype(np.float32) for s in ((70, 11, 33), (70, 33))]
    d_outputs.append(d_outputs[1])
    results = []
    for work in (1e12, 1.0):
        monkeypatch.setattr(recurrent_op, "WORK_PER_LAUNCH", work)
        outputs, pullback = fastlstm.vjp(layer, x, mask=mask)
        layer.runner.forget()
        d_x, d_states, d_weights = pullback(*d_outputs)
        results.append([*outputs, *layer(x, mask=mask), d_x, *d_states, *d_weights])
    _assert_same_bits(results[1], results[0])


def test_python_threads_that_share_a_layer(rng):
    layer = LSTM(64, return_sequences=True)
    model = Sequential([LSTM(64, input_shape=(T, D)), Dense(3)])
    inputs = [rng.standard_normal((8, T, D)).astype(np.float32) for _ in range(4)]
    d_y = rng.standard_normal((8, T, 64)).astype(np.float32)

    def work(x):
        _, pullback = fastlstm.vjp(layer, x)
        d_x, _, d_weights = pullback(d_y)
        return [d_x, *d_weights, layer(x), model(x), model.predict(x, verbose=0)]

    expected = [work(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, inputs * 40))
    for number, got in enumerate(results):
        _assert_same_bits(got, expected[number % 4])


@pytest.mark.parametrize("name", CASES)
def test_predict_gives_each_row_the_bits_it_has_alone(name, rng):
    x, _ = _data(name, rng)
    model = _compiled(name)
    whole = model.predict(x, batch_size=N, verbose=0)
    np.testing.assert_array_equal(model.predict(x, batch_size=5, verbose=0), whole)
    np.testing.assert_array_equal(model(x), whole)
    for row in range(0, N, 3):
        np.testing.assert_array_equal(model(x[row : row + 1]), whole[row : row + 1])


@pytest.mark.parametrize("layout", ["float64", "Fortran", "strided", "read-only", "list"])
def test_the_layout_of_the_input_does_not_matter(layout, rng):
    x = rng.standard_normal((5, T, D)).astype(np.float32)
    model = _compiled("classifier")
    expected = model(x)
    if layout == "read-only":
        given = x.copy()
        given.flags.writeable = False
    elif layout == "strided":
        given = np.repeat(x, 2, axis=1)[:, ::2]
    else:
        given = {"float64": x.astype(np.float64), "Fortran": np.asfortranarray(x)}.get(layout)
        given = x.tolist() if given is None else given
    np.testing.assert_array_equal(model(given), expected)
    np.testing.assert_array_equal(model.predict(given, verbose=0), expected)


def _layers(**options):
    return {
        "lstm": LSTM(33, return_sequences=True, **options),
        "rnn": SimpleRNN(33, return_sequences=True, **options),
    }


@pytest.mark.parametrize("kind", ["lstm", "rnn"])
def test_a_sequence_at_once_or_by_steps_with_states_passed_on(kind, rng):
    x = rng.standard_normal((5, T, D)).astype(np.float32)
    layer = _layers(return_state=True)[kind]
    whole, *last = layer(x)
    for size in (1, 5):
        outputs, states = [], None
        for start in range(0, T, size):
            y, *states = layer(x[:, start : start + size], initial_state=states)
            outputs.append(y)
        _assert_same_bits([np.concatenate(outputs, axis=1), *states], [whole, *last])


@pytest.mark.parametrize("kind", ["lstm", "rnn"])
def test_a_sequence_at_once_or_by_steps_with_a_stateful_layer(kind, rng):
    x = rng.standard_normal((5, T, D)).astype(np.float32)
    layer = _layers()[kind]
    whole = layer(x)
    stateful = _layers(stateful=True)[kind]
    stateful.build((None, D))
    stateful.set_weights(layer.get_weights())
    for _ in range(2):
        outputs = [stateful(x[:, t : t + 1]) for t in range(T)]
        np.testing.assert_array_equal(np.concatenate(outputs, axis=1), whole)
        stateful.reset_states()


def test_a_stateful_model_by_steps(rng):
    """Through predict, two layers deep, with the weights of a model that is not stateful."""
    x = rng.standard_normal((4, T, D)).astype(np.float32)

    def make(stateful):
        return Sequential(
            [
                LSTM(21, return_sequences=True, stateful=stateful, input_shape=(None, D)),
                LSTM(9, stateful=stateful),
                Dense(2),
            ]
        )

    model, stateful = make(False), make(True)
    stateful.set_weights(model.get_weights())
    expected = model.predict(x, verbose=0)
    for _ in range(2):
        for t in range(T):
            last = stateful.predict(x[:, t : t + 1], verbose=0)
        np.testing.assert_array_equal(last, expected)
        stateful.reset_states()


def test_masked_steps_at_the_end_change_nothing(rng):
    """A short sequence has the same bits alone and padded in a batch of longer ones."""
    layer = LSTM(21)
    x = rng.standard_normal((3, T, D)).astype(np.float32)
    lengths = np.array([T, 5, 1])
    mask = np.arange(T) < lengths[:, None]
    padded = layer(x, mask=mask)
    for row, length in enumerate(lengths):
        alone = layer(x[row : row + 1, :length])
        np.testing.assert_array_equal(padded[row : row + 1], alone)


@needs_jit
def test_another_process_has_the_same_bits(rng, tmp_path):
    model = _compiled("classifier")
    x = rng.standard_normal((N, T, D)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model")
    np.save(tmp_path / "x.npy", x)
    run_python(
        f"""
        import numpy as np
        from fastlstm.models import load_model
        x = np.load({str(tmp_path / "x.npy")!r})
        y = load_model({str(tmp_path / "model")!r}).predict(x, verbose=0)
        np.save({str(tmp_path / "y.npy")!r}, y)
        """
    )
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
