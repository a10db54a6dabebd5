"""Layers bound to a batch together with its targets and loss: one step of training or testing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from fastlstm.kernels import combine, layout
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.bidirectional_op import BidirectionalOp
from fastlstm.layers.chain import Chain
from fastlstm.layers.crf import CRFOp
from fastlstm.layers.dense import DenseOp
from fastlstm.layers.dropout import DropoutOp
from fastlstm.layers.feed import Feed
from fastlstm.layers.graph import Graph
from fastlstm.layers.lengths import ByMask
from fastlstm.layers.op import Op
from fastlstm.layers.penalties import ActivityPenalty, Penalties, record_constraints
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.memory import Plan
from fastlstm.models.goals import Goal
from fastlstm.models.head import Head
from fastlstm.models.regions import find_mixed
from fastlstm.models.sequence_head import SequenceHead
from fastlstm.training.data import Data


class Compiled(Protocol):
    """What a step needs of the model that takes it."""

    goals: list[Goal]
    optimizer: Any

    @property
    def flat_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """All weights, and their gradients."""


class Supervised(Chain):
    """A chain that also holds targets, weights and losses, in a head for each output.

    The ``task`` is "train", "test", or "gradient": backward, with no update. ``labels`` says for
    each output how many columns its targets have, where they have a length of their own.
    """

    hands_out = False
    # What part of the batch's steps it sees, where that comes in windows.
    share = 1.0

    def __init__(
        self,
        graph: Graph,
        shapes: Sequence[tuple[int, ...]],
        plan: Plan,
        *,
        model: Compiled,
        weighted: bool,
        task: str,
        masked: bool = False,
        labels: Sequence[int | None] | None = None,
    ) -> None:
        saving = task != "test"
        self.summed_apart = self._find_mixed(graph, shapes) if saving else frozenset()
        super().__init__(graph, shapes, plan, saving=saving, training=saving, masked=masked)
        for op in self.ops:
            op.omit_initial_gradients()
        self.model, self.trains = model, task == "train"
        d_ys = self.d_ys if saving else [None for _ in self.ys]
        counts = labels or [None for _ in self.ys]
        self.heads = [
            (SequenceHead if goal.loss.of_sequences else Head)(
                goal, y, d_y, mask, plan, weighted=weighted, labels=count
            )
            for goal, y, d_y, mask, count in zip(
                model.goals, self.ys, d_ys, self.masks, counts, strict=True
            )
        ]
        makers = {number: place for place, step in enumerate(graph.steps) for number in step.gives}
        for head, number in zip(self.heads, graph.outputs, strict=True):
            if graph.uses[number] == 1:
                layer, op = graph.steps[makers[number]].layer, self.ops[makers[number]]
                # Pre-activations are no outputs that others could read; losses of sequences have
                # none.
                if head.goal.loss.of_sequences or not self._reads(layer):
                    head.fuse(op, getattr(layer, "activation", None))
        self._leave_out()
        self._penalties = Penalties(graph.layers)
        self._activities = {
            op: ActivityPenalty(step.layer.activity_regularizer, op.ys)
            for step, op in zip(graph.steps, self.ops, strict=True)
            if step.layer.activity_regularizer is not None
        }
        alone = len(self.heads) == 1 and model.goals[0].weight == 1.0
        self._total = self.heads[0].total if alone else np.zeros(1)
        self.feeds["y"] = [head.target_feed for head in self.heads]
        if masked:
            self.feeds["mask"] = [Feed(self.mask, True)]
        if weighted:
            self.feeds["weight"] = [feed for head in self.heads for feed in head.weight_feeds]

    def _reads(self, layer: Layer) -> bool:
        return layer.activity_regularizer is not None

    def _find_mixed(self, graph: Graph, shapes: Sequence[tuple[int, ...]]) -> frozenset[Layer]:
        """Layers whose calls go through their sequences together, where it is by segments."""
        return find_mixed(graph, shapes)

    def _told_lengths(self) -> Op | ByMask | None:
        return ByMask() if self.mask.size else self._lengths_of_input()

    def _leave_out(self) -> None:
        """Let nothing be done for steps that do not count, unless Python sees every output."""
        if any(metric.runs_python for head in self.heads for metric in head.goal.metrics):
            return
        unread = [head.leave_out() for head in self.heads]
        for op, mask in self._left_out():
            op.leave_out(mask, unread=any(op is last for last in unread))

    def _left_out(self) -> list[tuple[Op, np.ndarray]]:
        """The ops whose output nobody reads at steps that do not count, with the masks."""
        found: list[tuple[Op, np.ndarray]] = []
        read: set[int] = set()
        for step, op in zip(reversed(self.graph.steps), reversed(self.ops), strict=True):
            given = step.gives[0]
            if self._reads(step.layer):
                read.add(given)
            if given not in read:
                found.append((op, self._values[given].mask))
            recurrent = isinstance(op, (RecurrentOp, BidirectionalOp))
            by_steps = isinstance(op, (CRFOp, DenseOp, DropoutOp)) and given not in read
            if not recurrent and not by_steps:
                read.update(step.takes)
        return found

    @property
    def totals(self) -> list[np.ndarray]:
        """The batch's loss, (1,), and what it adds to each metric."""
        return [self._total, *(sums for head in self.heads for sums in head.sums)]

    def parts(self) -> dict[str, Callable[[Program], None]]:
        """What the program does, in order; see ``Chain.parts``."""
        parts: dict[str, Callable[[Program], None]] = {
            "pack": self._record_packing,
            "feed": self._record_feeds,
            "forward": self._record_forward,
            "loss": self._record_loss,
        }
        if self.saving:
            parts["backward"] = self._record_gradients
        if self.trains:
            parts["update"] = self._record_update
        return {**parts, "metrics": self._record_metrics}

    def _record_loss(self, program: Program) -> None:
        for head in self.heads:
            head.record_loss(program)
        if self._total is not self.heads[0].total:
            layout.record_clear(program, self._total)
            for head in self.heads:
                program.add(combine.add_scaled, self._total, head.total, head.goal.weight)
        self._penalties.record_value(program, self._total)
        for activity in self._activities.values():
            activity.record_value(program, self._total)
        if self.trains:
            program.add(layout.halt_unless_finite, self._total)

    def _record_more(self, program: Program, op: Op) -> None:
        if op in self._activities:
            self._activities[op].record_slopes(program, self.d_ys_of[op])

    def _record_gradients(self, program: Program) -> None:
        self._record_backward(program)
        self._penalties.record_slopes(program)

    def _record_update(self, program: Program) -> None:
        self.model.optimizer.record(program, *self.model.flat_weights, only_finite=True)
        record_constraints(program, self.layers)
        for op in self.ops:
            op.record_update(program)

    def _record_metrics(self, program: Program) -> None:
        for head in self.heads:
            head.record_metrics(program)

    def load(self, data: Data, index: np.ndarray, start: int = 0) -> None:
        """Take the samples ``index`` of the data, from a step on."""
        self.first_step[0] = start
        self.resumes = start > 0
        self.share = 1.0
        more = {}
        if data.weight is not None:
            more["weight"] = data.weight
        if data.mask is not None:
            more["mask"] = (data.mask,)
        self.feed(index, x=data.x, y=data.y, **more)

    def evaluate(self) -> float:
        """Compute the output, the loss, and the loss's gradient where one is kept."""
        self.forward(last="loss")
        return float(self._total[0])

    def test(self) -> float:
        """Compute the loss, and let the metrics see the outputs."""
        self.forward(last="metrics")
        self._explain()
        self._update_metrics()
        return float(self._total[0])

    def train(self) -> float:
        """Update the weights, unless the loss or a gradient is not finite; returns the loss.

        NaN stands for a gradient that is not finite.
        """
        optimizer = self.model.optimizer
        optimizer.prepare()
        if not self.forward(last="metrics"):
            self._explain()
            loss = float(self._total[0])
            return float("nan") if np.isfinite(loss) else loss
        optimizer.steps += 1
        for layer in self.layers:
            layer.changed()
        self._update_metrics()
        return float(self._total[0])

    def _explain(self) -> None:
        """An error where a loss is not finite, and the targets are why."""
        if not np.isfinite(self._total[0]):
            for head in self.heads:
                head.explain(self.chosen)

    def _update_metrics(self) -> None:
        for head in self.heads:
            head.update_metrics(self._origin, self.share)
