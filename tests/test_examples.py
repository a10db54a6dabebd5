"""The examples of forecasting: their parts, and those on a table of one's own from end to end."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

pandas = pytest.importorskip("pandas")

FOLDER = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(monkeypatch):
    """Imports an example by its name, and runs its ``main`` with these arguments."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name, *arguments):
        module = importlib.import_module(name)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return module

    yield load
    for name in ("tables", "demand", "shop", "orders", "sensor", "stream"):
        sys.modules.pop(name, None)


@pytest.fixture
def days(tmp_path, rng):
    """Eight weeks, half of whose movement is a column that is known beforehand."""
    stamps = pandas.date_range("2024-01-01", periods=80)
    wind = rng.normal(0, 1, 80)
    y = 50 + 10 * np.sin(2 * np.pi * np.arange(80) / 7) + 10 * wind
    path = tmp_path / "days.csv"
    pandas.DataFrame({"ds": stamps, "y": y, "wind": wind}).to_csv(path, index=False)
    return path


def test_demand_on_a_table_of_ones_own(example, days, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "demand.png"
    demand = example("demand", "--data", days, "--steps", 2, "--plot", plot)
    monkeypatch.setattr(demand, "WEEKS", 2)
    demand.main()
    said = capsys.readouterr().out
    for name in ("the same day a week before", "MQRNN, all that is known", "known: wind"):
        assert name in said
    assert "% off the error" in said
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_table_of_scores_is_aligned(example, capsys):
    example("tables").show("title", {"a": {"mae": 0.5, "x": 12345.6}, "long": {"mae": 2, "x": 1}})
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["", "title"]
    assert len({len(line) for line in lines[2:]}) == 1
    assert lines[3].split() == ["a", "0.5", "12,346"]


def test_data_that_are_not_installed_are_named(example):
    with pytest.raises(SystemExit, match="pip install --no-deps nowhere"):
        example("tables").packaged("nowhere", "x.csv")


def test_the_best_order_is_the_quantile_of_costs(example):
    orders = example("orders")
    sold = np.arange(1.0, 101.0)
    for cost, best in ((0.1, 90), (0.25, 75), (0.6, 40)):
        profits = [orders.profit(sold, np.full(100, float(n)), cost) for n in range(101)]
        assert profits[best] == pytest.approx(max(profits))
    made = pandas.DataFrame({"m": [3.0], "m-lo-80": [1.0], "m-hi-80": [8.0]})
    assert orders.orders(made, "m", 0.9)["m, the quantile"].tolist() == [8.0]
    assert orders.orders(made, "m", 0.5)["m, the quantile"].tolist() == [3.0]
    assert orders.orders(made, "m", 0.1)["m, its mean"].tolist() == [4.0]


def test_faults_are_where_they_are_said_to_be(example, rng):
    sensor = example("sensor")
    count = sensor.FAULTS + sensor.CLEAN
    y = 100 + 10 * np.sin(2 * np.pi * np.arange(count) / 24) + rng.normal(0, 1, count)
    wrong, number = sensor.spoil(y, np.random.default_rng(0))
    np.testing.assert_array_equal(wrong[number < 0], y[number < 0])
    assert (wrong != y)[number >= 0].mean() > 0.8  # the first of those that repeat is right
    assert (number[: sensor.CLEAN] == -1).all()
    number = number[-sensor.FAULTS :]
    all_found = sensor.judge(np.abs(wrong - y), number)
    assert all_found["found"] == 100
    assert all_found["false a week"] == 0
    assert sensor.judge(np.zeros(count), number)["found"] == 0
