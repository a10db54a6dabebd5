"""Recurrent layers and their options, forward and a training step, in turn with PyTorch's.

What PyTorch has no module for is a loop over its operations, as it stands and compiled by
``torch.jit.script``; see ``peers/torch_loops.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.beside import forward_of, step_of, torch_or_skip
from bench.measure import measure_in_turn
from fastlstm import Sequential, layers
from fastlstm.layers import Input

RATE = 0.2
# batch, steps, features and units
SHAPES = [(32, 50, 128), (64, 100, 256)]

CELLS: dict[str, Callable[..., Any]] = {
    "LSTM": layers.LSTM,
    "GRU": layers.GRU,
    "GRU, reset before": lambda units, **rest: layers.GRU(units, reset_after=False, **rest),
    "SimpleRNN": layers.SimpleRNN,
    "projection": lambda units, **rest: layers.ProjectedLSTM(units, units // 2, **rest),
    "stacked cells": lambda units, **rest: layers.RNN(
        [layers.LSTMCell(units), layers.LSTMCell(units)], **rest
    ),
    "LayerNormLSTM": layers.LayerNormLSTM,
    "dropout": lambda units, **rest: layers.LSTM(
        units, dropout=RATE, recurrent_dropout=RATE, **rest
    ),
    "zoneout": lambda units, **rest: layers.LSTM(units, zoneout=RATE, zoneout_cell=RATE, **rest),
    "peepholes": layers.PeepholeLSTM,
    "coupled gates": layers.CoupledLSTM,
    "SLSTM": layers.SLSTM,
}

each_shape = pytest.mark.parametrize("shape", SHAPES, ids="B{0[0]}-T{0[1]}-H{0[2]}".format)


def _modules(torch: Any, size: int) -> dict[str, Callable[[], Any]]:
    """PyTorch's own, which return their states as well."""
    nn = torch.nn
    return {
        "LSTM": lambda: nn.LSTM(size, size, batch_first=True),
        "GRU": lambda: nn.GRU(size, size, batch_first=True),
        "SimpleRNN": lambda: nn.RNN(size, size, batch_first=True),
        "projection": lambda: nn.LSTM(size, size, batch_first=True, proj_size=size // 2),
        "stacked cells": lambda: nn.LSTM(size, size, num_layers=2, batch_first=True),
    }


def _loops(size: int) -> dict[str, Callable[[], Any]]:
    from bench.peers import torch_loops as loops

    return {
        "GRU, reset before": lambda: loops.ResetGRU(size, size),
        "LayerNormLSTM": lambda: loops.LayerNormLSTM(size, size),
        "dropout": lambda: loops.DroppingLSTM(size, size, RATE),
        "zoneout": lambda: loops.ZoneoutLSTM(size, size, RATE),
        "peepholes": lambda: loops.PeepholeLSTM(size, size),
        "coupled gates": lambda: loops.CoupledLSTM(size, size),
        "SLSTM": lambda: loops.SLSTM(size, size),
    }


def peers_of(torch: Any, name: str, size: int) -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """PyTorch's modules, and what computes their outputs."""
    own = _modules(torch, size)
    if name in own:
        module = own[name]()
        return {"pytorch": (module, lambda x: module(x)[0])}
    loop = _loops(size)[name]()
    scripted = torch.jit.script(loop)
    return {"pytorch": (loop, loop), "pytorch_script": (scripted, scripted)}


def _case(name: str, shape: tuple[int, int, int]) -> tuple[Sequential, np.ndarray, np.ndarray]:
    batch, steps, size = shape
    layer = CELLS[name](size, return_sequences=True)
    model = Sequential([Input((steps, size)), layer])
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, steps, size), dtype=np.float32)
    return model, x, rng.standard_normal((batch, *model.output_shape[1:]), dtype=np.float32)


@each_shape
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.benchmark(group="cells, forward")
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_forward(benchmark: Any, name: str, shape: tuple[int, int, int]) -> None:
    model, x, _ = _case(name, shape)
    assert np.isfinite(model(x)).all()
    peers: dict[str, Callable[[], Any]] = {}
    if not benchmark.disabled:
        torch = torch_or_skip()
        for kind, (module, output) in peers_of(torch, name, shape[2]).items():
            peers[kind] = forward_of(torch, module, output, x)
    measure_in_turn(benchmark, lambda: model(x), **peers)


@each_shape
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.benchmark(group="cells, training step")
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_training_step(benchmark: Any, name: str, shape: tuple[int, int, int]) -> None:
    model, x, y = _case(name, shape)
    assert np.isfinite([model.train_on_batch(x, y) for _ in range(2)]).all()
    peers: dict[str, Callable[[], Any]] = {}
    if not benchmark.disabled:
        torch = torch_or_skip()
        for kind, (module, output) in peers_of(torch, name, shape[2]).items():
            peers[kind] = step_of(torch, module, output, x, y)
    measure_in_turn(benchmark, lambda: model.train_on_batch(x, y), **peers)
