"""What compare.py found, as a table to read, as Markdown and as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import geometric_mean
from typing import Any

from bench.quiet import QUIET


@dataclass
class Result:
    """One row of the table of shapes in one mode."""

    row: str
    mode: str
    flops: float
    seconds: dict[str, float] = field(default_factory=dict)  # medians, by framework
    first: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    rounds: int = 0

    def ratio(self, peer: str) -> float:
        """How many times as long the peer takes; NaN where one of the two was not timed."""
        ours = self.seconds.get("fastlstm", math.nan)
        return self.seconds.get(peer, math.nan) / ours

    @property
    def gflops(self) -> float:
        return self.flops / self.seconds.get("fastlstm", math.nan) / 1e9


@dataclass
class Report:
    """All results of one call."""

    threads: int
    peers: list[str]
    versions: dict[str, str]
    missing: dict[str, str]
    host: str
    peak_gflops: float = math.nan
    results: list[Result] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)  # share of the CPUs, by others, before a row

    def table(self) -> list[list[str]]:
        """Head and rows, as text."""
        head = ["row", "mode", "fastlstm ms", "GFLOP/s", "of peak", *self.peers]
        return [head, *(self._line(result) for result in self.results)]

    def _line(self, result: Result) -> list[str]:
        ours = result.seconds.get("fastlstm")
        if ours is None:
            figures = ["failed", "-", "-"]
        else:
            share = result.gflops / self.peak_gflops
            figures = [_ms(ours), _digits(result.gflops), f"{share:.0%}"]
        return [result.row, result.mode, *figures, *(self._cell(result, p) for p in self.peers)]

    def _cell(self, result: Result, peer: str) -> str:
        if peer in self.missing:
            return "missing"
        if peer in result.problems:
            return "failed"
        if peer not in result.seconds:
            return "-"
        ratio = result.ratio(peer)
        return _ms(result.seconds[peer]) + ("" if math.isnan(ratio) else f" ({_digits(ratio)}x)")

    def sentence(self, result: Result) -> str:
        """One result, as soon as it is known."""
        figures = [f"{name} {_ms(seconds)} ms" for name, seconds in result.seconds.items()]
        figures += [f"{name} FAILED: {text}" for name, text in result.problems.items()]
        return f"{result.row}, {result.mode}: " + ", ".join(figures)

    def means(self) -> dict[str, dict[str, float]]:
        """Geometric mean of the ratios to each peer, by mode."""
        means: dict[str, dict[str, float]] = {}
        for mode in dict.fromkeys(result.mode for result in self.results):
            for peer in self.peers:
                ratios = [r.ratio(peer) for r in self.results if r.mode == mode]
                ratios = [ratio for ratio in ratios if not math.isnan(ratio)]
                if ratios:
                    means.setdefault(mode, {})[peer] = geometric_mean(ratios)
        return means

    def problems(self) -> list[str]:
        """What was not timed, and why; empty where all went well."""
        return [
            f"{result.row} {result.mode}, {name}: {text}"
            for result in self.results
            for name, text in result.problems.items()
        ]

    def text(self) -> str:
        """The table for a terminal."""
        return "\n".join([*aligned(self.table()), "", *self._notes()])

    def markdown(self) -> str:
        """The table for a README."""
        head, *lines = self.table()
        rule = ["---", "---", *["---:"] * (len(head) - 2)]
        rows = ["| " + " | ".join(line) + " |" for line in (head, rule, *lines)]
        return "\n".join([*rows, "", *(f"- {note}" for note in self._notes())])

    def _notes(self) -> list[str]:
        notes = [
            f"geometric mean, {mode}: "
            + ", ".join(f"{peer} {_digits(value)}x" for peer, value in means.items())
            for mode, means in self.means().items()
        ]
        notes.append("a peer's figure is its milliseconds, and how many times ours that is")
        firsts = _first_calls(self.results)
        notes.append("first call, median over rows, seconds: " + firsts if firsts else "")
        notes += [f"missing: {name} ({why})" for name, why in self.missing.items()]
        notes.append(
            f"{self.host}, {self.threads} threads, FMA peak {self.peak_gflops:.0f} GFLOP/s; "
            + ", ".join(self.versions.values())
        )
        disturbed = [share for share in self.busy if share > QUIET]
        if disturbed:
            notes.append(
                f"NOT QUIET: before {len(disturbed)} of {len(self.busy)} lines other processes "
                f"used up to {max(disturbed):.0%} of the CPUs; repeat this on a quiet machine"
            )
        return [note for note in notes if note]

    def json(self) -> dict[str, Any]:
        """Plain values; what could not be measured is None."""
        return {
            "peak_gflops": _known(self.peak_gflops),
            "rows": [
                {
                    "row": result.row,
                    "mode": result.mode,
                    "ms": _known(result.seconds.get("fastlstm", math.nan) * 1e3),
                    "gflops": _known(result.gflops),
                    "peers": {
                        peer: _known(result.seconds.get(peer, math.nan) * 1e3)
                        for peer in self.peers
                    },
                }
                for result in self.results
            ],
            "missing": list(self.missing),
            "threads": self.threads,
            "host": self.host,
            "versions": self.versions,
            "geometric_means": self.means(),
            "first_call_ms": [
                {"row": r.row, "mode": r.mode, **{k: v * 1e3 for k, v in r.first.items()}}
                for r in self.results
            ],
            "rounds": [{"row": r.row, "mode": r.mode, "rounds": r.rounds} for r in self.results],
            "busy_before": [_known(share) for share in self.busy],
            "problems": self.problems(),
        }


def aligned(table: list[list[str]]) -> list[str]:
    """Columns padded: the first two to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def _first_calls(results: list[Result]) -> str:
    names = dict.fromkeys(name for result in results for name in result.first)
    medians = []
    for name in names:
        times = sorted(result.first[name] for result in results if name in result.first)
        medians.append(f"{name} {_digits(times[len(times) // 2])}")
    return ", ".join(medians)


def _ms(seconds: float) -> str:
    return _digits(seconds * 1e3)


def _digits(value: float) -> str:
    """About three digits."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}" if value < 1 else f"{value:.2f}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
