"""Compact tables: the columns that say something about these benchmarks."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose pytest-benchmark's columns where the command line did not."""
    if not any(str(arg).startswith("--benchmark-columns") for arg in config.invocation_params.args):
        config.option.benchmark_columns = ["min", "median", "iqr", "rounds", "iterations"]
