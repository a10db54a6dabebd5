"""The command line: ``fastlstm forecast data.csv --horizon 24``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from fastlstm.kernels.cache import cache_folder, tally
from fastlstm.warmup import warm_up


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the process's exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"fastlstm: {error}", file=sys.stderr)
        return 1


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
    one.add_argument("-o", "--output", help="where to write the forecasts (.csv or .parquet)")
    one.add_argument("--plot", help="where to draw them (.png, .svg, .pdf)")
    one.add_argument("--report", help="where to write a page about them (.html)")
    one.set_defaults(run=forecast)
    one = commands.add_parser("backtest", help="score models on the end of the series")
    _add_common(one)
    one.add_argument("--windows", type=int, default=1, help="how many times to forecast the end")
    one.add_argument("--step", type=int, help="steps between these times; the horizon by default")
    one.set_defaults(run=backtest)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="table with a row for each stamp (.csv, .csv.gz, .parquet)")
    parser.add_argument("--id", dest="id_col", help="column of the series' ids")
    parser.add_argument("--time", dest="time_col", help="column of the stamps")
    parser.add_argument("--target", dest="target_col", help="column to forecast")
    parser.add_argument("--horizon", type=int, required=True, help="steps to forecast")
    parser.add_argument("--freq", help="of the stamps, as pandas writes it: h, D, MS, 15min")
    parser.add_argument("--model", default="auto", help="see `fastlstm models`; auto by default")
    parser.add_argument("--input-size", type=int, help="steps of the past that a forecast sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def forecast(options: argparse.Namespace) -> int:
    """Forecast the series in a file."""
    from fastlstm.forecasting.files import write_table

    say = _sayer(options)
    frame, columns = _read(options, say)
    model = _model(options)
    model.set_params(level=options.level or None)
    began = time.perf_counter()
    model.fit(frame, **columns)
    say(f"fitted in {time.perf_counter() - began:.1f} s")
    made = model.predict()
    if options.output:
        write_table(made, options.output)
        say(f"forecasts are in {options.output}")
    if options.plot:
        model.plot_forecast().savefig(options.plot, dpi=120)
        say(f"a picture is in {options.plot}")
    if options.report:
        model.report(options.report)
        say(f"a report is in {options.report}")
    if not options.output:
        print(made)
    return 0


def backtest(options: argparse.Namespace) -> int:
    """Score models on the end of the series in a file."""
    say = _sayer(options)
    frame, columns = _read(options, say)
    model = _model(options)
    model.fit(frame, **columns)
    rows = model.scores(n_windows=options.windows, step_size=options.step)
    names = list(rows[0])
    print("  ".join(f"{name:>12}" for name in names))
    for row in rows:
        cells = [f"{v:12.4g}" if isinstance(v, float) else f"{v!s:>12}" for v in row.values()]
        print("  ".join(cells))
    return 0


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
    return kinds[options.model.lower()](
        options.horizon, _frequency(options.freq), options.input_size,
        seed=options.seed, verbose=0 if options.quiet else 1,
    )  # fmt: skip


def _frequency(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdigit() else text


def _read(options: argparse.Namespace, say: Callable[[str], None]) -> tuple[Any, dict[str, str]]:
    from fastlstm.forecasting.files import guess_columns, read_table

    frame = read_table(options.file, verbose=0 if options.quiet else 1)
    columns, remarks = guess_columns(frame, options.id_col, options.time_col, options.target_col)
    for remark in remarks:
        say(remark)
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
