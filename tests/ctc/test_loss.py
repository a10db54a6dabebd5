"""The CTC loss as users call it: PyTorch, Keras, any shape, options, and what is refused."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlstm
from fastlstm.ctc import ctc_loss, ctc_value_and_grad
from tests.peers import import_keras, import_torch
from tests.reference import ctc as reference

B, T, C, L = 6, 40, 12, 9


def _batch(rng, dtype=np.float32, blank=0, batch=B, steps=T, classes=C, most=L):
    """Labels, logits and lengths, the longest possible and empty ones among them."""
    y = (2 * rng.standard_normal((batch, steps, classes))).astype(dtype)
    labels = rng.integers(0, classes - 1, (batch, most))
    labels += labels >= blank
    label_lengths = rng.integers(0, most + 1, batch)
    label_lengths[:2] = 0, most
    return labels, y, label_lengths, rng.integers(min(2 * most, steps), steps + 1, batch)


def _of_torch(labels, y, label_lengths, input_lengths, blank=0, reduction="none", **options):
    """Value, and gradient with respect to the logits, batch first."""
    torch = import_torch()
    logits = torch.tensor(y, requires_grad=True)
    value = torch.nn.functional.ctc_loss(
        torch.nn.functional.log_softmax(logits.transpose(0, 1), dim=-1),
        torch.tensor(labels), torch.tensor(input_lengths), torch.tensor(label_lengths),
        blank=blank, reduction=reduction, **options,
    )  # fmt: skip
    value.sum().backward()
    return value.detach().numpy(), logits.grad.numpy()


@pytest.mark.parametrize("blank", [0, 5, C - 1])
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2e-5), (np.float64, 1e-11)])
def test_value_and_gradient_are_those_of_torch(dtype, limit, blank, rng):
    batch = _batch(rng, dtype, blank)
    value, d = ctc_value_and_grad(*batch, blank=blank, reduction="none")
    theirs, their_d = _of_torch(*batch, blank=blank)
    assert value.dtype == d.dtype == dtype
    np.testing.assert_allclose(value, theirs, rtol=limit)
    # Theirs is the less exact one in float32: sums of logarithms.
    np.testing.assert_allclose(d, their_d, rtol=0, atol=5 * limit)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 200])
def test_many_lengths_are_those_of_torch(steps, rng):
    for most in {1, 4, min(steps, 30)}:
        batch = _batch(rng, np.float64, steps=steps, most=most)
        value, d = ctc_value_and_grad(*batch, reduction="sum", zero_infinity=True)
        theirs, their_d = _of_torch(*batch, reduction="sum", zero_infinity=True)
        np.testing.assert_allclose(value, theirs, rtol=1e-11)
        np.testing.assert_allclose(d, their_d, rtol=0, atol=1e-9)


def test_reductions_are_those_of_torch(rng):
    batch = _batch(rng, np.float64)
    label_lengths = batch[2]
    label_lengths[0] = 3
    value, d = ctc_value_and_grad(*batch, reduction="sum")
    theirs, their_d = _of_torch(*batch, reduction="sum")
    np.testing.assert_allclose(value, theirs, rtol=1e-12)
    np.testing.assert_allclose(d, their_d, rtol=0, atol=1e-12)
    weights = 1 / np.maximum(label_lengths, 1)
    value, d = ctc_value_and_grad(*batch, sample_weight=weights)
    theirs, their_d = _of_torch(*batch, reduction="mean")
    np.testing.assert_allclose(value, theirs, rtol=1e-12)
    np.testing.assert_allclose(d, their_d, rtol=0, atol=1e-12)


def test_impossible_labels_are_those_of_torch(rng):
    y = rng.standard_normal((3, 4, 5))
    labels = [[1, 1, 1, 1], [2, 3, 4, 1], [1, 2, 3, 4]]
    batch = labels, y, [3, 4, 4], [4, 4, 3]
    for zero_infinity in (False, True):
        value, d = ctc_value_and_grad(*batch, reduction="none", zero_infinity=zero_infinity)
        theirs, their_d = _of_torch(*batch, zero_infinity=zero_infinity)
        np.testing.assert_allclose(value, theirs)
        np.testing.assert_allclose(d, their_d, rtol=0, atol=1e-12)


def test_value_is_that_of_keras(rng):
    keras = import_keras()
    labels, y, label_lengths, _ = _batch(rng)
    labels[np.arange(L) >= label_lengths[:, None]] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        each = keras.losses.CTC(reduction=None)(labels, y)
        mean = keras.losses.CTC()(labels, y)
    np.testing.assert_allclose(ctc_loss(labels, y, reduction=None), each.numpy(), rtol=2e-5)
    np.testing.assert_allclose(ctc_loss(labels, y), mean.numpy(), rtol=2e-5)


def test_float32_keeps_its_digits(rng):
    """Nearer to the truth than a sum of float32 logarithms."""
    labels, y, label_lengths, input_lengths = batch = _batch(rng, steps=300, classes=40, most=35)
    value, d = ctc_value_and_grad(*batch, reduction="none")
    exact, exact_d = ctc_value_and_grad(
        labels, y.astype(float), label_lengths, input_lengths, reduction="none"
    )
    np.testing.assert_allclose(value, exact, rtol=2e-7)
    np.testing.assert_allclose(d, exact_d, rtol=0, atol=3e-6)


@settings(max_examples=60)
@given(
    st.integers(1, 5), st.integers(1, 25), st.integers(1, 40), st.integers(0, 20),
    st.sampled_from([0.1, 1.0, 30.0, 1e4]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_shape(batch, steps, classes, most, size, seed):
    rng = np.random.default_rng(seed)
    blank = int(rng.integers(0, classes))
    if classes == 1:
        most = 0
    labels = rng.integers(0, max(1, classes - 1), (batch, most))
    labels += labels >= blank
    y = size * rng.standard_normal((batch, steps, classes))
    label_lengths = rng.integers(0, most + 1, batch)
    input_lengths = rng.integers(0, steps + 1, batch)
    value, d = ctc_value_and_grad(
        labels, y, label_lengths, input_lengths, blank, reduction="none"
    )  # fmt: skip
    for b in range(batch):
        row, count = labels[b, : label_lengths[b]].tolist(), input_lengths[b]
        with np.errstate(invalid="ignore"):  # what is infinite
            loss, exact = reference.recursion(row, y[b, :count], blank)
        np.testing.assert_allclose(value[b], loss, rtol=1e-12, atol=1e-9)
        if np.isfinite(loss):
            np.testing.assert_allclose(d[b, :count], exact, rtol=0, atol=1e-12 * max(1, loss))
        else:
            assert np.isnan(d[b, :count]).all()
        assert not d[b, count:].any()


def test_threads_change_no_bits(rng):
    batch = _batch(rng, batch=20, steps=60, classes=50)
    results = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        results.append(ctc_value_and_grad(*batch))
    for value, d in results[1:]:
        assert value == results[0][0]
        np.testing.assert_array_equal(d, results[0][1])


# -- options ---------------------------------------------------------------------------------------


def test_reductions(rng):
    batch = _batch(rng, np.float64)
    each, d_each = ctc_value_and_grad(*batch, reduction="none")
    np.testing.assert_array_equal(ctc_loss(*batch, reduction=None), each)
    for name, value in (("sum", each.sum()), ("mean", each.mean())):
        got, d = ctc_value_and_grad(*batch, reduction=name)
        assert isinstance(got, float)
        assert got == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(d, d_each * value / each.sum(), atol=1e-16)
    assert ctc_loss(*batch) == ctc_loss(*batch, reduction="mean") == got


def test_weights(rng):
    batch = _batch(rng, np.float64)
    each, d_each = ctc_value_and_grad(*batch, reduction="none")
    weights = rng.uniform(0, 2, B)
    weights[3] = 0
    for reduction, factor in (("none", 1), ("mean", 1 / B), ("sum", 1)):
        value, d = ctc_value_and_grad(*batch, sample_weight=weights, reduction=reduction)
        assert np.sum(value) == pytest.approx(np.sum(factor * weights * each), rel=1e-14)
        np.testing.assert_allclose(d, factor * weights[:, None, None] * d_each, atol=1e-15)
        assert not d[3].any()


def test_a_weight_of_zero_silences_what_is_infinite(rng):
    y = rng.standard_normal((2, 3, 4))
    labels = [[1, 1, 1], [1, 2, 0]]
    for reduction in ("none", "sum", "mean"):
        value, d = ctc_value_and_grad(labels, y, sample_weight=[0, 1], reduction=reduction)
        assert np.isfinite(value).all()
        assert not d[0].any()
        assert np.isfinite(d).all()
    assert ctc_loss(labels, y) == np.inf


def test_lists_filling_and_whole_floats(rng):
    y = rng.standard_normal((2, 8, 5)).astype(np.float32)
    expected = ctc_loss([[1, 2, 3], [4, 1, 1]], y, [3, 1])
    for filled in ([[1, 2, 3], [4, 0, 0]], [[1.0, 2.0, 3.0], [4.0, -1.0, -1.0]]):
        assert ctc_loss(filled, y) == expected
        wide = ctc_loss(filled, y.tolist(), [[3], [1]], [8.0, 8.0])
        assert wide == pytest.approx(expected, rel=1e-6)
    assert ctc_loss([[1, 2, 3], [4, np.nan, 99]], y, [3, 1]) == expected
    other = y[..., [1, 2, 3, 4, 0]]
    assert ctc_loss([[0, 1, 2], [3, 4, -1]], other, blank=4) == pytest.approx(expected, rel=1e-6)
    assert ctc_loss(np.zeros((2, 0)), y) == ctc_loss([[0], [0]], y)


def test_logarithms_of_probabilities_are_logits(rng):
    labels, y, *lengths = _batch(rng, np.float64)
    log_p = y - np.log(np.exp(y).sum(axis=2, keepdims=True))
    value, d = ctc_value_and_grad(labels, y, *lengths)
    other, other_d = ctc_value_and_grad(labels, log_p, *lengths)
    assert other == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(other_d, d, atol=1e-14)


def test_nan_shows(rng):
    labels, y, *lengths = _batch(rng)
    y[1, 0, 3] = np.nan
    assert np.isnan(ctc_loss(labels, y, *lengths))


def test_value_alone_takes_little_memory(rng):
    """Nothing that grows with the number of steps."""
    labels, y, *lengths = _batch(rng, batch=2, steps=4000, classes=8)
    ctc_loss(labels, y, *lengths)
    tracemalloc.start()
    try:
        ctc_loss(labels, y, *lengths)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000


# -- what is refused -------------------------------------------------------------------------------

Y = np.zeros((2, 5, 4), np.float32)
BAD = {
    "two axes": (([[1]], Y[0]), "expects y_pred of shape (batch, time, classes), got (5, 4)"),
    "no steps": (([[1], [1]], Y[:, :0]), "not empty"),
    "flat labels": (([1, 2], Y), "expects y_true of shape (batch, labels), (2, ...) here"),
    "other batch": (([[1]], Y), "got (1, 1)"),
    "too large": (([[1, 2], [4, 0]], Y), "from 0 to 3 (the predictions have 4 classes)"),
    "its place": (([[1, 2], [4, 0]], Y), "got 4 at [1, 0]"),
    "negative": (([[1], [-2]], Y, [1, 1]), "got -2 at [1, 0]"),
    "fractions": (([[1.5], [2]], Y), "got 1.5 at [0, 0]"),
    "NaN": (([[np.nan], [2]], Y), "got nan at [0, 0]"),
    "the blank": (([[1, 0], [2, 0]], Y, [2, 1]), "other than the blank, 0; got 0 at [0, 1]"),
    "the blank inside": (([[1, 0, 2], [2, 0, 0]], Y), "got 2 after 0 in row 0"),
    "filling inside": (([[1, -1, 2], [2, 0, 0]], Y), "take the blank out of the labels"),
    "long label": (([[1], [2]], Y, [1, 2]), "label_lengths expects whole numbers from 0 to 1"),
    "label lengths": (([[1], [2]], Y, [1]), "label_lengths expects shape (2,)"),
    "long input": (([[1], [2]], Y, None, [5, 6]), "from 0 to 5, the length of the array, got 6"),
    "half a step": (([[1], [2]], Y, None, [5, 2.5]), "input_lengths expects whole numbers"),
    "negative input": (([[1], [2]], Y, None, [-1, 5]), "got -1 at [0]"),
    "NaN input": (([[1], [2]], Y, None, [np.nan, 5]), "got nan at [0]"),
    "a blank beyond": (([[1], [2]], Y, None, None, 4), "one of the 4 classes, from 0 to 3, got 4"),
    "a negative blank": (([[1], [2]], Y, None, None, -1), "blank expects a whole number"),
    "weights": (([[1], [2]], Y, None, None, 0, [1, 1, 1]), "sample_weight expects shape (2,)"),
    "reduction": (([[1], [2]], Y, None, None, 0, None, "max"), "'sum_over_batch_size', 'mean'"),
    "ragged": (([[1, 2], [1]], Y), "pad its rows"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("function", [ctc_loss, ctc_value_and_grad])
def test_what_is_refused(function, name):
    arguments, text = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its words follow
        function(*arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize("arguments", [
    ([["a"], ["b"]], Y), ([[1], [2]], Y.astype(object)), ([[1], [2]], Y + 1j),
    ([[1], [2]], Y, ["x", "y"]), ([[1], [2]], np.ma.masked_less(Y, 1)),
])  # fmt: skip
def test_what_is_not_a_number_is_refused(arguments):
    with pytest.raises(TypeError):
        ctc_loss(*arguments)
