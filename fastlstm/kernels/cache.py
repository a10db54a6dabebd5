"""Compiled kernels on disk: keyed by every kernel source, and never a reason to fail.

Numba's own cache looks at the file of the function alone, so an edited callee is served stale,
and a full disk or a damaged file raises at the first call. Here the key holds a hash of all
kernel and cell sources, each entry carries a digest, and any trouble means compiling in memory.
The files are pickles, so the folder must belong to this user and be closed to others.

Where something has to be compiled, the logger "fastlstm" says so, once in a process: Python shows
that on stderr unless told otherwise.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite.binding import address_of_symbol, parse_assembly
from numba.core import compiler, serialize
from numba.core.caching import _Cache
from numba.core.runtime import rtsys

_PACKAGE = Path(__file__).parent.parent
_DIGEST_BYTES = hashlib.sha256().digest_size
# Kernels that this process has asked for.
tally = {"compiled": 0, "loaded": 0}


class KernelCache(_Cache):
    """Loads and saves the compiled versions of one kernel.

    Parameters
    ----------
    function : callable
        What gives the kernel its name, and its source file to the key.
    variant : str
        Tells several of one name apart.
    """

    def __init__(self, function: Callable[..., Any], variant: str) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}-{variant}"
        self._source = function.__code__.co_filename
        self._enabled = True
        self.tally = {"compiled": 0, "loaded": 0}

    @property
    def cache_path(self) -> str | None:
        folder = cache_folder()
        return None if folder is None else str(folder)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        folder = cache_folder()
        if folder is not None:
            for entry in folder.glob(f"{self._name}-*.bin"):
                entry.unlink(missing_ok=True)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = self._load(sig, target_context)
        if found is None:
            _announce()
        else:
            self._count("loaded")
        return found

    def _count(self, what: str) -> None:
        tally[what] += 1
        self.tally[what] += 1

    def _load(self, sig: Any, target_context: Any) -> Any:
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        try:
            blob = path.read_bytes()
            digest, payload = blob[:_DIGEST_BYTES], blob[_DIGEST_BYTES:]
            if hashlib.sha256(payload).digest() != digest:
                return None
            return _rebuilt(target_context, payload)
        except Exception:  # whatever is wrong with the file, compiling again puts it right
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        self._count("compiled")
        path = self._path(sig, data.codegen)
        if path is None or data.library.has_dynamic_globals:
            return
        # A full disk or a folder that vanished costs the next process a compilation, no more.
        with contextlib.suppress(Exception):
            payload = serialize.dumps(_reduced(data))
            _write(path, hashlib.sha256(payload).digest() + payload)

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        folder = cache_folder()
        if folder is None or not self._enabled:
            return None
        settings = int(numba.config.OPT), numba.config.BOUNDSCHECK
        key = repr((sig, codegen.magic_tuple(), settings, self._outside(sig)))
        return folder / f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.bin"

    def _outside(self, sig: Any) -> list[str]:
        """Hashes of the files of a kernel or cell that is defined outside this package."""
        kinds = [kind for argument in sig for kind in getattr(argument, "kinds", (argument,))]
        modules = {type(getattr(kind, "value", None)).__module__ for kind in kinds}
        files = {getattr(sys.modules.get(name), "__file__", None) for name in modules}
        outside = [
            Path(file)
            for file in sorted({*filter(None, files), self._source})
            if _PACKAGE not in Path(file).parents
        ]
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in outside if file.is_file()]


def _reduced(result: Any) -> tuple[list[str], Any]:
    """What a file holds of a kernel: symbols that it wants of others, and the kernel.

    Numba keeps the module beside the machine code, to be built into functions that call this one.
    Nobody does, and it takes longer to read than all else: its names are enough.
    """
    (name, kind, (code, _)), *others = result._reduce()
    module = result.library._final_module
    wanted = [one.name for one in module.functions if one.is_declaration]
    own = [one.name for one in module.functions if not one.is_declaration]
    own += [one.name for one in module.global_variables if not one.is_declaration]
    names = "".join(f'@"{one}" = global i8 0\n' for one in own)
    stub = parse_assembly(names).as_bitcode()
    outside = [one for one in wanted if not one.startswith("llvm.")]
    return outside, ((name, kind, (code, stub)), *others)


def _rebuilt(context: Any, payload: bytes) -> Any:
    """The kernel of a file.

    To be ready for whatever may be compiled, Numba loads all that it can compile, and scipy's
    products with it, in a third of a second. What is compiled wants Numba's runtime and what its
    own hooks load; only if it wants more is all of it loaded.
    """
    outside, parts = pickle.loads(payload)
    rtsys.initialize(context)
    *_, reload_init, _ = parts
    for load in reload_init:
        load()
    if not all(map(address_of_symbol, outside)):
        context.refresh()
    return compiler.CompileResult._rebuild(context, *parts)


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Folder for these sources' compiled kernels, or None where none is safe to use."""
    try:
        root = _root() / "fastlstm"
        root.mkdir(parents=True, exist_ok=True)
        folder = root / _FINGERPRINT
        folder.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid"):
            status = folder.stat()
            others = stat.S_IWGRP | stat.S_IWOTH
            if status.st_uid != os.getuid() or status.st_mode & others:
                return None
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # read-only, full, or no home folder at all
        return None
    return folder


@lru_cache(maxsize=1)
def _announce() -> None:
    """Say why nothing seems to happen for a while."""
    folder = cache_folder()
    what = "compiling fastlstm's kernels for this processor, once"
    how = f"later runs load them from {folder}"
    if folder is None:
        what = "compiling fastlstm's kernels for this processor"
        how = "every run does, for want of a cache folder: set NUMBA_CACHE_DIR to one of your own"
    logging.getLogger("fastlstm").warning("%s; %s", what, how)


def _root() -> Path:
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _fingerprint() -> str:
    """Hash of every source that can end up in a kernel, and of the compiler's version."""
    digest = hashlib.sha256()
    versions = (sys.version, numba.__version__, llvmlite.__version__)
    digest.update(repr(versions).encode())
    for source in sorted([*_PACKAGE.glob("kernels/*.py"), *_PACKAGE.glob("cells/*.py")]):
        text = _SOURCES[str(source)] = source.read_bytes()
        digest.update(source.name.encode() + text)
    return digest.hexdigest()[:16]


# Taken when the sources are imported: an upgrade while a process runs must not file what was
# compiled from the old ones under the new ones' name.
_SOURCES: dict[str, bytes] = {}
_FINGERPRINT = _fingerprint()


def source_lines(function: Callable[..., Any]) -> tuple[list[str], int]:
    """The lines of a function as they were imported, and the number of the first one."""
    text = _SOURCES.get(function.__code__.co_filename)
    if text is None:
        return inspect.getsourcelines(function)
    first = function.__code__.co_firstlineno
    lines = text.decode().splitlines(keepends=True)
    return inspect.getblock(lines[first - 1 :]), first


def _write(path: Path, blob: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(blob)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
