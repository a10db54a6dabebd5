"""fastlstm beside its peers: the same work, the same weights and data, in turn.

    python bench/compare.py --rows forecast,one-short --seconds 3

Each framework has a process of its own. Before a row is timed, every framework's results are
compared with fastlstm's. Then they work one after the other, round by round, so that whatever
the machine does meanwhile meets all of them; what is shown is the median over all rounds.

    python bench/compare.py --readme

writes the README's tables, and ``bench/results.json``, from which they can be written again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

if __package__ in (None, ""):  # run as a file: the folder above is where imports start
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import render
from bench.quiet import busy_share
from bench.report import OURS, Report, Result
from bench.roofline import Machine, compulsory_bytes
from bench.shapes import ROWS, Row
from bench.worker import PEERS, NotInstalledError, Worker, WorkerError

MODES = ("forward", "train", "step")
ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "bench" / "results.json"
TOLERANCE = 1e-4
# Adam's first steps follow the sign of a gradient, however small: rounding shows.
TOLERANCE_AFTER_STEP = 1e-3
ROUNDS = 10
FEWEST_ROUNDS = 3
# Idle threads of the framework that worked last spin: PyTorch's for 8 ms here, ONNX Runtime's 36.
PAUSE = 0.06


def main() -> int:
    """Run as the arguments say; 1 where something failed or disagreed."""
    arguments = _arguments()
    if arguments.from_json:
        report = Report.from_json(json.loads(Path(arguments.from_json).read_text()))
    else:
        report = _measured(arguments)
    print(render.markdown(report) if arguments.markdown else render.text(report))
    if arguments.json:
        _write_json(report, Path(arguments.json))
    if arguments.readme:
        write_readme(report)
    return 1 if report.problems() else 0


def write_readme(report: Report) -> None:
    """Store the results, and put what is read back from there between the README's markers."""
    _write_json(report, RESULTS)
    stored = Report.from_json(json.loads(RESULTS.read_text()))
    page = README.read_text(encoding="utf-8")
    README.write_text(render.between_markers(page, stored), encoding="utf-8")


def _write_json(report: Report, path: Path) -> None:
    path.write_text(json.dumps(report.json(), indent=1) + "\n")


def _measured(arguments: argparse.Namespace) -> Report:
    rows = [ROWS[name] for name in _chosen(arguments.rows, tuple(ROWS), "row")]
    modes = _chosen(arguments.modes, MODES, "mode")
    peers = _chosen(arguments.peers, PEERS, "peer")
    today = time.strftime("%Y-%m-%d")
    report = Report(arguments.threads, peers, {}, {}, _host(), today)
    workers = _start([OURS, *peers], report)
    try:
        for row in rows:
            for mode in row.modes:
                if mode in modes:
                    result = _compare(row, mode, workers, arguments.seconds, report)
                    if arguments.memory and mode == "train":
                        _measure_memory(row, list(result.seconds), arguments.threads, result)
                    print(render.sentence(result), file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)}")
    parser.add_argument("--modes", help=f"some of {','.join(MODES)}")
    parser.add_argument("--peers", help=f"some of {','.join(PEERS)}")
    parser.add_argument("--seconds", type=float, default=4, help="for each row and mode")
    parser.add_argument("--threads", type=int, default=2, help="of every framework")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument(
        "--memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure what training takes, in new processes",
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help=f"write the tables of {README.name}, and {RESULTS.name}",
    )
    parser.add_argument("--from-json", metavar="FILE", help="measure nothing: results of before")
    return parser.parse_args()


def _chosen(names: str | None, known: tuple[str, ...], kind: str) -> list[str]:
    if names is None:
        return list(known)
    chosen = [name for name in names.split(",") if name]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise SystemExit(f"no {kind} named {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def _start(names: list[str], report: Report) -> dict[str, Worker]:
    started = {name: _worker(name, report) for name in names}
    if started[OURS] is None:
        raise SystemExit(f"fastlstm cannot run: {report.missing[OURS]}")
    return {name: worker for name, worker in started.items() if worker is not None}


def _worker(name: str, report: Report) -> Worker | None:
    try:
        worker = Worker(name, report.threads)
    except NotInstalledError as error:
        report.missing[name] = str(error)
        print(f"missing: {name} ({error})", file=sys.stderr)
        return None
    report.versions[name] = worker.version
    return worker


def offered(name: str, row: Row, mode: str) -> bool:
    """Whether a framework has that at all."""
    if name == "onnxruntime":
        return mode != "train"
    if name == "keras":
        return row.models == 1
    return True


def _compare(
    row: Row, mode: str, workers: dict[str, Worker], seconds: float, report: Report
) -> Result:
    """Load, check and time one row in one mode."""
    result = Result(row.name, mode, row.flops(mode))
    report.results.append(result)
    outputs = {}
    for name, worker in workers.items():
        if not offered(name, row, mode):
            continue
        try:
            result.first[name], outputs[name] = worker.load(row, mode)
        except WorkerError as error:
            result.problems[name] = str(error)
    report.machine = _best(report.machine, workers[OURS].machine())
    result.bytes = compulsory_bytes(row, mode, report.machine.cache_bytes)
    for name in [name for name in outputs if name != OURS]:
        difference = disagreement(mode, outputs.get(OURS), outputs[name])
        if difference:
            result.problems[name] = difference
    ready = {name: workers[name] for name in outputs if name not in result.problems}
    report.busy.append(busy_share())
    samples = _time_in_turn(ready, seconds, result)
    result.seconds = {name: median(times) for name, times in samples.items()}
    return result


def _best(before: Machine, now: Machine) -> Machine:
    """Whatever slowed one of the measurements is no property of the machine."""
    peak, bandwidth = np.fmax(before[:2], now[:2])
    return Machine(float(peak), float(bandwidth), now.cache_bytes)


def _measure_memory(row: Row, names: list[str], threads: int, result: Result) -> None:
    """Peak memory of a few training steps, each framework in a new process.

    It was timed before, so that what it keeps on disk of its compiled code is there.
    """
    for name in names:
        try:
            worker = Worker(name, threads)
        except WorkerError as error:
            print(f"no memory of {name}: {error}", file=sys.stderr)
            continue
        try:
            result.memory[name] = worker.memory(row)
        except WorkerError as error:
            print(f"no memory of {name}: {error}", file=sys.stderr)
        finally:
            worker.close()


def disagreement(mode: str, ours: list[np.ndarray] | None, theirs: list[np.ndarray]) -> str | None:
    """How two frameworks' results differ, or None where they agree."""
    if ours is None:
        return None
    for call, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        if left.shape != right.shape:
            return f"shapes differ: fastlstm {left.shape}, peer {right.shape}"
        trained = mode == "train" and call > 0
        tolerance = TOLERANCE_AFTER_STEP if trained else TOLERANCE
        # Of many models, each loss is compared with that model's first.
        scale = np.abs(ours[0]) if mode == "train" else 1.0
        difference = float(np.max(np.abs(left - right) / scale))
        if not difference <= tolerance:
            return f"results of call {call + 1} differ by {difference:.2g}"
    return None


def _time_in_turn(
    workers: dict[str, Worker], seconds: float, result: Result
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in workers}
    order = list(workers)
    turn = seconds / max(1, len(order)) / ROUNDS
    end = time.monotonic() + seconds
    while order and (result.rounds < FEWEST_ROUNDS or time.monotonic() < end):
        for name in order:
            time.sleep(PAUSE)
            samples[name] += workers[name].sample(turn)
        order.append(order.pop(0))  # nobody always follows the same neighbour
        result.rounds += 1
    return samples


def _host() -> str:
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:  # only Linux has it
        pass
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()}"


if __name__ == "__main__":
    raise SystemExit(main())
