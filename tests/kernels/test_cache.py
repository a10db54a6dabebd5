"""The cache on disk saves compilations, and never is a reason to fail."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest

from fastlstm.kernels import cache
from fastlstm.kernels.program import Kernel
from tests.marks import needs_jit
from tests.process import run_python

pytestmark = needs_jit
not_windows = pytest.mark.skipif(sys.platform == "win32", reason="no such permissions there")


def _double(out, x, crew):
    for i in range(len(x)):
        out[i] = x[i] + x[i]


def _hits(kind=np.float32):
    """Run a new kernel, as a new process would, and count what it found in the cache."""
    doubled = Kernel(_double)
    x = np.arange(3, dtype=kind)
    out = np.zeros_like(x)
    doubled(out, x)
    np.testing.assert_array_equal(out, [0, 2, 4])
    return doubled.cache.tally["loaded"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty cache of its own."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    cache.cache_folder.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    cache.cache_folder.cache_clear()


@pytest.fixture
def entry(root):
    """The file of a compiled kernel."""
    assert _hits() == 0
    (path,) = root.glob("fastlstm/*/*_double*.bin")
    assert _hits() == 1
    return path


def _again(root):
    cache.cache_folder.cache_clear()
    return _hits()


def test_one_entry_serves_its_types_only(entry):
    assert _hits(np.float64) == 0
    assert _hits(np.float64) == 1
    assert _hits() == 1
    assert len(list(entry.parent.glob("*_double*"))) == 2


def test_the_folder_is_closed_to_others(entry):
    if os.name == "posix":
        assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: b"",
        lambda blob: blob[:10],
        lambda blob: blob[: len(blob) // 2],
        lambda blob: blob[:-1],
        lambda blob: b"garbage" * 100,
        lambda blob: blob[:100] + bytes([blob[100] ^ 1]) + blob[101:],
        lambda blob: bytes(len(blob)),
    ],
    ids=["empty", "10 bytes", "half", "all but a byte", "garbage", "a bit flipped", "zeros"],
)
def test_a_damaged_entry_is_compiled_again_and_put_right(entry, root, damage):
    good = entry.read_bytes()
    entry.write_bytes(damage(good))
    assert _again(root) == 0
    assert _again(root) == 1


def test_an_entry_that_is_not_a_compiled_kernel(entry, root):
    """With a right digest, so that only unpickling or rebuilding can notice."""
    for payload in (pickle.dumps({"not": "a kernel"}), pickle.dumps((1, 2, 3)), b"\x80\x05."):
        entry.write_bytes(hashlib.sha256(payload).digest() + payload)
        assert _again(root) == 0
        assert _again(root) == 1


def test_an_entry_that_is_a_folder(entry, root):
    entry.unlink()
    entry.mkdir()
    assert _again(root) == 0
    assert not list(entry.parent.glob("*.bin?*"))  # no temporary file stays behind


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError()])
@pytest.mark.parametrize("operation", ["mkstemp", "replace", "write"])
def test_writing_fails(root, monkeypatch, error, operation):
    def fail(*args, **options):
        raise error

    class FullFile:
        def __init__(self, handle, mode):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            os.close(self.handle)

        write = fail

    assert cache.cache_folder() is not None
    if operation == "write":
        monkeypatch.setattr(os, "fdopen", FullFile)
    else:
        monkeypatch.setattr(tempfile if operation == "mkstemp" else os, operation, fail)
    assert _hits() == 0
    assert _hits() == 0
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written(root, monkeypatch):
    def fail(*args, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    assert cache.cache_folder() is None
    assert _hits() == 0
    assert _hits() == 0


@not_windows
def test_a_read_only_folder(root):
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    root.chmod(0o500)
    try:
        assert cache.cache_folder() is None
        assert _hits() == 0
    finally:
        root.chmod(0o700)


def test_a_folder_that_cannot_exist(root, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(file / "below"))
    assert cache.cache_folder() is None
    assert _hits() == 0


def test_no_home_folder(root, monkeypatch):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert cache.cache_folder() is None
    assert _hits() == 0


def test_the_folder_vanishes(entry, root):
    shutil.rmtree(entry.parent)
    assert _hits() == 0
    assert _again(root) == 0  # made anew
    assert _again(root) == 1


@not_windows
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_a_folder_that_others_may_write_is_not_trusted(entry, root, mode):
    """The entries are pickles: whoever writes them runs code here."""
    entry.parent.chmod(mode)
    before = entry.read_bytes()
    assert _again(root) == 0
    assert cache.cache_folder() is None
    assert entry.read_bytes() == before


@not_windows
def test_a_folder_of_another_user_is_not_trusted(entry, root, monkeypatch):
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    assert _again(root) == 0
    assert cache.cache_folder() is None


def test_a_changed_kernel_source_is_compiled_again(entry, root, monkeypatch):
    first = cache._fingerprint()
    read = Path.read_bytes

    def edited(path):
        return read(path) + (b"\n# edited" if path.name == "tile.py" else b"")

    monkeypatch.setattr(Path, "read_bytes", edited)
    assert cache._fingerprint() != first
    assert _again(root) == 1  # what this process imported has not changed
    monkeypatch.setattr(cache, "_FINGERPRINT", cache._fingerprint())
    assert _again(root) == 0
    assert _again(root) == 1
    monkeypatch.undo()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(root))
    assert _again(root) == 1  # the old entry is still there


def test_another_compiler_compiles_again(entry, root, monkeypatch):
    first = cache._fingerprint()
    monkeypatch.setattr(numba, "__version__", "999.0")
    assert cache._fingerprint() != first


def test_another_level_of_optimisation_compiles_again(entry, monkeypatch):
    """One run with NUMBA_OPT=0 must not make all later ones slow."""
    monkeypatch.setattr(numba.config, "OPT", 1)
    assert _hits() == 0
    monkeypatch.undo()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(entry.parents[2]))
    assert _hits() == 1


def test_a_kernel_outside_the_package_follows_its_own_file(root, tmp_path):
    """As when a user's kernel is edited between two processes."""
    file = tmp_path / "mine.py"
    out = np.zeros(1)
    for value, hits in ((1.5, 0), (1.5, 1), (2.5, 0)):
        file.write_text(f"def fill(out, crew):\n    out[0] = {value}\n")
        module = {"__name__": "mine"}
        exec(compile(file.read_text(), str(file), "exec"), module)
        mine = Kernel(module["fill"])
        mine(out)
        assert out[0] == value
        assert mine.cache.tally["loaded"] == hits


def test_disable_and_flush(entry):
    doubled = Kernel(_double)
    doubled.cache.disable()
    x = np.ones(2, np.float32)
    doubled(np.zeros_like(x), x)
    assert not doubled.cache.tally["loaded"]
    doubled.cache.enable()
    assert doubled.cache.cache_path == str(entry.parent)
    doubled.cache.flush()
    assert not entry.exists()
    doubled.cache.flush()  # nothing there: no error


_MINE = """
import numpy as np
from fastlstm.kernels.program import kernel

@kernel
def inner(out, x, crew):
    out[0] = {}
"""
_RUN = """
import sys
import numpy as np
from fastlstm.kernels import cache
from mine import inner
out = np.zeros(1)
inner(out, np.arange(3.0))
inner(out, np.arange(3.0), work=1e9)  # enough for threads
print(out[0], cache.tally["compiled"] > 0, "numba.np.linalg" in sys.modules)
"""


@pytest.mark.parametrize(
    ("what", "everything"), [("x[1] * 5", False), ("np.dot(x, x)", True)], ids=["plain", "BLAS"]
)
def test_what_is_cached_loads_no_more_of_numba_than_it_wants(tmp_path, what, everything):
    (tmp_path / "mine.py").write_text(_MINE.format(what))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    for new, loaded in ((True, True), (False, everything)):
        told = run_python(_RUN, NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=path)
        assert told.split() == ["5.0", str(new), str(loaded)]
