"""What ``model.memory_report()`` tells: the bytes that a model takes, before it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from fastlstm.layers.chain import Chain, chain_shape, has_time
from fastlstm.memory import Plan, megabytes
from fastlstm.models.bptt import chain_kind
from fastlstm.validation import whole_number

if TYPE_CHECKING:
    from fastlstm.models.model import Model


@dataclass(frozen=True)
class MemoryUse:
    """Bytes that one task takes.

    Attributes
    ----------
    weights, gradients, moments : int
        The trainable numbers, their gradients, and what the optimizer keeps of each: moments, a
        running mean, gradients that it collects.
    packed : int
        Copies of the weights in the order in which kernels read them.
    activations : int
        Inputs and outputs of all layers for one batch; in training the tape and gradients too.
    scratch : int
        What one kernel after the other works in.
    output : int
        The copy of a batch's output that the caller gets.
    """

    weights: int
    gradients: int
    moments: int
    packed: int
    activations: int
    scratch: int
    output: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class MemoryReport:
    """Bytes that a model takes for batches of one size; ``print`` it for a table.

    The user's data and the interpreter with its compiled kernels come on top. Rows of an
    embedding that no batch has used may take less.

    Attributes
    ----------
    batch, time : int, int or None
        Samples in a batch, and steps of each.
    prediction : MemoryUse
        What ``predict`` takes.
    training : MemoryUse or None
        What ``fit`` takes, where the model is compiled.
    """

    batch: int
    time: int | None
    prediction: MemoryUse
    training: MemoryUse | None

    @property
    def total(self) -> int:
        """Bytes of the larger task: both work in the same memory."""
        return max(use.total for use in (self.prediction, self.training) if use is not None)

    def __str__(self) -> str:
        uses = {"training": self.training, "prediction": self.prediction}
        shown = {title: use for title, use in uses.items() if use is not None}
        steps = "" if self.time is None else f" of {self.time} steps"
        lines = [f"Memory for batches of {self.batch} samples{steps}"]
        lines.append(" " * 12 + "".join(f"{title:>16}" for title in shown))
        for name in (*(field.name for field in fields(MemoryUse)), "total"):
            counts = (megabytes(getattr(use, name)) for use in shown.values())
            lines.append(f"{name:<12}" + "".join(f"{count:>16}" for count in counts))
        return "\n".join(lines)


def memory_report(model: Model, batch: int, time: int | None, bptt: Any) -> MemoryReport:
    """Measure the plans of a model's tasks; see ``Model.memory_report``."""
    batch = whole_number(batch, "memory_report batch")
    model.build()
    bptt = model.check_bptt(bptt)
    steps, shapes = _shapes(model, batch, time)
    kind = chain_kind(bptt, model.graph, shapes)
    window = shapes
    if isinstance(bptt, int):
        window = [(min(bptt, shape[0]), *shape[1:]) for shape in shapes]
    training = None
    with model.lock:
        prediction = _measured(model, lambda plan: Chain(model.graph, shapes, plan), trains=False)
        if model.optimizer is not None:
            options: dict[str, Any] = {"model": model, "weighted": False, "task": "train"}
            training = _measured(
                model, lambda plan: kind(model.graph, window, plan, **options), trains=True
            )
    return MemoryReport(batch, steps, prediction, training)


def _shapes(model: Model, batch: int, time: int | None) -> tuple[int | None, list[tuple[int, ...]]]:
    """Steps, and the shapes of the inputs as a chain wants them."""
    found, shapes = None, []
    for shape, ids in zip(model.input_shapes, model.graph.takes_ids, strict=True):
        sample = shape[1:]
        if not has_time(1 + len(sample), ids):
            shapes.append((batch, *(int(size or 0) for size in sample)))
            continue
        steps = sample[0] if time is None else whole_number(time, "memory_report time")
        if steps is None:
            raise ValueError(
                f"memory_report needs the number of steps: the input {shape} may have any; say "
                "memory_report(batch, time=100)"
            )
        found = found or steps
        shapes.append(chain_shape([steps, *(int(size or 0) for size in sample[1:])], batch, ids))
    if found is None and time is not None:
        raise ValueError(
            f"memory_report got time={time}, but the input {model.input_shape} has no steps"
        )
    return found, shapes


def _measured(model: Model, lay_out: Callable[[Plan], Chain], *, trains: bool) -> MemoryUse:
    plan = Plan()
    chain = lay_out(plan)
    weights, gradients = (array.nbytes for array in model.flat_weights)
    moments = model.optimizer.state().values() if model.optimizer is not None else ()
    return MemoryUse(
        weights=weights,
        gradients=gradients if trains else 0,
        moments=sum(moment.nbytes for moment in moments) if trains else 0,
        packed=_packed_bytes(chain),
        activations=plan.kept_bytes,
        scratch=plan.scratch_bytes,
        output=0 if trains else sum(y.nbytes for y in chain.ys),
    )


def _packed_bytes(chain: Chain) -> int:
    forward = dict.fromkeys(packed for op in chain.ops for packed in op.forward_weights)
    shapes = [packed.forward_shape for packed in forward]
    if chain.saving:
        transposed = (packed for op in chain.ops for packed in op.backward_weights)
        shapes += [packed.transposed_shape for packed in dict.fromkeys(transposed)]
    return int(chain.layers[0].dtype.itemsize) * sum(math.prod(shape) for shape in shapes)
