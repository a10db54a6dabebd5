"""Losses as users call them: values and gradients against Keras and PyTorch, shapes, errors."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fastlstm import losses
from fastlstm.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from tests.peers import import_keras, import_torch
from tests.reference import losses as reference

CASES = [
    (MeanSquaredError, {}),
    (MeanAbsoluteError, {}),
    (Huber, {}),
    (Huber, {"delta": 0.3}),
    (BinaryCrossentropy, {}),
    (BinaryCrossentropy, {"from_logits": True}),
    (BinaryCrossentropy, {"label_smoothing": 0.2}),
    (BinaryCrossentropy, {"from_logits": True, "label_smoothing": 0.2}),
    (CategoricalCrossentropy, {}),
    (CategoricalCrossentropy, {"from_logits": True}),
    (CategoricalCrossentropy, {"label_smoothing": 0.2}),
    (CategoricalCrossentropy, {"from_logits": True, "label_smoothing": 0.2}),
    (SparseCategoricalCrossentropy, {}),
    (SparseCategoricalCrossentropy, {"from_logits": True}),
]
LEADING = (4, 6)  # batch and steps
CLASSES = 5


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].__name__}{case[1]}")
def case(request):
    cls, options = request.param
    return cls, options


def _data(cls, options, rng):
    """Targets, predictions and weights, in float32 and batch first."""
    ids = rng.integers(0, CLASSES, LEADING)
    if cls is SparseCategoricalCrossentropy:
        t = ids
    elif cls is CategoricalCrossentropy:
        t = np.eye(CLASSES)[ids]
    elif cls is BinaryCrossentropy:
        t = rng.integers(0, 2, (*LEADING, CLASSES))
    else:
        t = rng.standard_normal((*LEADING, CLASSES))
    y = rng.standard_normal((*LEADING, CLASSES))
    if cls.fuses and not options.get("from_logits"):
        # Rows that do not sum to one, and some beyond the clip.
        y = rng.uniform(0, 1, y.shape)
        y[0, 0, 0] = 0
    t = t if cls is SparseCategoricalCrossentropy else t.astype(np.float32)
    return t, y.astype(np.float32), rng.uniform(0, 2, LEADING).astype(np.float32)


def _compute(loss, t, y, weights):
    """Value and gradient, as the training step asks for them."""
    rows = y.reshape(-1, y.shape[-1])
    d = np.full_like(rows, np.nan)
    value = loss.compute(
        d,
        np.empty(len(rows), y.dtype),
        loss.prepare_targets(t, y.shape, y.dtype).reshape(-1 if loss.sparse else rows.shape),
        rows,
        np.zeros(0, y.dtype) if weights is None else weights.reshape(-1),
        loss.from_logits,
    )
    return value, d.reshape(y.shape)


def test_value_and_gradient_are_those_of_keras(case, rng):
    keras, torch = import_keras(), import_torch()
    cls, options = case
    t, y, weights = _data(cls, options, rng)
    theirs = getattr(keras.losses, cls.__name__)(**options)
    for given in (None, weights):
        tensor = torch.tensor(y, requires_grad=True)
        value = theirs(torch.tensor(t), tensor, None if given is None else torch.tensor(given))
        value.backward()
        ours, d = _compute(cls(**options), t, y, given)
        assert ours == pytest.approx(value.item(), rel=2e-6)
        np.testing.assert_allclose(d, tensor.grad.numpy(), rtol=2e-5, atol=1e-7)
        assert cls(**options)(t, y, given) == pytest.approx(ours, rel=1e-6)


def test_value_and_gradient_are_those_of_torch(rng):
    torch = import_torch()
    F = torch.nn.functional
    pairs = [
        (MeanSquaredError(), F.mse_loss),
        (MeanAbsoluteError(), F.l1_loss),
        (Huber(0.4), lambda y, t: F.huber_loss(y, t, delta=0.4)),
        (BinaryCrossentropy(True), F.binary_cross_entropy_with_logits),
        (
            SparseCategoricalCrossentropy(True),
            lambda y, t: F.cross_entropy(y.reshape(-1, CLASSES), t.reshape(-1)),
        ),
    ]
    for loss, theirs in pairs:
        options = {"from_logits": True} if loss.fuses else {}
        t, y, _ = _data(type(loss), options, rng)
        tensor = torch.tensor(y, requires_grad=True)
        value = theirs(tensor, torch.tensor(t))
        value.backward()
        ours, d = _compute(loss, t, y, None)
        assert ours == pytest.approx(value.item(), rel=2e-6)
        np.testing.assert_allclose(d, tensor.grad.numpy(), rtol=2e-5, atol=1e-7)


def test_float64_stays_float64(case, rng):
    cls, options = case
    t, y, _ = _data(cls, options, rng)
    exact = getattr(reference, cls().name)(
        t.reshape(-1) if cls().sparse else t.reshape(-1, CLASSES).astype(np.float64),
        y.reshape(-1, CLASSES).astype(np.float64),
        **options,
    )
    assert cls(**options)(t, y.astype(np.float64)) == pytest.approx(exact.mean(), rel=1e-13)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 3), (2, 4, 3), (2, 4, 5, 3)])
def test_any_leading_shape(shape, rng):
    y, t = rng.standard_normal((2, *shape))
    assert MeanSquaredError()(t, y) == pytest.approx(((y - t) ** 2).mean())
    ids = rng.integers(0, 3, shape[:-1])
    loss = SparseCategoricalCrossentropy(from_logits=True)
    one_hot = CategoricalCrossentropy(from_logits=True)
    assert loss(ids, y) == pytest.approx(one_hot(np.eye(3)[ids], y))
    assert loss(ids[..., None], y) == pytest.approx(loss(ids, y))


def test_lists_integers_and_left_out_dimensions():
    loss = MeanSquaredError()
    assert loss([1, 2], [3, 2]) == 2.0
    assert loss([1, 2], [[3], [2]]) == 2.0
    assert loss([[1], [2]], [3, 2]) == 2.0
    assert SparseCategoricalCrossentropy(True)([1.0], [[0, 0]]) == pytest.approx(np.log(2))
    strided = np.zeros((4, 6), np.float32)[::2, ::3]
    assert loss(strided + 1, strided) == 1.0


def test_weights_of_samples_and_of_steps(rng):
    y, t = rng.standard_normal((2, 3, 4, 2))
    rows = ((y - t) ** 2).mean(axis=2)
    samples, steps = rng.uniform(0, 1, 3), rng.uniform(0, 1, (3, 4))
    loss = MeanSquaredError()
    assert loss(t, y, samples) == pytest.approx((samples[:, None] * rows).mean())
    assert loss(t, y, steps) == pytest.approx((steps * rows).mean())
    assert loss(t, y, steps[..., None]) == pytest.approx((steps * rows).mean())


@pytest.mark.parametrize(
    ("loss", "t", "y", "text"),
    [
        ("mse", np.zeros((2, 3)), np.zeros((2, 4)), r"shape \(2, 4\), got \(2, 3\)"),
        ("mse", np.zeros(2), np.zeros((2, 4)), r"shape \(2, 4\), got \(2,\)"),
        ("mse", 1.0, 2.0, "not empty"),
        ("mse", np.zeros((0, 3)), np.zeros((0, 3)), "not empty"),
        ("categorical_crossentropy", [0, 1], np.ones((2, 4)), "use sparse_categorical"),
        ("categorical_crossentropy", [[0], [1]], np.ones((2, 4)), "use sparse_categorical"),
        ("sparse_categorical_crossentropy", np.eye(3), np.ones((3, 3)), "use categorical_"),
        ("sparse_categorical_crossentropy", [0, 4], np.ones((2, 4)), r"got 4 at \[1\]"),
        ("sparse_categorical_crossentropy", [[0, -1]], np.ones((1, 2, 4)), r"got -1 at \[0, 1\]"),
        ("sparse_categorical_crossentropy", [0, 0.5], np.ones((2, 4)), r"got 0\.5 at"),
        ("sparse_categorical_crossentropy", [0, np.nan], np.ones((2, 4)), "got nan at"),
        ("sparse_categorical_crossentropy", [0, 2**32], np.ones((2, 4)), "got 4294967296 at"),
    ],
)
def test_what_does_not_fit_is_refused(loss, t, y, text):
    with pytest.raises(ValueError, match=text):
        losses.get(loss)(t, y)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.ones(4), r"expects shape \(3,\) or \(3, 2\).*got \(4,\)"),
        (np.ones((3, 2, 5)), "got"),
        ([1, 2, np.nan], "finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, text):
    with pytest.raises(ValueError, match=text):
        MeanSquaredError()(np.ones((3, 2, 5)), np.ones((3, 2, 5)), weights)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Huber(0.0),
        lambda: Huber(float("inf")),
        lambda: BinaryCrossentropy(label_smoothing=1.5),
        lambda: CategoricalCrossentropy(label_smoothing=-0.1),
    ],
)
def test_arguments_are_checked(make):
    with pytest.raises(ValueError, match="expects"):
        make()


def test_names_and_aliases():
    for alias in ("mse", "MSE", "mean_squared_error", "MeanSquaredError"):
        assert isinstance(losses.get(alias), MeanSquaredError)
    for alias in ("mae", "MAE", "mean_absolute_error"):
        assert isinstance(losses.get(alias), MeanAbsoluteError)
    for alias in ("bce", "BCE", "binary_crossentropy"):
        assert isinstance(losses.get(alias), BinaryCrossentropy)
    assert losses.get("huber").name == "huber"
    assert repr(Huber(2)) == "Huber(delta=2.0)"


def test_what_the_model_asks_for():
    fused = {cls: cls.fuses for cls, _ in CASES}
    assert fused == {
        MeanSquaredError: None,
        MeanAbsoluteError: None,
        Huber: None,
        BinaryCrossentropy: "sigmoid",
        CategoricalCrossentropy: "softmax",
        SparseCategoricalCrossentropy: "softmax",
    }
    assert [cls for cls in fused if cls.sparse] == [SparseCategoricalCrossentropy]


def test_configuration_makes_the_same(case):
    cls, options = case
    loss = cls(**options)
    assert losses.get({"class_name": cls.__name__, "config": loss.get_config()}).get_config() == (
        loss.get_config()
    )
    assert all(loss.get_config()[key] == value for key, value in options.items())


def test_a_warm_step_allocates_nothing(rng):
    y = rng.standard_normal((500, 40)).astype(np.float32)
    d, rows, weights = np.empty_like(y), np.empty(500, np.float32), np.ones(500, np.float32)
    ids = rng.integers(0, 40, 500).astype(np.int32)
    for loss, t in ((SparseCategoricalCrossentropy(True), ids), (MeanSquaredError(), y + 1)):
        loss.compute(d, rows, t, y, weights, True)
        tracemalloc.start()
        try:
            loss.compute(d, rows, t, y, weights, True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 10_000  # a few Python objects, no array
