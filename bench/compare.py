"""fastlstm beside its peers: the same work, the same weights and data, in turn.

    python bench/compare.py --rows forecast,one-short --seconds 3

Each framework has a process of its own. Before a row is timed, every framework's results are
compared with fastlstm's. Then they work one after the other, round by round, so that whatever
the machine does meanwhile meets all of them; what is shown is the median over all rounds.
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

from bench.quiet import busy_share
from bench.report import Report, Result
from bench.shapes import ROWS, Row
from bench.worker import PEERS, NotInstalledError, Worker, WorkerError

MODES = ("forward", "train", "step")
# What each peer does not offer at all.
ABSENT_MODES = {"onnxruntime": ("train",)}
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
    rows = [ROWS[name] for name in _chosen(arguments.rows, tuple(ROWS), "row")]
    modes = _chosen(arguments.modes, MODES, "mode")
    peers = _chosen(arguments.peers, PEERS, "peer")
    report = Report(arguments.threads, peers, {}, {}, _host())
    workers = _start(["fastlstm", *peers], report)
    try:
        for row in rows:
            for mode in row.modes:
                if mode in modes:
                    result = _compare(row, mode, workers, arguments.seconds, report)
                    print(report.sentence(result), file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    print(report.markdown() if arguments.markdown else report.text())
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report.json(), indent=1) + "\n")
    return 1 if report.problems() else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)}")
    parser.add_argument("--modes", help=f"some of {','.join(MODES)}")
    parser.add_argument("--peers", help=f"some of {','.join(PEERS)}")
    parser.add_argument("--seconds", type=float, default=4, help="for each row and mode")
    parser.add_argument("--threads", type=int, default=2, help="of every framework")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
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
    if started["fastlstm"] is None:
        raise SystemExit(f"fastlstm cannot run: {report.missing['fastlstm']}")
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


def _compare(
    row: Row, mode: str, workers: dict[str, Worker], seconds: float, report: Report
) -> Result:
    """Load, check and time one row in one mode."""
    result = Result(row.name, mode, row.flops(mode))
    report.results.append(result)
    outputs = {}
    for name, worker in workers.items():
        if mode in ABSENT_MODES.get(name, ()):
            continue
        try:
            result.first[name], outputs[name] = worker.load(row, mode)
        except WorkerError as error:
            result.problems[name] = str(error)
    peak = workers["fastlstm"].peak()
    report.peak_gflops = max(peak, np.nan_to_num(report.peak_gflops))
    for name in [name for name in outputs if name != "fastlstm"]:
        difference = disagreement(mode, outputs.get("fastlstm"), outputs[name])
        if difference:
            result.problems[name] = difference
    ready = {name: workers[name] for name in outputs if name not in result.problems}
    report.busy.append(busy_share())
    samples = _time_in_turn(ready, seconds, result)
    result.seconds = {name: median(times) for name, times in samples.items()}
    return result


def disagreement(mode: str, ours: list[np.ndarray] | None, theirs: list[np.ndarray]) -> str | None:
    """How two frameworks' results differ, or None where they agree."""
    if ours is None:
        return None
    for call, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        if left.shape != right.shape:
            return f"shapes differ: fastlstm {left.shape}, peer {right.shape}"
        trained = mode == "train" and call > 0
        tolerance = TOLERANCE_AFTER_STEP if trained else TOLERANCE
        scale = abs(float(ours[0])) if mode == "train" else 1.0
        difference = float(np.abs(left - right).max())
        if not difference <= tolerance * scale:
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
