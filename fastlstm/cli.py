"""The command line: ``fastlstm forecast data.csv --horizon 24``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastlstm.figures import pyplot
from fastlstm.kernels.cache import cache_folder, tally
from fastlstm.validation import whole_number
from fastlstm.warmup import warm_up


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the process's exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        code = command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nfastlstm: stopped, nothing more was written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read has enough, such as `head`: what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"fastlstm: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastlstm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("warmup", help="compile the usual kernels into the cache")
    one.set_defaults(run=warmup)
    one = commands.add_parser("models", help="list the forecasting models")
    one.set_defaults(run=models)
    one = commands.add_parser("forecast", help="forecast the series in a table")
    _add_common(one)
    one.add_argument("--level", type=float, nargs="*", default=[], help="intervals, such as 80 95")
    one.add_argument("--future", help="table with the columns --futr for the steps to come")
    one.add_argument("-o", "--output", help="where to write the forecasts (.csv, .parquet)")
    one.add_argument("--plot", help="where to draw them (.png, .svg, .pdf)")
    one.add_argument("--report", help="where to write a page about them (.html)")
    one.set_defaults(run=forecast)
    one = commands.add_parser("backtest", help="score models on the end of the series")
    _add_common(one)
    one.add_argument("--windows", type=int, default=1, help="how many times to forecast the end")
    one.add_argument("--step", type=int, help="steps between these times; the horizon by default")
    one.add_argument("--level", type=float, nargs="*", default=[80, 95], help="intervals to check")
    one.add_argument("-o", "--output", help="where to write the scores (.csv, .parquet)")
    one.set_defaults(run=backtest)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="table with a row for each stamp (.csv, .csv.gz, .parquet)")
    parser.add_argument("--id", dest="id_col", help="column of the series' ids")
    parser.add_argument("--time", dest="time_col", help="column of the stamps")
    parser.add_argument("--target", dest="target_col", help="column to forecast")
    parser.add_argument("--horizon", type=int, required=True, help="steps to forecast")
    parser.add_argument("--futr", nargs="+", default=[], help="columns known for steps to come too")
    parser.add_argument("--hist", nargs="+", default=[], help="columns known until now only")
    parser.add_argument("--static", help="table with a row for each id, whose numbers are used")
    parser.add_argument("--dates", choices=["dmy", "mdy"], help="how 01/02/2024 is meant")
    parser.add_argument("--freq", help="of the stamps, as pandas writes it: h, D, MS, 15min")
    parser.add_argument("--model", default="auto", help="see `fastlstm models`; auto by default")
    parser.add_argument("--input-size", type=int, help="steps of the past that a forecast sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def forecast(options: argparse.Namespace) -> int:
    """Forecast the series in a file."""
    from fastlstm.forecasting.files import read_table, with_stamps, write_table

    say = _sayer(options)
    # What would fail at the end fails before anything is learned.
    _check_output(options.output, ".csv", ".parquet", ".pq")
    _check_output(options.plot, ".png", ".svg", ".pdf")
    _check_output(options.report, ".html", ".htm")
    if options.plot or options.report:
        pyplot()
    if bool(options.futr) != bool(options.future):
        raise ValueError(
            "--futr names columns that are known for the steps to come, and --future the table "
            "that has them: give both, or neither"
        )
    model = _model(options)
    frame, columns = _read(options, say)
    ahead = None
    if options.future:
        ahead = read_table(options.future, verbose=int(not options.quiet))
        ahead, _ = with_stamps(ahead, columns["time_col"], options.dates)
        _check_future(frame, ahead, columns, options)
    began = time.perf_counter()
    model.fit(frame, **columns)
    say(f"fitted in {time.perf_counter() - began:.1f} s")
    made = model.predict(futr_df=ahead)
    if options.output:
        write_table(made, options.output)
        say(f"forecasts are in {options.output}")
    if options.plot:
        model.plot_forecast(futr_df=ahead).savefig(options.plot, dpi=120)
        say(f"a picture is in {options.plot}")
    if options.report:
        model.report(options.report, futr_df=ahead)
        say(f"a report is in {options.report}")
    if not (options.output or options.plot or options.report):
        write_table(made, None)
    return 0


def backtest(options: argparse.Namespace) -> int:
    """Score models on the end of the series in a file."""
    from fastlstm.forecasting.files import write_rows

    say = _sayer(options)
    _check_output(options.output, ".csv", ".parquet", ".pq")
    model = _model(options)
    whole_number(options.windows, "--windows")
    if options.step is not None:
        whole_number(options.step, "--step")
    frame, columns = _read(options, say)
    # Scores are told of these levels, whatever the model learns.
    model.set_params(level=None)
    model.fit(frame, **columns)
    rows = model.scores(n_windows=options.windows, step_size=options.step, level=options.level)
    if options.output:
        write_rows(frame, rows, options.output)
        say(f"scores are in {options.output}")
    cells = [
        list(rows[0]),
        *([f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows),
    ]
    wide = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    for name, *others in cells:
        rest = (f"{cell:>{width}}" for cell, width in zip(others, wide[1:], strict=True))
        print("  ".join([f"{name:<{wide[0]}}", *rest]))
    return 0


def _check_future(
    frame: Any, ahead: Any, columns: dict[str, Any], options: argparse.Namespace
) -> None:
    """An error for rows that lack, before anything is learned."""
    from fastlstm.forecasting.frame import Columns, named, read_future, read_panel

    only = {name: columns[name] for name in ("id_col", "time_col", "target_col", "futr_exog")}
    names = named(only, Columns())
    panel = read_panel(frame, names, freq=_frequency(options.freq))
    read_future(ahead, panel, options.horizon, names)


def _check_output(path: str | None, *endings: str) -> None:
    """An error for a file that could not be written."""
    if path is None:
        return
    target = Path(path)
    if target.suffix.lower() not in endings:
        raise ValueError(
            f"expected a file to write that ends in {', '.join(endings)}, got {path!r}"
        )
    if target.is_dir():
        raise IsADirectoryError(f"expected a file to write, got the folder {path!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(target.parent)!r} to write {target.name} to; make it first"
        )
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise PermissionError(f"{path!r} may not be written")


def models(options: argparse.Namespace) -> int:
    """List the models."""
    for name, kind in _kinds().items():
        first = (kind.__doc__ or "").strip().partition("\n")[0]
        print(f"{name:<14} {first}")
    return 0


def _kinds() -> dict[str, Any]:
    from fastlstm import forecasting

    found = {"auto": forecasting.Forecaster}
    found.update({name: getattr(forecasting, name) for name in forecasting.MODELS})
    return found


def _model(options: argparse.Namespace) -> Any:
    kinds = {name.lower(): kind for name, kind in _kinds().items()}
    if options.model.lower() not in kinds:
        raise ValueError(f"--model expects one of {', '.join(_kinds())}, got {options.model!r}")
    made = kinds[options.model.lower()](
        options.horizon, _frequency(options.freq), options.input_size, options.level or None,
        seed=options.seed, verbose=0 if options.quiet else 1,
    )  # fmt: skip
    made._check()
    return made


def _frequency(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdigit() else text


def _read(options: argparse.Namespace, say: Callable[[str], None]) -> tuple[Any, dict[str, Any]]:
    """The table, and the arguments of ``fit`` that go with it."""
    from fastlstm.forecasting import files

    verbose = int(not options.quiet)
    frame = files.read_table(options.file, verbose=verbose)
    beside = [*options.futr, *options.hist]
    guessed, remarks = files.guess_columns(
        frame, options.id_col, options.time_col, options.target_col, beside
    )
    columns: dict[str, Any] = {**guessed}
    frame, more = files.with_stamps(frame, columns["time_col"], options.dates)
    for remark in [*remarks, *more]:
        say(remark)
    for name in (columns["target_col"], *beside):
        files.check_numbers(frame, name)
    columns.update(futr_exog=options.futr, hist_exog=options.hist)
    if options.static:
        fixed = files.read_table(options.static, verbose=verbose)
        columns["static_df"] = fixed
        columns["static_exog"] = files.numeric_columns(fixed, columns["id_col"])
    return frame, columns


def _sayer(options: argparse.Namespace) -> Callable[[str], None]:
    return lambda text: None if options.quiet else print(text, file=sys.stderr)


def warmup(options: argparse.Namespace | None = None) -> int:
    """Compile the usual kernels, and say where they are and how long it took."""
    folder = cache_folder()
    if folder is None:
        print(
            "No cache folder can be used: none can be written, or others may write to it too. "
            "Set NUMBA_CACHE_DIR to a folder of your own.",
            file=sys.stderr,
        )
        return 1
    print(f"Kernels are kept in {folder}")
    logging.getLogger("fastlstm").setLevel(logging.ERROR)  # that it compiles is no news here
    began = time.perf_counter()
    warm_up(lambda usual: print(f"  {usual.title} ...", flush=True))
    seconds = time.perf_counter() - began
    print(f"{tally['compiled']} kernels compiled, {tally['loaded']} loaded: {seconds:.1f} s")
    return 0
