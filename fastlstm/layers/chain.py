"""Layers bound one after the other to arrays of one shape, and the memory they run in."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from fastlstm.kernels.parallel import get_num_threads
from fastlstm.memory import Arena, Plan
from fastlstm.utils import numeric_array
from fastlstm.validation import as_floats, as_ids

if TYPE_CHECKING:
    from fastlstm.layers.base import Layer

# Shapes whose layout is remembered; an old one is laid out again in well under a millisecond.
_REMEMBERED = 16

C = TypeVar("C", bound="Chain")


class Op(ABC):
    """A layer bound to arrays of one shape: everything it needs is allocated.

    Attributes
    ----------
    y : ndarray
        Output, (T, B, F) or (B, F), filled by ``forward``.
    d_x : ndarray or None
        Gradient of the input, filled by ``backward`` after ``bind_backward``.
    """

    y: np.ndarray
    d_x: np.ndarray | None = None

    @abstractmethod
    def forward(self) -> None:
        """Compute ``y``."""

    @abstractmethod
    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        """Take the array that will hold the gradient of ``y``; lay out what backward needs."""

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

    def commit(self) -> None:  # noqa: B027 - most layers have nothing to keep
        """Keep the final states for the next batch, where the layer is stateful."""

    @abstractmethod
    def backward(self) -> None:
        """From ``d_y``, which may be overwritten: ``d_x``, and the gradients of the weights."""


class Chain:
    """All layers bound to one batch size and number of steps.

    Attributes
    ----------
    x : ndarray
        Input to fill in: (T, B, D), (B, D), or ids (T, B) or (B,).
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
    ) -> None:
        dtype = np.dtype(np.int32) if layers[0].takes_ids else layers[0].dtype
        self.x = plan.array(shape, dtype)
        timed = has_time(len(shape), layers[0].takes_ids)
        steps, batch = shape[:2] if timed else (1, shape[0])
        self.mask = plan.array((steps if masked else 0, batch), np.uint8)
        self.ops: list[Op] = []
        x = self.x
        for layer in layers:
            self.ops.append(layer.bind(x, self.mask, plan, saving=saving, training=training))
            x = self.ops[-1].y
        self.y = x
        if saving:
            self._bind_backward(layers, plan, input_gradient)

    def _bind_backward(self, layers: list[Layer], plan: Plan, input_gradient: bool) -> None:
        self.d_y = d_y = plan.array(self.y.shape, self.y.dtype)
        for i in range(len(layers) - 1, -1, -1):
            below = input_gradient or any(layer.weight_count for layer in layers[:i])
            self.ops[i].bind_backward(d_y, plan, below)
            if not below:
                self._first = i
                break
            d_y = self.ops[i].d_x  # type: ignore[assignment]
        else:
            self._first = 0
        self.d_x = self.ops[0].d_x

    def forward(self) -> None:
        """``y`` from ``x``."""
        for op in self.ops:
            op.forward()

    def backward(self) -> None:
        """Gradients of the weights, and of ``x`` where asked for, from ``d_y``."""
        for op in reversed(self.ops[self._first :]):
            op.backward()

    def commit(self) -> None:
        """Keep the states of stateful layers."""
        for op in self.ops:
            op.commit()

    def public_output(self) -> np.ndarray:
        """A copy of ``y``, batch first."""
        return time_first(self.y, ids=False).copy()


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
        made, moved = self._arena.lay_out(lambda plan: kind(self.layers, shape, plan, **options))
        if moved:
            self._chains.clear()
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
        timed = time_first(samples, self.layers[0].takes_ids)
        chain = self.chain(timed.shape, Chain, training=training, masked=mask is not None)
        return run(chain, timed, mask, initial_state)

    def build_for(self, x: Any) -> np.ndarray:
        """Validated samples; builds the layers for them where that was not done yet."""
        samples = self.prepare_inputs(x)
        self.build(samples.shape[1:])
        return samples


def run(chain: Chain, x: np.ndarray, mask: Any, initial_state: Any, *, commit: bool = True) -> Any:
    """Fill in a chain's input, compute, and copy out what the caller gets."""
    np.copyto(chain.x, x)
    if mask is not None:
        np.copyto(chain.mask, as_mask(mask, (x.shape[1], x.shape[0])).T)
    first = chain.ops[0]
    first.set_initial_state(initial_state)
    try:
        chain.forward()
    finally:
        first.set_initial_state(None)
    if commit:
        chain.commit()
    output = chain.public_output()
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
