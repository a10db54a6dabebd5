"""Losses with their gradients, and metrics, beside the same in PyTorch's operations.

    python bench/losses.py [threads]

Prints milliseconds and ratios, medians of rounds taken in turn, on as many threads for both.
Before it is timed, each loss and metric must agree with PyTorch's to 1e-3.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

if __package__ in (None, ""):  # run as a file: the folder above is where imports start
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from fastlstm import get_num_threads, losses, metrics, set_num_threads
from fastlstm.kernels.program import Program
from fastlstm.losses.base import LossArrays
from fastlstm.metrics.base import MetricArrays

SHAPES = [(4096, 16), (256, 1000)]
ROUNDS = 60
LEVELS = [0.1, 0.5, 0.9, 0.95]
Run = Callable[[], Any]

LOSSES: dict[str, tuple[losses.Loss, str]] = {
    "poisson": (losses.Poisson(), "positive"),
    "kl_divergence": (losses.KLDivergence(), "classes"),
    "log_cosh": (losses.LogCosh(), "numbers"),
    "mape": (losses.MeanAbsolutePercentageError(), "positive"),
    "msle": (losses.MeanSquaredLogarithmicError(), "positive"),
    "cosine": (losses.CosineSimilarity(), "numbers"),
    "hinge": (losses.Hinge(), "signs"),
    "squared_hinge": (losses.SquaredHinge(), "signs"),
    "categorical_hinge": (losses.CategoricalHinge(), "one-hot"),
    "binary focal, logits": (losses.BinaryFocalCrossentropy(from_logits=True), "answers"),
    "binary focal": (losses.BinaryFocalCrossentropy(), "probabilities"),
    "focal, logits": (losses.CategoricalFocalCrossentropy(from_logits=True), "one-hot"),
    "focal": (losses.CategoricalFocalCrossentropy(), "classes"),
    "quantile": (losses.Quantile(0.3), "numbers"),
    "quantiles": (losses.Quantile(LEVELS), "quantiles"),
}

METRICS: dict[str, tuple[metrics.Metric, str]] = {
    "precision": (metrics.Precision(), "probabilities"),
    "true_positives": (metrics.TruePositives(), "probabilities"),
    "f1_score": (metrics.F1Score("macro"), "classes"),
    "auc": (metrics.AUC(), "probabilities"),
    "r2_score": (metrics.R2Score(), "numbers"),
    "top_k": (metrics.SparseTopKCategoricalAccuracy(5), "ids"),
    "perplexity": (metrics.Perplexity(), "ids"),
    "confusion": (metrics.ConfusionMatrix(2), "ids"),
}


def arrays(kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions."""
    rng = np.random.default_rng(1)
    rows, columns = shape
    y = rng.standard_normal(shape).astype(np.float32)
    ids = rng.integers(0, columns, rows).astype(np.int32)
    if kind in ("positive", "probabilities", "classes", "ids"):
        y = rng.uniform(0.05, 0.95, shape).astype(np.float32)
    if kind in ("classes", "ids"):
        y /= y.sum(axis=1, keepdims=True)
    if kind == "ids":
        return ids, y
    if kind in ("classes", "one-hot"):
        return np.eye(columns, dtype=np.float32)[ids], y
    if kind in ("answers", "probabilities"):
        return rng.integers(0, 2, shape).astype(np.float32), y
    if kind == "signs":
        return (2 * rng.integers(0, 2, shape) - 1).astype(np.float32), y
    if kind == "quantiles":
        return rng.standard_normal((rows, columns // len(LEVELS))).astype(np.float32), y
    t = rng.uniform(0.5, 2, shape) if kind == "positive" else rng.standard_normal(shape)
    return t.astype(np.float32), y


def our_loss(name: str, shape: tuple[int, int]) -> Run:
    """Value and gradient, recorded once as in a training step."""
    loss, kind = LOSSES[name]
    t, y = arrays(kind, shape)
    total, d, rows, none = np.zeros(1), np.empty_like(y), np.empty(len(y), y.dtype), y[:0, 0]
    program = _recorded(loss.calls(LossArrays(total, d, rows, t, y, none), loss.from_logits))

    def run() -> float:
        program.run()
        return float(total[0])

    return run


def our_metric(name: str, shape: tuple[int, int]) -> Run:
    """What a batch adds to the metric, recorded once as in a training step."""
    metric, kind = METRICS[name]
    t, y = arrays(kind, shape)
    if name == "confusion":
        metric = metrics.ConfusionMatrix(shape[1])
    sums, parts = np.zeros(metric.sums_size(shape[1])), np.empty(metric.parts_size(*shape))
    inner = MetricArrays(sums, np.empty(len(y), y.dtype), parts, t, y, y[:0, 0])
    program = _recorded(metric.calls(inner, False))
    metric.reset_state()

    def run() -> metrics.Metric:
        program.run()
        metric.add(sums)
        return metric

    return run


def _recorded(calls: list[Any]) -> Program:
    program = Program()
    for kernel, args, work in calls:
        program.add(kernel, *args, work=work)
    return program


def their_loss(name: str, shape: tuple[int, int]) -> Run:
    """The same in PyTorch, with the gradient left in ``grad``."""
    import torch

    F = torch.nn.functional
    t, y = map(torch.tensor, arrays(LOSSES[name][1], shape))
    y.requires_grad_()
    q = torch.tensor(LEVELS)

    def focal(p: Any, entropy: Any) -> Any:
        return ((1 - (t * p + (1 - t) * (1 - p))) ** 2 * entropy).mean()

    def classes(log_p: Any) -> Any:
        return -(0.25 * (1 - log_p.exp()) ** 2 * t * log_p).sum(1).mean()

    def pinball(error: Any, level: Any) -> Any:
        return torch.maximum(level * error, (level - 1) * error).mean()

    equations: dict[str, Run] = {
        "poisson": lambda: F.poisson_nll_loss(y, t, log_input=False, eps=1e-7),
        "kl_divergence": lambda: F.kl_div(y.log(), t, reduction="batchmean"),
        "log_cosh": lambda: ((y - t) + F.softplus(-2 * (y - t)) - np.log(2)).mean(),
        "mape": lambda: 100 * ((y - t) / t).abs().mean(),
        "msle": lambda: F.mse_loss(torch.log1p(y), torch.log1p(t)),
        "cosine": lambda: -F.cosine_similarity(y, t, dim=1).mean(),
        "hinge": lambda: (1 - t * y).clamp(min=0).mean(),
        "squared_hinge": lambda: ((1 - t * y).clamp(min=0) ** 2).mean(),
        "categorical_hinge": lambda: (
            (1 + ((1 - t) * y).amax(1) - (t * y).sum(1)).clamp(min=0).mean()
        ),
        "binary focal, logits": lambda: focal(
            y.sigmoid(), F.binary_cross_entropy_with_logits(y, t, reduction="none")
        ),
        "binary focal": lambda: focal(y, F.binary_cross_entropy(y, t, reduction="none")),
        "focal, logits": lambda: classes(F.log_softmax(y, 1)),
        "focal": lambda: classes((y / y.sum(1, keepdim=True)).log()),
        "quantile": lambda: pinball(t - y, 0.3),
        "quantiles": lambda: pinball(t[:, :, None] - y.reshape(*t.shape, len(LEVELS)), q),
    }
    equation = equations[name]

    def run() -> float:
        y.grad = None
        value = equation()
        value.backward()
        return float(value.detach())

    return run


def their_metric(name: str, shape: tuple[int, int]) -> Run:
    """The same in PyTorch: the metric of a batch; the matrix is added to one of all batches."""
    import torch

    t, y = map(torch.tensor, arrays(METRICS[name][1], shape))
    levels = torch.linspace(0, 1, 200)
    levels[0], levels[-1] = -1e-7, 1 + 1e-7
    columns = shape[1]

    def f1() -> Any:
        found = torch.zeros_like(y).scatter_(1, y.argmax(1, keepdim=True), 1)
        both, shown, true = (found * t).sum(0), found.sum(0), t.sum(0)
        precision, recall = both / (shown + 1e-7), both / (true + 1e-7)
        return (2 * precision * recall / (precision + recall + 1e-7)).mean()

    def area() -> Any:
        place = torch.bucketize(y.reshape(-1), levels)
        sides = [torch.bincount(place, w, 201) for w in (1 - t.reshape(-1), t.reshape(-1))]
        x, h = (s.flip(0).cumsum(0).flip(0)[1:] / s.sum() for s in sides)
        return ((x[:-1] - x[1:]) * (h[:-1] + h[1:]) / 2).sum()

    def precision() -> Any:
        above, true = y > 0.5, t > 0.5
        return (above & true).sum() / above.sum()

    matrix = torch.zeros(columns, columns)

    def confusion() -> Any:
        places = t.long() * columns + y.argmax(1)
        matrix.add_(torch.bincount(places, minlength=columns**2).reshape(columns, columns))
        return matrix

    equations: dict[str, Run] = {
        "precision": precision,
        "true_positives": lambda: ((y > 0.5) & (t > 0.5)).sum(),
        "f1_score": f1,
        "auc": area,
        "r2_score": lambda: (1 - ((t - y) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)).mean(),
        "top_k": lambda: (y.topk(5, 1).indices == t[:, None]).any(1).float().mean(),
        "perplexity": lambda: torch.nn.functional.nll_loss(y.log(), t.long()).exp(),
        "confusion": confusion,
    }
    return equations[name]


def _seconds(run: Run, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def main() -> None:
    """Print a table."""
    import torch

    if len(sys.argv) > 1:
        set_num_threads(int(sys.argv[1]))
    torch.set_num_threads(get_num_threads())
    print(f"{get_num_threads()} threads; milliseconds, ours and PyTorch's")
    for shape in SHAPES:
        for ours_of, theirs_of, names in (
            (our_loss, their_loss, LOSSES), (our_metric, their_metric, METRICS)
        ):  # fmt: skip
            for name in names:
                ours, theirs = ours_of(name, shape), theirs_of(name, shape)
                value = ours()
                value = value.result() if isinstance(value, metrics.Metric) else value
                np.testing.assert_allclose(value, np.asarray(theirs()), rtol=1e-3, err_msg=name)
                calls = max(1, round(1e-3 / _seconds(ours, 3)))
                times = [(_seconds(ours, calls), _seconds(theirs, calls)) for _ in range(ROUNDS)]
                mine, other = (1e3 * median(column) for column in zip(*times, strict=True))
                print(f"{shape!s:13} {name:21} {mine:8.4f} {other:8.4f} {other / mine:6.2f}x")


if __name__ == "__main__":
    main()
