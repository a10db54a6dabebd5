"""The recurrent driver with each cell: against the step-by-step reference, and in its bits."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.cells.lstm import LSTMCell
from fastlstm.cells.rnn import RNNCell
from fastlstm.kernels.activations import Relu, Tanh
from fastlstm.kernels.parallel import set_num_threads
from tests.kernels.driver import Driver
from tests.reference import finite, lstm, rnn

CELLS = {
    "lstm": (LSTMCell(), lstm, {}),
    "rnn-tanh": (RNNCell(Tanh()), rnn, {"activation": "tanh"}),
    "rnn-relu": (RNNCell(Relu()), rnn, {"activation": "relu"}),
}

# batch, steps, features, units: one of each, sizes beside the tile's, more than one panel.
SHAPES = [(1, 1, 1, 1), (2, 9, 3, 7), (5, 4, 17, 33), (33, 3, 2, 50), (3, 5, 300, 130)]


class Problem:
    """A cell with random weights, states, input and gradients of everything that comes out."""

    def __init__(self, rng, name, shape, dtype=np.float64, masked=False):
        self.cell, self.reference, self.options = CELLS[name]
        batch, steps, features, units = shape
        columns = self.cell.blocks * units

        def normal(*size, scale=1.0):
            return (scale * rng.standard_normal(size)).astype(dtype)

        self.x = normal(batch, steps, features)
        self.weights = [
            normal(features, columns, scale=features**-0.5),
            normal(units, columns, scale=0.7 * units**-0.5),
            normal(columns),
        ]
        self.states = [normal(batch, units) for _ in range(self.cell.states)]
        self.mask = rng.random((batch, steps)) < 0.6 if masked else None
        self.d_outputs = normal(batch, steps, units)
        self.d_states = [normal(batch, units) for _ in range(self.cell.states)]

    def driver(self, **options):
        return Driver(self.cell, self.x, *self.weights, mask=self.mask, **options)

    def expected(self):
        y, states, steps = self.reference.forward(
            self.x, *self.weights, self.states, self.mask, **self.options
        )
        gradients = self.reference.backward(
            steps, *self.weights[:2], self.d_outputs, self.d_states, **self.options
        )
        return [y, *states], _flat(gradients)


def _flat(gradients):
    d_x, d_states, *d_weights = gradients
    return [d_x, *d_states, *d_weights]


def _run(problem, **options):
    driver = problem.driver(**options)
    y, states = driver.forward(problem.states)
    outputs = [y.copy(), *states]
    return outputs, _flat(driver.backward(problem.d_outputs, problem.d_states))


def _assert_close(got, expected, rtol=1e-11, atol=1e-11):
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def _assert_same_bits(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_against_the_reference(name, shape, masked, rng):
    problem = Problem(rng, name, shape, masked=masked)
    outputs, gradients = _run(problem)
    expected_outputs, expected_gradients = problem.expected()
    _assert_close(outputs, expected_outputs)
    _assert_close(gradients, expected_gradients)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("name", CELLS)
def test_against_finite_differences(name, masked, rng):
    """Independent of the reference: the derivative along random directions of all inputs."""
    problem = Problem(rng, name, (3, 4, 2, 5), masked=masked)
    inputs = [problem.x, *problem.states, *problem.weights]

    def value():
        y, states = problem.driver().forward(problem.states)
        return (y * problem.d_outputs).sum() + sum(
            (state * d).sum() for state, d in zip(states, problem.d_states, strict=True)
        )

    _, gradients = _run(problem)
    for index, gradient in enumerate(gradients):
        for _ in range(3):
            directions = [np.zeros_like(array) for array in inputs]
            directions[index] = rng.standard_normal(inputs[index].shape)
            expected = finite.slope(value, inputs, directions)
            assert np.isclose((gradient * directions[index]).sum(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("name", CELLS)
def test_gradient_of_the_last_state_alone(name, rng):
    problem = Problem(rng, name, (3, 5, 4, 9))
    driver = problem.driver()
    driver.forward(problem.states)
    got = _flat(driver.backward(None, problem.d_states))
    problem.d_outputs = np.zeros_like(problem.d_outputs)
    _assert_close(got, problem.expected()[1])


@pytest.mark.usefixtures("serial")
def test_single_precision(rng):
    problem = Problem(rng, "lstm", (7, 20, 17, 33), np.float32, masked=True)
    outputs, gradients = _run(problem)
    expected_outputs, expected_gradients = problem.expected()
    _assert_close(outputs, expected_outputs, 1e-5, 1e-5)
    _assert_close(gradients, expected_gradients, 1e-4, 1e-4)


# -- what must not change a bit -----------------------------------------------------------------


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": 2}, {"chunk": 100}], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_chunks(name, options, rng):
    problem = Problem(rng, name, (5, 7, 3, 21), masked=True)
    expected = _run(problem)
    for got, other in zip(_run(problem, **options), expected, strict=True):
        _assert_same_bits(got, other)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("name", CELLS)
def test_a_launch_may_stop_between_chunks(name, rng):
    problem = Problem(rng, name, (5, 7, 3, 21))
    _, expected = _run(problem)
    driver = problem.driver(chunk=3)
    driver.forward(problem.states, split=3)
    _assert_same_bits(
        _flat(driver.backward(problem.d_outputs, problem.d_states, split=3)), expected
    )


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("name", CELLS)
def test_without_saving(name, masked, rng):
    """Gates of one chunk and two slots of other states are enough to predict."""
    problem = Problem(rng, name, (5, 7, 3, 21), masked=masked)
    y, states = problem.driver().forward(problem.states, saving=False)
    expected, _ = _run(problem)
    _assert_same_bits([y, *states], expected)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("name", CELLS)
def test_one_step_at_a_time(name, rng):
    problem = Problem(rng, name, (5, 7, 3, 21))
    expected, _ = _run(problem)
    states, outputs = problem.states, []
    for t in range(7):
        driver = Driver(problem.cell, problem.x[:, t : t + 1], *problem.weights)
        y, states = driver.forward(states, saving=False)
        outputs.append(y)
    _assert_same_bits([np.concatenate(outputs, axis=1), *states], expected)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("name", CELLS)
def test_rows_one_by_one(name, rng):
    problem = Problem(rng, name, (9, 4, 3, 21))
    expected, _ = _run(problem)
    for r in range(9):
        row = slice(r, r + 1)
        driver = Driver(problem.cell, problem.x[row], *problem.weights)
        y, states = driver.forward([state[row] for state in problem.states])
        _assert_same_bits([y, *states], [array[row] for array in expected])


@pytest.mark.parametrize("shape", [(1, 3, 2, 33), (2, 5, 17, 7), (33, 4, 3, 50)], ids=str)
def test_threads(shape, rng):
    problem = Problem(rng, "lstm", shape, np.float32, masked=True)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        outputs, gradients = _run(problem)
        results.append([*outputs, *gradients])
    _assert_same_bits(results[1], results[0])
    _assert_same_bits(results[2], results[0])


@pytest.mark.parametrize("shape", [(1, 3, 2, 33), (5, 7, 17, 50), (2, 4, 3, 7)], ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_units_shared_between_threads(shape, masked, rng):
    """Also where there are fewer panels of units than threads."""
    problem = Problem(rng, "lstm", shape, np.float32, masked=masked)
    set_num_threads(1)
    expected_outputs, expected_gradients = _run(problem)
    for threads in (2, 3):
        set_num_threads(threads)
        outputs, gradients = _run(problem, rows=0)
        _assert_same_bits(outputs, expected_outputs)
        _assert_same_bits(gradients, expected_gradients)


# -- masks, and numbers at the edge ---------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 4])
@pytest.mark.parametrize("name", CELLS)
def test_padding_before_and_after_all_others_is_not_looked_at(name, rows, rng):
    problem = Problem(rng, name, (9, 7, 3, 21), masked=True)
    problem.mask = np.arange(7) < np.array([7, 7, 6, 4, 4, 3, 1, 0, 0])[:, None]
    problem.mask[0] = False
    outputs, gradients = _run(problem, rows=rows)
    problem.x[~problem.mask] = np.nan
    got, got_gradients = _run(problem, rows=rows)
    _assert_same_bits([*got, *got_gradients], [*outputs, *gradients])


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("name", CELLS)
def test_a_masked_step_holds_the_states_and_learns_nothing(name, rng):
    problem = Problem(rng, name, (4, 6, 3, 9))
    problem.mask = np.ones((4, 6), bool)
    problem.mask[0] = False
    problem.mask[1, 3:] = False
    (y, *states), (d_x, *_) = _run(problem)
    np.testing.assert_array_equal(y[0], np.tile(problem.states[0][0], (6, 1)))
    for state, before in zip(states, problem.states, strict=True):
        np.testing.assert_array_equal(state[0], before[0])
    np.testing.assert_array_equal(y[1, 3:], np.tile(y[1, 2], (3, 1)))
    np.testing.assert_array_equal(d_x[~problem.mask], 0)
    assert np.all(d_x[problem.mask].any(axis=-1))


@pytest.mark.usefixtures("serial")
def test_saturated_gates_have_finite_gradients(rng):
    problem = Problem(rng, "lstm", (2, 3, 4, 5))
    problem.x *= 1e6
    outputs, gradients = _run(problem)
    for array in (*outputs, *gradients):
        assert np.isfinite(array).all()


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("name", CELLS)
def test_nan_stays_in_its_row(name, rng):
    problem = Problem(rng, name, (3, 4, 2, 9))
    clean, _ = _run(problem)
    problem.x[1, 2, 0] = np.nan
    (y, *_), _ = _run(problem)
    assert np.isnan(y[1, 2:]).all()
    np.testing.assert_array_equal(y[[0, 2]], clean[0][[0, 2]])
    np.testing.assert_array_equal(y[1, :2], clean[0][1, :2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CELLS)
def test_a_lone_row_reads_weights_as_they_are(rng, name, dtype):
    """Bit for bit as from panels, of which there must be whole pairs."""
    problem = Problem(rng, name, (1, 3, 300, 384), dtype)
    expected = _run(problem, rows=0, chunk=1)
    for threads in (1, 2, 3):
        set_num_threads(threads)
        got = _run(problem, rows=0, chunk=1, unpacked=True)
        _assert_same_bits(got[0] + got[1], expected[0] + expected[1])
