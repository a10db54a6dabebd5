"""Metrics against NumPy and Keras: single batches, many batches, weights, and errors."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm import metrics
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.metrics import Accuracy, BinaryAccuracy, Mean, SparseCategoricalAccuracy
from tests.peers import import_keras

ROWS, CLASSES = 24, 7
NONE = np.zeros(0, np.float32)

NAMES = {
    "binary_accuracy": "floats",
    "categorical_accuracy": "one-hot",
    "sparse_categorical_accuracy": "ids",
    "mean_absolute_error": "floats",
    "mean_squared_error": "floats",
    "root_mean_squared_error": "floats",
    "mean_absolute_percentage_error": "positive",
    "mean_squared_logarithmic_error": "positive",
    "log_cosh_error": "floats",
    "cosine_similarity": "positive",
    "poisson": "positive",
    "kl_divergence": "positive",
    "hinge": "floats",
    "squared_hinge": "floats",
    "categorical_hinge": "one-hot",
    "binary_crossentropy": "floats",
    "categorical_crossentropy": "one-hot",
    "sparse_categorical_crossentropy": "ids",
    "top_k_categorical_accuracy": "one-hot",
    "sparse_top_k_categorical_accuracy": "ids",
}


def _data(kind, rng, rows=ROWS, classes=CLASSES):
    y = rng.uniform(0, 1, (rows, classes)).astype(np.float32)
    ids = np.where(rng.random(rows) < 0.6, y.argmax(axis=1), rng.integers(0, classes, rows))
    if kind == "ids":
        t = ids.astype(np.int32)
    elif kind == "one-hot":
        t = np.eye(classes, dtype=np.float32)[ids]
    elif kind == "positive":
        t = rng.uniform(0.1, 1, (rows, classes)).astype(np.float32)
    else:
        t = (rng.random((rows, classes)) < y).astype(np.float32)
    return t, y, rng.uniform(0, 2, rows).astype(np.float32)


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_result_over_batches_is_that_of_keras(name, kind, rng):
    keras = import_keras()
    class_name = type(metrics.get(name)).__name__
    for weighted in (False, True):
        ours, theirs = metrics.get(name), getattr(keras.metrics, class_name)()
        for rows in (ROWS, 5, 1):
            t, y, weights = _data(kind, rng, rows)
            ours.update(t, y, weights if weighted else NONE, False)
            theirs.update_state(t, y, weights if weighted else None)
        assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-6)
        ours.reset_state()
        theirs.reset_state()
        t, y, weights = _data(kind, rng)
        ours.update_state(t.reshape(4, 6, *t.shape[1:]), y.reshape(4, 6, CLASSES))
        theirs.update_state(t, y)
        assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-6)


def test_errors_over_batches(rng):
    y, t = rng.standard_normal((2, 20, 3))
    weights = rng.uniform(0, 2, 20)
    wanted = {
        "mae": np.average(np.abs(y - t).mean(axis=1), weights=weights),
        "mse": np.average(((y - t) ** 2).mean(axis=1), weights=weights),
        "rmse": np.sqrt(np.average(((y - t) ** 2).mean(axis=1), weights=weights)),
    }
    for name, expected in wanted.items():
        metric = metrics.get(name)
        for part in (slice(0, 11), slice(11, 20)):
            metric.update(t[part], y[part], weights[part], False)
        assert metric.result() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["ids", "one-hot", "binary"])
def test_accuracy_finds_out_what_is_meant(kind, rng):
    if kind == "binary":
        t, y, _ = _data("floats", rng, classes=1)
        expected = ((y > 0.5) == t).mean()
    else:
        t, y, _ = _data(kind, rng)
        labels = t if kind == "ids" else t.argmax(axis=1)
        expected = (y.argmax(axis=1) == labels).mean()
    assert 0 < expected < 1
    for name in ("accuracy", "acc"):
        metric = metrics.get(name)
        assert metric.name == name
        metric.update(t, y, NONE, False)
        assert metric.result() == pytest.approx(expected)
        user = metrics.get(name)
        user.update_state(t, y)
        assert user.result() == pytest.approx(expected)
        if kind != "one-hot":
            user.update_state(t.reshape(-1, 1), y)
            assert user.result() == pytest.approx(expected)


def test_accuracy_of_logits_is_that_of_probabilities(rng):
    for kind in ("ids", "one-hot", "floats"):
        t, y, _ = _data(kind, rng)
        logits = np.log(y / (1 - y))
        for metric in (Accuracy(), BinaryAccuracy(), BinaryAccuracy(threshold=0.8)):
            if kind == "ids" and isinstance(metric, BinaryAccuracy):
                continue
            assert metric.accepts_logits
            metric.update(t, y, NONE, False)
            expected = metric.result()
            metric.reset_state()
            metric.update(t, logits.astype(np.float32), NONE, True)
            assert metric.result() == pytest.approx(expected)


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, 0.5), (0.5, 1.0), (0.7, 0.75), (1, 0.5)])
def test_thresholds(threshold, expected):
    y = np.array([[0.1], [0.9], [0.6], [0.5]], np.float32)
    t = np.array([[0], [1], [1], [0]], np.float32)
    for values, logits in ((y, False), (np.log(y / (1 - y)), True)):
        metric = BinaryAccuracy(threshold=threshold)
        metric.update(t, values, NONE, logits)
        assert metric.result() == expected


def test_the_first_of_equal_predictions_counts():
    y = np.zeros((1, 600), np.float32)
    y[0, [3, 300, 599]] = 1
    for label, expected in ((3, 1.0), (300, 0.0), (599, 0.0), (0, 0.0)):
        metric = SparseCategoricalAccuracy()
        metric.update(np.array([label], np.int32), y, NONE, False)
        assert metric.result() == expected


def test_long_rows_and_negative_predictions(rng):
    y = rng.standard_normal((40, 1000)).astype(np.float32) - 10
    t = np.where(np.arange(40) % 2, y.argmax(axis=1), 5).astype(np.int32)
    metric = SparseCategoricalAccuracy()
    metric.update(t, y, NONE, False)
    assert metric.result() == pytest.approx((y.argmax(axis=1) == t).mean())


def test_rows_of_nan_are_wrong():
    y = np.full((2, 5), np.nan, np.float32)
    y[1, 2] = 0
    for labels, expected in (([0, 2], 0.5), ([4, 1], 0.0)):
        metric = SparseCategoricalAccuracy()
        metric.update(np.array(labels, np.int32), y, NONE, False)
        assert metric.result() == expected


def test_nan_shows_in_errors():
    for name in ("mae", "mse", "rmse"):
        metric = metrics.get(name)
        metric.update_state([[1.0]], [[np.nan]])
        assert np.isnan(metric.result())


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_reset_and_nothing_seen(name, kind, rng):
    metric = metrics.get(name)
    assert metric.result() == 0.0
    t, y, _ = _data(kind, rng)
    metric.update(t, y, NONE, False)
    assert metric.result() > 0.0
    metric.reset_state()
    assert metric.result() == 0.0


def test_mean():
    mean = Mean("loss")
    assert mean.name == "loss"
    assert mean.result() == 0.0
    mean.update_state(3.0)
    mean.update_state([1, 2], [1, 0])
    assert mean.result() == 2.0
    mean.update_state(8.0, sample_weight=2)
    assert mean.result() == 5.0
    mean.reset_state()
    assert mean.result() == 0.0
    assert Mean().name == "mean"


def test_names_and_directions():
    assert metrics.get("mae").name == "mae"
    assert metrics.get(metrics.MeanAbsoluteError).name == "mean_absolute_error"
    assert metrics.get(metrics.MeanAbsoluteError("mine")).name == "mine"
    assert metrics.get("accuracy").direction == "max"
    assert metrics.get("rmse").direction == "min"
    configuration = BinaryAccuracy("mine", threshold=0.3).get_config()
    assert BinaryAccuracy(**configuration).get_config() == {"name": "mine", "threshold": 0.3}
    assert repr(Accuracy()) == "Accuracy(name='accuracy')"


@pytest.mark.parametrize(
    ("name", "t", "y", "text"),
    [
        ("mae", [[1, 2]], [[1, 2, 3]], r"shape \(1, 3\), got \(1, 2\)"),
        ("accuracy", [9, 0], [[0, 1], [1, 0]], r"from 0 to 1 .* got 9 at \[0\]"),
        ("sparse_categorical_accuracy", [[0, 1]], [[0.5, 0.5]], "categorical_crossentropy|ids"),
        ("mae", 1.0, 1.0, "not empty"),
    ],
)
def test_what_does_not_fit_is_refused(name, t, y, text):
    with pytest.raises(ValueError, match=text):
        metrics.get(name).update_state(t, y)


def test_a_metric_for_another_kind_of_targets_is_refused(rng):
    ids, y, _ = _data("ids", rng)
    for name in ("mae", "categorical_accuracy", "binary_accuracy"):
        with pytest.raises(ValueError, match="'accuracy' or 'sparse_categorical_accuracy'"):
            metrics.get(name).update(ids, y, NONE, False)
    one_hot, y, _ = _data("one-hot", rng)
    with pytest.raises(ValueError, match="Use categorical_accuracy"):
        metrics.get("sparse_categorical_accuracy").update(one_hot, y, NONE, False)
    with pytest.raises(ValueError, match="probability from 0 to 1"):
        BinaryAccuracy(threshold=2.0)


def test_bits_do_not_depend_on_the_threads(rng):
    cases = [_data(kind, rng, 30_000, 37) for kind in ("ids", "one-hot", "floats")]
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        chosen = [Accuracy(), Accuracy(), BinaryAccuracy()]
        for metric, (t, y, weights) in zip(chosen, cases, strict=True):
            metric.update(t, y, weights, False)
        results.append([metric.result() for metric in chosen])
    assert results[0] == results[1]
