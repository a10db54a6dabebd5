"""The README's Python lines run, and its first two bash blocks are the two commands."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


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
    folder = Path(__file__).parent.parent
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert links
    for link in links:
        assert (folder / link).exists(), link
