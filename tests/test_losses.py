"""Losses as users call them: values and gradients against Keras and PyTorch, shapes, errors."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fastlstm import Sequential, losses
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import Dense
from fastlstm.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Gaussian,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    NegativeBinomial,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    StudentT,
)
from fastlstm.optimizers import Adam
from fastlstm.registry import snake_case
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
    (MeanAbsolutePercentageError, {}),
    (MeanSquaredLogarithmicError, {}),
    (LogCosh, {}),
    (Poisson, {}),
    (KLDivergence, {}),
    (CosineSimilarity, {}),
    (Hinge, {}),
    (SquaredHinge, {}),
    (CategoricalHinge, {}),
    (BinaryFocalCrossentropy, {}),
    (BinaryFocalCrossentropy, {"from_logits": True, "gamma": 1.5, "label_smoothing": 0.1}),
    (BinaryFocalCrossentropy, {"apply_class_balancing": True, "alpha": 0.3, "gamma": 3.0}),
    (CategoricalFocalCrossentropy, {}),
    (CategoricalFocalCrossentropy, {"from_logits": True, "alpha": 0.6, "gamma": 1.5}),
    (CategoricalFocalCrossentropy, {"label_smoothing": 0.1}),
]
YES_OR_NO = (BinaryCrossentropy, BinaryFocalCrossentropy, Hinge, SquaredHinge)
ONE_HOT = (CategoricalCrossentropy, CategoricalFocalCrossentropy, CategoricalHinge)
POSITIVE = (MeanSquaredLogarithmicError, Poisson, KLDivergence)
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
    elif cls in ONE_HOT:
        t = np.eye(CLASSES)[ids]
    elif cls in YES_OR_NO:
        t = rng.integers(0, 2, (*LEADING, CLASSES))
    else:
        t = rng.standard_normal((*LEADING, CLASSES))
    y = rng.standard_normal((*LEADING, CLASSES))
    if cls in POSITIVE:
        t, y = np.abs(t), np.abs(y)
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
        scale = max(1.0, np.abs(d).max())
        np.testing.assert_allclose(d, tensor.grad.numpy(), rtol=2e-5, atol=1e-7 * scale)
        assert cls(**options)(t, y, given) == pytest.approx(ours, rel=1e-6)


def test_value_and_gradient_in_float64_are_those_of_keras(case, rng):
    keras, torch = import_keras(), import_torch()
    cls, options = case
    t, y, weights = _data(cls, options, rng)
    t = t if cls is SparseCategoricalCrossentropy else t.astype(np.float64)
    y, weights = y.astype(np.float64), weights.astype(np.float64)
    theirs = getattr(keras.losses, cls.__name__)(**options, dtype="float64")
    tensor = torch.tensor(y, requires_grad=True)
    value = theirs(torch.tensor(t), tensor, torch.tensor(weights))
    value.backward()
    ours, d = _compute(cls(**options), t, y, weights)
    # Focal losses of logits are clipped there, and the constants are rounded to float32.
    assert ours == pytest.approx(value.item(), rel=2e-7)
    scale = max(1.0, np.abs(d).max())
    np.testing.assert_allclose(d, tensor.grad.numpy(), rtol=1e-6, atol=1e-9 * scale)


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
        lambda: BinaryFocalCrossentropy(alpha=1.5),
        lambda: CategoricalFocalCrossentropy(gamma=-1.0),
        lambda: CategoricalFocalCrossentropy(gamma=float("nan")),
        lambda: CosineSimilarity(axis=0),
        lambda: BinaryCrossentropy(axis=1),
        lambda: MeanSquaredError(reduction="median"),
        lambda: Quantile(0.0),
        lambda: Quantile([0.1, 1.0]),
        lambda: Quantile([0.5, 0.1]),
        lambda: Quantile([0.5, 0.5]),
        lambda: Quantile([]),
        lambda: Quantile([[0.1, 0.2]]),
        lambda: Quantile(float("nan")),
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
    for alias, cls in {
        "mape": MeanAbsolutePercentageError, "MAPE": MeanAbsolutePercentageError,
        "msle": MeanSquaredLogarithmicError, "MSLE": MeanSquaredLogarithmicError,
        "kld": KLDivergence, "KLD": KLDivergence, "kl_divergence": KLDivergence,
        "logcosh": LogCosh, "log_cosh": LogCosh, "poisson": Poisson, "hinge": Hinge,
        "cosine_similarity": CosineSimilarity, "quantile": Quantile,
        "binary_focal_crossentropy": BinaryFocalCrossentropy,
    }.items():  # fmt: skip
        assert isinstance(losses.get(alias), cls)
    assert losses.get("huber").name == "huber"
    assert MeanSquaredError(name="mine").name == "mine"
    assert repr(Huber(2)) == "Huber(delta=2.0)"


def test_what_the_model_asks_for():
    fused = {cls: cls.fuses for cls, _ in CASES}
    assert {cls for cls, name in fused.items() if name == "sigmoid"} == {
        BinaryCrossentropy, BinaryFocalCrossentropy
    }  # fmt: skip
    assert {cls for cls, name in fused.items() if name == "softmax"} == {
        CategoricalCrossentropy, CategoricalFocalCrossentropy, SparseCategoricalCrossentropy
    }  # fmt: skip
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


# -- rows, means and sums --------------------------------------------------------------------------


def test_functions_give_the_loss_of_each_row(case, rng):
    cls, options = case
    t, y, _ = _data(cls, options, rng)
    function = getattr(losses, snake_case(cls.__name__))
    rows = function(t, y, **options)
    assert rows.shape == LEADING
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, cls(**options, reduction="none")(t, y))
    assert cls(**options)(t, y) == pytest.approx(rows.mean(), rel=1e-6)
    assert type(losses.get(function)) is cls


def test_functions_are_those_of_keras(case, rng):
    keras = import_keras()
    cls, options = case
    t, y, _ = _data(cls, options, rng)
    name = snake_case(cls.__name__)
    expected = np.asarray(getattr(keras.losses, name)(t, y, **options))
    np.testing.assert_allclose(getattr(losses, name)(t, y, **options), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "reduction", ["sum", "mean", "sum_over_batch_size", "mean_with_sample_weight", "none", None]
)
def test_reductions_are_those_of_keras(reduction, rng):
    keras, torch = import_keras(), import_torch()
    for cls in (MeanSquaredError, SparseCategoricalCrossentropy):
        t, y, weights = _data(cls, {}, rng)
        theirs = getattr(keras.losses, cls.__name__)(reduction=reduction)
        ours = cls(reduction=reduction)
        for given in (None, weights):
            tensor = torch.tensor(y, requires_grad=True)
            value = theirs(torch.tensor(t), tensor, None if given is None else torch.tensor(given))
            np.testing.assert_allclose(ours(t, y, given), value.detach().numpy(), rtol=2e-6)
            if value.ndim == 0:
                value.backward()
                _, d = _compute(ours, t, y, given)
                np.testing.assert_allclose(d, tensor.grad.numpy(), rtol=2e-5, atol=1e-7)


def test_weights_of_zero_have_a_mean_of_zero():
    loss = MeanSquaredError(reduction="mean_with_sample_weight")
    assert loss(np.ones((3, 2)), np.zeros((3, 2)), np.zeros(3)) == 0.0


def test_a_function_of_python_is_no_loss():
    with pytest.raises(TypeError, match="needs its gradient"):
        losses.get(lambda t, y: y)


# -- quantiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [0.3, [0.3], [0.1, 0.5, 0.9]])
@pytest.mark.parametrize("targets", [1, 4])
def test_quantiles_side_by_side(levels, targets, rng):
    torch = import_torch()
    count = len(np.atleast_1d(levels))
    t = rng.standard_normal((3, 6, targets)).astype(np.float32)
    y = rng.standard_normal((3, 6, targets * count)).astype(np.float32)
    tensor = torch.tensor(y, requires_grad=True)
    error = torch.tensor(t)[..., None] - tensor.reshape(3, 6, targets, count)
    q = torch.tensor(np.atleast_1d(levels), dtype=torch.float32)
    value = torch.maximum(q * error, (q - 1) * error).mean()
    value.backward()
    ours, d = 0.0, np.full((18, y.shape[-1]), np.nan, np.float32)
    loss = Quantile(levels)
    ours = loss.compute(
        d, np.empty(18, np.float32), t.reshape(18, targets), y.reshape(18, -1),
        np.zeros(0, np.float32), False,
    )  # fmt: skip
    assert ours == pytest.approx(value.item(), rel=2e-6)
    np.testing.assert_allclose(d, tensor.grad.numpy().reshape(18, -1), rtol=1e-5)
    assert loss(t, y) == pytest.approx(ours)
    if targets == 1:
        assert loss(t[..., 0], y) == pytest.approx(ours)


def test_outputs_that_are_no_multiple_of_the_quantiles_are_refused():
    with pytest.raises(ValueError, match=r"of 3 quantiles expects.*\(2, 4\).*3 units"):
        Quantile([0.1, 0.5, 0.9])(np.ones((2, 1)), np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for predictions of shape \(2, 6\), got"):
        Quantile([0.1, 0.5, 0.9])(np.ones((2, 6)), np.ones((2, 6)))


# -- extremes --------------------------------------------------------------------------------------


def test_no_nan_comes_from_extreme_numbers(case):
    """Logits of ±1e4, targets of zero, predictions of zero: in float32, as in a model."""
    cls, options = case
    logits = options.get("from_logits")
    values = [0.0, 1.0, 1e-30] if not logits else [1e4, -1e4, 0.0]
    if cls.fuses is None and cls not in POSITIVE:
        values = [0.0, 1e4, -1e4]
    y = np.array([values[:2], values[:2][::-1], [values[2]] * 2, [values[0]] * 2], np.float32)
    for pattern in ([[0, 0]] * 4, [[1, 0]] * 4, [[0, 1]] * 4):
        t = np.argmax(pattern, axis=1) if cls is SparseCategoricalCrossentropy else pattern
        t = np.array(t, np.int32 if cls is SparseCategoricalCrossentropy else np.float32)
        value, d = _compute(cls(**options), t, y, None)
        assert np.isfinite(value)
        assert np.isfinite(d).all()


def test_every_rate_of_focal_losses_stays_finite():
    """gamma below 1 has an infinite slope where the answer is certain."""
    for gamma in (0.0, 0.3, 1.0, 5.0):
        for logits, values in ((True, [1e4, -1e4]), (False, [1.0, 0.0])):
            y = np.array([values, values[::-1]], np.float32)
            t = np.array([[1, 0], [1, 0]], np.float32)
            for cls in (BinaryFocalCrossentropy, CategoricalFocalCrossentropy):
                value, d = _compute(cls(gamma=gamma, from_logits=logits), t, y, None)
                assert np.isfinite(value)
                assert np.isfinite(d).all()


def test_bits_do_not_depend_on_the_threads(case, rng):
    cls, options = case
    t, y, weights = _data(cls, options, rng)
    t, y, weights = (np.tile(a, (1000, 1, *[1] * (a.ndim - 2))) for a in (t, y, weights))
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight"):
        loss = cls(**options, reduction=reduction)
        set_num_threads(1)
        value, d = _compute(loss, t, y, weights)
        for threads in (2, 3):
            set_num_threads(threads)
            other_value, other_d = _compute(loss, t, y, weights)
            assert other_value == value
            np.testing.assert_array_equal(other_d, d)


# -- likelihoods -----------------------------------------------------------------------------------

LIKELIHOODS = [
    (Gaussian(0.1), reference.gaussian, {"least_scale": 0.1}),
    (StudentT(), reference.student_t, {}),
    (NegativeBinomial(), reference.negative_binomial, {}),
]


@pytest.mark.parametrize(("loss", "exact", "options"), LIKELIHOODS)
@pytest.mark.parametrize("targets", [1, 3])
def test_parameters_side_by_side(loss, exact, options, targets, rng):
    t = rng.poisson(2, (*LEADING, targets)).astype(float)
    y = rng.standard_normal((*LEADING, targets * loss.count))
    weights = rng.uniform(0, 2, LEADING)
    rows = exact(t.reshape(-1, targets), y.reshape(-1, y.shape[-1]), **options).reshape(LEADING)
    assert loss(t, y) == pytest.approx(rows.mean())
    assert loss(t, y, weights) == pytest.approx((rows * weights).mean())
    np.testing.assert_allclose(loss.rows(t, y), rows)
    if targets == 1:  # the last axis may be left out
        assert loss(t[..., 0], y) == loss(t, y)


@pytest.mark.parametrize(("loss", "exact", "options"), LIKELIHOODS)
def test_likelihoods_by_name_and_configuration(loss, exact, options):
    assert type(losses.get(snake_case(type(loss).__name__))) is type(loss)
    again = losses.get({"class_name": type(loss).__name__, "config": loss.get_config()})
    assert again.get_config() == loss.get_config()
    assert all(loss.get_config()[name] == value for name, value in options.items())


@pytest.mark.parametrize(("loss", "exact", "options"), LIKELIHOODS)
def test_outputs_that_are_no_multiple_of_the_parameters_are_refused(loss, exact, options):
    units = loss.count + 1
    with pytest.raises(ValueError, match=rf"expects {loss.count} outputs.*{loss.count} units"):
        loss(np.ones((2, 1)), np.ones((2, units)))


@pytest.mark.parametrize("least", [0.0, -1.0, float("nan"), float("inf"), "small"])
def test_a_least_scale_that_is_none_is_refused(least):
    with pytest.raises(ValueError, match="least_scale expects a number greater than 0, got"):
        StudentT(least)


@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_targets_that_are_no_counts_are_refused(value, rng):
    t = np.array([[3.0], [value], [0.0]])
    with pytest.raises(ValueError, match=rf"expects counts.* 1 of 3 targets are not: {value:g}"):
        NegativeBinomial()(t, np.zeros((3, 2)))
    model = Sequential([Dense(2, input_shape=(4,))])
    model.compile("adam", NegativeBinomial())
    x = rng.standard_normal((3, 4))
    with pytest.raises(ValueError, match=r"expects counts.* 1 of 3 targets"):
        model.fit(x, t, verbose=0)
    with pytest.raises(ValueError, match=r"expects counts.* 1 of 3 targets"):
        model.evaluate(x, t, verbose=0)


def test_targets_that_are_no_numbers_are_refused():
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="gaussian expects finite targets, got NaN"):
            Gaussian()([[value]], [[0.0, 0.0]])


def test_a_model_learns_what_noise_there_is(rng):
    """Location, scale and dispersion come out as those that the targets were drawn from."""
    x = np.ones((4000, 1), np.float32)
    r, mean = 2.0, 5.0
    drawn = {
        Gaussian: rng.normal(3, 0.5, 4000),
        StudentT: 3 + 0.5 * rng.standard_t(5, 4000),
        NegativeBinomial: rng.negative_binomial(r, r / (r + mean), 4000),
    }
    found = {}
    for kind, t in drawn.items():
        model = Sequential([Dense(kind.count, input_shape=(1,))])
        model.compile(Adam(0.05), kind())
        model.fit(x, t[:, np.newaxis], batch_size=500, epochs=60, verbose=0)
        found[kind] = model.predict(x[:1], verbose=0)[0].astype(float)
    softplus = {kind: np.logaddexp(0, y) for kind, y in found.items()}
    assert found[Gaussian][0] == pytest.approx(3, abs=0.05)
    assert softplus[Gaussian][1] == pytest.approx(0.5, rel=0.07)
    assert found[StudentT][0] == pytest.approx(3, abs=0.05)
    assert softplus[StudentT][1] == pytest.approx(0.5, rel=0.12)
    assert 3.5 < 2 + softplus[StudentT][2] < 8
    np.testing.assert_allclose(np.exp(found[NegativeBinomial]), [mean, 1 / r], rtol=0.12)
