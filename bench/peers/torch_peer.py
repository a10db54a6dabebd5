"""PyTorch, as its users run it: ``torch.nn.LSTM``, time-major, eager; many models in a loop.

Single steps go through ``torch.nn.LSTMCell``, which takes half as long for them, or less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench import work
from bench.shapes import Row

# Keras adds 1e-7 before its bias correction, PyTorch after: this is the same first step.
EPSILON = 1e-7 / (1 - 0.999) ** 0.5

Runner = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]


_threads = 1


def prepare(threads: int) -> str:
    global _threads
    _threads = threads
    torch.set_num_threads(threads)
    return f"torch {torch.__version__}"


def _set_threads(row: Row) -> None:
    """In a loop over small models one thread takes a tenth less than two."""
    torch.set_num_threads(1 if row.models > 1 else _threads)


class Net(nn.Module):
    """Embedding, LSTM layers and Linear; x is (T, B, D) or (T, B)."""

    def __init__(self, row: Row, model: int = 0) -> None:
        super().__init__()
        weights = work.weights(row, model)
        self.every_step = row.every_step
        self.embedding = None
        if weights.embedding is not None:
            self.embedding = nn.Embedding(*weights.embedding.shape)
            self.embedding.weight.data.copy_(torch.from_numpy(weights.embedding))
        self.lstm = nn.LSTM(row.features, row.units[0], num_layers=len(row.units))
        self.dense = nn.Linear(row.units[-1], row.outputs)
        for index, (kernel, recurrent, bias) in enumerate(weights.layers):
            layer = {"weight_ih": kernel.T, "weight_hh": recurrent.T, "bias_ih": bias}
            for name, value in layer.items():
                parameter = getattr(self.lstm, f"{name}_l{index}")
                parameter.data.copy_(torch.from_numpy(np.ascontiguousarray(value)))
            # The others have one bias a layer: train one, so that all take the same steps.
            second = getattr(self.lstm, f"bias_hh_l{index}")
            second.requires_grad_(False).zero_()
        self.dense.weight.data.copy_(torch.from_numpy(weights.dense[0].T.copy()))
        self.dense.bias.data.copy_(torch.from_numpy(weights.dense[1]))

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        if self.embedding is not None:
            x = self.embedding(x)
        h, state = self.lstm(x, state)
        return self.dense(h if self.every_step else h[-1]), state


class StepNet(nn.Module):
    """The same for a single step, with LSTM cells; a pair (h, c) a layer."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        net = Net(row)
        self.dense = net.dense
        depths = (row.features, *row.units)
        self.cells = nn.ModuleList(map(nn.LSTMCell, depths, row.units))
        for index, cell in enumerate(self.cells):
            for name, parameter in cell.named_parameters():
                parameter.data.copy_(getattr(net.lstm, f"{name}_l{index}"))

    def forward(self, x: torch.Tensor, states: Any = None) -> tuple[torch.Tensor, Any]:
        h, after = x[0], []
        for cell, state in zip(self.cells, states or [None] * len(self.cells), strict=True):
            h, c = cell(h, state)
            after.append((h, c))
        return self.dense(h), after


def forward(row: Row) -> Runner:
    _set_threads(row)
    activate = _activation(row)
    if row.steps == 1:
        nets: list[nn.Module] = [StepNet(row).eval()]
    else:
        nets = [Net(row, model).eval() for model in range(row.models)]
    batches = [_time_major(x) for x in _each_model(row, work.inputs(row))]

    def run() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [activate(net(x)[0]) for net, x in zip(nets, batches, strict=True)]

    return run, lambda y: _joined(row, [_batch_major(row, each) for each in y])


def step(row: Row) -> Runner:
    _set_threads(row)
    net, x = StepNet(row).eval(), _time_major(work.inputs(row))
    states = None

    def run() -> torch.Tensor:
        nonlocal states
        with torch.inference_mode():
            y, states = net(x, states)
            return y

    return run, lambda y: y.numpy()


def train(row: Row) -> Runner:
    _set_threads(row)
    x, y = _each_model(row, work.inputs(row)), _each_model(row, work.targets(row))
    steps = [_training_step(row, model, x[model], y[model]) for model in range(row.models)]
    return lambda: [step() for step in steps], lambda losses: _joined(row, losses)


def _training_step(row: Row, model: int, inputs: np.ndarray, targets: np.ndarray) -> Any:
    net, x, y = Net(row, model).train(), _time_major(inputs), torch.from_numpy(targets)
    loss_of = _loss(row)
    # Of the documented implementations the fused one is the fastest on a CPU, then foreach.
    adam = torch.optim.Adam(net.parameters(), lr=work.LEARNING_RATE, eps=EPSILON, fused=True)
    if row.loss == "sparse_categorical_crossentropy":
        y = (y.T if row.every_step else y).reshape(-1).long()

    def step() -> float:
        loss = loss_of(net(x)[0].reshape(-1, row.outputs), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), work.CLIP_NORM)
        adam.step()
        adam.zero_grad()
        return loss.item()

    return step


def _each_model(row: Row, data: np.ndarray) -> np.ndarray:
    return data if row.models > 1 else data[None]


def _joined(row: Row, each: list[Any]) -> np.ndarray:
    return np.stack(each) if row.models > 1 else np.asarray(each[0])


def _time_major(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.swapaxes(0, 1)))


def _batch_major(row: Row, y: torch.Tensor) -> np.ndarray:
    return y.numpy().swapaxes(0, 1) if row.every_step else y.numpy()


def _activation(row: Row) -> Callable[[torch.Tensor], torch.Tensor]:
    if row.activation == "softmax":
        return lambda y: torch.softmax(y, -1)
    return torch.sigmoid if row.activation == "sigmoid" else lambda y: y


def _loss(row: Row) -> Callable[..., torch.Tensor]:
    return {
        "mse": functional.mse_loss,
        "sparse_categorical_crossentropy": functional.cross_entropy,
        "binary_crossentropy": functional.binary_cross_entropy_with_logits,
    }[row.loss]
