"""Loss kernels against the equations in float64: values, gradients, limits and threads."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from fastlstm.kernels import crossentropy, equations, losses, masks, rowlosses
from fastlstm.kernels.parallel import set_num_threads
from tests.reference import losses as reference
from tests.reference.finite import gradient

# One element, part of a vector, several vectors, and more than are summed in one go.
COLUMNS = [1, 5, 37, 600]
LIMITS = {np.float32: 2e-6, np.float64: 1e-13}


class Case(NamedTuple):
    """A kernel with the reference that it must equal."""

    kernel: Any
    first: tuple[Any, ...]
    last: tuple[float, ...]
    exact: Any
    options: dict[str, Any]
    probabilities: bool
    sparse: bool = False

    def run(self, t, y, weights=None, gradient=True, work=0.0):
        """Value, gradient and row losses."""
        d = np.full_like(y if gradient else y[:0], np.nan)
        rows = np.full(len(y), np.nan, y.dtype)
        weights = np.zeros(0, y.dtype) if weights is None else weights
        total = np.full(1, np.nan)
        self.kernel(*self.first, total, d, rows, t, y, weights, *self.last, work=work)
        return total[0], d, rows

    def data(self, rng, rows, columns, dtype=np.float64):
        """Targets and predictions away from kinks and clips."""
        y = rng.uniform(0.05, 0.95, (rows, columns))
        if not self.probabilities:
            y = 4 * y - 2
        if self.sparse:
            t = rng.integers(0, columns, rows).astype(np.int32)
        else:
            t = rng.uniform(0.05, 0.95, (rows, columns)).astype(dtype)
        return t, y.astype(dtype)


def _elementwise(equation, exact, option=0.0, **options):
    probabilities = options.get("from_logits") is False
    return Case(losses.elementwise, (equation,), (option,), exact, options, probabilities)


def _entropy(kernel, exact, last=(), sparse=False, **options):
    return Case(kernel, (), last, exact, options, not options["from_logits"], sparse)


def _of_row(kernel, exact, **options):
    return Case(kernel, (), (), exact, options, False)


FOCAL = {"apply_class_balancing": True, "alpha": 0.3, "label_smoothing": 0.1}


CASES = {
    "squared": _elementwise(losses.Squared(), reference.mean_squared_error),
    "absolute": _elementwise(losses.Absolute(), reference.mean_absolute_error),
    "huber": _elementwise(losses.Huber(), reference.huber, 0.7, delta=0.7),
    "binary logits": _elementwise(
        losses.BinaryLogits(), reference.binary_crossentropy, 0.1,
        from_logits=True, label_smoothing=0.1,
    ),
    "binary probabilities": _entropy(
        losses.binary_probabilities, reference.binary_crossentropy, (0.1,),
        from_logits=False, label_smoothing=0.1,
    ),
    "logits": _entropy(
        crossentropy.logits, reference.categorical_crossentropy, (0.1,),
        from_logits=True, label_smoothing=0.1,
    ),
    "probabilities": _entropy(
        crossentropy.probabilities, reference.categorical_crossentropy, (0.1,),
        from_logits=False, label_smoothing=0.1,
    ),
    "sparse logits": _entropy(
        crossentropy.sparse_logits, reference.sparse_categorical_crossentropy,
        sparse=True, from_logits=True,
    ),
    "sparse probabilities": _entropy(
        crossentropy.sparse_probabilities, reference.sparse_categorical_crossentropy,
        sparse=True, from_logits=False,
    ),
    "log cosh": _elementwise(equations.LogCosh(), reference.log_cosh),
    "percentage": _elementwise(equations.Percentage(), reference.mean_absolute_percentage_error),
    "hinge": _elementwise(equations.Hinge(), reference.hinge),
    "squared hinge": _elementwise(equations.SquaredHinge(), reference.squared_hinge),
    "pinball": _elementwise(equations.Pinball(), reference.quantile, 0.3, quantiles=0.3),
    "focal logits": _elementwise(
        equations.FocalLogits(), reference.binary_focal_crossentropy,
        np.array([2.0, 0.1, 0.7, -0.4]), from_logits=True, **FOCAL,
    ),
    "focal logits, gamma": _elementwise(
        equations.FocalLogits(), reference.binary_focal_crossentropy,
        np.array([1.3, 0.1, 0.7, -0.4]), from_logits=True, gamma=1.3, **FOCAL,
    ),
    "focal probabilities": _elementwise(
        equations.FocalProbabilities(), reference.binary_focal_crossentropy,
        np.array([1.3, 0.1, 0.7, -0.4]), from_logits=False, gamma=1.3, **FOCAL,
    ),
    "cosine": _of_row(rowlosses.cosine, reference.cosine_similarity),
    "categorical hinge": _of_row(rowlosses.categorical_hinge, reference.categorical_hinge),
    "categorical focal logits": _entropy(
        rowlosses.focal_logits, reference.categorical_focal_crossentropy, (0.3, 1.3, 0.1),
        from_logits=True, label_smoothing=0.1, alpha=0.3, gamma=1.3,
    ),
    "categorical focal probabilities": _entropy(
        rowlosses.focal_probabilities, reference.categorical_focal_crossentropy, (0.3, 2.0, 0.1),
        from_logits=False, label_smoothing=0.1, alpha=0.3,
    ),
}  # fmt: skip

# Of positive numbers, which are no probabilities.
POSITIVE = {
    "squared logarithmic": (equations.SquaredLogarithmic(), "mean_squared_logarithmic_error"),
    "poisson": (equations.Poisson(), "poisson"),
}
for _name, (_equation, _exact) in POSITIVE.items():
    CASES[_name] = Case(
        losses.elementwise, (_equation,), (0.0,), getattr(reference, _exact), {}, True
    )

EQUATIONS = [name for name, case in CASES.items() if case.kernel is losses.elementwise]


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_value_of_each_row_and_of_all(case, columns, dtype, rng):
    t, y = case.data(rng, 6, columns, dtype)
    weights = rng.uniform(0, 2, 6).astype(dtype)
    wide_t = t if case.sparse else t.astype(np.float64)
    exact = case.exact(wide_t, y.astype(np.float64), **case.options)
    for given, factor in ((None, 1), (weights, weights.astype(np.float64))):
        value, _, rows = case.run(t, y, given)
        np.testing.assert_allclose(rows, exact, rtol=LIMITS[dtype], atol=LIMITS[dtype])
        expected = (factor * exact).mean()
        np.testing.assert_allclose(value, expected, rtol=LIMITS[dtype], atol=LIMITS[dtype])


@pytest.mark.parametrize("columns", [1, 5, 37])
def test_gradient_by_finite_differences(case, columns, rng):
    t, y = case.data(rng, 4, columns)
    weights = rng.uniform(0, 2, 4)
    for given in (None, weights):
        value, d, _ = case.run(t, y, given)
        slopes = gradient(lambda given=given: case.run(t, y, given, gradient=False)[0], y)
        # The differences lose the digits that the value has above the slope.
        np.testing.assert_allclose(d, slopes, rtol=0, atol=2e-9 * max(1.0, value))


def test_gradient_in_float32_is_that_in_float64(case, rng):
    t, y = case.data(rng, 3, 600, np.float32)
    _, d, _ = case.run(t, y)
    _, exact, _ = case.run(t if case.sparse else t.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(d, exact, rtol=1e-5, atol=3e-7 * np.abs(exact).max())


def test_value_alone_has_the_same_bits(case, rng):
    t, y = case.data(rng, 5, 600, np.float32)
    value, _, rows = case.run(t, y)
    alone, _, rows_alone = case.run(t, y, gradient=False)
    assert alone == value
    np.testing.assert_array_equal(rows_alone, rows)


# The equations share one kernel, so that one of them stands for all.
@pytest.mark.parametrize("name", [name for name in CASES if name not in EQUATIONS[1:]])
def test_bits_do_not_depend_on_the_threads(name, rng):
    case = CASES[name]
    t, y = case.data(rng, 35, 70, np.float32)
    weights = rng.uniform(0, 2, 35).astype(np.float32)
    set_num_threads(1)
    value, d, rows = case.run(t, y, weights)
    for threads in (2, 3):
        set_num_threads(threads)
        other_value, other_d, other_rows = case.run(t, y, weights, work=1e9)
        assert other_value == value
        np.testing.assert_array_equal(other_d, d)
        np.testing.assert_array_equal(other_rows, rows)


def test_nan_shows_in_its_row_and_in_the_value(case, rng):
    t, y = case.data(rng, 3, 20, np.float32)
    y[1, 18] = np.nan
    if case.sparse:
        t[1] = 18
    value, d, rows = case.run(t, y)
    assert np.isnan(value)
    np.testing.assert_array_equal(np.isnan(rows), [False, True, False])
    assert np.isnan(d[1, 18])
    assert np.isfinite(d[[0, 2]]).all()


def test_nan_shows_beside_a_certain_target():
    y = np.array([[0.5, np.nan, 0.5]], np.float32)
    one_hot = np.array([[1, 0, 0]], np.float32)
    for name in ("probabilities", "logits"):
        value, _, _ = CASES[name]._replace(last=(0.0,)).run(one_hot, y)
        assert np.isnan(value), name


def test_nan_in_the_targets_shows(rng):
    for name in ("squared", "absolute", "huber", "binary logits", "logits"):
        t, y = CASES[name].data(rng, 3, 20, np.float32)
        t[1, 3] = np.nan
        value, _, rows = CASES[name].run(t, y)
        assert np.isnan(value), name
        np.testing.assert_array_equal(np.isnan(rows), [False, True, False])


@pytest.mark.parametrize("size", [100.0, 1e30])
def test_logits_of_any_size_are_exact(size):
    y = np.array([[size, -size, 0]], np.float32)
    for label, expected in ((0, 0.0), (1, 2 * size), (2, size)):
        value, d, _ = CASES["sparse logits"].run(np.array([label], np.int32), y)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        np.testing.assert_allclose(d[0], np.eye(3)[0] - np.eye(3)[label], atol=1e-6)
    binary = _elementwise(losses.BinaryLogits(), None)
    for t, expected in ((1.0, 0.0), (0.0, size)):
        value, d, _ = binary.run(np.full((1, 1), t, np.float32), y[:, :1])
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(d, [[1 - t]], atol=1e-6)


def test_binary_entropy_of_logits_keeps_its_digits_near_zero():
    y = np.linspace(-30, 30, 1001)[:, None]
    t = np.ones_like(y)
    binary = _elementwise(losses.BinaryLogits(), None)
    exact = np.logaddexp(0, -y)[:, 0]
    for dtype, limit in ((np.float32, 1e-6), (np.float64, 1e-14)):
        _, _, rows = binary.run(t.astype(dtype), y.astype(dtype))
        wide = np.logaddexp(0, -y.astype(dtype).astype(np.float64))[:, 0]
        np.testing.assert_allclose(rows, wide if dtype is np.float32 else exact, rtol=limit)


def test_clipped_probabilities_have_no_gradient():
    y = np.array([[0.0, 1.0], [1.0, 0.0]])
    t = np.array([[1.0, 0.0], [1.0, 0.0]])
    worst, best = -np.log(1e-7), -np.log(1 - 1e-7)
    for name, target in (("binary probabilities", t), ("probabilities", t)):
        plain = CASES[name]._replace(last=(0.0,))
        _, d, rows = plain.run(target, y)
        np.testing.assert_allclose(rows, [worst, best], rtol=1e-6)
        np.testing.assert_array_equal(d, np.zeros((2, 2)))
    _, d, rows = CASES["sparse probabilities"].run(np.array([0, 0], np.int32), y)
    np.testing.assert_allclose(rows, [worst, best], rtol=1e-6)
    np.testing.assert_array_equal(d, np.zeros((2, 2)))


@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("name", ["sparse logits", "sparse probabilities"])
def test_an_impossible_class_id_touches_nothing_else(name, label):
    memory = np.full((5, 3), 0.5, np.float32)
    d = np.full((5, 3), 7.0, np.float32)
    t = np.array([0, label, 2], np.int32)
    rows = np.empty(3, np.float32)
    total = np.zeros(1)
    CASES[name].kernel(total, d[1:4], rows, t, memory[1:4], np.zeros(0, np.float32))
    assert np.isnan(total[0])
    np.testing.assert_array_equal(np.isnan(rows), [False, True, False])
    assert np.isnan(d[2]).all()
    assert (d[[0, 4]] == 7).all()
    assert np.isfinite(d[[1, 3]]).all()


def test_a_zero_weight_silences_its_row(case, rng):
    t, y = case.data(rng, 2, 9)
    weights = np.array([0.0, 1.0])
    value, d, rows = case.run(t, y, weights)
    assert value == rows[1] / 2
    if case.kernel in (crossentropy.logits, crossentropy.sparse_logits):  # which left it as it was
        masks.clear_weightless(d, weights, np.zeros(0, np.uint8))
    np.testing.assert_array_equal(d[0], np.zeros(9))
    assert d[1].any() or case.kernel is losses.elementwise


@pytest.mark.parametrize("name", ["logits", "sparse logits"])
def test_a_row_without_weight_is_neither_read_nor_written(name, rng):
    case = CASES[name]
    t, y = case.data(rng, 3, 9)
    weights = np.array([1.0, 0.0, 2.0])
    expected = case.run(t, y, weights)
    y[1] = np.nan
    value, d, rows = case.run(t, y, weights)
    assert value == expected[0]
    assert rows[1] == 0
    np.testing.assert_array_equal(d[[0, 2]], expected[1][[0, 2]])
    assert np.isnan(d[1]).all()  # as it was


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_gradients_of_what_weighs_nothing_are_cleared_where_they_are_read(threads):
    set_num_threads(threads)
    d = np.full((5, 3), np.nan)
    weights, read = np.array([0.0, 1, 0, 0, 2]), np.array([1, 1, 0, 1, 0], np.uint8)
    masks.clear_weightless(d, weights, read, work=1e9)
    np.testing.assert_array_equal(np.isnan(d).all(axis=1), [False, True, True, False, True])
    assert (d[[0, 3]] == 0).all()
