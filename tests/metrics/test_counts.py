"""Metrics that count or sum, over batches, against slow references and Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastlstm import metrics
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.metrics import (
    AUC,
    ConfusionMatrix,
    F1Score,
    FBetaScore,
    Perplexity,
    Precision,
    R2Score,
    Recall,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    TruePositives,
)
from tests.peers import import_keras
from tests.reference import metrics as reference

CLASSES = 11
BATCHES = (40, 7, 1)
EVEN = [-1e-7, *(k / 199 for k in range(1, 199)), 1 + 1e-7]


def _batches(rng, kind, dtype=np.float32):
    """Targets, predictions and weights of each batch."""
    out = []
    for rows in BATCHES:
        y = rng.uniform(0, 1, (rows, CLASSES))
        if kind == "numbers":
            t = y + rng.standard_normal(y.shape)
        elif kind == "answers":
            t = rng.random(y.shape) < y
        else:
            y /= y.sum(axis=1, keepdims=True)
            likely = rng.random(rows) < 0.6
            t = np.eye(CLASSES)[np.where(likely, y.argmax(axis=1), rng.integers(0, CLASSES, rows))]
        out.append((t.astype(dtype), y.astype(dtype), rng.uniform(0, 2, rows).astype(dtype)))
    return out


def _f(average, beta=1.0, threshold=None):
    def exact(t, y, w):
        found = y > threshold if threshold else y == y.max(axis=1, keepdims=True)
        if average == "micro":
            t, found, w = t.reshape(-1, 1), found.reshape(-1, 1), np.repeat(w, t.shape[1])
        scores = reference.f_scores(t, found, w, beta)
        if average == "weighted":
            often = (w[:, None] * t).sum(axis=0)
            return (scores * often).sum() / (often.sum() + 1e-7)
        return scores if average is None else scores.mean()

    return exact


def _side(which, thresholds=(0.5,)):
    def exact(t, y, w):
        tp, fp, tn, fn = reference.counts(t, y, w, thresholds)
        precision, recall = tp / np.maximum(tp + fp, 1e-9), tp / np.maximum(tp + fn, 1e-9)
        known = {"tp": tp, "fp": fp, "tn": tn, "fn": fn, "precision": precision, "recall": recall}
        values = known[which]
        return values if len(thresholds) > 1 else values[0]

    return exact


def _top(which, k, class_id=None):
    def exact(t, y, w):
        y = reference.only_top(y, k)
        if class_id is not None:
            t, y = t[:, [class_id]], y[:, [class_id]]
        return _side(which, (-1e10,))(t, y, w)

    return exact


def _column(which, class_id):
    return lambda t, y, w: _side(which)(t[:, [class_id]], y[:, [class_id]], w)


LEVELS = [0.7, 0.2, 0.4]
# Class, options, kind of data, reference.
CASES: list[tuple[str, dict[str, Any], str, Any]] = [
    ("TruePositives", {}, "answers", _side("tp")),
    ("FalsePositives", {}, "answers", _side("fp")),
    ("TrueNegatives", {}, "answers", _side("tn")),
    ("FalseNegatives", {"thresholds": LEVELS}, "answers", _side("fn", LEVELS)),
    ("Precision", {}, "answers", _side("precision")),
    ("Precision", {"thresholds": 0.3}, "classes", _side("precision", (0.3,))),
    ("Precision", {"top_k": 2}, "classes", _top("precision", 2)),
    ("Precision", {"thresholds": LEVELS}, "answers", _side("precision", LEVELS)),
    ("Precision", {"class_id": 2}, "answers", _column("precision", 2)),
    ("Recall", {}, "answers", _side("recall")),
    ("Recall", {"top_k": 3, "class_id": 1}, "classes", _top("recall", 3, 1)),
    ("Recall", {"thresholds": LEVELS}, "answers", _side("recall", LEVELS)),
    ("AUC", {}, "answers", lambda t, y, w: reference.roc_area(t, y, w, EVEN)),
    ("AUC", {"curve": "PR"}, "answers", lambda t, y, w: reference.pr_area(t, y, w, EVEN)),
    (
        "AUC", {"thresholds": LEVELS}, "answers",
        lambda t, y, w: reference.roc_area(t, y, w, [-1e-7, *sorted(LEVELS), 1 + 1e-7]),
    ),
    ("F1Score", {}, "classes", _f(None)),
    ("F1Score", {"average": "micro"}, "classes", _f("micro")),
    ("F1Score", {"average": "macro", "threshold": 0.4}, "answers", _f("macro", threshold=0.4)),
    ("F1Score", {"average": "weighted"}, "classes", _f("weighted")),
    ("FBetaScore", {"beta": 2.0, "threshold": 0.5}, "answers", _f(None, 2.0, 0.5)),
    ("R2Score", {}, "numbers", lambda t, y, w: reference.r2(t, y, w).mean()),
    ("R2Score", {"class_aggregation": None}, "numbers", reference.r2),
    ("TopKCategoricalAccuracy", {"k": 2}, "classes",
     lambda t, y, w: reference.top_k(t, y, w, 2)),
    ("ConfusionMatrix", {"num_classes": CLASSES}, "classes", reference.confusion),
    ("Perplexity", {}, "classes", reference.perplexity),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}{case[1]}")
def case(request):
    return request.param


def _fed(metric, batches, weighted):
    for t, y, weights in batches:
        metric.update(t, y, weights if weighted else weights[:0], False)
    return metric.result()


@pytest.mark.parametrize("weighted", [False, True])
def test_result_over_batches(case, weighted, rng):
    name, options, kind, exact = case
    for dtype, limit in ((np.float32, 3e-6), (np.float64, 1e-12)):
        batches = _batches(rng, kind, dtype)
        metric = getattr(metrics, name)(**options)
        t, y, w = (np.concatenate(parts).astype(np.float64) for parts in zip(*batches, strict=True))
        expected = exact(t, y, w if weighted else np.ones(len(w)))
        if options.get("curve") == "PR":
            limit = 1e-5  # of the integral
        np.testing.assert_allclose(_fed(metric, batches, weighted), expected, rtol=limit)
        metric.reset_state()
        np.testing.assert_array_equal(metric.result(), 0 * np.asarray(expected))
        leading = t[:42].reshape(6, 7, CLASSES), y[:42].reshape(6, 7, CLASSES)
        weights = w[:42].reshape(6, 7) if weighted else None
        metric.update_state(leading[0].astype(dtype), leading[1].astype(dtype), weights)
        expected = exact(t[:42], y[:42], w[:42] if weighted else np.ones(42))
        np.testing.assert_allclose(metric.result(), expected, rtol=limit)


@pytest.mark.parametrize("weighted", [False, True])
def test_result_over_batches_is_that_of_keras(case, weighted, rng):
    keras = import_keras()
    name, options, kind, _ = case
    if not hasattr(keras.metrics, name):
        return
    ours, theirs = getattr(metrics, name)(**options), getattr(keras.metrics, name)(**options)
    for t, y, weights in _batches(rng, kind):
        ours.update(t, y, weights if weighted else weights[:0], False)
        theirs.update_state(t, y, weights if weighted else None)
    # Keras' sums of squares are in float32.
    np.testing.assert_allclose(ours.result(), np.asarray(theirs.result()), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("AUC", {"summation_method": "minoring"}),
        ("AUC", {"summation_method": "majoring", "curve": "PR"}),
        ("AUC", {"num_thresholds": 2}),
        ("AUC", {"num_thresholds": 11, "curve": "PR"}),
        ("R2Score", {"class_aggregation": "variance_weighted_average"}),
        ("R2Score", {"num_regressors": 3}),
    ],
)
def test_other_options_are_those_of_keras(name, options, rng):
    test_result_over_batches_is_that_of_keras(
        (name, options, "numbers" if name == "R2Score" else "answers", None), True, rng
    )


def test_three_axes_are_those_of_keras(rng):
    """(batch, time, classes), one weight a step; Keras' F1Score and R2Score take two axes."""
    keras = import_keras()
    for name, options, kind, _ in CASES:
        if name in ("F1Score", "FBetaScore", "R2Score") or not hasattr(keras.metrics, name):
            continue
        t, y, weights = _batches(rng, kind)[0]
        t, y = t.reshape(8, 5, CLASSES), y.reshape(8, 5, CLASSES)
        weights = weights.reshape(8, 5)
        ours, theirs = getattr(metrics, name)(**options), getattr(keras.metrics, name)(**options)
        ours.update_state(t, y, weights)
        theirs.update_state(t, y, weights)
        expected = np.asarray(theirs.result())
        np.testing.assert_allclose(ours.result(), expected, rtol=2e-5, err_msg=name)


def test_class_ids_stand_for_one_hot_rows(case, rng):
    name, options, kind, _ = case
    metric = getattr(metrics, name)(**options)
    if kind == "numbers" or name.startswith("TopK"):
        return
    batches = _batches(rng, "classes")
    expected = _fed(metric, batches, True)
    metric.reset_state()
    for t, y, weights in batches:
        metric.update(t.argmax(axis=1).astype(np.int32), y, weights, False)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)
    metric.reset_state()
    for t, y, weights in batches:
        metric.update_state(t.argmax(axis=1), y, weights)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_sparse_top_k_is_top_k_of_ids(rng):
    for k in (1, 2, CLASSES, CLASSES + 3):
        ours, sparse = TopKCategoricalAccuracy(k), SparseTopKCategoricalAccuracy(k)
        batches = _batches(rng, "classes")
        for t, y, weights in batches:
            sparse.update(t.argmax(axis=1).astype(np.int32), y, weights, False)
        assert sparse.result() == _fed(ours, batches, True)
    assert ours.result() == 1.0


def test_bits_do_not_depend_on_the_threads(case, rng):
    name, options, _, _ = case
    rows = 100_000  # worth several threads
    y = rng.uniform(0, 1, (rows, CLASSES)).astype(np.float32)
    t = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, rows)]
    w = rng.uniform(0, 2, rows).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        metric = getattr(metrics, name)(**options)
        metric.update(t, y, w, False)
        results.append(metric.result())
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_logits_that_are_accepted_are_as_good_as_probabilities(case, rng):
    name, options, kind, _ = case
    metric = getattr(metrics, name)(**options)
    for activation in metric.accepts_logits:
        if activation == "softmax" and kind != "classes":
            continue
        batches = _batches(rng, kind)
        expected = _fed(metric, batches, True)
        metric.reset_state()
        for t, y, weights in batches:
            logits = np.log(y) if activation == "softmax" else np.log(y / (1 - y))
            metric.update(t, logits, weights, True)
        np.testing.assert_allclose(metric.result(), expected, rtol=1e-5)
        metric.reset_state()


def test_area_from_logits(rng):
    keras = import_keras()
    batches = _batches(rng, "answers")
    ours, theirs = AUC(from_logits=True), keras.metrics.AUC(from_logits=True)
    for t, y, weights in batches:
        logits = np.log(y / (1 - y))
        ours.update(t, logits, weights, False)
        theirs.update_state(t, logits, weights)
    assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-5)


# -- corners ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 1.0], [1e4, -1e4], [np.nan, 0.5]])
@pytest.mark.parametrize("truth", [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
def test_no_nan_comes_from_counts(values, truth):
    y, t = np.array([values] * 3, np.float32), np.array([truth] * 3, np.float32)
    for name, options, kind, _ in CASES:
        if kind == "numbers" or name in ("Perplexity", "ConfusionMatrix"):
            continue
        if options.get("class_id") is not None:
            options = {"class_id": 1}
        metric = getattr(metrics, name)(**options)
        metric.update_state(t, y)
        assert np.isfinite(metric.result()).all(), name


def test_thresholds_are_exclusive():
    y = np.array([[0.2], [0.5], [0.5001]], np.float32)
    metric = TruePositives(thresholds=[0.5, 0.0, 1.0, 0.2])
    metric.update_state(np.ones((3, 1)), y)
    np.testing.assert_array_equal(metric.result(), [1, 3, 0, 2])


def test_the_first_of_equals_is_among_the_top():
    y, t = np.zeros((4, 4), np.float32), np.eye(4, dtype=np.float32)
    for k in range(1, 5):
        metric = TopKCategoricalAccuracy(k)
        metric.update_state(t, y)
        assert metric.result() == k / 4
    metric = Precision(top_k=1)
    metric.update_state(t, y)
    assert metric.result() == 0.25


def test_columns_without_variance():
    metric = R2Score(class_aggregation=None)
    metric.update_state([[1, 5, 0], [1, 5, 1]], [[1, 5, 0], [1, 6, 1]])
    np.testing.assert_array_equal(metric.result(), [1.0, 0.0, 1.0])
    metric = R2Score()
    metric.update_state(np.full((10, 1), 0.1), np.full((10, 1), 0.3))
    assert metric.result() == 0.0


def test_too_few_numbers_for_so_many_regressors():
    metric = R2Score(num_regressors=5)
    metric.update_state([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]])
    with pytest.warns(UserWarning, match="3 numbers, too few"):
        assert metric.result() == pytest.approx(0.5)


def test_a_confusion_matrix_of_one_output(rng):
    y = rng.uniform(0, 1, (50, 1)).astype(np.float32)
    t = (rng.random((50, 1)) < y).astype(np.float32)
    two = np.concatenate([1 - y, y], axis=1)
    expected = reference.confusion(np.eye(2)[t[:, 0].astype(int)], two, np.ones(50))
    for values, logits in ((y, False), (np.log(y / (1 - y)), True)):
        metric = ConfusionMatrix(2)
        metric.update(t, values, np.zeros(0, np.float32), logits)
        np.testing.assert_array_equal(metric.result(), expected)


def test_a_perplexity_beyond_numbers_is_infinite():
    metric = Perplexity(from_logits=True)
    metric.update_state([0], [[-1e4, 1e4]])
    assert metric.result() == np.inf
    metric = Perplexity()
    metric.update_state([0], [[0.0, 0.0]])
    assert metric.result() == pytest.approx(1e7)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Precision(thresholds=1.5), "from 0 to 1"),
        (lambda: Precision(thresholds=[]), "from 0 to 1"),
        (lambda: Recall(thresholds=[0.5, np.nan]), "from 0 to 1"),
        (lambda: Precision(top_k=0), "top_k"),
        (lambda: Precision(class_id=-1), "class_id"),
        (lambda: TopKCategoricalAccuracy(k=2.5), "k expects"),
        (lambda: F1Score(average="mean"), "'weighted'"),
        (lambda: F1Score(threshold=0.0), "greater than 0"),
        (lambda: FBetaScore(beta=0.0), "beta"),
        (lambda: AUC(num_thresholds=1), "num_thresholds"),
        (lambda: AUC(num_thresholds=10**12), "up to 100000"),
        (lambda: AUC(curve="roc"), "'ROC' or 'PR'"),
        (lambda: AUC(summation_method="sum"), "'minoring'"),
        (lambda: AUC(thresholds=[0.5, 2.0]), "from 0 to 1"),
        (lambda: R2Score("mean"), "class_aggregation"),
        (lambda: R2Score(num_regressors=-1), "num_regressors"),
        (lambda: ConfusionMatrix(1), "num_classes"),
    ],
)
def test_arguments_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("metric", "t", "columns", "words"),
    [
        (Precision(class_id=4), np.zeros((2, 3)), 3, "3 columns"),
        (ConfusionMatrix(4), np.zeros(2), 3, "num_classes=4"),
        (F1Score(), np.zeros((2, 2)), 3, r"shape \(2, 3\), got \(2, 2\)"),
        (F1Score(), [0, 3], 3, "got 3"),
        (R2Score(), np.zeros(2), 3, "shape"),
        (AUC(), np.zeros((2, 2, 3)), 3, "shape"),
        (SparseTopKCategoricalAccuracy(), np.zeros((2, 3)), 3, "class ids"),
    ],
)
def test_what_does_not_fit_is_refused(metric, t, columns, words):
    with pytest.raises(ValueError, match=words):
        metric.update_state(t, np.zeros((2, columns)))


def test_outputs_of_another_width_are_refused_until_the_reset():
    metric = F1Score()
    metric.update_state(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="another number of columns"):
        metric.update_state(np.ones((2, 4)), np.ones((2, 4)))
    metric.reset_state()
    metric.update_state(np.ones((2, 4)), np.ones((2, 4)))
    assert metric.result().shape == (4,)


def test_configurations_make_the_same(case):
    name, options, _, _ = case
    metric = getattr(metrics, name)(**options)
    config = metric.get_config()
    made = metrics.get({"class_name": name, "config": config})
    assert type(made) is type(metric)
    assert made.get_config() == config
    for key, value in options.items():
        assert config[key] == (sorted(value) if name == "AUC" and key == "thresholds" else value)
    assert name in repr(metric)
