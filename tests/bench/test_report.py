"""Reports survive JSON, and what they say follows from their figures."""

import json
import math

import numpy as np
import pytest

from bench import render
from bench.compare import disagreement
from bench.memory import Memory
from bench.report import BEST, Report, Result
from bench.roofline import Machine

MB = 10**6


@pytest.fixture
def report():
    forward = Result(
        "forecast", "forward", 2e6, {"fastlstm": 1e-3, "torch": 3e-3, "onnxruntime": 2e-3}
    )
    train = Result(
        "forecast",
        "train",
        6e6,
        {"fastlstm": 2e-3, "torch": 8e-3},
        {"fastlstm": 0.5, "torch": 0.25},
        {"jax": "results of call 1 differ by 2"},
        {"fastlstm": Memory(10 * MB, 110 * MB), "torch": Memory(20 * MB, 220 * MB)},
        bytes=4e6,
        rounds=3,
    )
    return Report(
        2,
        ["torch", "onnxruntime", "jax", "keras"],
        {"fastlstm": "fastlstm 1", "torch": "torch 2"},
        {"keras": "No module named 'keras'"},
        "a processor, 2 CPUs, Linux",
        "2026-01-31",
        Machine(10.0, 4.0, 1 << 20),
        [forward, train],
        [0.0, math.nan],
    )


def cells(markdown, start):
    line = next(line for line in markdown.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_json_and_back_gives_the_same_tables(report):
    back = Report.from_json(json.loads(json.dumps(report.json())))
    assert render.markdown(back) == render.markdown(report)
    assert render.text(back) == render.text(report)
    assert back.problems() == report.problems()


def test_times_shares_and_ratios(report):
    # 2e6 operations in 1 ms are 2 of 10 GFLOP/s; 4e6 bytes at 4 GB/s take 1 ms of 2.
    markdown = render.markdown(report)
    assert cells(markdown, "| forecast | forward") == [
        "forecast", "forward", "1.00", "2.00", "20%", "20%",
        "3.00 (3.00x)", "2.00 (2.00x)", "-", "missing", "2.00x",
    ]  # fmt: skip
    assert cells(markdown, "| forecast | train")[4:] == [
        "30%", "50%", "8.00 (4.00x)", "-", "failed", "missing", "4.00x",
    ]  # fmt: skip


def test_memory_has_a_table_of_its_own(report):
    assert cells(render.markdown(report), "| row | fastlstm |") == ["row", "fastlstm", "PyTorch"]
    assert cells(render.markdown(report), "| forecast | 10.0") == [
        "forecast",
        "10.0 (110)",
        "20.0 (220)",
    ]


def test_means_of_each_peer_and_of_the_best(report):
    report.results.append(Result("lm", "forward", 1.0, {"fastlstm": 1.0, "torch": 12.0}))
    means = report.means()
    assert means["forward"]["torch"] == pytest.approx(6)
    assert means["forward"][BEST] == pytest.approx(math.sqrt(2 * 12))
    assert "PyTorch 6.00x" in render.text(report)


def test_a_row_that_failed_says_so(report):
    report.results = [Result("lm", "forward", 1.0, {"torch": 1.0}, problems={"fastlstm": "why"})]
    line = cells(render.markdown(report), "| lm | forward")
    assert line == ["lm", "forward", "failed", "-", "-", "-", "1000", "-", "-", "missing", "-"]
    assert report.problems() == ["lm forward, fastlstm: why"]


def test_only_what_is_between_the_markers_is_replaced(report):
    page = f"before\n{render.BEGIN}\nold\n{render.END}\nafter\n"
    written = render.between_markers(page, report)
    assert written.startswith(f"before\n{render.BEGIN}\n\n| row |")
    assert written.endswith(f"\n\n{render.END}\nafter\n")
    assert "old" not in written
    assert render.between_markers(written, report) == written


@pytest.mark.parametrize("page", ["", render.BEGIN, render.END, render.END + render.BEGIN])
def test_a_page_without_markers_is_refused(page, report):
    with pytest.raises(ValueError, match="no place for tables"):
        render.between_markers(page, report)


def test_disagreement_compares_each_models_loss_with_its_first():
    first = np.array([1.0, 100.0])
    assert disagreement("train", [first, first], [first, first]) is None
    assert disagreement("train", [first], [np.array([1.0, 100.001])]) is None
    other = np.array([1.001, 100.0])
    assert disagreement("train", [first], [other]) == "results of call 1 differ by 0.001"
    # After a step of Adam more is allowed.
    assert disagreement("train", [first, first], [first, np.array([1.0005, 100.0])]) is None


def test_disagreement_names_shapes_and_nan():
    assert "shapes differ" in disagreement("forward", [np.zeros((2, 1))], [np.zeros(2)])
    assert disagreement("forward", [np.zeros(2)], [np.array([0, np.nan])]) is not None
    assert disagreement("forward", None, [np.zeros(2)]) is None
