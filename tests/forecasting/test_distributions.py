"""Draws and quantiles of distributions, against their likelihoods and against tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastlstm.forecasting.distributions import distribution

LEVELS = [0.01, 0.1, 0.25, 0.5, 0.9, 0.995]
# Unconstrained parameters of each.
PARAMETERS = {
    "Normal": [[2.0, -1.0], [-3.0, 1.5]],
    "StudentT": [[2.0, -1.0, 0.5], [-3.0, 1.5, 3.0]],
    "NegativeBinomial": [[1.0, -0.5], [3.0, -2.0]],
}


@pytest.fixture(params=PARAMETERS)
def case(request):
    return distribution(request.param), np.array(PARAMETERS[request.param])


def test_draws_are_as_likely_as_the_loss_says(case, rng):
    """The mean loss of draws is the entropy, which a sum over a fine grid gives as well."""
    law, parameters = case
    for one in parameters:
        draws = law.sample(np.broadcast_to(one, (200_000, law.count)), rng)
        found = law.loss(draws[:, np.newaxis], np.broadcast_to(one, (len(draws), law.count)))
        if law.counts:
            grid, step = np.arange(2000.0), 1.0
        else:
            grid, step = np.linspace(-4000, 4000, 2_000_001, retstep=True)
        rows = law.loss.rows(grid[:, np.newaxis], np.broadcast_to(one, (len(grid), law.count)))
        p = np.exp(-rows) * step
        assert p.sum() == pytest.approx(1, abs=1e-4)
        assert found == pytest.approx((p * rows).sum(), abs=0.02)
        assert law.mean(one) == pytest.approx((p * grid).sum(), abs=0.01)


def test_quantiles_are_those_of_many_draws(case, rng):
    law, parameters = case
    exact = law.quantiles(parameters, LEVELS)
    assert exact.shape == (2, len(LEVELS))
    for one, quantiles in zip(parameters, exact, strict=True):
        draws = law.sample(np.broadcast_to(one, (400_000, law.count)), rng)
        for level, value in zip(LEVELS, quantiles, strict=True):
            spread = 5 * math.sqrt(level * (1 - level) / len(draws))
            assert (draws <= value).mean() >= level - spread
            assert (draws < value).mean() <= level + spread


def test_the_same_seed_gives_the_same_draws(case):
    law, parameters = case
    draws = [law.sample(parameters, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    assert (law.sample(parameters, np.random.default_rng(4)) != draws[0]).any()


@pytest.mark.parametrize(
    ("freedom", "level", "expected"),
    # Tables of Student's t, and sin(θ) = ½ for two degrees of freedom, cubic for four.
    [
        (2.0, 0.975, 4.302653), (2.0, 0.75, math.sqrt(2 / 3)), (4.0, 0.975, 2.776445),
        (10.0, 0.95, 1.812461), (10.0, 0.05, -1.812461), (30.0, 0.995, 2.749996),
        (1e6, 0.975, 1.959966), (7.5, 0.5, 0.0),
    ],
)  # fmt: skip
def test_quantiles_of_students_t(freedom, level, expected):
    law = distribution("StudentT")
    c = -800.0 if freedom == 2 else math.log(math.expm1(freedom - 2)) if freedom < 700 else freedom
    scale = math.log(math.expm1(1 - 1e-3))
    got = law.quantiles(np.array([5.0, scale, c]), level)
    assert got[0] - 5 == pytest.approx(expected, abs=2e-6)


def test_offsets_scale_counts():
    law = distribution("NegativeBinomial")
    parameters, scale = np.array([0.3, -1.0]), 7.0
    moved = parameters + law.offsets(np.array(scale))
    assert law.mean(moved) == pytest.approx(scale * law.mean(parameters))
    assert np.exp(moved[1]) == pytest.approx(np.exp(-1) / math.sqrt(scale))


def test_counts_of_any_size_can_be_drawn(rng):
    law = distribution("NegativeBinomial")
    drawn = law.sample(np.array([[600.0, 0.0], [-600.0, 0.0], [2.0, -600.0]]), rng)
    assert np.isfinite(drawn).all()
    assert drawn[0] > 1e200
    assert drawn[1] == 0
    with pytest.raises(ValueError, match=r"too many for a mean of 1e\+14 .* draws, from sample"):
        law.quantiles(np.array([14 * math.log(10), 0.0]), [0.5])


@pytest.mark.parametrize("name", ["student_t", "STUDENTT", "negative-binomial", "Gaussian"])
def test_names(name):
    assert distribution(name).count in (2, 3)


@pytest.mark.parametrize("name", ["poisson", None, 3])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="distribution expects one of 'Normal', 'StudentT'"):
        distribution(name)
