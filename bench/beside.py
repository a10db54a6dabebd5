"""A model of PyTorch's in turn with one of ours: its forward pass, and its training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastlstm


def torch_or_skip() -> Any:
    """PyTorch, on as many threads."""
    import pytest

    torch = pytest.importorskip("torch")
    torch.set_num_threads(fastlstm.get_num_threads())
    return torch


def forward_of(torch: Any, module: Any, output: Callable[..., Any], *x: Any) -> Callable[[], Any]:
    """What computes the output without a gradient."""
    given = [torch.from_numpy(part) for part in x]
    # What has been compiled may have been for training, of which inference tensors know nothing.
    compiled = isinstance(module, torch.jit.ScriptModule)
    no_gradient = torch.no_grad if compiled else torch.inference_mode

    def run() -> Any:
        module.eval()
        with no_gradient():
            return output(*given)

    return run


def step_of(
    torch: Any,
    module: Any,
    output: Callable[..., Any],
    x: np.ndarray | list[np.ndarray],
    y: np.ndarray,
    loss: Callable[[Any, Any], Any] | None = None,
) -> Callable[[], float]:
    """A training step with Adam, fused; ``loss(outputs, targets)`` is the mean squared error."""
    loss = loss or torch.nn.functional.mse_loss
    given = [torch.from_numpy(part) for part in (x if isinstance(x, list) else [x])]
    wanted = torch.from_numpy(y)
    weights = list(module.parameters())
    optimizer = torch.optim.Adam(weights, fused=True) if weights else None

    def step() -> float:
        module.train()
        if optimizer is not None:
            optimizer.zero_grad()
        error = loss(output(*given), wanted)
        error.backward()
        if optimizer is not None:
            optimizer.step()
        return float(error.detach())

    return step
