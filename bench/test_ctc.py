"""Connectionist temporal classification, beside PyTorch's: the loss, its gradient, beam search.

The two losses of a group do the same work, from logits on; PyTorch's is given them time first, as
it wants them, and does the softmax in a call of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastlstm
from bench.measure import measure
from fastlstm.ctc import ctc_beam_search_decode, ctc_loss, ctc_value_and_grad

THREADS, STEPS, BATCH, LABELS = 2, 200, 32, 40
CLASSES = (41, 1000)

each_size = pytest.mark.parametrize("classes", CLASSES)
each_mode = pytest.mark.parametrize("gradient", [True, False], ids=["gradient", "value"])


def _data(classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (B, L), logits (B, T, C), and the labels' lengths."""
    rng = np.random.default_rng(0)
    labels = rng.integers(1, classes, (BATCH, LABELS), dtype=np.int32)
    y = rng.standard_normal((BATCH, STEPS, classes), dtype=np.float32)
    return labels, y, rng.integers(30, LABELS + 1, BATCH, dtype=np.int32)


def ours(classes: int, gradient: bool) -> Callable[[], Any]:
    """The sum of the losses, or it and its gradient."""
    fastlstm.set_num_threads(THREADS)
    arguments = _data(classes)
    if gradient:
        return lambda: ctc_value_and_grad(*arguments, reduction="sum")
    return lambda: ctc_loss(*arguments, reduction="sum")


def torch_peer(classes: int, gradient: bool) -> Callable[[], Any]:
    """The same by PyTorch."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    torch.set_num_threads(THREADS)
    labels, y, lengths = _data(classes)
    logits = torch.tensor(np.ascontiguousarray(y.swapaxes(0, 1)), requires_grad=gradient)
    targets, target_lengths = torch.tensor(labels), torch.tensor(lengths)
    input_lengths = torch.full((BATCH,), STEPS, dtype=torch.int32)

    def value() -> Any:
        log_p = functional.log_softmax(logits, dim=-1)
        return functional.ctc_loss(
            log_p, targets, input_lengths, target_lengths, reduction="sum"
        )  # fmt: skip

    def value_and_grad() -> Any:
        logits.grad = None
        total = value()
        total.backward()
        return total.item(), logits.grad.transpose(0, 1)

    def value_alone() -> float:
        with torch.inference_mode():
            return float(value())

    return value_and_grad if gradient else value_alone


@each_size
@each_mode
@pytest.mark.parametrize("side", [ours, torch_peer], ids=["fastlstm", "torch"])
def test_loss(
    benchmark: Any, side: Callable[..., Any], gradient: bool, classes: int
) -> None:  # fmt: skip
    benchmark.group = f"CTC {'loss and gradient' if gradient else 'loss'}, {classes} classes"
    run = side(classes, gradient)
    (value, *d), (expected, *exact) = (
        np.atleast_1d(got) if not gradient else got for got in (run(), ours(classes, gradient)())
    )
    assert value == pytest.approx(expected, rel=1e-5)
    for one, other in zip(d, exact, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    # Logits a second, in billions, rather than operations.
    measure(benchmark, run, BATCH * STEPS * classes)


@each_size
@pytest.mark.parametrize("beam_width", [10, 100])
def test_beam_search(benchmark: Any, beam_width: int, classes: int) -> None:
    benchmark.group = f"CTC beam search, {beam_width} prefixes"
    fastlstm.set_num_threads(THREADS)
    _, y, _ = _data(classes)
    run = lambda: ctc_beam_search_decode(y, beam_width=beam_width)  # noqa: E731
    assert np.isfinite(run()[1]).all()
    measure(benchmark, run, BATCH * STEPS * classes)
