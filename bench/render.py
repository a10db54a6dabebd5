"""A report as tables: for a terminal, and as Markdown for the README."""

from __future__ import annotations

import math

from bench.quiet import QUIET
from bench.report import BEST, OURS, Report, Result

TITLES = {
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "jax": "JAX",
    "keras": "Keras",
}
# Where the README's tables stand; what is between them is written by compare.py.
BEGIN = "<!-- from bench/results.json, by: python bench/compare.py --readme -->"
END = "<!-- end of the tables -->"

Table = list[list[str]]


def text(report: Report) -> str:
    """Everything, for a terminal."""
    tables = [*_aligned(_times(report), 2), ""]
    if any(result.memory for result in report.results):
        tables += [*_aligned(_memory(report), 1), ""]
    explained = ["a peer's figure is its milliseconds, and how many times ours that is"]
    if firsts := _first_calls(report.results):
        explained.append("first call, median over rows, seconds: " + firsts)
    return "\n".join([*tables, *_means(report), *explained, *_circumstances(report)])


def markdown(report: Report) -> str:
    """Tables, means and the machine, for a README."""
    blocks = [_marked_up(_times(report), 2), [f"- {line}" for line in _means(report)]]
    if any(result.memory for result in report.results):
        blocks.append(["Peak memory of training, MB: added after the import (whole process)."])
        blocks.append(_marked_up(_memory(report), 1))
    blocks.append([line + "." for line in _circumstances(report)])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def sentence(result: Result) -> str:
    """One result, as soon as it is known."""
    figures = [f"{name} {_ms(seconds)} ms" for name, seconds in result.seconds.items()]
    figures += [f"{name} FAILED: {why}" for name, why in result.problems.items()]
    return f"{result.row}, {result.mode}: " + ", ".join(figures)


def between_markers(page: str, report: Report) -> str:
    """The page with the tables of this report where its markers stand.

    Raises
    ------
    ValueError
        If one of the markers is not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no place for tables, between {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n\n{markdown(report)}\n\n{end}{after}"


def _times(report: Report) -> Table:
    peers = [TITLES.get(peer, peer) for peer in report.peers]
    head = ["row", "mode", "fastlstm ms", "GFLOP/s", "of peak", "of roofline", *peers, BEST]
    return [head, *(_times_of(report, result) for result in report.results)]


def _times_of(report: Report, result: Result) -> list[str]:
    figures = ["failed", "-", "-", "-"]
    if not math.isnan(result.ours):
        shares = [report.of_peak(result), report.of_roofline(result)]
        figures = [_ms(result.ours), _digits(result.gflops), *(f"{share:.0%}" for share in shares)]
    peers = [_peer(report, result, peer) for peer in report.peers]
    best = result.ratio(BEST)
    return [
        result.row,
        result.mode,
        *figures,
        *peers,
        "-" if math.isnan(best) else _times_ours(best),
    ]


def _peer(report: Report, result: Result, peer: str) -> str:
    if peer in report.missing:
        return "missing"
    if peer in result.problems:
        return "failed"
    if peer not in result.seconds:
        return "-"
    ratio = result.ratio(peer)
    return _ms(result.seconds[peer]) + ("" if math.isnan(ratio) else f" ({_times_ours(ratio)})")


def _memory(report: Report) -> Table:
    names = [
        name
        for name in (OURS, *report.peers)
        if any(name in result.memory for result in report.results)
    ]
    head = ["row", *(TITLES.get(name, name) for name in names)]
    lines = [
        [result.row, *(_megabytes(result, name) for name in names)]
        for result in report.results
        if result.memory
    ]
    return [head, *lines]


def _megabytes(result: Result, name: str) -> str:
    if name not in result.memory:
        return "-"
    used = result.memory[name]
    return f"{_digits(used.added / 1e6)} ({used.total / 1e6:.0f})"


def _means(report: Report) -> list[str]:
    return [
        f"geometric mean, {mode}: "
        + ", ".join(f"{TITLES.get(peer, peer)} {_times_ours(mean)}" for peer, mean in means.items())
        for mode, means in report.means().items()
    ]


def _circumstances(report: Report) -> list[str]:
    machine = report.machine
    lines = [f"missing: {name} ({why})" for name, why in report.missing.items()]
    lines.append(
        f"{report.host}, {report.threads} threads, FMA peak {machine.peak_gflops:.0f} GFLOP/s, "
        f"memory {machine.bandwidth_gbs:.1f} GB/s, cache {machine.cache_bytes >> 20} MiB; "
        + ", ".join(report.versions.values())
        + f"; {report.date}"
    )
    disturbed = [share for share in report.busy if share > QUIET]
    if disturbed:
        lines.append(
            f"NOT QUIET: before {len(disturbed)} of {len(report.busy)} lines other processes "
            f"used up to {max(disturbed):.0%} of the CPUs; repeat this on a quiet machine"
        )
    return lines


def _first_calls(results: list[Result]) -> str:
    names = dict.fromkeys(name for result in results for name in result.first)
    medians = []
    for name in names:
        times = sorted(result.first[name] for result in results if name in result.first)
        medians.append(f"{name} {_digits(times[len(times) // 2])}")
    return ", ".join(medians)


def _aligned(table: Table, words: int) -> list[str]:
    """Columns padded: words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index < words else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def _marked_up(table: Table, words: int) -> list[str]:
    head, *lines = table
    rule = [*["---"] * words, *["---:"] * (len(head) - words)]
    return ["| " + " | ".join(line) + " |" for line in (head, rule, *lines)]


def _ms(seconds: float) -> str:
    return _digits(seconds * 1e3)


def _times_ours(ratio: float) -> str:
    return "-" if math.isnan(ratio) else f"{_digits(ratio)}x"


def _digits(value: float) -> str:
    """About three digits."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}" if value < 1 else f"{value:.2f}"
