"""One step of each optimizer on a row's weights: fastlstm's, and PyTorch's in its fastest form.

PyTorch gets the variables one by one, as it does from a module; fastlstm has them in one array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastlstm
from bench import work
from bench.shapes import Row
from fastlstm import optimizers
from fastlstm.kernels.program import Program

# Name here, name in PyTorch, and which of its implementations is the fastest on a CPU.
TABLE = {
    "SGD": ("SGD", {"lr": 1e-3, "fused": True}),
    "Adam": ("Adam", {"fused": True}),
    "AdamW": ("AdamW", {"fused": True}),
    "Adamax": ("Adamax", {"foreach": True}),
    "Nadam": ("NAdam", {"foreach": True}),
    "RMSprop": ("RMSprop", {"lr": 1e-3, "foreach": True}),
    "Adagrad": ("Adagrad", {"lr": 1e-3, "fused": True}),
    "Lion": (None, {}),
}


def _variables(row: Row) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights, and gradients of a usual size."""
    rng = np.random.default_rng(0)
    weights = work.weights(row).flat()
    return weights, [0.01 * rng.standard_normal(w.shape, dtype=np.float32) for w in weights]


def ours(name: str, row: Row) -> tuple[Callable[[], Any], np.ndarray]:
    """What takes a step, recorded as in a training step, and the parameters."""
    params, grads = (np.concatenate([a.ravel() for a in each]) for each in _variables(row))
    optimizer = getattr(optimizers, name)(1e-3)
    optimizer.build([("all", 0, params.size)], params.size, params.dtype)
    program = Program()
    optimizer.record(program, params, grads)

    def run() -> None:
        optimizer.prepare()
        program.run()
        optimizer.steps += 1

    return run, params


def pytorch(name: str, row: Row, torch: Any) -> tuple[Callable[[], Any], np.ndarray]:
    """The same of PyTorch, with the parameters of the largest variable."""
    torch.set_num_threads(fastlstm.get_num_threads())
    variables = []
    for weight, grad in zip(*_variables(row), strict=True):
        variable = torch.from_numpy(weight.copy()).requires_grad_()
        variable.grad = torch.from_numpy(grad)
        variables.append(variable)
    kind, options = TABLE[name]
    optimizer = getattr(torch.optim, str(kind))(variables, **options)
    return optimizer.step, max(variables, key=torch.numel).detach().numpy().ravel()
