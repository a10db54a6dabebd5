"""Losses and metrics in a model's steps: the activation that the loss includes, weights, files."""

from __future__ import annotations

import tracemalloc

import numba
import numpy as np
import pytest

from fastlstm import Sequential, losses, metrics
from fastlstm.callbacks import EarlyStopping
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import LSTM, Dense
from fastlstm.models import Ensemble, load_model

N, T, D, C = 33, 5, 3, 4
ALL = [
    "accuracy", metrics.F1Score(), metrics.F1Score("macro", 0.3, "f1_over"), metrics.AUC(),
    metrics.AUC(curve="PR", name="pr"), metrics.Precision(), metrics.Recall(class_id=1),
    metrics.Precision(top_k=2, name="of_two"), metrics.TruePositives([0.1, 0.3]),
    metrics.ConfusionMatrix(C), metrics.Perplexity(),
]  # fmt: skip


def _model(units=C, activation="softmax", sequences=False, seed=0):
    model = Sequential(
        [LSTM(6, input_shape=(T, D), return_sequences=sequences), Dense(units, activation)]
    )
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(-1, 1, w.shape) for w in model.get_weights()])
    return model


def _data(rng, kind="ids", sequences=False, count=N):
    x = rng.standard_normal((count, T, D)).astype(np.float32)
    ids = rng.integers(0, C, (count, T) if sequences else count)
    y = {
        "ids": ids,
        "one-hot": np.eye(C, dtype=np.float32)[ids],
        "answers": (ids[..., None] > 1).astype(np.float32),
    }[kind]
    return x, y


def _outside(chosen, y, outputs, weights=None):
    """The same metrics, of outputs that the model gave."""
    results = {}
    for metric in chosen:
        copy = metrics.get({"class_name": type(metric).__name__, "config": metric.get_config()})
        copy.update_state(y, outputs, weights)
        results[metric.name] = copy.result()
    return results


def _assert_same(logs, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(
    ("loss", "kind", "units", "activation"),
    [
        ("sparse_categorical_crossentropy", "ids", C, "softmax"),
        ("categorical_focal_crossentropy", "one-hot", C, "softmax"),
        ("binary_crossentropy", "one-hot", C, "sigmoid"),
        ("binary_focal_crossentropy", "answers", 1, "sigmoid"),
        ("mse", "one-hot", C, "sigmoid"),
    ],
)
def test_metrics_see_what_comes_after_the_activation(loss, kind, units, activation, sequences, rng):
    model = _model(units, activation, sequences)
    x, y = _data(rng, kind, sequences)
    chosen = [metric for metric in map(metrics.get, ALL) if units > 1 or metric.name in (
        "accuracy", "auc", "precision", "pr", "true_positives", "f1_over")]  # fmt: skip
    expected = _outside(chosen, y, model.predict(x, verbose=0))
    # All of them, and each for itself: it may be that the step never takes the activation.
    for group in (chosen, *([metric] for metric in chosen)):
        model.compile("sgd", loss, metrics=group)
        logs = model.evaluate(x, y, batch_size=10, verbose=0, return_dict=True)
        _assert_same(logs, {metric.name: expected[metric.name] for metric in group})
    model.compile("sgd", loss, metrics=chosen)
    _assert_same(model.train_on_batch(x, y, return_dict=True), expected)


def test_thresholds_of_logits_that_the_user_asked_for(rng):
    x, y = _data(rng, "one-hot")
    model = _model(activation="sigmoid")
    expected = _outside([metrics.Precision()], y, model.predict(x, verbose=0))
    linear = _model(activation="linear")
    linear.compile(
        "sgd", losses.BinaryCrossentropy(from_logits=True), metrics=[metrics.Precision()]
    )
    _assert_same(linear.evaluate(x, y, verbose=0, return_dict=True), expected)
    linear.compile(
        "sgd", losses.CategoricalCrossentropy(from_logits=True), metrics=[metrics.Precision()]
    )
    with pytest.raises(ValueError, match=r"precision needs probabilities.*activation='softmax'"):
        linear.evaluate(x, y, verbose=0)


def test_weighted_metrics(rng):
    x, y = _data(rng)
    weights = rng.uniform(0, 2, N)
    model = _model()
    outputs = model.predict(x, verbose=0)
    seen = ["accuracy", metrics.F1Score("macro"), "perplexity"]
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=["accuracy", "perplexity"],
        weighted_metrics=seen,
    )
    logs = model.evaluate(x, y, batch_size=8, sample_weight=weights, verbose=0, return_dict=True)
    names = ["accuracy", "perplexity", "weighted_accuracy", "f1_score", "weighted_perplexity"]
    assert list(logs) == ["loss", *names]
    plain = _outside([metrics.Accuracy(), metrics.Perplexity()], y, outputs)
    weighted = _outside(
        [metrics.Accuracy(), metrics.Perplexity(), metrics.F1Score("macro")], y, outputs, weights
    )
    _assert_same(logs, plain)
    weighted = {key if key == "f1_score" else f"weighted_{key}": v for key, v in weighted.items()}
    _assert_same(logs, weighted)
    assert logs["accuracy"] != logs["weighted_accuracy"]
    unweighted = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    assert unweighted["weighted_accuracy"] == unweighted["accuracy"]


@pytest.mark.parametrize("sequences", [False, True])
def test_functions_of_python(sequences, rng):
    shapes = []

    def right(t, y):
        shapes.append((t.shape, y.shape))
        return y.argmax(axis=-1) == t

    x, y = _data(rng, sequences=sequences)
    weights = rng.uniform(0, 2, y.shape)
    model = _model(sequences=sequences)
    hits = model.predict(x, verbose=0).argmax(axis=-1) == y
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=[right], weighted_metrics=[right]
    )
    logs = model.evaluate(x, y, 20, 0, sample_weight=weights, return_dict=True)
    assert logs["right"] == pytest.approx(hits.mean())
    # A mean over samples of the means over steps, by weight.
    assert logs["weighted_right"] == pytest.approx(np.average(hits, weights=weights), rel=1e-5)
    assert shapes[0] == ((20, *y.shape[1:]), (20, *y.shape[1:], C))


def test_arrays_in_history_progress_and_evaluate(rng, capsys):
    x, y = _data(rng)
    model = _model()
    model.compile(
        "sgd", "sparse_categorical_crossentropy",
        metrics=[
            metrics.F1Score(), metrics.ConfusionMatrix(C),
            metrics.Recall([k / 9 for k in range(10)]),
        ],
    )  # fmt: skip
    history = model.fit(x, y, epochs=2, verbose=2, validation_data=(x, y)).history
    assert [value.shape for value in history["confusion_matrix"]] == [(C, C)] * 2
    assert not np.shares_memory(*history["confusion_matrix"])
    assert history["confusion_matrix"][0].sum() == history["val_confusion_matrix"][1].sum() == N
    assert history["f1_score"][0].shape == (C,)
    line = capsys.readouterr().out.splitlines()[0]
    numbers = " ".join(f"{value:.3g}" for value in history["f1_score"][0])
    assert f" - f1_score=[{numbers}] - confusion_matrix=<4x4> - recall=<10> - " in line
    loss, f1, matrix, recall = model.evaluate(x, y, verbose=0)
    assert np.isfinite(loss)
    assert (f1.shape, matrix.shape, recall.shape) == ((C,), (C, C), (10,))
    with pytest.raises(ValueError, match=r"'f1_score', which is an array of shape \(4,\)"):
        model.fit(x, y, verbose=0, callbacks=[EarlyStopping("f1_score", mode="max")])


def test_files_have_the_metrics(rng, tmp_path):
    x, y = _data(rng)
    model = _model()
    weighted = [metrics.Precision([0.2, 0.3]), metrics.MeanMetricWrapper(
        losses.SparseCategoricalCrossentropy(), "entropy")]  # fmt: skip
    model.compile(
        "sgd",
        losses.SparseCategoricalCrossentropy(reduction="sum"),
        metrics=ALL,
        weighted_metrics=weighted,
    )
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    w = rng.uniform(0, 2, N)
    _assert_same(
        loaded.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True),
        model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True),
    )
    assert loaded.loss.reduction == "sum"
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", lambda t, y: 0.0])
    with pytest.warns(UserWarning, match=r"\['<lambda>'\].*functions of Python"):
        model.save(tmp_path / "model")
    assert [metric.name for metric in load_model(tmp_path / "model").metrics] == ["accuracy"]


def test_an_ensemble_has_the_counts_of_all_models(rng):
    model = _model()
    chosen = [metrics.F1Score("micro"), metrics.ConfusionMatrix(C), metrics.AUC()]
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=chosen, weighted_metrics=["accuracy"]
    )
    ensemble = Ensemble(model, 3)
    data = [_data(rng) for _ in range(3)]
    x, y = (np.stack(arrays) for arrays in zip(*data, strict=True))
    w = rng.uniform(0, 2, y.shape)
    logs = ensemble.evaluate(x, y, batch_size=10, sample_weight=w, verbose=0, return_dict=True)
    outputs = ensemble.predict(x, verbose=0).reshape(-1, C)
    _assert_same(logs, _outside(chosen, y.reshape(-1), outputs))
    hits = outputs.argmax(axis=1) == y.reshape(-1)
    assert logs["accuracy"] == pytest.approx(np.average(hits, weights=w.reshape(-1)), rel=1e-6)
    with pytest.raises(ValueError, match="cannot have the metric '<lambda>'"):
        ensemble.compile("sgd", "mse", metrics=[lambda t, y: 0.0])


def test_losses_that_give_no_number_are_refused():
    model = _model()
    with pytest.raises(ValueError, match="reduction='none'"):
        model.compile("sgd", losses.MeanSquaredError(reduction=None))
    assert model.loss is None


def test_a_metric_in_two_places_is_refused():
    model, metric = _model(), metrics.AUC()
    for lists in (([metric], [metric]), ([metric, metric], None)):
        with pytest.raises(ValueError, match="twice"):
            model.compile("sgd", "mse", None, *lists)
    assert model.loss is None
    model.compile("sgd", "mse", metrics=["mae", "mae"], weighted_metrics=["mae"])
    assert [metric.name for metric in model.metrics] == ["mae", "mae_1", "weighted_mae"]


def test_a_sum_has_the_gradient_of_the_mean_times_the_rows(rng):
    x, y = _data(rng, "one-hot", sequences=True)
    grads = []
    for reduction in ("sum_over_batch_size", "sum"):
        model = _model(sequences=True)
        model.compile("sgd", losses.CategoricalCrossentropy(reduction=reduction))
        grads.append(model.value_and_grad(x, y))
    assert grads[1][0] == pytest.approx(grads[0][0] * N * T, rel=1e-6)
    for mean, total in zip(grads[0][1], grads[1][1], strict=True):
        np.testing.assert_allclose(total, mean * N * T, rtol=1e-4, atol=1e-4)


def test_a_forecaster_of_quantiles_learns_them(rng):
    """Noise of known spread: its quantiles are where they should be, and in order."""
    levels = [0.1, 0.5, 0.9]
    x = rng.standard_normal((2000, 3, 1)).astype(np.float32)
    y = rng.uniform(0, 1, (2000, 2)).astype(np.float32) * [1, 2]
    model = Sequential([LSTM(4, input_shape=(3, 1)), Dense(6)])
    model.compile("adam", losses.Quantile(levels))
    model.optimizer.learning_rate = 0.02
    model.fit(x, y, epochs=12, batch_size=50, verbose=0)
    shares = (y[:, :, None] < model.predict(x, verbose=0).reshape(-1, 2, 3)).mean(axis=0)
    np.testing.assert_allclose(shares, [levels, levels], atol=0.08)
    with pytest.raises(ValueError, match=r"expects y of shape \(2000, 2\)"):
        model.fit(x, np.zeros((2000, 6)), verbose=0)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mse"])
def test_bits_do_not_depend_on_the_threads(loss, rng):
    x, y = _data(rng, "ids" if loss != "mse" else "one-hot", count=3000)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        model = _model()
        model.compile(
            "sgd", loss, metrics=ALL[:-1], weighted_metrics=[metrics.AUC(name="weighted")]
        )
        logs = model.evaluate(
            x, y, 3000, 0, sample_weight=np.linspace(0, 2, 3000), return_dict=True
        )
        results.append(logs)
    for other in results[1:]:
        for name, value in results[0].items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="plain Python allocates")
def test_a_warm_step_allocates_nothing(rng):
    x, y = _data(rng, count=2000)
    model = _model()
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=ALL, weighted_metrics=["accuracy"]
    )
    data = model.prepare(x, y, np.ones(2000))
    index = np.arange(2000)
    for _ in range(2):
        model.train_step(data, index)
        model.test_step(data, index)
    for step in (model.train_step, model.test_step):
        tracemalloc.start()
        try:
            step(data, index)
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            step(data, index)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < 8_000  # the smallest array of a batch has 8,000 bytes
