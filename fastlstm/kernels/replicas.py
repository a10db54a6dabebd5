"""One program run for many sets of arrays, several at once: a thread takes a set and does it all.

For work too small to be shared between threads, such as one training step of a small model, of
which there are many. Arrays of the program are of three kinds: those that each replica has its
own of, in a *stack* along a first axis; those that all of them *share* and only read; and all
others, of which every thread gets a copy to work in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import prange

from fastlstm.kernels.arguments import words_of
from fastlstm.kernels.cache import KernelCache
from fastlstm.kernels.jit import body, cached
from fastlstm.kernels.parallel import claim_threads, get_num_threads, release_threads, workers
from fastlstm.kernels.program import WORK_PER_LAUNCH, Program, call
from fastlstm.kernels.simd import flush_denormals, restore_denormals
from fastlstm.kernels.team import TEAM_WORDS, Crew, halted, join, open_door, share

_WORD = 8
# Of a table of calls: an address of machine code, and one of words.
_ROW = 2 * _WORD
# Copies start as far from a cache line's beginning as what they are copies of.
_LINE = 64


class Replicas:
    """A part of a program, laid out for ``count`` replicas.

    Parameters
    ----------
    program : Program
        Recorded on the arrays of one replica.
    start, stop : int
        Its calls from ``start`` to before ``stop``.
    stacks : iterable of (ndarray, ndarray)
        An array of the program, and the stack, (count, ...), that stands for it: ``stack[m]`` is
        contiguous and as large.
    shared : iterable of ndarray
        Arrays that every replica reads as they are.
    pointed : iterable of (int, int)
        Arguments, by call and position, that ``point`` will say the stack of.
    """

    def __init__(
        self,
        program: Program,
        start: int,
        stop: int,
        stacks: Iterable[tuple[np.ndarray, np.ndarray]],
        shared: Iterable[np.ndarray],
        pointed: Iterable[tuple[int, int]] = (),
    ) -> None:
        stacks = list(stacks)
        self._calls = program.calls(start, stop)
        self.count = len(stacks[0][1])
        self._work = sum(work for _, _, work in self._calls)
        self._members = min(get_num_threads(), workers())
        self._kept = program, stacks  # whose memory the words point to
        stack_of = {id(_root(array)): (array, stack) for array, stack in stacks}
        later = set(pointed)
        shared_ids = {id(_root(array)) for array in shared}
        words: list[np.ndarray] = []
        relocations: list[tuple[int, int, int]] = []
        copied: list[tuple[int, np.ndarray, int]] = []
        self._relocation: dict[tuple[int, int], int] = {}
        at, calls_at = 0, []
        for number, (_, args, _) in enumerate(self._calls):
            calls_at.append(at)
            for position, arg in enumerate(args):
                own = words_of((arg,))
                if isinstance(arg, np.ndarray):
                    root = _root(arg)
                    if (start + number, position) in later:
                        self._relocation[start + number, position] = len(relocations)
                        relocations.append((at, 0, 0))
                    elif id(root) in stack_of:
                        like, stack = stack_of[id(root)]
                        shift = int(own[0]) - like.ctypes.data
                        relocations.append((at, stack.ctypes.data + shift, stack.strides[0]))
                    elif id(root) not in shared_ids and root.nbytes:
                        copied.append((at, root, int(own[0]) - root.ctypes.data))
                words.append(own)
                at += len(own)
        one = np.concatenate(words) if words else np.empty(0, np.int64)
        self._words = np.tile(one, (self._members, 1))
        self._relocations = np.array(relocations, np.int64).reshape(-1, 3)
        self._copies = [self._copy(member, copied) for member in range(self._members)]
        self._teams = np.zeros((self._members, TEAM_WORDS), np.int64)
        self._team = np.zeros(TEAM_WORDS, np.int64)
        code = program.addresses(start, stop)
        self._tables = np.array(
            [
                [(c, member.ctypes.data + _WORD * at) for c, at in zip(code, calls_at, strict=True)]
                for member in self._words
            ],
            np.int64,
        )
        self.finished = np.ones(self.count, np.uint8)

    def _copy(self, member: int, copied: list[tuple[int, np.ndarray, int]]) -> list[np.ndarray]:
        """Copies of the arrays for one thread, entered into its words."""
        made: dict[int, tuple[np.ndarray, int]] = {}
        for at, root, offset in copied:
            if id(root) not in made:
                raw = np.empty(root.nbytes + _LINE, np.uint8)
                shift = (root.ctypes.data - raw.ctypes.data) % _LINE
                flat = raw[shift : shift + root.nbytes]
                np.copyto(flat, root.reshape(-1).view(np.uint8))
                made[id(root)] = raw, flat.ctypes.data
            self._words[member, at] = made[id(root)][1] + offset
        return [raw for raw, _ in made.values()]

    def point(self, number: int, position: int, stack: np.ndarray) -> None:
        """Let replica ``m`` of a call read ``stack[m]``; it must live until the run is over."""
        row = self._relocation[number, position]
        self._relocations[row, 1:] = stack.ctypes.data, stack.strides[0]
        at = self._relocations[row, 0]
        self._words[:, at + 1 : at + stack.ndim] = stack.shape[1:]

    def run(self) -> np.ndarray:
        """Run all replicas; (count,) of 1 where the whole part was run, 0 where it was halted."""
        stride = max(1, int(WORK_PER_LAUNCH / max(self._work, 1.0)))
        for first in range(0, self.count, stride):
            self._launch(first, min(first + stride, self.count))
        return self.finished

    def _launch(self, first: int, last: int) -> None:
        threads = 1
        try:
            threads = claim_threads(self._work * (last - first), self._members)
            launch = _launch_alone if threads == 1 else _launch_together
            launch(
                self._tables, self._words, self._relocations, self._teams, self.finished,
                self._team.ctypes.data, first, last, threads,
            )  # fmt: skip
        finally:
            if threads > 1:
                release_threads()


def _root(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _launch(tables, words, relocations, teams, finished, team, first, last, threads):
    open_door(team)
    for _ in prange(threads):
        _run(tables, words, relocations, teams, finished, team, first, last, threads)


@body
def _run(tables, words, relocations, teams, finished, team, first, last, threads):
    """What each thread does: its share of the replicas, one after the other."""
    mode = flush_denormals()
    crew = join(team, threads)
    if crew.size > 0:
        k = crew.member
        alone = Crew(0, 1, teams[k].ctypes.data)
        table = tables[k].ctypes.data
        start, stop = share(last - first, crew)
        for m in range(first + start, first + stop):
            for r in range(len(relocations)):
                words[k, relocations[r, 0]] = relocations[r, 1] + m * relocations[r, 2]
            open_door(alone.team)
            finished[m] = 1
            for row in range(table, table + tables.shape[1] * _ROW, _ROW):
                call(row, alone)
                if halted(alone):
                    finished[m] = 0
                    break
    restore_denormals(mode)


_launch_alone: Any = cached(_launch, KernelCache(_launch, "alone"))
_launch_together: Any = cached(_launch, KernelCache(_launch, "together"), parallel=True)
