"""Learning rate schedules: against Keras, PyTorch, and what their formulas say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastlstm.optimizers import schedules
from fastlstm.optimizers.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from fastlstm.registry import serialize
from tests.peers import import_keras, import_torch

STEPS = range(60)
CASES = [
    ("ExponentialDecay", (0.1, 10, 0.5), {}),
    ("ExponentialDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {}),
    ("InverseTimeDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("PolynomialDecay", (0.1, 25), {}),
    ("PolynomialDecay", (0.1, 25, 0.02), {"power": 0.5}),
    ("PolynomialDecay", (0.1, 13, 0.02), {"power": 2.0, "cycle": True}),
    ("PiecewiseConstantDecay", ([10, 25], [0.3, 0.1, 0.05]), {}),
    ("PiecewiseConstantDecay", ([20.0], [0.3, 0.1]), {}),
    ("CosineDecay", (0.1, 40), {}),
    ("CosineDecay", (0.1, 40), {"alpha": 0.2}),
    ("CosineDecay", (0.01, 30), {"warmup_target": 0.1, "warmup_steps": 10, "alpha": 0.1}),
    ("CosineDecay", (0.01, 30), {"warmup_target": 0.1, "warmup_steps": 0}),
    ("CosineDecayRestarts", (0.1, 9.5), {}),
    ("CosineDecayRestarts", (0.1, 9.5), {"t_mul": 1.0, "m_mul": 0.5}),
    ("CosineDecayRestarts", (0.1, 5.3), {"t_mul": 1.5, "m_mul": 0.8, "alpha": 0.1}),
]
each_case = pytest.mark.parametrize(("name", "args", "options"), CASES, ids=str)


@each_case
def test_keras(name, args, options):
    keras = import_keras()
    ours = getattr(schedules, name)(*args, **options)
    theirs = getattr(keras.optimizers.schedules, name)(*args, **options)
    expected = [float(theirs(step)) for step in STEPS]
    np.testing.assert_allclose([ours(step) for step in STEPS], expected, rtol=2e-5, atol=2e-8)
    assert all(isinstance(ours(step), float) for step in STEPS)
    assert ours.get_config() == theirs.get_config()


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((0.1, 50), {}),
        ((0.1, 50), {"pct_start": 0.5, "div_factor": 10.0, "final_div_factor": 100.0}),
        ((0.1, 50), {"pct_start": 0.0}),
        ((0.1, 2), {}),
        ((0.1, 1), {}),
    ],
)
def test_pytorch(args, options):
    torch = import_torch()
    highest, steps = args
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, total_steps=steps, cycle_momentum=False, **options
    )
    ours = OneCycle(*args, **options)
    for step in range(steps):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if step < steps - 1:
            theirs.step()
    assert ours(steps) == ours(10 * steps) == ours(steps - 1)


def test_one_cycle_where_pytorch_divides_by_zero():
    schedule = OneCycle(1.0, 11, pct_start=1.0, div_factor=10.0)
    assert [schedule(step) for step in (0, 10, 11)] == pytest.approx([0.1, 1.0, 1e-5])
    assert OneCycle(1.0, 1, pct_start=1.0)(0) == pytest.approx(1.0 / 25 / 1e4)
    assert OneCycle(1.0, 50, pct_start=0.02)(0) == 1.0


@pytest.mark.parametrize("t_mul", [1.0, 1.5, 2.0, 3.0, 7.0])
def test_restarts_come_on_time(t_mul):
    """At the very step, whatever the logarithm's rounding."""
    schedule = CosineDecayRestarts(1.0, 1000, t_mul=t_mul, m_mul=0.5)
    start, length = 0.0, 1000.0
    for restart in range(9):
        assert schedule(start) == pytest.approx(0.5**restart, rel=1e-9)
        assert schedule(start + length - 1e-3) < 1e-9
        start, length = start + length, length * t_mul


def test_both_ends():
    assert CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4)(2) == 0.5
    assert CosineDecay(0.5, 10, alpha=0.5)(1000) == 0.25
    assert PolynomialDecay(0.5, 10, 0.25)(1000) == 0.25
    piecewise = PiecewiseConstantDecay([5, 9], [3, 2, 1])
    assert [piecewise(step) for step in (0, 5, 6, 9, 10, 99)] == [3, 3, 2, 2, 1, 1]
    assert PiecewiseConstantDecay([], [0.5])(7) == 0.5


@each_case
def test_configuration_makes_the_same(name, args, options):
    schedule = getattr(schedules, name)(*args, **options, name="mine")
    stored = json.loads(json.dumps(serialize(schedule)))
    again = schedules.get(stored)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    assert repr(again) == repr(schedule)
    assert "mine" in repr(again)
    assert [again(step) for step in STEPS] == [schedule(step) for step in STEPS]
    assert schedules.get(schedule) is schedule
    assert type(schedule).from_config(schedule.get_config()).name == "mine"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CosineDecay(0.1, 0), "decay_steps expects a number greater than 0, got 0"),
        (lambda: CosineDecay(-0.1, 5), "initial_learning_rate expects .* at least 0, got -0.1"),
        (lambda: CosineDecay(0.1, 5, warmup_target="x"), "warmup_target expects"),
        (lambda: CosineDecay(0.1, 5, warmup_steps=-1), "warmup_steps expects a whole number"),
        (lambda: CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul .* at least 1, got 0.5"),
        (lambda: PolynomialDecay(0.1, 5, float("inf")), "end_learning_rate expects .* got inf"),
        (lambda: PiecewiseConstantDecay([5], [1]), "got 1 boundaries and 1 values"),
        (lambda: PiecewiseConstantDecay([5, 5], [1, 1, 1]), "larger than the one before"),
        (lambda: OneCycle(0.1, 0), "total_steps expects a whole number of at least 1, got 0"),
        (lambda: OneCycle(0.1, 9, pct_start=2.0), "pct_start .* at most 1, got 2"),
        (lambda: OneCycle(0.1, 9, div_factor=0), "div_factor expects a number greater than 0"),
        (lambda: schedules.get("cosine"), "unknown learning rate schedule 'cosine'"),
        (lambda: schedules.get({"class_name": "OneCycle"}), "configuration .* does not fit"),
        (lambda: schedules.get({"class_name": "os.system"}), "unknown learning rate schedule"),
    ],
)
def test_arguments_are_checked(make, text):
    with pytest.raises(ValueError, match=text):
        make()
