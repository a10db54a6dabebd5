"""The command line, as it is typed."""

from __future__ import annotations

import importlib
import os
import re
import sys

import numpy as np
import pytest

from fastlstm.cli import main
from fastlstm.forecasting import Naive, columns, files
from fastlstm.forecasting.dates import iso_stamps

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
    pytest.importorskip("matplotlib")
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
    text = page.read_text()
    for words in ("<html", "the frequency is h", "cover 95", "@media print", "Settings"):
        assert words in text
    assert 'src="http' not in text


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


def _days(count=60):
    t = np.arange(count)
    return pandas.date_range("2024-01-15", periods=count), 20 + 5 * np.sin(2 * np.pi * t / 7) + t


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
@pytest.mark.parametrize(
    ("separator", "decimal", "encoding", "dates"),
    [
        (";", ",", "utf-8-sig", "%d.%m.%Y"),
        (";", ",", "latin-1", "%d/%m/%Y"),
        (",", ".", "utf-8", "%m/%d/%Y"),
        ("\t", ".", "utf-16", "%Y/%m/%d"),
        ("|", ",", "utf-8", "%Y%m%d"),
    ],
)
def test_dialects(library, separator, decimal, encoding, dates):
    pytest.importorskip(library)
    days, y = _days()
    table = pandas.DataFrame({"tag": days.strftime(dates), "wert": y.round(2), "ort": "Köln"})
    text = table.to_csv(index=False, sep=separator, decimal=decimal)
    frame = files.read_text(importlib.import_module(library), text.encode(encoding))
    frame, remarks = files.with_stamps(frame, "tag")
    assert len(remarks) == 1
    columns = files.guess_columns(frame, None, "tag", None)[0]
    assert columns == {"id_col": "ort", "time_col": "tag", "target_col": "wert"}
    model = Naive(h=1, verbose=0).fit(frame, **columns)
    assert model.panel_.frequency.alias == "D"
    assert model.panel_.starts[0] == days[0]
    np.testing.assert_array_equal(model.panel_.y, y.round(2))
    assert model.panel_.ids[0] == "Köln"


@pytest.mark.parametrize(
    ("texts", "order", "made"),
    [
        (["2024-01-31", "2024-02-01"], None, ["2024-01-31", "2024-02-01"]),
        (["31.1.2024 8:00", "1.2.2024 9:30"], None, ["2024-01-31 08:00:00", "2024-02-01 09:30:00"]),
        (["01/02/2024"], "dmy", ["2024-02-01"]),
        (["01/02/2024"], "mdy", ["2024-01-02"]),
        (["2024-03", "2024-04"], None, ["2024-03-01", "2024-04-01"]),
        (["2024-01-01T00:30:00+01:00"], None, ["2023-12-31 23:30:00"]),
        (["2024-01-01 00:30-0530"], None, ["2024-01-01 06:00:00"]),
        (["2024-01-01T00:30Z"], None, ["2024-01-01 00:30:00"]),
    ],
)
def test_stamps_as_people_write_them(texts, order, made):
    assert iso_stamps(texts, order)[0] == made


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["01/02/2024", "03/02/2024"], ["'01/02/2024'", "order dmy or mdy"]),
        (["31/01/2024", "01/31/2024"], ["different ways"]),
        (["31/01/2024", "soon"], ["all written in one way", "'soon'"]),
        (["31/31/2024"], ["different ways"]),
    ],
)
def test_stamps_that_cannot_be_read(texts, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        iso_stamps(texts)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("forecast", "--horizon", "0"), "h expects a whole number of at least 1, got 0"),
        (("forecast", "--horizon", "2", "--level", "0.8"), "got 0.8; for 0.8 write 80"),
        (("forecast", "--horizon", "2", "--freq", "hourly"), "freq='hourly' means nothing here"),
        (("forecast", "--horizon", "2", "--seed", "-1"), "seed expects"),
        (("forecast", "--horizon", "2", "--model", "LSTN"), "--model expects one of auto"),
        (("backtest", "--horizon", "2", "--windows", "0"), "--windows expects a whole number"),
        (("backtest", "--horizon", "2", "--step", "0"), "--step expects a whole number"),
        (("backtest", "--horizon", "2", "--level", "0.8"), "for 0.8 write 80"),
    ],
)
def test_options_are_checked_before_a_file_is_read(arguments, words, capsys):
    command, *others = arguments
    assert main([command, "no such file.csv", *others]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
def test_texts_of_long_columns_are_those_of_all_rows(library, monkeypatch):
    texts = [f"{day:02}.02.2024" for day in (3, 1, 2)] * 8
    native = importlib.import_module(library)
    frame = {
        "polars": lambda: native.DataFrame({"ds": texts, "id": texts}),
        "pandas": lambda: native.DataFrame({"ds": texts, "id": texts}),
        "pyarrow": lambda: native.table({"ds": texts, "id": texts}),
    }[library]()
    slow = files.with_stamps(frame, "ds", "dmy")
    wanted = columns.as_frame(slow[0])["ds"].to_list()
    ids = columns.ids_of(columns.as_frame(frame), "id")
    assert columns.few_texts(columns.as_frame(frame)["ds"]) is None
    monkeypatch.setattr(columns, "_LONG", 10)
    known, places = columns.few_texts(columns.as_frame(frame)["ds"])
    assert known == texts[:3]
    assert [known[place] for place in places] == texts
    made, remarks = files.with_stamps(frame, "ds", "dmy")
    assert remarks == slow[1] == ["stamps: read as day, month, year"]
    assert columns.as_frame(made)["ds"].to_list() == wanted
    stamps = columns.stamps_of(columns.as_frame(made), "ds", None)
    assert stamps.astype("datetime64[D]").astype(str).tolist() == wanted
    assert columns.ids_of(columns.as_frame(frame), "id").tolist() == ids.tolist() == texts
    # Hardly any of these stands twice.
    assert columns.few_texts(columns.as_frame(frame[:4])["ds"]) is None


def test_texts_may_be_cut_anywhere(monkeypatch):
    monkeypatch.setattr(files, "_PART", 3)
    text = "id,\xe9\u20ac\U0001d11e\n\xe4,1\n"
    assert files._as_utf8(text.encode()) == text.encode()
    assert files._as_utf8("\xe9,1\n".encode("latin-1")) == "\xe9,1\n".encode()
    # Cut off within a sign, so that it is no UTF-8.
    assert files._as_utf8("abc\u20ac".encode()[:-1]) == "abc\xe2\x82".encode()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", ["a.csv is empty"]),
        ("a.csv", "ds,y\n", ["at least one row", "ds, y"]),
        ("a.csv", "ds,y\n2024-01-01,1\n2024-01-02,closed\n", ["'closed'", "1 of 2 rows"]),
        ("a.csv", "t,a,b\n1,2,3\n2,3,4\n", ["--target", "a, b"]),
        ("a.csv", "t,y,b,c\n1,2,x,z\n2,3,y,z\n", ["--id", "b, c"]),
        ("a.csv", "b,y\nx,2\n", ["--time", "b, y"]),
        ("a.csv", "ds,y\n01/02/2024,1\n02/02/2024,1\n", ["--dates dmy or mdy"]),
        ("a.csv", "2024-01-01,1\n2024-01-02,2\n", ["first line expects names", "2024-01-01, 1"]),
        ("a.xlsx", "x", [".csv.gz", "a.xlsx"]),
        ("a.parquet", "x", ["cannot be read as parquet"]),
        ("a.csv.gz", "x", ["cannot be read as csv"]),
    ],
)
def test_files_that_do_not_fit(name, content, words, tmp_path, capsys):
    path = tmp_path / name
    path.write_text(content)
    assert main(["forecast", str(path), "--horizon", "2", "--model", "naive"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("fastlstm: ")
    for word in words:
        assert word in error


def test_a_name_that_is_nearly_that_of_a_file(table, capsys):
    assert main(["backtest", str(table.with_name("loads.csv")), "--horizon", "2"]) == 1
    assert "did you mean" in capsys.readouterr().err
    assert main(["backtest", str(table.parent), "--horizon", "2"]) == 1
    assert "the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("-o", "nowhere/out.csv", ["no folder", "nowhere", "make it first"]),
        ("-o", "out.xls", [".parquet", "out.xls"]),
        ("-o", ".", ["folder"]),
        ("--plot", "out.csv", [".png"]),
        ("--report", "out.txt", [".html"]),
    ],
)
def test_an_output_that_cannot_be_is_found_out_first(
    option, name, words, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(Naive, "_fit", lambda *_: pytest.fail("learned before"))
    name = str(tmp_path) if name == "." else str(tmp_path / name)
    command = ["forecast", str(table), "--horizon", "2", "--model", "naive", option, name]
    assert main(command) == 1
    error = capsys.readouterr().err
    # A folder has no ending, which is told first.
    for word in words if name != str(tmp_path) else ["ends in .csv"]:
        assert word in error


def test_columns_beside_the_target(tmp_path, capsys):
    days, y = _days()
    frame = pandas.DataFrame({"ds": days, "y": y, "promo": np.arange(60) % 9 == 0, "wind": y**0.5})
    past, future, part = (tmp_path / name for name in ("past.csv", "future.csv", "part.csv"))
    frame.iloc[:-3].to_csv(past, index=False)
    frame.iloc[-3:][["ds", "promo"]].to_csv(future, index=False)
    frame.iloc[-2:][["ds", "promo"]].to_csv(part, index=False)
    command = ["forecast", str(past), "--horizon", "3", "--model", "ridge", "--hist", "wind"]
    command += ["--futr", "promo"]
    assert main([*command, "--future", str(future)]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    assert "not used: 'wind'" in said.err
    assert "the frequency is D" in said.err
    assert main([*command, "--future", str(part)]) == 1
    said = capsys.readouterr().err
    assert "1 of 3 rows are missing" in said
    assert "fitted" not in said
    assert main(command) == 1
    assert "--future" in capsys.readouterr().err


def test_a_backtest_is_aligned_and_written(table, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    command = ["backtest", str(table), "--horizon", "12", "--model", "ridge", "--level", "50"]
    assert main([*command, "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[-2:] == ["cover", "50"]
    assert list(pandas.read_csv(out)["model"]) == [line.split()[0] for line in lines[1:]]


def test_stopped_by_the_keyboard(table, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Naive, "_fit", stop)
    assert main(["forecast", str(table), "--horizon", "2", "--model", "naive"]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("fastlstm: stopped")


def test_a_reader_that_has_enough(table, capsys, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    command = ["forecast", str(table), "--horizon", "2", "--model", "naive", "--quiet"]
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(command) == 141
    assert capsys.readouterr().err == ""
