"""Outputs and all gradients against PyTorch in float32, at sizes that no tile divides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastlstm
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, Embedding, ProjectedLSTM, SimpleRNN

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # at these sizes, several cost far more time than they save

pytestmark = pytest.mark.usefixtures("serial")

UNITS = (1, 7, 33, 50, 130)
FEATURES, BATCHES, STEPS = (1, 3, 17), (1, 2, 5, 33), (1, 9)

# Rounding of both sides; sums over 33 · 9 rows and 130 units stay well below.
TOLERANCE = 2e-5


def _assert_close(got, expected, what):
    for index, (one, other) in enumerate(zip(got, expected, strict=True)):
        other = other.detach().numpy()
        assert one.shape == other.shape
        assert one.dtype == np.float32
        scale = max(1.0, np.abs(other).max())
        worst = np.abs(one - other).max() / scale
        assert worst <= TOLERANCE, f"{what}, array {index}: {worst:.1e}"


def _normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def _leaf(array):
    return torch.from_numpy(np.array(array)).requires_grad_()


def _module(kind, features, units):
    if kind == "lstm":
        return torch.nn.LSTM(features, units, batch_first=True)
    return torch.nn.RNN(features, units, batch_first=True, nonlinearity=kind)


def _load(module, kernel, recurrent, bias):
    """PyTorch has a second bias: it gets the same gradient, and is left at zero."""
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(kernel.T.copy()))
        module.weight_hh_l0.copy_(torch.from_numpy(recurrent.T.copy()))
        module.bias_ih_l0.copy_(torch.from_numpy(bias))
        module.bias_hh_l0.zero_()


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("kind", ["lstm", "tanh", "relu"])
def test_recurrent(kind, units, rng):
    for features in FEATURES:
        options = {"return_sequences": True, "return_state": True}
        layer = LSTM(units, **options) if kind == "lstm" else SimpleRNN(units, kind, **options)
        layer.build((None, features))
        count = 2 if kind == "lstm" else 1
        # A ReLU network multiplies by its weights at each step: keep it from growing.
        weights = [
            _normal(rng, *w.shape) * np.float32(0.5 * units**-0.5) for w in layer.get_weights()
        ]
        layer.set_weights(weights)
        module = _module(kind, features, units)
        _load(module, *weights)
        for batch, steps in itertools.product(BATCHES, STEPS):
            x = _normal(rng, batch, steps, features)
            states = [_normal(rng, batch, units) for _ in range(count)]
            d_outputs = [_normal(rng, batch, steps, units)]
            d_outputs += [_normal(rng, batch, units) for _ in range(count)]

            (y, *final), pullback = fastlstm.vjp(layer, x, initial_state=states)
            d_x, d_states, d_weights = pullback(*d_outputs)

            module.zero_grad()
            t_x, t_states = _leaf(x), [_leaf(state) for state in states]
            packed = tuple(state[None] for state in t_states)
            t_y, t_final = module(t_x, packed if kind == "lstm" else packed[0])
            t_final = [state[0] for state in (t_final if kind == "lstm" else (t_final,))]
            torch.autograd.backward([t_y, *t_final], [torch.from_numpy(d) for d in d_outputs])

            what = f"features {features}, batch {batch}, steps {steps}"
            _assert_close([y, *final], [t_y, *t_final], what)
            t_weights = [module.weight_ih_l0.grad.T, module.weight_hh_l0.grad.T]
            expected = [t_x.grad, *(state.grad for state in t_states), *t_weights]
            _assert_close([d_x, *d_states, *d_weights], [*expected, module.bias_ih_l0.grad], what)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")
@pytest.mark.parametrize("units", [7, 33, 130])
def test_projected_lstm(units, rng):
    for proj_size in (1, units // 2, units - 1):
        layer = ProjectedLSTM(units, proj_size, return_sequences=True, return_state=True)
        layer.build((None, 3))
        weights = [_normal(rng, *w.shape) * np.float32(units**-0.5) for w in layer.get_weights()]
        layer.set_weights(weights)
        module = torch.nn.LSTM(3, units, batch_first=True, proj_size=proj_size)
        _load(module, *weights[:3])
        with torch.no_grad():
            module.weight_hr_l0.copy_(torch.from_numpy(weights[3].T.copy()))
        for batch, steps in itertools.product(BATCHES, STEPS):
            x = _normal(rng, batch, steps, 3)
            states = [_normal(rng, batch, size) for size in (proj_size, units)]
            d_outputs = [_normal(rng, batch, steps, proj_size), *map(np.ones_like, states)]
            (y, *final), pullback = fastlstm.vjp(layer, x, initial_state=states)
            d_x, d_states, d_weights = pullback(*d_outputs)

            module.zero_grad()
            t_x, t_states = _leaf(x), [_leaf(state) for state in states]
            t_y, t_final = module(t_x, tuple(state[None] for state in t_states))
            t_final = [state[0] for state in t_final]
            torch.autograd.backward([t_y, *t_final], [torch.from_numpy(d) for d in d_outputs])

            what = f"projected to {proj_size}, batch {batch}, steps {steps}"
            _assert_close([y, *final], [t_y, *t_final], what)
            kernels = module.weight_ih_l0, module.weight_hh_l0
            projection = module.weight_hr_l0.grad.T
            expected = [*(kernel.grad.T for kernel in kernels), module.bias_ih_l0.grad, projection]
            states_and_x = [t_x.grad, *(state.grad for state in t_states)]
            _assert_close([d_x, *d_states, *d_weights], [*states_and_x, *expected], what)


def _torch_order(weights):
    """Gates r, z, n, from z, r, n."""
    z, r, n = np.split(weights, 3, axis=-1)
    return torch.from_numpy(np.concatenate([r, z, n], axis=-1).T.copy())


@pytest.mark.parametrize("units", UNITS)
def test_gru(units, rng):
    layer = GRU(units, return_sequences=True, return_state=True)
    layer.build((None, 3))
    weights = [_normal(rng, *w.shape) * np.float32(units**-0.5) for w in layer.get_weights()]
    layer.set_weights(weights)
    module = torch.nn.GRU(3, units, batch_first=True)
    parameters = [module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0, module.bias_hh_l0]
    with torch.no_grad():
        for parameter, value in zip(parameters, [*weights[:2], *weights[2]], strict=True):
            parameter.copy_(_torch_order(value))
    for batch, steps in itertools.product(BATCHES, STEPS):
        x, state = _normal(rng, batch, steps, 3), _normal(rng, batch, units)
        d_outputs = [_normal(rng, batch, steps, units), _normal(rng, batch, units)]
        (y, final), pullback = fastlstm.vjp(layer, x, initial_state=[state])
        d_x, d_states, d_weights = pullback(*d_outputs)

        module.zero_grad()
        t_x, t_state = _leaf(x), _leaf(state)
        t_y, t_final = module(t_x, t_state[None])
        torch.autograd.backward([t_y, t_final[0]], [torch.from_numpy(d) for d in d_outputs])

        what = f"batch {batch}, steps {steps}"
        _assert_close([y, final], [t_y, t_final[0]], what)
        _assert_close([d_x, *d_states], [t_x.grad, t_state.grad], what)
        for parameter, value in zip(parameters, [*d_weights[:2], *d_weights[2]], strict=True):
            _assert_close([_torch_order(value).numpy()], [parameter.grad], what)


@pytest.mark.parametrize("units", UNITS)
def test_both_directions(units, rng):
    layer = Bidirectional(LSTM(units, return_sequences=True, return_state=True))
    layer.build((None, 3))
    layer.set_weights(
        [_normal(rng, *w.shape) * np.float32(0.5 * units**-0.5) for w in layer.get_weights()]
    )
    module = torch.nn.LSTM(3, units, batch_first=True, bidirectional=True)
    sides = ["_l0", "_l0_reverse"]
    kernels = [getattr(module, f"weight_{what}{side}") for side in sides for what in ("ih", "hh")]
    biases = [getattr(module, f"bias_{what}{side}") for side in sides for what in ("ih", "hh")]
    weights = layer.get_weights()
    with torch.no_grad():
        for parameter, value in zip(kernels, [*weights[:2], *weights[3:5]], strict=True):
            parameter.copy_(torch.from_numpy(value.T.copy()))
        for parameter, value in zip(biases, [weights[2], 0, weights[5], 0], strict=True):
            parameter.copy_(torch.as_tensor(value))
    for batch, steps in itertools.product(BATCHES, STEPS):
        x = _normal(rng, batch, steps, 3)
        states = [_normal(rng, batch, units) for _ in range(4)]  # h and c of each direction
        d_outputs = [_normal(rng, batch, steps, 2 * units)]
        d_outputs += [_normal(rng, batch, units) for _ in range(4)]
        (y, *final), pullback = fastlstm.vjp(layer, x, initial_state=states)
        d_x, d_states, d_weights = pullback(*d_outputs)

        module.zero_grad()
        t_x, t_states = _leaf(x), [_leaf(state) for state in states]
        h, c = (torch.stack(t_states[n::2]) for n in range(2))
        t_y, (t_h, t_c) = module(t_x, (h, c))
        t_final = [t_h[0], t_c[0], t_h[1], t_c[1]]
        torch.autograd.backward([t_y, *t_final], [torch.from_numpy(d) for d in d_outputs])

        what = f"batch {batch}, steps {steps}"
        _assert_close([y, *final], [t_y, *t_final], what)
        _assert_close([d_x, *d_states], [t_x.grad, *(state.grad for state in t_states)], what)
        got = [d_weights[n] for n in (0, 1, 3, 4, 2, 5)]
        expected = [kernel.grad.T for kernel in kernels] + [bias.grad for bias in biases[::2]]
        _assert_close(got, expected, what)


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "sigmoid", "softmax"])
def test_dense(activation, rng):
    activate = {
        "linear": lambda a: a,
        "softmax": lambda a: torch.softmax(a, dim=-1),
    }.get(activation) or getattr(torch, activation)
    for units, features in itertools.product(UNITS, FEATURES):
        layer = Dense(units, activation)
        layer.build((features,))
        kernel, bias = (_normal(rng, *w.shape) for w in layer.get_weights())
        layer.set_weights([kernel, bias])
        for batch, steps in itertools.product(BATCHES, (None, 9)):
            x = _normal(rng, *((batch, features) if steps is None else (batch, steps, features)))
            d_y = _normal(rng, *x.shape[:-1], units)
            y, pullback = fastlstm.vjp(layer, x)
            d_x, _, d_weights = pullback(d_y)
            leaves = [_leaf(array) for array in (x, kernel, bias)]
            t_y = activate(leaves[0] @ leaves[1] + leaves[2])
            t_y.backward(torch.from_numpy(d_y))
            what = f"units {units}, features {features}, batch {batch}, steps {steps}"
            _assert_close([y, d_x, *d_weights], [t_y, *(leaf.grad for leaf in leaves)], what)


@pytest.mark.parametrize("units", UNITS)
def test_embedding(units, rng):
    layer = Embedding(11, units)
    layer.build((None,))
    table = _normal(rng, 11, units)
    layer.set_weights([table])
    for batch, steps in itertools.product(BATCHES, STEPS):
        ids = rng.integers(0, 11, (batch, steps))
        d_y = _normal(rng, batch, steps, units)
        y, pullback = fastlstm.vjp(layer, ids)
        _, _, (d_table,) = pullback(d_y)
        leaf = _leaf(table)
        t_y = torch.nn.functional.embedding(torch.from_numpy(ids), leaf)
        t_y.backward(torch.from_numpy(d_y))
        _assert_close([y, d_table], [t_y, leaf.grad], f"batch {batch}, steps {steps}")
