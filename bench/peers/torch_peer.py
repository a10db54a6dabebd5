"""PyTorch, as its users run it: ``torch.nn.LSTM``, time-major, eager."""

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


def prepare(threads: int) -> str:
    torch.set_num_threads(threads)
    return f"torch {torch.__version__}"


class Net(nn.Module):
    """Embedding, LSTM layers and Linear; x is (T, B, D) or (T, B)."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        weights = work.weights(row)
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


def forward(row: Row) -> Runner:
    net, x, activate = Net(row).eval(), _time_major(work.inputs(row)), _activation(row)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return activate(net(x)[0])

    return run, lambda y: _batch_major(row, y)


def step(row: Row) -> Runner:
    net, x = Net(row).eval(), _time_major(work.inputs(row))
    state = None

    def run() -> torch.Tensor:
        nonlocal state
        with torch.inference_mode():
            y, state = net(x, state)
            return y

    return run, lambda y: y.numpy()


def train(row: Row) -> Runner:
    net, x, y = Net(row).train(), _time_major(work.inputs(row)), torch.from_numpy(work.targets(row))
    loss_of = _loss(row)
    # Of the documented implementations the fused one is the fastest on a CPU, then foreach.
    adam = torch.optim.Adam(net.parameters(), lr=work.LEARNING_RATE, eps=EPSILON, fused=True)
    if row.loss == "sparse_categorical_crossentropy":
        y = (y.T if row.every_step else y).reshape(-1).long()

    def run() -> float:
        loss = loss_of(net(x)[0].reshape(-1, row.outputs), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), work.CLIP_NORM)
        adam.step()
        adam.zero_grad()
        return loss.item()

    return run, np.asarray


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
