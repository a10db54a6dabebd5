"""What each output of a model is trained for: the arguments of ``compile``, output by output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastlstm import losses
from fastlstm.losses import Loss
from fastlstm.metrics import Metric
from fastlstm.metrics import get as get_metric
from fastlstm.validation import real_number


class LossMean:
    """Mean loss of one output among several, for logs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset_state()

    def reset_state(self) -> None:
        """Start anew."""
        self._total, self._samples = 0.0, 0.0

    def add(self, loss: float, samples: float) -> None:
        """Count a batch, or a part of one."""
        self._total += loss * samples
        self._samples += samples

    def result(self) -> float:
        """The mean over all samples so far."""
        return self._total / self._samples if self._samples else 0.0


@dataclass
class Goal:
    """The loss of an output, what it weighs, and what is measured besides.

    Attributes
    ----------
    name : str
        Of the output.
    metrics, weighted : list of Metric
        All metrics, and those among them that see the weights of samples.
    mean : LossMean or None
        Where there are several outputs.
    """

    name: str
    loss: Loss
    weight: float = 1.0
    metrics: list[Metric] = field(default_factory=list)
    weighted: list[Metric] = field(default_factory=list)
    mean: LossMean | None = None

    @property
    def plain(self) -> list[Metric]:
        """The metrics that see no weights."""
        return [metric for metric in self.metrics if not self.is_weighted(metric)]

    def is_weighted(self, metric: Metric) -> bool:
        """Whether a metric sees the weights of samples."""
        return any(metric is other for other in self.weighted)


def make_goals(
    names: Sequence[str], loss: Any, loss_weights: Any, metrics: Any, weighted_metrics: Any
) -> list[Goal]:
    """The goals of a model with outputs of these names.

    Each argument is as in Keras: for a lone output its loss and its list of metrics; for several a
    list or a dict of them, or one loss for all.
    """
    if loss is None:
        raise ValueError("compile expects a loss, such as loss='mse'")
    count = len(names)
    chosen = [losses.get(entry) for entry in _each("loss", loss, names, for_all=True)]
    for entry in chosen:
        entry.check_reduces()
    weights = [1.0] * count
    if loss_weights is not None:
        given = [loss_weights] if isinstance(loss_weights, (int, float)) else loss_weights
        _check_numbers(given)
        weights = [
            real_number("loss_weights", value)
            for value in _each("loss_weights", given, names, default=1.0)
        ]
    plain, weighted = (
        [[get_metric(metric) for metric in as_list(entry)] for entry in _groups(what, group, names)]
        for what, group in (("metrics", metrics), ("weighted_metrics", weighted_metrics))
    )
    _check_once([metric for group in (*plain, *weighted) for metric in group])
    goals = []
    for parts in zip(names, chosen, weights, plain, weighted, strict=True):
        name, of_output, weight, free, with_weights = parts
        _tell_apart(free, with_weights)
        _check_rows(of_output, [*free, *with_weights])
        goals.append(Goal(name, of_output, weight, [*free, *with_weights], with_weights))
    if count > 1:
        for goal in goals:
            goal.mean = LossMean(f"{goal.name}_loss")
            for metric in goal.metrics:
                if not metric.name.startswith(f"{goal.name}_"):
                    metric.name = f"{goal.name}_{metric.name}"
    return goals


def _check_numbers(loss_weights: Any) -> None:
    """An error where metrics stand in the place of weights."""
    values = loss_weights.values() if isinstance(loss_weights, Mapping) else as_list(loss_weights)
    for value in values:
        if isinstance(value, (str, Metric, list)) or callable(value):
            raise TypeError(
                "compile expects numbers as its third argument, loss_weights, which is where Keras "
                f"has them, got {value!r}; metrics are given as metrics=[...]"
            )


def _groups(what: str, group: Any, names: Sequence[str]) -> list[Any]:
    """The metrics of each output, not looked up yet."""
    if len(names) == 1 and not isinstance(group, Mapping):
        entries = as_list(group)
        return entries if len(entries) == 1 and isinstance(entries[0], list) else [entries]
    if group is None:
        return [None] * len(names)
    return _each(what, group, names)


def _each(
    what: str, given: Any, names: Sequence[str], *, for_all: bool = False, default: Any = None
) -> list[Any]:
    """An entry for each output, from a list or a dict of them."""
    if isinstance(given, Mapping) and not (for_all and "class_name" in given):
        unknown = [key for key in given if key not in names]
        missing = [name for name in names if name not in given] if for_all else []
        if unknown or missing:
            wrong = f"got {unknown}" if unknown else f"there is none for {missing}"
            raise ValueError(
                f"{what} expects a dict with the names of the outputs, {list(names)}; {wrong}"
            )
        return [given.get(name, default) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise ValueError(
                f"{what} expects an entry for each of the {len(names)} outputs {list(names)}, got "
                f"{len(given)}"
            )
        return list(given)
    if for_all:
        return [given] * len(names)
    raise ValueError(
        f"{what} expects a list with an entry for each output, or a dict by the outputs' names "
        f"{list(names)}; got {given!r}"
    )


def as_list(entries: Any) -> list[Any]:
    """One entry or several, or None, as a list."""
    if entries is None:
        return []
    return list(entries) if isinstance(entries, (list, tuple)) else [entries]


def _check_rows(loss: Loss, metrics: list[Metric]) -> None:
    """An error where a metric wants a target for each row, and there are labels instead."""
    wrong = [metric.name for metric in metrics if loss.labelled and not metric.runs_python]
    if wrong:
        raise ValueError(
            f"metric {wrong[0]!r} compares each step with a target, but the targets of "
            f"{loss.name} are labels without steps; leave it out, or take 'label_error_rate', or a "
            "function fn(y_true, y_pred)"
        )
    for metric in metrics:
        if not metric.takes_labels:
            continue
        if not loss.labelled:
            raise ValueError(
                f"metric {metric.name!r} reads labels out of logits, as loss='ctc' trains them; "
                f"{loss.name} has a target for each step, for which there is 'accuracy'"
            )
        blanks = [getattr(kind, "blank", None) for kind in (metric, loss)]
        if blanks[0] != blanks[1]:
            raise ValueError(
                f"metric {metric.name!r} has blank={blanks[0]}, and {loss.name} blank={blanks[1]}; "
                f"they need the same: LabelErrorRate(blank={blanks[1]})"
            )


def _check_once(metrics: list[Metric]) -> None:
    """An error where one metric would count everything twice."""
    for number, metric in enumerate(metrics):
        if any(metric is other for other in metrics[:number]):
            raise ValueError(
                f"compile got the metric {metric!r} twice, which would count everything twice; "
                "make one for each place"
            )


def _tell_apart(plain: list[Metric], weighted: list[Metric]) -> None:
    """Give each metric a name of its own, as Keras does."""
    seen: set[str] = set()
    for metric in [*plain, *weighted]:
        if metric.name in seen and any(metric is other for other in weighted):
            metric.name = f"weighted_{metric.name}"
        name, number = metric.name, 0
        while metric.name in seen:
            number += 1
            metric.name = f"{name}_{number}"
        seen.add(metric.name)
