"""Runs Python code, or tests, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_python(code: str, **environment: str) -> str:
    """Standard output of ``code``, which must succeed."""
    return _run("-c", textwrap.dedent(code), expected=0, environment=environment).stdout


def stderr_of(code: str, **environment: str) -> str:
    """What ``code``, which must succeed, says on standard error."""
    return _run("-c", textwrap.dedent(code), expected=0, environment=environment).stderr


def run_module(*arguments: str, expected: int = 0, **environment: str) -> str:
    """All that ``python -m`` prints, to end with the expected code."""
    done = _run("-m", *arguments, expected=expected, environment=environment)
    return done.stdout + done.stderr


def run_pytest(*arguments: str, expected: int = 0, **environment: str) -> str:
    """Standard output of pytest, which must end with the expected code."""
    options = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    return _run(*options, *arguments, expected=expected, environment=environment).stdout


def _run(
    *arguments: str, expected: int, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    report = f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == expected, report
    return done
