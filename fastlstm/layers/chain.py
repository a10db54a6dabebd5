"""Layers bound one after the other to arrays of one shape, and the memory they run in."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.layers.feed import Feed, with_steps
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.memory import Arena, Plan
from fastlstm.utils import numeric_array
from fastlstm.validation import as_floats, as_ids

if TYPE_CHECKING:
    from fastlstm.layers.base import Layer
    from fastlstm.layers.packed import Packed

# Shapes whose layout is remembered; an old one is laid out again in well under a millisecond.
_REMEMBERED = 16

C = TypeVar("C", bound="Chain")


class Op(ABC):
    """A layer bound to arrays of one shape: everything it needs is allocated.

    What it records is for the steps that it was laid out for, or for a segment of a longer
    sequence, of as many steps or fewer. Segments go forward from the first to the last and back
    from the last to the first, and the bits are those of the sequence as a whole.

    Attributes
    ----------
    y : ndarray
        Output, (T, B, F) or (B, F), filled by the calls of ``record_forward``.
    d_x : ndarray or None
        Gradient of the input, filled by those of ``record_backward``.
    """

    y: np.ndarray
    d_x: np.ndarray | None = None

    @property
    def forward_weights(self) -> list[Packed]:
        """Weights whose panels ``record_forward`` reads."""
        return []

    @property
    def backward_weights(self) -> list[Packed]:
        """Weights whose transposed panels ``record_backward`` reads."""
        return []

    def start(self, resume: bool = False) -> None:  # noqa: B027 - most layers have nothing to do
        """What Python does before each forward; ``resume`` from where the last ``commit`` was."""

    def record_start(self, program: Program) -> None:  # noqa: B027
        """Record what brings the states before the first step into place."""

    def record_advance(self, program: Program) -> None:  # noqa: B027
        """Record, in the place of ``record_start``: go on from where the last run ended."""

    @abstractmethod
    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        """Record what computes ``y``, from the states in ``states(0)``."""

    @abstractmethod
    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        """Take the array that will hold the gradient of ``y``; lay out what backward needs."""

    @abstractmethod
    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        """Record: from ``d_y``, which may be overwritten, ``d_x`` and the weights' gradients.

        Those of any segment but the last are added to what is there.
        """

    def states(self, step: int) -> list[np.ndarray]:
        """The states before a step, as ``record_forward`` reads and leaves them."""
        return []

    def set_initial_state(self, states: Any) -> None:
        """Start the next ``forward`` from these states; None for the layer's own choice."""
        if states is not None:
            raise ValueError(
                "initial_state is for recurrent layers; this layer has no states. Call the "
                "recurrent layer itself with initial_state=[...]"
            )

    def final_states(self) -> list[np.ndarray] | None:
        """Copies of the states after the last step, where the layer returns them."""
        return None

    def take_final_gradients(self, plan: Plan) -> None:  # noqa: B027
        """Make room for the gradients of the final states, where the layer returns them."""

    def commit(self, resume: bool = False) -> None:  # noqa: B027 - most layers keep nothing
        """Keep the final states, where the layer is stateful or is to ``resume`` from them."""


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
    d_x : ndarray or None
        Gradient of the input, where it was asked for.
    """

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
        x = self.x
        for layer in layers:
            self.ops.append(layer.bind(x, self.mask, plan, saving=saving, training=training))
            x = self._pass_on(plan)
        self.y = x
        if saving:
            self._bind_backward(layers, plan, input_gradient)
        if state_gradients:
            self.ops[-1].take_final_gradients(plan)
        self.feeds = {"x": Feed(self.x, timed)}
        self._threads = get_num_threads()  # that scratch was laid out for

    def _pass_on(self, plan: Plan) -> np.ndarray:
        """What comes after the last bound op takes: its output."""
        return self.ops[-1].y

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
        for feed in self.feeds.values():
            feed.record(program, self.index, self.first_step)

    def _record_forward(self, program: Program) -> None:
        for op in self.ops:
            op.record_start(program)
            op.record_forward(program)

    def _record_output(self, program: Program) -> None:
        y = with_steps(self.y, self.y.ndim == 3)
        out = np.empty((0, y.shape[0], y.shape[2]), y.dtype)
        self.output_call = program.add(layout.scatter, out, y, work=2.0 * y.size)

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
            np.copyto(self.index, index)

    def forward(self, *, last: str = "forward") -> bool:
        """``y`` from what was fed; on to the end of ``last``. Whether nothing halted it."""
        self._start()
        program = self.program
        start = self._parts["pack"][1]
        for layer in self.layers:
            if layer.packed_version != layer.version:
                start = 0
        finished = program.run(start, self._parts[last][1])
        if start == 0:
            for layer in self.layers:
                layer.packed_version = layer.version
        return finished

    def bound_forward(self) -> Callable[[], bool]:
        """The program's part "forward" alone, for weights that are packed."""
        return self.program.call_of(self._parts["pack"][1], self._parts["forward"][1])

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
        self.program.point(self.output_call, 0, out)
        self.forward(last="output")
        return out if self.y.ndim == 3 else out[:, 0]


class Runner:
    """Runs a list of layers on arrays, laying out memory once for each shape.

    One computation at a time: ``lock`` is held from filling in the input to copying the output. A
    layer that belongs to a model shares the model's lock, as it shares its weights and gradients.
    """

    def __init__(self, layers: list[Layer], lock: threading.RLock | None = None) -> None:
        self.layers = layers
        self.lock = lock or threading.RLock()
        self._arena = Arena()
        self._chains: OrderedDict[tuple[Any, ...], Chain] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"layers": self.layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["layers"])  # type: ignore[misc]

    def forget(self) -> None:
        """Drop all layouts, after a change of the layers."""
        with self.lock:
            self._chains.clear()

    def chain(self, shape: tuple[int, ...], kind: type[C], **options: Any) -> C:
        """The layers bound to inputs of ``shape``, time first, as a ``kind(layers, ...)``."""
        key = (shape, kind, get_num_threads(), *sorted(options.items()))
        found = self._chains.get(key)
        if found is not None:
            self._chains.move_to_end(key)
            return cast(C, found)
        made = self._arena.lay_out(
            lambda plan: kind(self.layers, shape, plan, **options), self._chains.clear
        )
        self._chains[key] = made
        if len(self._chains) > _REMEMBERED:
            self._chains.popitem(last=False)
        return made

    def prepare_inputs(self, x: Any, what: str = "x") -> np.ndarray:
        """Validated samples: (N, T, D), (N, D) or ids, C-contiguous in the layers' dtype."""
        if not self.layers:
            raise ValueError("this model has no layers; add some first")
        first = self.layers[0]
        array = numeric_array(what, x)
        first.check_input(array.shape)
        if 0 in array.shape:
            raise ValueError(
                f"{what} has shape {array.shape}: there is nothing in it; expected at least one "
                "sample, one step and one feature"
            )
        if first.takes_ids:
            limit = getattr(first, "input_dim", None)
            return as_ids(array, int(limit or 0), f"{type(first).__name__} {first.name!r}")
        return as_floats(array, first.dtype, what)

    def build(self, sample_shape: tuple[int | None, ...]) -> None:
        """Build every layer for samples of this shape."""
        for layer in self.layers:
            if layer.built:
                layer.check_input((None, *sample_shape))
            else:
                layer.build(sample_shape)
            sample_shape = layer.compute_output_shape(sample_shape)

    def call(
        self, x: Any, *, mask: Any = None, training: bool = False, initial_state: Any = None
    ) -> Any:
        """Output for a batch, batch first; with the final states where the layer returns them."""
        with self.lock:
            return self.run(self.build_for(x), mask, training, initial_state)

    def run(self, samples: np.ndarray, mask: Any, training: bool, initial_state: Any = None) -> Any:
        """Output for validated samples; the caller holds the lock."""
        shape = time_first(samples, self.layers[0].takes_ids).shape
        chain = self.chain(shape, Chain, training=training, masked=mask is not None)
        return run(chain, samples, mask, initial_state)

    def build_for(self, x: Any) -> np.ndarray:
        """Validated samples; builds the layers for them where that was not done yet."""
        samples = self.prepare_inputs(x)
        self.build(samples.shape[1:])
        return samples


def run(
    chain: Chain, samples: np.ndarray, mask: Any, initial_state: Any, *, commit: bool = True
) -> Any:
    """Feed validated samples to a chain, compute, and copy out what the caller gets."""
    if mask is not None:
        np.copyto(chain.mask, as_mask(mask, samples.shape[:2]).T)
    first = chain.ops[0]
    first.set_initial_state(initial_state)
    try:
        chain.feed(x=samples)
        output = chain.predict()
    finally:
        first.set_initial_state(None)
    if commit:
        chain.commit()
    states = chain.ops[-1].final_states()
    return output if states is None else [output, *states]


def has_time(ndim: int, ids: bool) -> bool:
    """Whether arrays of this rank have a time axis: sequences of ids, or of feature vectors."""
    return ndim == (2 if ids else 3)


def time_first(array: np.ndarray, ids: bool) -> np.ndarray:
    """A view with the time, if there is one, before the batch; its own inverse."""
    return array.swapaxes(0, 1) if has_time(array.ndim, ids) else array


def as_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask as booleans of (batch, time)."""
    array = numeric_array("mask", mask)
    if array.shape != shape:
        raise ValueError(f"mask expects shape (batch, time) = {shape}, got {array.shape}")
    return array.astype(bool)
