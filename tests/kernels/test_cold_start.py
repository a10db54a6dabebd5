"""Processes that find no compiled kernels say so, and none of them fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastlstm
from tests.marks import needs_jit
from tests.process import ROOT, run_python, stderr_of

pytestmark = needs_jit

# One small kernel, and the launch that runs it.
STEP = """
import numpy as np
from fastlstm.optimizers import SGD
params, grads = np.ones(5, np.float32), np.full(5, 2, np.float32)
optimizer = SGD(0.25)
optimizer.build([("w", 0, 5)], 5, np.float32)
optimizer.update(params, grads)
print(params.tolist())
"""
RESULT = f"{[0.5] * 5}\n"


def _entries(root):
    return sorted(path.name for path in root.glob("fastlstm/*/*"))


def test_it_is_said_once_and_only_where_something_is_compiled(tmp_path):
    settings = {"NUMBA_CACHE_DIR": str(tmp_path)}
    (line,) = stderr_of(STEP, **settings).splitlines()
    (folder,) = tmp_path.glob("fastlstm/*")
    assert line == (
        f"compiling fastlstm's kernels for this processor, once; later runs load them from {folder}"
    )
    assert stderr_of(STEP, **settings) == ""


def test_it_can_be_silenced(tmp_path):
    silence = "import logging\nlogging.getLogger('fastlstm').setLevel(logging.ERROR)\n"
    assert stderr_of(silence + STEP, NUMBA_CACHE_DIR=str(tmp_path)) == ""


def test_it_is_said_where_nothing_can_be_kept(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    (line,) = stderr_of(STEP, NUMBA_CACHE_DIR=str(file / "below")).splitlines()
    assert "every run does, for want of a cache folder: set NUMBA_CACHE_DIR" in line


def test_ten_processes_at_once(tmp_path):
    settings = {"NUMBA_CACHE_DIR": str(tmp_path)}
    code = f"import fastlstm\nprint('ready', flush=True)\ninput()\n{STEP}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            cwd=ROOT, env={**os.environ, **settings},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(10)
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            printed, said = process.communicate(timeout=120)
            assert (process.returncode, printed) == (0, RESULT), said
    finally:
        for process in processes:
            process.kill()
    names = _entries(tmp_path)
    assert len(names) == 2
    assert all(name.endswith(".bin") for name in names)
    assert stderr_of(STEP, **settings) == ""


def test_a_disk_that_gets_full(tmp_path):
    """The system refuses to write more than the beginning of an entry."""
    pytest.importorskip("resource")
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    assert run_python(full + STEP, NUMBA_CACHE_DIR=str(tmp_path)) == RESULT
    assert _entries(tmp_path) == []
    assert run_python(STEP, NUMBA_CACHE_DIR=str(tmp_path)) == RESULT
    assert len(_entries(tmp_path)) == 2


def test_an_installation_that_nobody_may_write(tmp_path):
    """Kernels go to the user's own cache folder, and nothing beside the sources."""
    package = tmp_path / "site" / "fastlstm"
    shutil.copytree(
        Path(fastlstm.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in [package, *package.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(package.rglob("*"))
    code = f"import sys\nsys.path.insert(0, {str(package.parent)!r})\n{STEP}"
    code += f"import fastlstm\nassert fastlstm.__file__.startswith({str(package)!r})\n"
    settings = {
        "NUMBA_CACHE_DIR": "",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LOCALAPPDATA": str(tmp_path / "cache"),
        "HOME": str(tmp_path / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        assert run_python(code, **settings) == RESULT
        assert stderr_of(code, **settings) == ""
        assert sorted(package.rglob("*")) == before
    finally:
        for path in [package, *package.rglob("*")]:
            path.chmod(0o755)
