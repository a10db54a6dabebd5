"""The label error rate: distances by recursion, masks, batches, weights, threads, models."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import fastlstm
from fastlstm.ctc import ctc_greedy_decode
from fastlstm.layers import GRU, Dense, Input, Masking
from fastlstm.losses import CTC
from fastlstm.metrics import LabelErrorRate

B, T, L, C = 12, 9, 5, 4


def _distance(one, other):
    """As Levenshtein's definition reads."""

    @cache
    def from_here(i, j):
        if i == len(one) or j == len(other):
            return len(one) - i + len(other) - j
        exchanged = from_here(i + 1, j + 1) + (one[i] != other[j])
        return min(exchanged, from_here(i + 1, j) + 1, from_here(i, j + 1) + 1)

    return from_here(0, 0)


def _data(rng, blank=0):
    pred = rng.standard_normal((B, T, C)).astype(np.float32)
    classes = [c for c in range(C) if c != blank]
    labels = rng.choice(classes, (B, L))
    for row, count in enumerate(rng.integers(0, L + 1, B)):
        labels[row, count:] = -1
    return pred, labels


def _read(pred, lengths=None, blank=0):
    sequences, _ = ctc_greedy_decode(pred, lengths, blank)
    return [tuple(int(k) for k in row if k >= 0) for row in sequences[0]]


def _expected(pred, labels, weight=None, lengths=None, blank=0):
    wanted = [tuple(int(k) for k in row if k >= 0) for row in labels]
    weight = np.ones(len(labels)) if weight is None else weight
    away = [_distance(*pair) for pair in zip(_read(pred, lengths, blank), wanted, strict=True)]
    return weight @ away / (weight @ [len(row) for row in wanted])


@pytest.mark.parametrize("blank", [0, C - 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_distances_over_the_labels(blank, dtype, rng):
    pred, labels = _data(rng, blank)
    metric = LabelErrorRate(blank)
    metric.update_state(labels, pred.astype(dtype))
    assert metric.result() == pytest.approx(_expected(pred, labels, blank=blank), rel=1e-12)


@pytest.mark.parametrize(
    ("read", "labels", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 0.0),
        ([], [1, 2], 1.0),
        ([3, 1, 2], [1, 2], 0.5),
        ([1, 3], [1, 2], 0.5),
        ([2, 1, 2, 3, 1], [1], 4.0),
    ],
)
def test_cases(read, labels, expected):
    steps = [k for label in read for k in (label, 0)] or [0]
    metric = LabelErrorRate()
    metric.update_state([labels], np.eye(4)[[steps]])
    assert metric.result() == expected


def test_batches_weights_and_resets(rng):
    pred, labels = _data(rng)
    weight = rng.uniform(0, 2, B)
    metric = LabelErrorRate()
    assert metric.result() == 0
    for rows in (slice(0, 5), slice(5, B)):
        metric.update_state(labels[rows], pred[rows], weight[rows])
    assert metric.result() == pytest.approx(_expected(pred, labels, weight), rel=1e-12)
    metric.reset_state()
    metric.update_state(np.zeros((2, 3)), pred[:2])
    assert metric.result() == 0


def test_masked_steps_are_skipped(rng):
    pred, labels = _data(rng)
    mask = rng.random((B, T)) < 0.6
    mask[0] = False
    lengths = mask.sum(1)
    packed = np.zeros_like(pred)
    for row in range(B):
        packed[row, : lengths[row]] = pred[row, mask[row]]
    metric = LabelErrorRate()
    metric.update_state(labels, pred, mask=mask)
    expected = _expected(packed, labels, lengths=lengths)
    assert metric.result() == pytest.approx(expected, rel=1e-12)


def test_threads_do_not_matter(rng):
    pred, labels = rng.standard_normal((200, 30, C)), rng.integers(1, C, (200, 12))
    found = set()
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        metric = LabelErrorRate()
        metric.update_state(labels, pred)
        found.add(metric.result())
    assert len(found) == 1


def _model():
    layers = [Masking(), GRU(6, return_sequences=True), Dense(C)]
    return fastlstm.Sequential([Input((T, 3)), *layers])


def test_with_a_model(rng):
    """In fit and evaluate, over an epoch, with masks and weights."""
    x, y = rng.standard_normal((B, T, 3)).astype(np.float32), rng.integers(1, C, (B, 3))
    y[:, 2] = 0
    lengths = rng.integers(5, T + 1, B)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    weight = rng.uniform(0.5, 2, B)
    model = _model()
    model.compile(
        fastlstm.optimizers.Adam(0.02),
        "ctc",
        metrics=["label_error_rate"],
        weighted_metrics=[LabelErrorRate(name="weighted_rate")],
    )
    labels = np.where(y == 0, -1, y)
    for _ in range(2):
        found = model.evaluate(x, y, sample_weight=weight, batch_size=5, verbose=0)
        pred = model.predict(x, verbose=0)
        expected = [
            _expected(pred, labels, lengths=lengths),
            _expected(pred, labels, weight, lengths),
        ]
        np.testing.assert_allclose(found[1:], expected, rtol=1e-6)
        history = model.fit(x, y, epochs=40, verbose=0, validation_data=(x, y)).history
    assert history["label_error_rate"][-1] < 0.7 * history["label_error_rate"][0]
    assert set(history) >= {"weighted_rate", "val_label_error_rate", "val_weighted_rate"}


def test_what_does_not_fit_is_said(rng):
    pred, labels = _data(rng)
    with pytest.raises(ValueError, match=r"y_true \(batch, labels\)"):
        LabelErrorRate().update_state(labels[0], pred)
    with pytest.raises(ValueError, match=r"mask expects shape \(12, 9\)"):
        LabelErrorRate().update_state(labels, pred, mask=np.ones((B, 2)))
    with pytest.raises(ValueError, match="class ids from 0 to 3"):
        LabelErrorRate().update_state(labels + 4, pred)
    with pytest.raises(ValueError, match="blank=7"):
        LabelErrorRate(7).update_state(labels, pred)
    model = _model()
    with pytest.raises(ValueError, match=r"LabelErrorRate\(blank=3\)"):
        model.compile("sgd", CTC(blank=3), metrics=["label_error_rate"])
    with pytest.raises(ValueError, match="as loss='ctc' trains them"):
        model.compile("sgd", "mse", metrics=["label_error_rate"])
    with pytest.raises(ValueError, match="'label_error_rate'"):
        model.compile("sgd", "ctc", metrics=["accuracy"])
    config = LabelErrorRate(2, "rate").get_config()
    assert config == {"name": "rate", "blank": 2}
    assert LabelErrorRate().direction == "min"
