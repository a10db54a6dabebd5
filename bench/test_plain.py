"""Layers without products of their own: forward and back, in turn with PyTorch's operations.

What a model would record for the layer is run by itself, on memory that stays where it is, and the
gradient goes back to its inputs. PyTorch gets its tensors in the order that suits the operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.beside import torch_or_skip
from bench.measure import measure_in_turn
from fastlstm import layers
from fastlstm.kernels.program import Program
from fastlstm.memory import Arena

# batch, steps, features
SHAPES = [(32, 50, 128), (64, 100, 256)]
RATE = 0.2

# The layer, and how many inputs it takes.
PLAIN: dict[str, tuple[Callable[[], Any], int]] = {
    "dropout": (lambda: layers.Dropout(RATE), 1),
    "spatial dropout": (lambda: layers.SpatialDropout1D(RATE), 1),
    "noise": (lambda: layers.GaussianNoise(RATE), 1),
    "max pooling": (lambda: layers.MaxPooling1D(2), 1),
    "max pooling, overlapping": (lambda: layers.MaxPooling1D(3, 1, "same"), 1),
    "average pooling": (lambda: layers.AveragePooling1D(2), 1),
    "global max": (layers.GlobalMaxPooling1D, 1),
    "global average": (layers.GlobalAveragePooling1D, 1),
    "softmax": (layers.Softmax, 1),
    "tanh": (lambda: layers.Activation("tanh"), 1),
    "leaky": (layers.LeakyReLU, 1),
    "elu": (layers.ELU, 1),
    "add": (layers.Add, 2),
    "multiply": (layers.Multiply, 2),
    "maximum": (layers.Maximum, 2),
    "concatenate": (layers.Concatenate, 2),
    "dot": (lambda: layers.Dot(2), 2),
    "permute": (lambda: layers.Permute((2, 1)), 1),
    "rescaling": (lambda: layers.Rescaling(0.5, 1.0), 1),
    "attention": (layers.Attention, 2),
    "additive attention": (layers.AdditiveAttention, 2),
}


def _ours(name: str, shape: tuple[int, int, int]) -> Callable[[], Any]:
    make, count = PLAIN[name]
    batch, steps, features = shape
    layer, rng = make(), np.random.default_rng(0)
    symbols = [layers.Input((steps, features)) for _ in range(count)]
    layer(symbols if count > 1 else symbols[0])
    x = rng.standard_normal((count, steps, batch, features), dtype=np.float32)
    mask = np.empty((0, batch), np.uint8)

    def build(plan: Any) -> tuple[Any, np.ndarray]:
        xs = [plan.array(x.shape[1:], np.dtype(np.float32)) for _ in range(count)]
        for array, values in zip(xs, x, strict=True):
            array[...] = values
        op = layer.bind_inputs(xs, [mask] * count, plan, saving=True, training=True)
        d_y = plan.array(op.y.shape, op.y.dtype)
        op.bind_gradients([d_y], plan, [True] * count)
        d_y[...] = 1.0
        return op, d_y

    # Measured before it is placed, the arrays are all of one number.
    op, d_y = Arena().lay_out(build)
    program = Program()
    op.record_forward(program)
    op.record_backward(program)
    given = rng.standard_normal(d_y.shape, dtype=np.float32)
    d_y[...] = given

    def run() -> np.ndarray:
        op.start()
        program.run()
        return op.y

    return run


def _theirs(torch: Any, name: str, shape: tuple[int, int, int]) -> Callable[[], Any]:
    F = torch.nn.functional
    batch, steps, features = shape
    scale = torch.randn(features, requires_grad=True)

    def additive(q: Any, v: Any) -> Any:
        sums = (torch.tanh(q[:, :, None] + v[:, None]) * scale).sum(-1)
        return torch.softmax(sums, -1) @ v

    equations: dict[str, Callable[..., Any]] = {
        "dropout": lambda x: F.dropout(x, RATE),
        "spatial dropout": lambda x: F.dropout1d(x, RATE),
        "noise": lambda x: x + RATE * torch.randn_like(x),
        "max pooling": lambda x: F.max_pool1d(x, 2),
        "max pooling, overlapping": lambda x: F.max_pool1d(x, 3, 1, 1),
        "average pooling": lambda x: F.avg_pool1d(x, 2),
        "global max": lambda x: x.amax(2),
        "global average": lambda x: x.mean(2),
        "softmax": lambda x: torch.softmax(x, -1),
        "tanh": torch.tanh,
        "leaky": lambda x: F.leaky_relu(x, 0.3),
        "elu": F.elu,
        "add": lambda a, b: a + b,
        "multiply": lambda a, b: a * b,
        "maximum": torch.maximum,
        "concatenate": lambda a, b: torch.cat([a, b], -1),
        "dot": lambda a, b: a @ b.mT,
        "permute": lambda x: x.mT.contiguous(),
        "rescaling": lambda x: x * 0.5 + 1.0,
        "attention": lambda q, v: F.scaled_dot_product_attention(q, v, v, scale=1.0),
        "additive attention": additive,
    }
    by_channel = "pooling" in name or name.startswith(("global", "spatial"))
    size = (batch, features, steps) if by_channel else shape
    leaves = [torch.randn(size, requires_grad=True) for _ in range(PLAIN[name][1])]
    output = equations[name]
    d_y = torch.randn(output(*leaves).shape)

    def run() -> Any:
        scale.grad = None
        for leaf in leaves:
            leaf.grad = None
        y = output(*leaves)
        y.backward(d_y)
        return y

    return run


@pytest.mark.parametrize("shape", SHAPES, ids="B{0[0]}-T{0[1]}-D{0[2]}".format)
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.benchmark(group="plain layers, forward and back")
def test_plain(benchmark: Any, name: str, shape: tuple[int, int, int]) -> None:
    run = _ours(name, shape)
    assert np.isfinite(run()).all()
    peers = {} if benchmark.disabled else {"pytorch": _theirs(torch_or_skip(), name, shape)}
    measure_in_turn(benchmark, run, **peers)
