"""Kernels, and lists of kernel calls that run in one launch.

A kernel is a function whose last argument is the ``Crew`` of threads that share its work. Its bits
must not depend on them. Called from Python it runs at once. A ``Program`` records calls instead,
on memory that stays where it is, and runs them one after the other as often as wanted: threads are
woken once, Python is left once, and between two kernels there is a barrier of a fraction of a
microsecond.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from operator import is_not
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from fastlstm.kernels.arguments import (
    Arguments,
    kinds_of,
    unpack,
    width_of,
    words_of,
    words_of_one,
)
from fastlstm.kernels.cache import KernelCache, source_lines
from fastlstm.kernels.jit import body, cached, inline
from fastlstm.kernels.parallel import SERIAL_WORK, claim_threads, release_threads, workers
from fastlstm.kernels.simd import flush_denormals, restore_denormals
from fastlstm.kernels.team import (
    CREW_TYPE,
    HALTED,
    TEAM_WORDS,
    Crew,
    atomic_load,
    halted,
    join,
    meet,
    open_door,
)

# Work of one launch: Python sees Ctrl-C between launches, a fraction of a second apart.
WORK_PER_LAUNCH = 5e9
# Columns of the table of calls: machine code, words, whose turn it is, whether all meet afterwards.
_CODE, _WORDS, _TURN, _MEET, _COLUMNS = range(5)
_ROW_BYTES = 8 * _COLUMNS
_EVERYONE = -1


class Kernel:
    """A function that a crew of threads runs, compiled for each list of argument types."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.cache = KernelCache(function, "entry")
        self._addresses: dict[Arguments, int] = {}
        self._kept: list[Any] = []  # machine code lives as long as what Numba says of it

    @cached_property
    def entry(self) -> Any:
        """What Numba compiles; made when first asked for, since most kernels never are."""
        return cached(_entry(self.function), self.cache)

    def address(self, kinds: Arguments) -> int:
        """Where the machine code for these types is; compiled, or loaded, when first asked for."""
        found = self._addresses.get(kinds)
        if found is None:
            with global_compiler_lock:
                result = self._loaded(kinds) or self._compiled(kinds)
                name = result.fndesc.llvm_func_name
                found = self._addresses[kinds] = result.library.get_pointer_to_function(name)
                self._kept.append(result)
        return found

    def _loaded(self, kinds: Arguments) -> Any:
        """What the cache has, for which there need be no entry; None if it has nothing."""
        return self.cache.load_overload((kinds, types.intp, CREW_TYPE), cpu_target.target_context)

    def _compiled(self, kinds: Arguments) -> Any:
        self.entry.compile((kinds, types.intp, CREW_TYPE))
        (result,) = (result for sig, result in self.entry.overloads.items() if sig[0] == kinds)
        return result

    def __call__(self, *args: Any, work: float = 0.0) -> None:
        """Run now, on as many threads as ``work`` floating-point operations deserve."""
        program = Program()
        program.add(self, *args, work=work)
        program.run()


def _entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as one of words, which first takes its arguments from them."""
    names = ", ".join(inspect.signature(function).parameters)
    # Numba does not inline a call with a star, as in function(*unpack(...)).
    module = ast.parse(f"""def make(unpack, function):
    def entry(arguments, words, the_crew):
        {names}, = unpack(arguments, words, the_crew)
        function({names})
    return entry
""")
    # The call is replaced by the function's own lines where they can be had: Numba's inlining of a
    # whole kernel takes a fifth of what it takes to compile it.
    with contextlib.suppress(OSError):  # no source, as in a frozen application
        _definition(_definition(module)).body[1:] = _statements(function)
    scope: dict[str, Any] = {}
    file = function.__code__.co_filename
    exec(compile(module, file, "exec"), function.__globals__, scope)
    return scope["make"](unpack, inline(function))


def _statements(function: Callable[..., Any]) -> list[ast.stmt]:
    lines, first = source_lines(function)
    module = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(module, first - 1)
    return _definition(module).body


def _definition(of: ast.Module | ast.FunctionDef) -> ast.FunctionDef:
    """The function that stands first in a module, or in another one."""
    definition = of.body[0]
    assert isinstance(definition, ast.FunctionDef)
    return definition


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make a function a kernel."""
    return Kernel(function)


class Repeated:
    """A kernel that is called again and again on the same arrays: a call is recorded once."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._arrays: tuple[np.ndarray, ...] = ()
        self._program = Program()

    def __call__(self, *arrays: np.ndarray, work: float = 0.0) -> None:
        """Run; for other arrays than those of the last call it is recorded anew."""
        if len(arrays) != len(self._arrays) or any(map(is_not, arrays, self._arrays)):
            self._arrays, self._program = arrays, Program()
            self._program.add(self._kernel, *arrays, work=work)
        self._program.run()


class Program:
    """Calls of kernels, recorded once.

    The arrays among the arguments must stay where they are, and are kept alive; numbers are
    recorded as they are. ``most`` bounds the threads, where scratch was laid out for so many.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = workers() if most is None else most
        self._calls: list[tuple[Kernel, tuple[Any, ...]]] = []
        self._turns: list[tuple[int, int]] = []  # of each call: whose it is, and whether all meet
        self._turn = _EVERYONE
        self._work: list[float] = []
        self._words: list[np.ndarray] = []
        self._table = np.empty((0, _COLUMNS), np.int64)
        self._team = np.zeros(TEAM_WORDS, np.int64)
        self._team_at = self._team.ctypes.data
        self._jobs: list[np.ndarray] = []
        self._launches: dict[tuple[int, int | None], list[Any]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, kernel: Kernel, *args: Any, work: float = 0.0) -> int:
        """Record a call worth ``work`` floating-point operations; returns its number."""
        self._calls.append((kernel, args))
        self._turns.append((self._turn, 1 if self._turn == _EVERYONE else 0))
        self._work.append(work)
        self._words.append(words_of(args))
        self._launches.clear()
        return len(self._calls) - 1

    def side_by_side(self, parts: Mapping[int, Callable[[Program], None]]) -> None:
        """Let each part record calls that one thread runs alone, beside those of the others.

        Parts are numbered by who takes them, modulo the threads that there are. No part may touch
        what another one writes, or halt the program.
        """
        for turn, record in parts.items():
            self._turn = turn
            record(self)
        self._turn = _EVERYONE
        self._turns[-1] = self._turns[-1][0], 1

    def point(self, number: int, position: int, array: np.ndarray) -> None:
        """Let a recorded call work on another array; it must live until the call has run."""
        kernel, args = self._calls[number]
        old = args[position]
        assert (array.dtype, array.ndim) == (old.dtype, old.ndim)
        start = width_of(args[:position])
        self._words[number][start : start + 1 + array.ndim] = words_of_one(array)
        if numba.config.DISABLE_JIT:
            self._calls[number] = kernel, (*args[:position], array, *args[position + 1 :])

    def call_of(self, start: int, stop: int) -> Callable[[], bool]:
        """``run`` of these calls, bound as closely as their work allows."""
        launches = self._launches_of(start, stop)
        if len(launches) == 1 and launches[0][0] == self._alone:
            return partial(_launch_alone, launches[0][1], 1)
        return partial(self.run, start, stop)

    def calls(self, start: int, stop: int) -> list[tuple[Kernel, tuple[Any, ...], float]]:
        """Kernel, arguments and work of some calls."""
        rows = zip(self._calls[start:stop], self._work[start:stop], strict=True)
        return [(kernel, args, work) for (kernel, args), work in rows]

    def addresses(self, start: int, stop: int) -> list[int]:
        """Where the machine code of some calls is."""
        return [kernel.address(kinds_of(args)) for kernel, args in self._calls[start:stop]]

    def run(self, start: int = 0, stop: int | None = None) -> bool:
        """Run the calls from ``start`` to before ``stop``; False where one halted the rest."""
        return all(launch(job, work) for launch, job, work in self._launches_of(start, stop))

    def _launches_of(self, start: int, stop: int | None) -> list[Any]:
        found = self._launches.get((start, stop))
        return self._prepare(start, stop) if found is None else found

    def _prepare(self, start: int, stop: int | None) -> list[Any]:
        """Launches of neighbouring calls, none much longer than Ctrl-C may wait."""
        end = len(self._calls) if stop is None else stop
        launches: list[Any] = []
        if numba.config.DISABLE_JIT:
            launches = [(self._interpret, (start, end), 0.0)]
        else:
            self._compile()
            for first, last, work in self._divide(start, end):
                launch = self._alone if work < SERIAL_WORK else self._together
                launches.append((launch, self._job(first, last), work))
        self._launches[start, stop] = launches
        return launches

    def _job(self, first: int, last: int) -> int:
        """Address of what a launch is told: each argument of its own would cost some time."""
        words = np.array([self._table.ctypes.data, self._team_at, first, last], np.int64)
        self._jobs.append(words)
        return words.ctypes.data

    def _alone(self, job: int, work: float) -> bool:
        return _launch_alone(job, 1)

    def _together(self, job: int, work: float) -> bool:
        threads = 1
        try:
            threads = claim_threads(work, self._most)
            launch = _launch_alone if threads == 1 else _launch_together
            return launch(job, threads)
        finally:
            if threads > 1:
                release_threads()

    def _interpret(self, calls: tuple[int, int], work: float) -> bool:
        """The same without the JIT: the kernels are the Python that they are written in."""
        self._team[:] = 0
        crew = Crew(0, 1, self._team_at)
        for kernel, args in self._calls[slice(*calls)]:
            kernel.function(*args, crew)
            if self._team[HALTED]:
                return False
        return True

    def _divide(self, start: int, stop: int) -> list[tuple[int, int, float]]:
        parts = []
        first, total = start, 0.0
        for number in range(start, stop):
            if total + self._work[number] > WORK_PER_LAUNCH and number > first:
                parts.append((first, number, total))
                first, total = number, 0.0
            total += self._work[number]
        return [*parts, (first, stop, total)] if first < stop else parts

    def _compile(self) -> None:
        if len(self._table) != len(self._calls):
            rows = [
                (kernel.address(kinds_of(args)), words.ctypes.data, *turn)
                for (kernel, args), words, turn in zip(
                    self._calls, self._words, self._turns, strict=True
                )
            ]
            self._table = np.array(rows, np.int64)


# The job goes in as an address: an array costs Numba's runtime an allocation at every call.
def _launch(job, threads):
    team = atomic_load(job, 1)
    open_door(team)
    for _ in prange(threads):
        _run(job, threads)
    return atomic_load(team, HALTED) == 0


@body
def _run(job, threads):
    """What each thread does: all calls, in step with the others."""
    mode = flush_denormals()
    table, first, last = atomic_load(job, 0), atomic_load(job, 2), atomic_load(job, 3)
    crew = join(atomic_load(job, 1), threads)
    if crew.size > 0:
        alone = Crew(0, 1, crew.team)
        for row in range(table + first * _ROW_BYTES, table + last * _ROW_BYTES, _ROW_BYTES):
            turn = atomic_load(row, _TURN)
            if turn == _EVERYONE:
                call(row, crew)
            elif turn % crew.size == crew.member:
                call(row, alone)
            if atomic_load(row, _MEET) != 0:
                meet(crew)
                if halted(crew):
                    break
    restore_denormals(mode)


@intrinsic
def call(typingctx, row, crew):
    """Call what stands at an address: first that of its machine code, then that of its words."""
    arguments = (Arguments(()), types.intp, CREW_TYPE)

    def codegen(context, builder, sig, args):
        row = builder.inttoptr(args[0], args[0].type.as_pointer())
        code, words = (
            builder.load(builder.gep(row, [ir.Constant(args[0].type, column)]))
            for column in (_CODE, _WORDS)
        )
        convention = context.call_conv
        kind = convention.get_function_type(types.none, arguments)
        function = builder.inttoptr(code, kind.as_pointer())
        nothing = context.get_dummy_value()
        convention.call_function(
            builder, function, types.none, arguments, [nothing, words, args[1]]
        )
        return context.get_dummy_value()

    return types.void(types.intp, crew), codegen


_launch_alone = cached(_launch, KernelCache(_launch, "alone"))
_launch_together = cached(_launch, KernelCache(_launch, "together"), parallel=True)
