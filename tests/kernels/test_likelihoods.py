"""Likelihoods against their equations, finite differences, and PyTorch's distributions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from fastlstm.kernels import likelihoods
from fastlstm.kernels.parallel import set_num_threads
from tests.peers import import_torch
from tests.reference import losses as reference
from tests.reference.finite import gradient

LIMITS = {np.float32: 2e-6, np.float64: 1e-12}
LEAST = 1e-3


class Case(NamedTuple):
    """A distribution with the reference that it must equal."""

    equation: Any
    exact: Any
    count: int
    options: dict[str, Any]
    counts: bool = False

    def run(self, t, y, weights=None, gradient=True, work=0.0):
        """Value, gradient and row losses."""
        d = np.full_like(y if gradient else y[:0], np.nan)
        rows = np.full(len(y), np.nan, y.dtype)
        weights = np.zeros(0, y.dtype) if weights is None else weights
        total = np.full(1, np.nan)
        least = self.options.get("least_scale", 0.0)
        likelihoods.likelihood(
            self.equation, total, d, rows, t, y, weights, least, work=work
        )  # fmt: skip
        return total[0], d, rows

    def data(self, rng, rows, columns, dtype=np.float64):
        """Targets and parameters."""
        y = rng.uniform(-2, 2, (rows, columns * self.count))
        t = rng.poisson(3, (rows, columns)) if self.counts else rng.normal(size=(rows, columns))
        return t.astype(dtype), y.astype(dtype)


CASES = {
    "gaussian": Case(
        likelihoods.Gaussian(), reference.gaussian, 2, {"least_scale": LEAST}
    ),
    "student": Case(
        likelihoods.StudentT(), reference.student_t, 3, {"least_scale": LEAST}
    ),
    "negative binomial": Case(
        likelihoods.NegativeBinomial(), reference.negative_binomial, 2, {}, counts=True
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("columns", [1, 7])
def test_value_of_each_row_and_of_all(case, columns, dtype, rng):
    t, y = case.data(rng, 6, columns, dtype)
    weights = rng.uniform(0, 2, 6).astype(dtype)
    exact = case.exact(t.astype(np.float64), y.astype(np.float64), **case.options)
    for given, factor in ((None, 1), (weights, weights.astype(np.float64))):
        value, _, rows = case.run(t, y, given)
        np.testing.assert_allclose(rows, exact, rtol=LIMITS[dtype], atol=LIMITS[dtype])
        assert value == pytest.approx((factor * exact).mean(), rel=LIMITS[dtype])


@pytest.mark.parametrize("columns", [1, 5])
def test_gradient_by_finite_differences(case, columns, rng):
    t, y = case.data(rng, 4, columns)
    weights = rng.uniform(0, 2, 4)
    for given in (None, weights):
        _, d, _ = case.run(t, y, given)
        slopes = gradient(lambda given=given: case.run(t, y, given, gradient=False)[0], y)
        np.testing.assert_allclose(d, slopes, rtol=1e-7, atol=2e-8)


@pytest.mark.parametrize("dtype", LIMITS)
def test_values_and_gradients_are_those_of_torch(case, dtype, rng):
    torch = import_torch()
    from torch import distributions
    from torch.nn.functional import softplus

    t, y = case.data(rng, 50, 1, dtype)
    tensor = torch.tensor(y, requires_grad=True)
    if case.counts:
        r = torch.exp(-tensor[:, 1])
        law = distributions.NegativeBinomial(r, logits=tensor[:, 0] + tensor[:, 1])
    else:
        scale = LEAST + softplus(tensor[:, 1])
        if case.count == 3:
            law = distributions.StudentT(2 + softplus(tensor[:, 2]), tensor[:, 0], scale)
        else:
            law = distributions.Normal(tensor[:, 0], scale)
    theirs = -law.log_prob(torch.tensor(t[:, 0])).mean()
    theirs.backward()
    value, d, _ = case.run(t, y)
    limit = 10 * LIMITS[dtype]
    assert value == pytest.approx(theirs.item(), rel=limit)
    np.testing.assert_allclose(d, tensor.grad.numpy(), rtol=50 * limit, atol=limit)


def test_probabilities_of_counts_sum_to_one():
    case = CASES["negative binomial"]
    counts = np.arange(4000.0)[:, np.newaxis]
    for a, b in ((1.0, 0.0), (3.0, -2.0), (0.0, 1.5), (2.0, -80.0)):
        _, _, rows = case.run(counts, np.tile([a, b], (len(counts), 1)))
        p = np.exp(-rows)
        assert p.sum() == pytest.approx(1, rel=1e-9)
        assert (p * counts[:, 0]).sum() == pytest.approx(np.exp(a), rel=1e-7)


def test_without_dispersion_counts_are_poissons():
    case = CASES["negative binomial"]
    t, a = np.array([[0.0], [3.0], [50.0]]), 1.3
    exact = np.exp(a) - t[:, 0] * a + reference._lgamma(t[:, 0] + 1)
    for b in (-45.0, -200.0):
        _, d, rows = case.run(t, np.tile([a, b], (3, 1)))
        np.testing.assert_allclose(rows, exact, rtol=1e-13)
        np.testing.assert_allclose(d[:, 0] * 3, np.exp(a) - t[:, 0], rtol=1e-12)
        np.testing.assert_allclose(d[:, 1], 0, atol=1e-12)


def test_with_much_freedom_students_t_is_normal():
    t = np.array([[-1.0], [0.3], [4.0]])
    y = np.tile([0.2, 0.5, 1e9], (3, 1))
    _, d, rows = CASES["student"].run(t, y)
    _, expected, normal = CASES["gaussian"].run(t, np.ascontiguousarray(y[:, :2]))
    np.testing.assert_allclose(rows, normal, rtol=1e-7)
    np.testing.assert_allclose(d[:, :2], expected, rtol=1e-6)
    np.testing.assert_allclose(d[:, 2], 0, atol=1e-12)


@pytest.mark.parametrize("size", [80.0, 1e4, 1e30])
def test_parameters_of_any_size_give_no_nan(case, size, rng):
    y = np.array([[i, j, k][: case.count] for i in (-size, size) for j in (-size, size)
                  for k in (-size, size)], np.float32)  # fmt: skip
    t = np.ones((len(y), 1), np.float32)
    _, d, rows = case.run(t, y)
    assert not np.isnan(rows).any()
    assert not np.isnan(d).any()


def test_gradient_in_float32_is_that_in_float64(case, rng):
    t, y = case.data(rng, 30, 3, np.float32)
    _, d, _ = case.run(t, y)
    _, exact, _ = case.run(t.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(d, exact, rtol=1e-6, atol=1e-9)


def test_value_alone_has_the_same_bits(case, rng):
    t, y = case.data(rng, 5, 9, np.float32)
    value, _, rows = case.run(t, y)
    alone, _, rows_alone = case.run(t, y, gradient=False)
    assert alone == value
    np.testing.assert_array_equal(rows_alone, rows)


def test_bits_do_not_depend_on_the_threads(case, rng):
    t, y = case.data(rng, 35, 4, np.float32)
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
    t, y = case.data(rng, 3, 4, np.float32)
    y[1] = np.nan
    value, d, rows = case.run(t, y)
    assert np.isnan(value)
    np.testing.assert_array_equal(np.isnan(rows), [False, True, False])
    assert np.isnan(d[1]).all()
    assert np.isfinite(d[[0, 2]]).all()
