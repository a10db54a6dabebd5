"""How much memory this process may still take, as far as the system tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")  # of the files below; another one in tests
# Where a version of Linux' control groups is found, and its files of limit and usage.
_VERSION_1 = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
_VERSION_2 = "sys/fs/cgroup", "memory.max", "memory.current"


def available_memory() -> int | None:
    """Bytes left in the machine and in the control groups of this process; None if unknown."""
    rooms = [*_machine(), *_groups()]
    return max(0, min(rooms)) if rooms else None


def _machine() -> Iterator[int]:
    table = _table(_ROOT / "proc/meminfo")
    if "MemAvailable:" in table:
        yield 1024 * (table["MemAvailable:"] + table.get("SwapFree:", 0))


def _groups() -> Iterator[int]:
    """Room in each group above this process that has a limit."""
    for line in _lines(_ROOT / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, limit, usage = _VERSION_1 if controllers else _VERSION_2
        group = Path(path.lstrip("/"))
        # In a container the path may be the host's, of which only the top is to be seen.
        for folder in (group, *group.parents):
            yield from _room(_ROOT / top / folder, limit, usage)


def _room(folder: Path, limit: str, usage: str) -> Iterator[int]:
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
    except (OSError, ValueError):  # no such group, or no limit: "max"
        return
    # Copies of files are counted, but given up when memory is short.
    stat = _table(folder / "memory.stat")
    names = "active_file", "inactive_file"
    yield most - used + sum(stat.get(f"total_{name}", stat.get(name, 0)) for name in names)


def _table(path: Path) -> dict[str, int]:
    """First number by first word, of each line of a file."""
    rows = (line.split() for line in _lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
