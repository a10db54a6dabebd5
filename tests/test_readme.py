"""The README's Python lines run, its first two bash blocks are the two commands, and its tables
are those of the stored results.
"""

import json
import re
from pathlib import Path

import pytest

from bench import render
from bench.report import Report
from bench.shapes import ROWS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "bench" / "results.json"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_there_are_python_blocks():
    assert blocks("python")


def test_first_bash_blocks_are_the_two_commands():
    forecast, tests = blocks("bash")[:2]
    assert "pip install" in forecast
    assert "python examples/forecast.py" in forecast
    assert "pip install" in tests
    assert "pytest" in tests


def test_pictures_and_linked_files_exist():
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_tables_are_those_of_the_stored_results():
    report = Report.from_json(json.loads(RESULTS.read_text()))
    assert render.between_markers(README, report) == README


def test_stored_results_have_every_row():
    rows = json.loads(RESULTS.read_text())["rows"]
    expected = [(row.name, mode) for row in ROWS.values() for mode in row.modes]
    assert [(row["row"], row["mode"]) for row in rows] == expected


def test_there_is_a_place_for_tables():
    assert README.count(render.BEGIN) == README.count(render.END) == 1
    assert README.index(render.BEGIN) < README.index(render.END)
