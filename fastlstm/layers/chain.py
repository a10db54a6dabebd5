"""Layers bound one after the other to arrays of one shape, and the program that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.layers.feed import Feed, with_steps
from fastlstm.layers.lengths import ByLength
from fastlstm.layers.op import Op
from fastlstm.layers.wave import record_stack, stacks
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.base import Layer
    from fastlstm.layers.vocabulary import Vocabulary


class Chain:
    """All layers bound to one batch size and number of steps.

    What is computed is a program, recorded once, whose parts run in the order of ``parts``.

    Attributes
    ----------
    x : ndarray
        Input: (T, B, D), (B, D), or ids (T, B) or (B,); ``feed`` fills it in.
    mask : ndarray
        (T, B) of uint8 to fill in, or (0, B).
    y, d_y : ndarray
        Output, and its gradient to fill in before ``backward``.
    y_mask : ndarray
        Which of its steps count, (T, B), or (0, B) for all.
    d_x : ndarray or None
        Gradient of the input, where it was asked for.
    outputs : list of (int, int)
        Calls of the program, and their arguments, that are the caller's array.
    """

    # Whether the output is for the caller alone, so that the last layer may write it there.
    hands_out = True

    def __init__(
        self,
        layers: list[Layer],
        shape: tuple[int, ...],
        plan: Plan,
        *,
        saving: bool = False,
        training: bool = False,
        masked: bool = False,
        input_gradient: bool = False,
        state_gradients: bool = False,
    ) -> None:
        self.layers, self.saving = layers, saving
        dtype = np.dtype(np.int32) if layers[0].takes_ids else layers[0].dtype
        self.x = plan.array(shape, dtype)
        timed = has_time(len(shape), layers[0].takes_ids)
        steps, batch = shape[:2] if timed else (1, shape[0])
        self.mask = plan.array((steps if masked else 0, batch), np.uint8)
        self.index = np.arange(batch)
        self.first_step = np.zeros(1, np.intp)  # of what is fed, in the arrays it comes from
        self.resumes = False  # from the states of the last ``commit``
        self.ops: list[Op] = []
        self.masks: list[np.ndarray] = []  # of each op's output, if that has steps
        x, mask = self.x, self.mask
        for number, layer in enumerate(layers):
            if number == len(self.ops):
                added = self._bind(layer, layers[number + 1 :], x, mask, plan, training)
                self.ops += added
                for op in added:
                    mask = mask if op.made_mask is None else op.made_mask
                    self.masks.append(mask)
            x = self._pass_on(plan)
            if not has_time(x.ndim, ids=x is self.x and layers[0].takes_ids):
                mask = self.mask[:0]  # what comes after has steps of its own, or none
        self.y, self.y_mask = x, self._pass_mask(mask, plan)
        self.packed: list[Layer | Vocabulary] = [
            layer for layer, op in zip(layers, self.ops, strict=True) if not op.unpacked
        ]
        self.packed += [op.vocabulary for op in self.ops if op.vocabulary is not None]
        if saving:
            self._bind_backward(layers, plan, input_gradient)
        if state_gradients:
            self.ops[-1].take_final_gradients(plan)
        self.feeds = {"x": Feed(self.x, timed)}
        self.order = ByLength(self.ops[0], self.index, plan) if self._sorts() else None
        self._threads = get_num_threads()  # that scratch was laid out for

    def _sorts(self) -> bool:
        """Whether rows are computed in an order of their own."""
        return not self.saving and ByLength.suits(self.ops, self.index.size)

    @property
    def chosen(self) -> np.ndarray:
        """The samples to feed, in the order of the rows."""
        return self.index if self.order is None else self.order.chosen

    def _bind(
        self,
        layer: Layer,
        above: list[Layer],
        x: np.ndarray,
        mask: np.ndarray,
        plan: Plan,
        training: bool,
    ) -> Sequence[Op]:
        """The op of a layer; or of two, where it goes together with the one above."""
        if above and not self.saving:
            joined = layer.bind_with(above[0], x, mask, plan)
            if joined is not None:
                return joined
        if not above and not self.saving and self.hands_out:
            last = layer.bind_last(x, plan)
            if last is not None:
                return [last]
        return [layer.bind(x, mask, plan, saving=self.saving, training=training)]

    def _pass_on(self, plan: Plan) -> np.ndarray:
        """What comes after the last bound op takes: its output."""
        return self.ops[-1].y

    def _pass_mask(self, mask: np.ndarray, plan: Plan) -> np.ndarray:
        """The mask of the output, from that of the last bound op."""
        return mask

    def _pass_back(self, d_y: np.ndarray, op: Op, plan: Plan) -> np.ndarray:
        """What ``op`` takes as its gradient: what comes after it leaves ``d_y``."""
        return d_y

    def _bind_backward(self, layers: list[Layer], plan: Plan, input_gradient: bool) -> None:
        self.d_y = d_y = plan.array(self.y.shape, self.y.dtype)
        for i in range(len(layers) - 1, -1, -1):
            below = input_gradient or any(layer.weight_count for layer in layers[:i])
            self.ops[i].bind_backward(self._pass_back(d_y, self.ops[i], plan), plan, below)
            if not below:
                self._first = i
                break
            d_y = self.ops[i].d_x  # type: ignore[assignment]
        else:
            self._first = 0
        self.d_x = self.ops[0].d_x

    # -- the program --------------------------------------------------------------------------

    def parts(self) -> dict[str, Callable[[Program], None]]:
        """What the program does, in order: name, and what records it."""
        parts: dict[str, Callable[[Program], None]] = {
            "pack": self._record_packing,
            "feed": self._record_feeds,
            "check": self._record_check,
            "forward": self._record_forward,
            "output": self._record_output,
        }
        if self.saving:
            parts["backward"] = self._record_backward
        return parts

    @cached_property
    def program(self) -> Program:
        """All parts, recorded when first asked for."""
        program = Program(most=self._threads)
        self._parts = {}
        for name, record in self.parts().items():
            start = len(program)
            record(program)
            self._parts[name] = start, len(program)
        return program

    def _record_packing(self, program: Program) -> None:
        for op in self.ops:
            for packed in op.forward_weights:
                packed.pack_forward(program)

    def _record_feeds(self, program: Program) -> None:
        if self.order is not None:
            self.order.record(program, self.feeds["x"])
        for feed in self.feeds.values():
            feed.record(program, self.chosen, self.first_step)

    def _record_check(self, program: Program) -> None:
        self.layers[0].record_check(program, self.x.reshape(-1))

    def _record_forward(self, program: Program) -> None:
        for stack in stacks(self.ops):
            for op in stack:
                op.record_start(program)
            record_stack(program, stack)

    def _record_output(self, program: Program) -> None:
        origin = self.index[:0] if self.order is None else self.order.origin
        self.outputs = self.ops[-1].record_output(program, origin)

    def _record_backward(self, program: Program) -> None:
        for op in reversed(self.ops[self._first :]):
            for packed in op.backward_weights:
                packed.pack_transposed(program)
            op.record_backward(program)

    # -- running it ---------------------------------------------------------------------------

    def feed(self, index: np.ndarray | None = None, **sources: np.ndarray) -> None:
        """Take the samples ``index``, or all, of arrays with the sample first.

        The arrays must live until the program has run.
        """
        for name, source in sources.items():
            self.feeds[name].point(self.program, source)
        if index is not None:
            self.index[...] = index

    def forward(self, *, last: str = "forward") -> bool:
        """``y`` from what was fed; on to the end of ``last``. Whether nothing halted it."""
        self._start()
        program = self.program
        start = self._parts["pack"][1]
        for packed in self.packed:
            if packed.packed_version != packed.version:
                start = 0
        finished = program.run(start, self._parts[last][1])
        if start == 0:
            for packed in self.packed:
                packed.packed_version = packed.version
        return finished

    def bound(self, first: str, last: str) -> Callable[[], bool]:
        """What runs some parts of the program, for weights that are packed."""
        program = self.program
        return program.call_of(self._parts[first][0], self._parts[last][1])

    def _start(self) -> None:
        for op in self.ops:
            op.start(self.resumes)

    def backward(self) -> None:
        """Gradients of the weights, and of ``x`` where asked for, from ``d_y``."""
        self.program.run(*self._parts["backward"])

    def commit(self, resume: bool = False) -> None:
        """Keep the states of stateful layers; of all, where the next forward is to ``resume``."""
        for op in self.ops:
            op.commit(resume)

    def predict(self) -> np.ndarray:
        """The output for what was fed, batch first, in an array of its own."""
        y = with_steps(self.y, self.y.ndim == 3)
        out = np.empty((y.shape[1], y.shape[0], y.shape[2]), y.dtype)
        program, rows = self.program, out.reshape(-1, out.shape[2])
        for call, argument in self.outputs:
            program.point(call, argument, rows)
        if not self.forward(last="output"):
            raise RuntimeError("the input was changed while it was being computed with")
        return out if self.y.ndim == 3 else out[:, 0]


def has_time(ndim: int, ids: bool) -> bool:
    """Whether arrays of this rank have a time axis: sequences of ids, or of feature vectors."""
    return ndim == (2 if ids else 3)


def time_first(array: np.ndarray, ids: bool) -> np.ndarray:
    """A view with time and batch exchanged, if there is a time; its own inverse."""
    return array.swapaxes(0, 1) if has_time(array.ndim, ids) else array
