"""Conditional random fields: loss with gradients beside PyTorch's autograd, best tags beside NumPy.

"recorded" runs what a layer would record, on memory that stays where it is; "function" is what a
user calls, with its checks, copies and allocations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastlstm
from bench.measure import measure
from fastlstm.crf import crf_value_and_grad, crf_viterbi_decode
from fastlstm.kernels import crf, viterbi
from fastlstm.kernels.program import Program

T, B = 50, 32
TAGS = [9, 50]

each_size = pytest.mark.parametrize("count", TAGS, ids=lambda count: f"K{count}")


def _arrays(count: int) -> list[np.ndarray]:
    """Emissions (B, T, K), tags, transitions, start, end."""
    rng = np.random.default_rng(0)
    tags = rng.integers(0, count, (B, T)).astype(np.int32)
    shapes = (B, T, count), (count, count), (count,), (count,)
    emissions, *shared = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    return [emissions, tags, *shared]


def _flops(count: int) -> float:
    """Of the products: forward, backward and pairs."""
    return 6.0 * T * B * count * count


def _views(requests: Any) -> list[np.ndarray]:
    return [np.zeros(shape, dtype) for shape, dtype in requests]


def _by_time(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.ascontiguousarray(x.swapaxes(0, 1)) for x in arrays]


class RecordedLoss:
    """The kernels' loss of the mean, time first."""

    def __init__(self, count: int) -> None:
        emissions, tags, *shared = _arrays(count)
        emissions, tags = _by_time([emissions, tags])
        threads = fastlstm.get_num_threads()
        scratch = crf.Scratch(*_views(crf.scratch(T, B, count, emissions.dtype, threads, True)))
        rows = np.zeros(B, np.float32)
        self.total = np.zeros(1)
        self.d_emissions, *self.d_shared = (np.zeros_like(x) for x in (emissions, *shared))
        self.program = Program(most=threads)
        crf.record_loss(
            self.program, scratch, self.total, rows, self.d_emissions, *self.d_shared, emissions,
            tags, np.zeros((0, B), np.uint8), *shared, np.zeros(0, np.float32),
        )  # fmt: skip

    def __call__(self) -> bool:
        return self.program.run()


class TorchLoss:
    """The same by autograd: one logsumexp a step."""

    def __init__(self, count: int) -> None:
        torch = pytest.importorskip("torch")
        torch.set_num_threads(fastlstm.get_num_threads())
        emissions, tags, *shared = _arrays(count)
        self.torch = torch
        self.emissions, self.tags = _by_time([emissions, tags])
        self.tags = torch.tensor(self.tags, dtype=torch.int64)
        self.leaves = [torch.tensor(x, requires_grad=True) for x in (self.emissions, *shared)]

    def __call__(self) -> Any:
        torch, tags = self.torch, self.tags
        emissions, transitions, start, end = self.leaves
        for leaf in self.leaves:
            leaf.grad = None
        alpha = start + emissions[0]
        for t in range(1, T):
            alpha = torch.logsumexp(alpha[:, :, None] + transitions, dim=1) + emissions[t]
        score = start[tags[0]] + emissions.gather(2, tags[:, :, None]).sum(dim=(0, 2))
        score = score + transitions[tags[:-1], tags[1:]].sum(dim=0) + end[tags[-1]]
        loss = (torch.logsumexp(alpha + end, dim=1) - score).mean()
        loss.backward()
        return loss


def _numpy_viterbi(emissions, transitions, start, end):
    """All rows at a time."""
    high, pointers = start + emissions[:, 0], []
    for t in range(1, T):
        through = high[:, :, None] + transitions
        pointers.append(through.argmax(axis=1))
        high = through.max(axis=1) + emissions[:, t]
    tags = np.empty((B, T), np.int32)
    tags[:, -1] = (high + end).argmax(axis=1)
    rows = np.arange(B)
    for t in range(T - 1, 0, -1):
        tags[:, t - 1] = pointers[t - 1][rows, tags[:, t]]
    return tags


@each_size
@pytest.mark.benchmark(group="crf: loss and gradients")
def test_recorded_loss(benchmark: Any, count: int) -> None:
    run = RecordedLoss(count)
    run()
    value, gradients = crf_value_and_grad(*_arrays(count))
    np.testing.assert_allclose(run.total[0], -value.mean(), rtol=1e-5)
    np.testing.assert_allclose(run.d_shared[0], -gradients.transitions / B, atol=1e-5)
    measure(benchmark, run, _flops(count))


@each_size
@pytest.mark.benchmark(group="crf: loss and gradients")
def test_loss_function(benchmark: Any, count: int) -> None:
    arrays = _arrays(count)
    measure(benchmark, lambda: crf_value_and_grad(*arrays), _flops(count))


@each_size
@pytest.mark.benchmark(group="crf: loss and gradients")
def test_loss_by_pytorch(benchmark: Any, count: int) -> None:
    run, ours = TorchLoss(count), RecordedLoss(count)
    loss = run()
    ours()
    np.testing.assert_allclose(loss.item(), ours.total[0], rtol=1e-5)
    for leaf, d in zip(run.leaves, (ours.d_emissions, *ours.d_shared), strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), d, atol=1e-5)
    measure(benchmark, run, _flops(count))


@each_size
@pytest.mark.benchmark(group="crf: best tags")
def test_recorded_decoding(benchmark: Any, count: int) -> None:
    emissions, _, *shared = _arrays(count)
    (by_time,) = _by_time([emissions])
    threads = fastlstm.get_num_threads()
    requests = viterbi.scratch(T, B, count, emissions.dtype, threads)
    scratch = viterbi.Scratch(*_views(requests))
    tags, program = np.zeros((T, B), np.int32), Program(most=threads)
    scores = np.zeros(B, np.float32)
    viterbi.record(program, scratch, tags, scores, by_time, np.zeros((0, B), np.uint8), *shared)
    program.run()
    np.testing.assert_array_equal(tags.T, _numpy_viterbi(emissions, *shared))
    measure(benchmark, program.run, _flops(count) / 3)


@each_size
@pytest.mark.benchmark(group="crf: best tags")
def test_decoding_function(benchmark: Any, count: int) -> None:
    emissions, _, *shared = _arrays(count)
    measure(benchmark, lambda: crf_viterbi_decode(emissions, *shared), _flops(count) / 3)


@each_size
@pytest.mark.benchmark(group="crf: best tags")
def test_decoding_by_numpy(benchmark: Any, count: int) -> None:
    emissions, _, *shared = _arrays(count)
    measure(benchmark, lambda: _numpy_viterbi(emissions, *shared), _flops(count) / 3)
