"""The command line, as it is typed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastlstm.cli import main

pandas = pytest.importorskip("pandas")


@pytest.fixture
def table(tmp_path, rng):
    t = np.arange(120)
    wave = 20 + 5 * np.sin(2 * np.pi * t / 24)
    stamps = pandas.date_range("2024-01-01", periods=120, freq="h")
    parts = [
        pandas.DataFrame({"zone": name, "date": stamps, "load": wave + rng.standard_normal(120)})
        for name in ("north", "south")
    ]
    path = tmp_path / "load.csv"
    pandas.concat(parts).to_csv(path, index=False)
    return path


def test_a_forecast(table, tmp_path, capsys):
    out, plot, page = (tmp_path / name for name in ("out.csv", "out.png", "out.html"))
    assert main(
        ["forecast", str(table), "--horizon", "12", "--model", "ridge", "--level", "80", "95",
         "-o", str(out), "--plot", str(plot), "--report", str(page)]
    ) == 0  # fmt: skip
    said = capsys.readouterr()
    assert said.out == ""
    for guess in ("stamps: column 'date'", "target: column 'load'", "ids: column 'zone'"):
        assert guess in said.err
    made = pandas.read_csv(out, parse_dates=["date"])
    assert list(made) == [
        "zone", "date", "Ridge", "Ridge-lo-95", "Ridge-lo-80", "Ridge-hi-80", "Ridge-hi-95"
    ]  # fmt: skip
    assert len(made) == 24
    assert made["date"].min() == pandas.Timestamp("2024-01-06 00:00")
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "<html" in page.read_text()


def test_quiet_says_nothing(table, tmp_path, capsys):
    out = tmp_path / "out.parquet"
    command = ["forecast", str(table), "--horizon", "3", "--model", "SeasonalNaive", "--quiet"]
    assert main([*command, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == said.err == ""
    assert len(pandas.read_parquet(out)) == 6


def test_a_backtest(table, capsys):
    assert main(["backtest", str(table), "--horizon", "12", "--model", "ridge"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["model", "mae", "rmse", "smape", "mase"]
    assert [line.split()[0] for line in lines[1:]] == ["Ridge", "SeasonalNaive", "Drift", "Naive"]


def test_the_models_are_listed(capsys):
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^auto +Forecast with whichever", listed)
    assert "MQRNN" in listed
    assert "DeepAR" in listed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.csv", "--horizon", "3"], ["nothing.csv"]),
        (["{table}", "--horizon", "3", "--model", "best"], ["--model", "MQRNN", "'best'"]),
        (["{table}", "--horizon", "3", "--id", "id"], ["'id'", "zone, date, load"]),
        (["{table}", "--horizon", "0"], ["h expects", "0"]),
        (["{table}", "--horizon", "3", "--level", "0.8"], ["level", "80"]),
        (["{table}", "--horizon", "3", "--freq", "fortnight"], ["fortnight"]),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, words, table, capsys):
    arguments = [one.replace("{table}", str(table)) for one in arguments]
    if "--model" not in arguments:
        arguments += ["--model", "naive"]
    assert main(["forecast", *arguments]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("fastlstm: ")
    for word in words:
        assert word in error
