"""The house: imports point downward, and Numba stays in kernels and cells."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastlstm

PACKAGE = Path(fastlstm.__file__).parent

# From the ground up; what stands nowhere here fails, so that a new part gets its floor.
STOREYS = [
    {"available", "config", "elsewhere"},
    {"figures", "memory", "randomness", "registry", "validation"},
    {"data"},
    {"kernels"},
    {"cells"},
    {
        "activations", "constraints", "crf", "ctc", "generation", "initializers", "layers",
        "losses", "metrics", "optimizers", "regularizers",
    },
    {"training"},
    {"callbacks", "models"},
    {"forecasting", "sklearn", "utils", "warmup"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]  # fmt: skip
FLOORS = {part: floor for floor, parts in enumerate(STOREYS) for part in parts}
# Parts on one floor that build on another one there.
BESIDE = {
    ("ctc", "losses"),
    ("layers", "activations"),
    ("layers", "constraints"),
    ("layers", "initializers"),
    ("layers", "regularizers"),
    ("metrics", "losses"),
}
WITH_NUMBA = {"kernels", "cells"}
COMPILERS = {"numba", "llvmlite"}


def _modules(package: Path) -> Iterator[tuple[str, Path]]:
    """Name of the part, and file, of everything in the package."""
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).with_suffix("").parts[0], path


def _imported(path: Path, package: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it: 'fastlstm.kernels.simd.load'."""
    inside = [package.name, *path.relative_to(package).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _faults(package: Path) -> list[str]:
    faults = []
    for part, path in _modules(package):
        where = path.relative_to(package).as_posix()
        if part not in FLOORS:
            faults.append(f"{where} has no floor")
            continue
        for name in _imported(path, package):
            top, _, rest = name.partition(".")
            if top in COMPILERS and part not in WITH_NUMBA:
                faults.append(f"{where} imports {top}")
            if top != package.name:
                continue
            target = rest.partition(".")[0] or "__init__"
            if target not in FLOORS:
                # A name of fastlstm/__init__.py, such as __version__.
                target = "__init__"
            up = FLOORS[target] > FLOORS[part]
            level = FLOORS[target] == FLOORS[part] and target != part
            if up or (level and (part, target) not in BESIDE):
                faults.append(f"{where} imports {name}")
    return faults


def test_imports_point_downward_and_numba_stays_below():
    assert _faults(PACKAGE) == []


@pytest.fixture
def tree(tmp_path):
    """A small house in order."""
    package = tmp_path / "fastlstm"
    files = {
        "__init__.py": "from fastlstm.models.sequential import Sequential\n",
        "config.py": "import os\n",
        "kernels/__init__.py": "",
        "kernels/simd.py": "import numba\nfrom llvmlite import ir\n",
        "cells/lstm.py": "from numba import njit\nfrom fastlstm.kernels.simd import load\n",
        "layers/lstm.py": "from fastlstm import config\nfrom fastlstm.cells import lstm\n",
        "training/loop.py": "from fastlstm.losses import get\n",
        "losses.py": "from fastlstm.kernels import simd\n",
        "models/sequential.py": "from ..layers.lstm import LSTM\nfrom . import saving\n",
        "models/saving.py": "import json\n",
    }
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_a_house_in_order_passes(tree):
    assert _faults(tree) == []


@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("kernels/simd.py", "from fastlstm.layers import lstm", "fastlstm.layers.lstm"),
        ("kernels/simd.py", "import fastlstm.cells.lstm", "fastlstm.cells.lstm"),
        ("kernels/simd.py", "from fastlstm import cells", "fastlstm.cells"),
        ("kernels/simd.py", "from ..cells import lstm", "fastlstm.cells.lstm"),
        ("kernels/simd.py", "def f():\n    from fastlstm.models import saving", "models.saving"),
        ("cells/lstm.py", "import fastlstm", "fastlstm"),
        ("training/loop.py", "from fastlstm.models.sequential import Sequential", "Sequential"),
        ("training/loop.py", "if TYPE_CHECKING:\n    from fastlstm import models", "models"),
        ("losses.py", "from fastlstm.layers import lstm", "layers.lstm"),
        ("layers/lstm.py", "import numba", "numba"),
        ("layers/lstm.py", "from numba.core import types", "numba"),
        ("models/saving.py", "def f():\n    import llvmlite.ir", "llvmlite"),
        ("config.py", "from fastlstm.kernels import simd", "kernels.simd"),
        ("attic/old.py", "", "no floor"),
    ],
)
def test_each_fault_is_found(tree, name, line, fault):
    path = tree / name
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + line + "\n")
    (found,) = _faults(tree)
    assert name in found
    assert fault in found
