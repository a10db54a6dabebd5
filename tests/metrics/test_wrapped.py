"""Means of any loss, and of functions of Python."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm import losses, metrics
from fastlstm.metrics import FunctionMetric, MeanMetricWrapper
from tests.peers import import_keras

NONE = np.zeros(0, np.float32)


def error_of_first(t, y):
    """Absolute error of the first output."""
    return np.abs(t[..., 0] - y[..., 0])


def test_any_loss(rng):
    t, y = rng.uniform(0.1, 1, (2, 20, 3)).astype(np.float32)
    w = rng.uniform(0, 2, 20).astype(np.float32)
    for fn in (losses.Poisson(), losses.Huber(0.3), losses.Poisson, "huber", losses.log_cosh):
        metric = MeanMetricWrapper(fn)
        loss = losses.get(fn)
        assert metric.name == loss.name
        assert metric.direction == "min"
        for part in (slice(0, 15), slice(15, 20)):
            metric.update(t[part], y[part], w[part], False)
        assert metric.result() == pytest.approx(np.average(loss.rows(t, y), weights=w), rel=1e-6)
        made = metrics.get({"class_name": "MeanMetricWrapper", "config": metric.get_config()})
        assert made.get_config() == metric.get_config()


def test_quantiles_have_targets_of_their_own(rng):
    metric = MeanMetricWrapper(losses.Quantile([0.1, 0.9]), name="pinball")
    t, y = rng.standard_normal((10, 2)), rng.standard_normal((10, 4))
    metric.update_state(t, y)
    assert metric.result() == pytest.approx(losses.Quantile([0.1, 0.9])(t, y))
    with pytest.raises(ValueError, match=r"targets of shape \(10, 2\), got \(10, 3\)"):
        metric.update(np.zeros((10, 3)), y, np.zeros(0), False)


def test_logits_go_where_they_are_understood(rng):
    logits = rng.standard_normal((10, 4)).astype(np.float32)
    ids = rng.integers(0, 4, 10).astype(np.int32)
    for cls in (losses.SparseCategoricalCrossentropy, metrics.SparseCategoricalCrossentropy):
        metric = metrics.get(cls()) if issubclass(cls, losses.Loss) else cls()
        assert metric.accepts_logits == ("softmax",)
        metric.update(ids, logits, NONE, True)
        expected = losses.SparseCategoricalCrossentropy(from_logits=True)(ids, logits)
        assert metric.result() == pytest.approx(expected)
    metric = metrics.SparseCategoricalCrossentropy(from_logits=True)
    metric.update_state(ids, logits)
    assert metric.result() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(12, 3), (12, 5, 3)])
@pytest.mark.parametrize("fn", [error_of_first, lambda t, y: np.abs(t - y), lambda t, y: 2.5])
def test_functions_are_as_in_keras(fn, shape, rng):
    keras = import_keras()

    def theirs_of(t, y):
        return fn(np.asarray(t), np.asarray(y))

    ours, theirs = MeanMetricWrapper(fn, "mine"), keras.metrics.MeanMetricWrapper(theirs_of)
    assert type(ours) is FunctionMetric
    for rows in (12, 7):
        t, y = (rng.standard_normal(shape).astype(np.float32)[:rows] for _ in range(2))
        ours.update_state(t, y)
        theirs.update_state(t, y)
    assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-6)
    if fn is error_of_first:
        ours.reset_state()
        assert ours.result() == 0.0
        t, y = rng.standard_normal((2, *shape))
        w = rng.uniform(0, 2, shape[:-1])
        ours.update_state(t, y, w)
        assert ours.result() == pytest.approx(np.average(fn(t, y), weights=w))


def test_functions_get_their_options():
    metric = MeanMetricWrapper(lambda t, y, power: np.abs(t - y) ** power, "powers", power=3)
    metric.update_state(np.zeros((4, 1)), np.full((4, 1), 2.0))
    assert metric.result() == 8.0
    assert metrics.get(error_of_first).name == "error_of_first"
    with pytest.raises(TypeError, match=r"\['power'\]"):
        MeanMetricWrapper(losses.Poisson(), power=3)


def test_what_a_function_returns_is_checked():
    with pytest.raises(ValueError, match="one value a sample, 4 of them"):
        MeanMetricWrapper(lambda t, y: np.zeros(3), "three").update_state(
            np.zeros((4, 1)), np.zeros((4, 1))
        )
    with pytest.raises(TypeError, match="what words returns"):
        MeanMetricWrapper(lambda t, y: "good", "words").update_state([[0.0]], [[0.0]])
