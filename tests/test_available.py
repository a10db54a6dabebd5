"""What is left of the memory, read from files that a system might have."""

from __future__ import annotations

import sys

import pytest

from fastlstm import available

MACHINE = "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    4000 kB\nSwapFree: 96 kB\n"
IN_MACHINE = 4096 * 1024


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Writes files below a root of its own."""
    monkeypatch.setattr(available, "_ROOT", tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return lambda files: write(**files)


def test_a_system_that_tells_nothing(system):
    assert available.available_memory() is None


def test_the_machine(system):
    system({"proc/meminfo": MACHINE})
    assert available.available_memory() == IN_MACHINE


def test_a_machine_without_the_figure(system):
    system({"proc/meminfo": "MemTotal: 9000 kB\nnonsense\n"})
    assert available.available_memory() is None


GROUP = {"memory.max": "1000\n", "memory.current": "900\n"}


@pytest.mark.parametrize("folder", ["", "/a", "/a/b"])
def test_a_limit_of_any_group_above(system, folder):
    files = {f"sys/fs/cgroup{folder}/{name}": text for name, text in GROUP.items()}
    system({"proc/meminfo": MACHINE, "proc/self/cgroup": "0::/a/b\n", **files})
    assert available.available_memory() == 100


def test_copies_of_files_can_be_given_up(system):
    stat = {"memory.stat": "anon 850\ninactive_file 30\nactive_file 12\n"}
    files = {f"sys/fs/cgroup/{name}": text for name, text in {**GROUP, **stat}.items()}
    system({"proc/self/cgroup": "0::/\n", **files})
    assert available.available_memory() == 142


def test_a_group_without_a_limit(system):
    files = {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "900\n"}
    system({"proc/meminfo": MACHINE, "proc/self/cgroup": "0::/\n", **files})
    assert available.available_memory() == IN_MACHINE


def test_a_group_that_is_over_its_limit(system):
    files = {"sys/fs/cgroup/memory.max": "800", "sys/fs/cgroup/memory.current": "900"}
    system({"proc/self/cgroup": "0::/\n", **files})
    assert available.available_memory() == 0


def test_the_first_version_of_groups(system):
    folder = "sys/fs/cgroup/memory/a"
    system(
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/a:b/c\n0::/\n",
            f"{folder}:b/memory.limit_in_bytes": "1000",
            f"{folder}:b/memory.usage_in_bytes": "900",
            f"{folder}:b/memory.stat": "inactive_file 1\ntotal_inactive_file 20\n",
        }
    )
    assert available.available_memory() == 120


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells")
def test_this_machine():
    room = available.available_memory()
    assert room is not None
    assert 1 << 20 < room < 1 << 50
