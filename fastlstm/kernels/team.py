"""Threads that work in step inside one launch: who they are, and a cheap barrier between them.

A launch promises no thread: those that come late, or never, must not be waited for. So threads
``join`` first. Whoever has come when the first one's patience ends is the crew, and shares all the
work; a latecomer finds the door closed and does nothing. Members are running threads, so ``meet``
always returns, however busy the machine is.

``team`` is the address of ``TEAM_WORDS`` int64.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlstm.kernels.emit import call
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import body, inline

# Words that different threads write stand on different cache lines.
_DOOR, _SIZE, _MET, HALTED, _TAKEN, _TAKEN_NEXT = 0, 16, 32, 48, 64, 80
TEAM_WORDS = 96
_CLOSED = 1 << 32
# In pauses, of 20 to 50 nanoseconds on x86: a sleeping thread usually comes within 3,000.
_PATIENCE = 50_000 if HOST.x86 else 5_000
_PAUSES_BEFORE_YIELD = _PATIENCE // 50
_CPU_SET_BYTES = 1024


class Crew(NamedTuple):
    """What a kernel knows of the threads that run it: ``member`` of ``size``, and their team."""

    member: int
    size: int
    team: int


CREW_TYPE = types.NamedUniTuple(types.intp, len(Crew._fields), Crew)


@body
def share(total, crew):
    """First and past-last index of this member's part of ``total`` things."""
    return total * crew.member // crew.size, total * (crew.member + 1) // crew.size


@body
def take(crew, last):
    """The next of 0, 1, 2 ... that no member has taken since all met; ``last`` was, or -1.

    For things of unlike size, or processors of unlike speed. Every kernel that takes at all does
    so at one place, between two barriers. What a member takes first is its own: one kernel after
    the other finds it in that processor's cache.
    """
    if crew.size == 1:
        return last + 1
    if last < 0:
        return crew.member
    return crew.size + atomic_add(crew.team, _taken(_barrier(crew)), 1)


@inline
def _taken(barrier):
    """The word that counts what was taken: one is in use while the other is cleared."""
    return _TAKEN if barrier % 2 == 0 else _TAKEN_NEXT


@intrinsic
def open_door(typingctx, team):
    """Prepare a team's words for a launch."""

    def codegen(context, builder, sig, args):
        words = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        cgutils.memset(builder, words, ir.Constant(ir.IntType(64), 8 * TEAM_WORDS), 0)
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@inline
def join(team, threads):
    """This thread's place in the crew; its size is 0 for one who came too late."""
    if threads == 1:
        return Crew(0, 1, team)
    member = atomic_add(team, _DOOR, 1)
    if member >= _CLOSED:
        return Crew(0, 0, team)
    if member == 0:
        _wait_for_others(team, threads)
        atomic_add(team, _SIZE, atomic_add(team, _DOOR, _CLOSED))
    _wait(team, _SIZE, 1)
    return Crew(member, atomic_load(team, _SIZE), team)


@inline
def _wait_for_others(team, threads):
    pauses = 0
    while pauses < _PATIENCE and atomic_load(team, _DOOR) < threads:
        pauses += 1
        pause()
        if pauses % _PAUSES_BEFORE_YIELD == 0:
            came = atomic_load(team, _DOOR)
            give_way()
            if atomic_load(team, _DOOR) > came:  # it had been waiting for this very processor
                step_aside()


@body
def meet(crew):
    """Wait until every member has come here.

    What members wrote before, all of them see afterwards.
    """
    if crew.size > 1:
        if crew.member == 0:
            atomic_store(crew.team, _taken(_barrier(crew) + 1), 0)
        came = atomic_add(crew.team, _MET, 1)
        _wait(crew.team, _MET, (came // crew.size + 1) * crew.size)


@inline
def halt(crew):
    """Let this kernel be the last of the launch."""
    atomic_store(crew.team, HALTED, _barrier(crew) + 1)


@inline
def halted(crew):
    """Whether a member has called ``halt`` before the barrier that this one has just passed.

    A faster member may be in the next kernel already, and halt that one.
    """
    at = atomic_load(crew.team, HALTED)
    return 0 < at <= _barrier(crew) or (at > 0 and crew.size == 1)


@inline
def _barrier(crew):
    """Number of barriers that all members have reached."""
    return atomic_load(crew.team, _MET) // crew.size


@inline
def _wait(team, word, value):
    pauses = 0
    while atomic_load(team, word) < value:
        pauses += 1
        if pauses % _PAUSES_BEFORE_YIELD == 0:
            give_way()
        else:
            pause()


@intrinsic
def atomic_add(typingctx, team, word, value):
    """Add to a word of the team; returns what stood there before."""

    def codegen(context, builder, sig, args):
        return builder.atomic_rmw("add", _word(builder, *args[:2]), args[2], "seq_cst")

    return types.int64(types.intp, types.intp, types.int64), codegen


@intrinsic
def atomic_load(typingctx, team, word):
    """Read a word of the team; what was written before it was, is seen afterwards."""

    def codegen(context, builder, sig, args):
        return builder.load_atomic(_word(builder, *args), "acquire", 8)

    return types.int64(types.intp, types.intp), codegen


@intrinsic
def atomic_store(typingctx, team, word, value):
    """Write a word of the team, after everything that was written before it."""

    def codegen(context, builder, sig, args):
        builder.store_atomic(args[2], _word(builder, *args[:2]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.int64), codegen


def _word(builder, team, word):
    return builder.gep(builder.inttoptr(team, ir.IntType(64).as_pointer()), [word])


@intrinsic
def pause(typingctx):
    """Wait a moment, in a loop that waits for another thread."""

    def codegen(context, builder, sig, args):
        if HOST.x86:
            call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        else:
            _yield(builder)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread have this processor."""

    def codegen(context, builder, sig, args):
        _yield(builder)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def step_aside(typingctx):
    """Leave this processor to whoever waits for it, and go on on another, where there is one.

    Linux may wake a thread on the processor of the thread that woke it, although others are
    idle, and takes 5 to 10 milliseconds to part them (measured on two processors, after a rest).
    """

    def codegen(context, builder, sig, args):
        if sys.platform == "linux":
            _move(builder)
        return context.get_dummy_value()

    return types.void(), codegen


def _move(builder):
    """Forbid this thread its processor and allow it again: it stays where it has gone."""
    byte, word, long = ir.IntType(8), ir.IntType(32), ir.IntType(64)
    size, this = ir.Constant(long, _CPU_SET_BYTES), ir.Constant(word, 0)
    cpu_set = ir.ArrayType(byte, _CPU_SET_BYTES)
    allowed, others = (
        builder.bitcast(cgutils.alloca_once(builder, cpu_set), byte.as_pointer()) for _ in range(2)
    )
    known = builder.or_(
        call(builder, "sched_getaffinity", word, this, size, allowed),
        call(builder, "sched_getaffinity", word, this, size, others),
    )
    cpu = builder.zext(call(builder, "sched_getcpu", word), long)
    in_set = builder.icmp_unsigned("<", cpu, ir.Constant(long, 8 * _CPU_SET_BYTES))
    with builder.if_then(builder.and_(builder.icmp_signed("==", known, this), in_set)):
        at = builder.gep(others, [builder.lshr(cpu, ir.Constant(long, 3))])
        bit = builder.trunc(builder.and_(cpu, ir.Constant(long, 7)), byte)
        mask = builder.not_(builder.shl(ir.Constant(byte, 1), bit))
        builder.store(builder.and_(builder.load(at), mask), at)
        # Without any other processor the first call fails and changes nothing.
        call(builder, "sched_setaffinity", word, this, size, others)
        call(builder, "sched_setaffinity", word, this, size, allowed)


def _yield(builder):
    call(builder, "SwitchToThread" if sys.platform == "win32" else "sched_yield", ir.IntType(32))
