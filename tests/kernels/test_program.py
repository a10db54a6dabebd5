"""Programs: calls in order, in one launch, with the same bits for any number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from fastlstm.kernels import program as module
from fastlstm.kernels.activations import Relu, Tanh
from fastlstm.kernels.arguments import kinds_of, words_of
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.kernels.program import Program, kernel
from fastlstm.kernels.team import halt, meet, share
from tests.marks import needs_jit

pytestmark = needs_jit

LAUNCH = 1e9


@kernel
def _add(out, x, number, factor, negative, crew):
    """Every kind of argument has its part in the result."""
    first, last = share(len(out), crew)
    for i in range(first, last):
        value = x[i, x.shape[1] - 1] * factor + number
        out[i] += -value if negative else value


@kernel
def _reverse(out, x, crew):
    """Reads what other members wrote just before."""
    first, last = share(len(out), crew)
    for i in range(first, last):
        out[i] = x[len(x) - 1 - i]


@kernel
def _twice(out, x, crew):
    """A barrier within a kernel."""
    first, last = share(len(out), crew)
    for i in range(first, last):
        x[i] = out[i]
    meet(crew)
    for i in range(first, last):
        out[i] = 2 * x[len(x) - 1 - i]


@kernel
def _halt_if_negative(x, crew):
    if x[0] < 0 and (x[0] < -1 or crew.member == crew.size - 1):
        halt(crew)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    set_num_threads(request.param)
    return request.param


@pytest.mark.usefixtures("threads")
def test_every_kind_of_argument(rng):
    for dtype in (np.float32, np.float64):
        x, out = rng.standard_normal((50, 3)).astype(dtype), np.ones(50, dtype)
        _add(out, x, 3, 0.5, True, work=LAUNCH)
        np.testing.assert_allclose(out, 1 - (x[:, 2] * 0.5 + 3), rtol=1e-5)
        _add(out, x, -4, 2.0, False, work=LAUNCH)


@pytest.mark.usefixtures("threads")
def test_calls_run_in_order_and_see_what_was_written_before(rng):
    x, y, z = rng.standard_normal(1000), np.empty(1000), np.zeros(1000)
    program = Program()
    for _ in range(100):
        program.add(_reverse, y, x, work=LAUNCH / 100)
        program.add(_reverse, z, y)
        program.add(_twice, z, y)
    for _ in range(20):
        assert program.run()
        np.testing.assert_array_equal(z, 2 * x[::-1])


def test_part_of_a_program():
    out, x = np.zeros(4), np.ones((4, 1))
    program = Program()
    for number in (1, 10, 100):
        program.add(_add, out, x, number, 0.0, False)
    assert program.run(1, 3)
    np.testing.assert_array_equal(out, 110)
    assert program.run(1, 1)
    assert program.run(0, 1)
    np.testing.assert_array_equal(out, 111)


@pytest.mark.usefixtures("threads")
def test_a_kernel_may_halt_the_rest():
    flag, out, x = np.array([-1.0]), np.zeros(4), np.ones((4, 1))
    program = Program()
    program.add(_add, out, x, 1, 0.0, False, work=LAUNCH)
    program.add(_halt_if_negative, flag)
    program.add(_add, out, x, 1, 0.0, False)
    assert not program.run()
    np.testing.assert_array_equal(out, 1)
    flag[0] = 1
    assert program.run()
    np.testing.assert_array_equal(out, 3)


@pytest.mark.usefixtures("threads")
def test_parts_side_by_side_go_to_one_thread_each(rng):
    x, out = rng.standard_normal((3, 1000)), np.zeros((3, 1000))
    program = Program()
    program.add(_reverse, out[0], x[0], work=LAUNCH)
    for _ in range(50):
        # Each part has two calls, of which the second reads what the first wrote.
        program.side_by_side(
            {number: lambda p, n=number: _reverse_twice(p, out[n], x[n]) for number in range(3)}
        )
        program.add(_twice, out[2], x[2])
        program.side_by_side({1: lambda p: p.add(_reverse, x[2], out[2])})
    program.add(_reverse, out[1], x[1])
    before = x.copy()
    for _ in range(10):
        x[...] = before
        assert program.run()
        np.testing.assert_array_equal(out[0], 2 * before[0])
        np.testing.assert_array_equal(out[1], before[1][::-1])


def _reverse_twice(program, out, x):
    program.add(_reverse, out, x)
    program.add(_twice, out, x.copy())


def test_another_array_for_a_recorded_call():
    out, x = np.zeros(4), np.ones((4, 2))
    program = Program()
    number = program.add(_add, out, x, 0, 1.0, False)
    program.run()
    other = np.full((4, 5), 7.0)
    program.point(number, 1, other)
    program.run()
    np.testing.assert_array_equal(out, 8)


def test_a_kernel_without_its_source(rng):
    """As in a frozen application."""
    scope = {"share": share, "__name__": __name__}
    exec(
        """def double(out, x, crew):
    first, last = share(len(x), crew)
    for i in range(first, last):
        out[i] = 2 * x[i]
""",
        scope,
    )
    x = rng.normal(size=5)
    out = np.empty(5)
    kernel(scope["double"])(out, x)
    np.testing.assert_array_equal(out, 2 * x)


def test_work_is_divided_so_that_python_comes_by(monkeypatch):
    program = Program()
    out, x = np.zeros(4), np.ones((4, 1))
    for work in (3, 3, 9, 1, 1):
        program.add(_add, out, x, 1, 0.0, False, work=work)
    monkeypatch.setattr(module, "WORK_PER_LAUNCH", 6)
    assert program._divide(0, 5) == [(0, 2, 6), (2, 3, 9), (3, 5, 2)]
    assert program._divide(2, 2) == []
    program.run()
    np.testing.assert_array_equal(out, 5)


def test_only_contiguous_arrays_are_recorded():
    with pytest.raises(ValueError, match="C-contiguous"):
        Program().add(_reverse, np.zeros(4), np.zeros(8)[::2])


def test_words_and_kinds():
    args = (Tanh(), np.zeros((2, 3), np.float32), 5, 0.25, True)
    words = words_of(args)
    assert words[0] == args[1].ctypes.data
    assert words[1:4].tolist() == [2, 3, 5]
    assert words[4:5].view(np.float64)[0] == 0.25
    assert words[5] == 1
    assert kinds_of(args) == kinds_of((Tanh(), np.ones((1, 1), np.float32), 6, 0.5, False))
    assert kinds_of(args) != kinds_of((Relu(), *args[1:]))
    assert kinds_of((np.zeros(1, np.uint8),)).kinds == (numba.types.Array(numba.uint8, 1, "C"),)


def test_halting_again_and_again_leaves_nobody_waiting():
    """One member may be a kernel ahead of another that has not looked at the flag yet."""
    set_num_threads(2)
    flag, out, x = np.array([-1.0]), np.zeros(4), np.ones((4, 1))
    program = Program()
    program.add(_add, out, x, 1, 0.0, False, work=LAUNCH)
    program.add(_halt_if_negative, flag)
    program.add(_add, out, x, 1, 0.0, False)
    for number in range(5000):
        flag[0] = -1 - number % 2  # one member, or all of them at once
        assert not program.run()
    np.testing.assert_array_equal(out, 5000)
