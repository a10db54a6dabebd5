"""Teams: all who come share the work, nobody waits for those who do not, barriers hold."""

from __future__ import annotations

import os
import sys

import numba
import numpy as np
import pytest

from fastlstm.kernels.jit import body
from fastlstm.kernels.team import TEAM_WORDS, Crew, join, meet, open_door, step_aside, take
from tests.marks import needs_jit

MEETINGS = 2_000


@numba.njit(parallel=True)
def _count_together(team, counts, seen, parts, expected):
    """Every member counts on, meets the others and looks at their counts, again and again."""
    open_door(team)
    for i in numba.prange(parts):
        _count(team, counts, seen, np.intp(i), expected)


@body
def _count(team, counts, seen, i, expected):
    crew = join(team, expected)
    seen[i, 0], seen[i, 1] = crew.member, crew.size
    for n in range(1, MEETINGS + 1) if crew.size > 0 else range(0):
        counts[crew.member, 0] = n
        meet(crew)
        for other in range(crew.size):
            if counts[other, 0] != n:
                seen[i, 2] += 1
        meet(crew)


@numba.njit(parallel=True)
def _take_together(team, taken, parts):
    """Members take things, meet, and take others, so many times; who took what."""
    open_door(team)
    for _ in numba.prange(parts):
        _take(team, taken, parts)


@body
def _take(team, taken, parts):
    crew = join(team, parts)
    for n in range(taken.shape[0]) if crew.size > 0 else range(0):
        thing = take(crew, -1)
        while thing < taken.shape[1]:
            taken[n, thing, crew.member] += 1
            thing = take(crew, thing)
        meet(crew)


@body
def _join(team, result, expected):
    crew = join(team, expected)
    result[0], result[1] = crew.member, crew.size


@body
def _step_aside():
    step_aside()


def _team() -> np.ndarray:
    return np.zeros(TEAM_WORDS, np.int64)


def _count_with(parts: int, expected: int) -> np.ndarray:
    team = _team()
    counts, seen = np.zeros((8, 16), np.int64), np.zeros((parts, 3), np.int64)
    _count_together(team.ctypes.data, counts, seen, parts, expected)
    return seen


@needs_jit
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two processors")
def test_barriers_hold():
    """Nobody passes a barrier before all have come, and all see what was written before it."""
    largest = 0
    for _ in range(20):  # a busy machine may leave a member behind
        seen = _count_with(2, 2)
        members = seen[seen[:, 1] > 0]
        largest = max(largest, len(members))
        np.testing.assert_array_equal(np.sort(members[:, 0]), np.arange(len(members)))
        np.testing.assert_array_equal(members[:, 1], len(members))
        np.testing.assert_array_equal(seen[:, 2], 0)
    assert largest == 2


@needs_jit
@pytest.mark.parametrize("things", [0, 1, 2, 3, 50])
def test_each_thing_is_taken_once_between_two_barriers(things):
    for _ in range(20):
        taken = np.zeros((301, things, 8), np.int64)
        _take_together(_team().ctypes.data, taken, 2)
        np.testing.assert_array_equal(taken.sum(axis=2), 1)


def test_a_lone_thread_takes_everything_in_order():
    crew = Crew(0, 1, _team().ctypes.data)
    taken = [take(crew, -1)]
    for _ in range(4):
        taken.append(take(crew, taken[-1]))
    assert taken == [0, 1, 2, 3, 4]


@needs_jit
def test_those_who_never_come_are_not_waited_for():
    seen = _count_with(2, 3)
    members = seen[seen[:, 1] > 0]
    assert 1 <= len(members) <= 2
    np.testing.assert_array_equal(members[:, 1], len(members))


def test_one_thread_is_a_team_at_once():
    team, result = _team(), np.full(2, -1)
    _join(team.ctypes.data, result, 1)
    np.testing.assert_array_equal(result, [0, 1])
    np.testing.assert_array_equal(team, 0)


def test_a_lone_thread_goes_on_alone():
    team, result = _team(), np.full(2, -1)
    _join(team.ctypes.data, result, 2)
    np.testing.assert_array_equal(result, [0, 1])


def test_a_latecomer_finds_the_door_closed():
    team, result = _team(), np.full(2, -1)
    _join(team.ctypes.data, result, 2)
    _join(team.ctypes.data, result, 2)
    assert result[1] == 0


@needs_jit
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a thread's processors")
def test_stepping_aside_keeps_the_allowed_processors():
    before = os.sched_getaffinity(0)
    _step_aside()
    assert os.sched_getaffinity(0) == before
    try:
        os.sched_setaffinity(0, {min(before)})  # nowhere to go
        _step_aside()
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)
