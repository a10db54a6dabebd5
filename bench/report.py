"""What compare.py found, and the same as JSON; ``bench.render`` makes tables of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import geometric_mean
from typing import Any

from bench.memory import Memory
from bench.roofline import Machine

UNKNOWN_MACHINE = Machine(math.nan, math.nan, 0)
OURS = "fastlstm"
BEST = "best peer"


@dataclass
class Result:
    """One row of the table of shapes in one mode."""

    row: str
    mode: str
    flops: float
    seconds: dict[str, float] = field(default_factory=dict)  # medians, by framework
    first: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    bytes: float = 0.0  # see roofline.compulsory_bytes
    rounds: int = 0

    @property
    def ours(self) -> float:
        """Seconds of fastlstm; NaN where it was not timed."""
        return self.seconds.get(OURS, math.nan)

    def ratio(self, peer: str) -> float:
        """How many times as long the peer takes; NaN where one of the two was not timed."""
        if peer == BEST:
            peers = [seconds for name, seconds in self.seconds.items() if name != OURS]
            return min(peers, default=math.nan) / self.ours
        return self.seconds.get(peer, math.nan) / self.ours

    @property
    def gflops(self) -> float:
        return self.flops / self.ours / 1e9


@dataclass
class Report:
    """All results of one call."""

    threads: int
    peers: list[str]
    versions: dict[str, str]
    missing: dict[str, str]
    host: str
    date: str = ""
    machine: Machine = UNKNOWN_MACHINE
    results: list[Result] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)  # share of the CPUs, by others, before a row

    def of_peak(self, result: Result) -> float:
        """Share of the processor's peak that fastlstm reaches."""
        return result.gflops / self.machine.peak_gflops

    def of_roofline(self, result: Result) -> float:
        """The least time that this machine allows, as a share of fastlstm's."""
        return self.machine.attainable_seconds(result.flops, result.bytes) / result.ours

    def means(self) -> dict[str, dict[str, float]]:
        """Geometric mean of the ratios to each peer and to the best of a row, by mode."""
        means: dict[str, dict[str, float]] = {}
        for mode in dict.fromkeys(result.mode for result in self.results):
            for peer in (*self.peers, BEST):
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

    def json(self) -> dict[str, Any]:
        """Plain values; what could not be measured is None."""
        return {
            "peak_gflops": _known(self.machine.peak_gflops),
            "bandwidth_gbs": _known(self.machine.bandwidth_gbs),
            "cache_bytes": self.machine.cache_bytes,
            "rows": [self._row(result) for result in self.results],
            "missing": list(self.missing),
            "why_missing": self.missing,
            "threads": self.threads,
            "peers": self.peers,
            "host": self.host,
            "date": self.date,
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

    def _row(self, result: Result) -> dict[str, Any]:
        return {
            "row": result.row,
            "mode": result.mode,
            "ms": _known(result.ours * 1e3),
            "gflops": _known(result.gflops),
            "of_peak": _known(self.of_peak(result)),
            "of_roofline": _known(self.of_roofline(result)),
            "peers": {
                peer: _known(result.seconds.get(peer, math.nan) * 1e3) for peer in self.peers
            },
            "best_peer_ratio": _known(result.ratio(BEST)),
            "flops": result.flops,
            "bytes": result.bytes,
            "memory_bytes": {name: used._asdict() for name, used in result.memory.items()},
            "problems": result.problems,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Report:
        """The report that ``json`` was called on."""
        machine = Machine(
            _number(found["peak_gflops"]), _number(found["bandwidth_gbs"]), found["cache_bytes"]
        )
        report = cls(
            found["threads"], found["peers"], found["versions"], found["why_missing"],
            found["host"], found["date"], machine,
        )  # fmt: skip
        report.busy = [_number(share) for share in found["busy_before"]]
        for row, first, rounds in zip(
            found["rows"], found["first_call_ms"], found["rounds"], strict=True
        ):
            times = {OURS: row["ms"], **row["peers"]}
            report.results.append(
                Result(
                    row["row"],
                    row["mode"],
                    row["flops"],
                    {name: ms / 1e3 for name, ms in times.items() if ms is not None},
                    {k: ms / 1e3 for k, ms in first.items() if k not in ("row", "mode")},
                    row["problems"],
                    {name: Memory(**used) for name, used in row["memory_bytes"].items()},
                    row["bytes"],
                    rounds["rounds"],
                )
            )
        return report


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value
