"""Running layers on arrays of any shape, one computation at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from fastlstm.kernels.parallel import get_num_threads
from fastlstm.layers.chain import Chain, time_first
from fastlstm.layers.repeat import Repeat
from fastlstm.memory import Arena
from fastlstm.utils import numeric_array
from fastlstm.validation import as_floats, as_ids

if TYPE_CHECKING:
    from fastlstm.layers.base import Layer

# Shapes whose layout is remembered; an old one is laid out again in well under a millisecond.
_REMEMBERED = 16

C = TypeVar("C", bound="Chain")


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
        self._repeat: Repeat | None = None  # of the last call

    def __getstate__(self) -> dict[str, Any]:
        return {"layers": self.layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Runner.__init__(self, state["layers"])

    def forget(self) -> None:
        """Drop all layouts, after a change of the layers."""
        with self.lock:
            self._chains.clear()
            self._repeat = None

    def chain(self, shape: tuple[int, ...], kind: type[C], **options: Any) -> C:
        """The layers bound to inputs of ``shape``, time first, as a ``kind(layers, ...)``."""
        freezes = self.layers[0].freezes  # which layers are trained is part of what is recorded
        key = (shape, kind, get_num_threads(), freezes, *options.items())
        found = self._chains.get(key)
        if found is not None:
            self._chains.move_to_end(key)
            return cast(C, found)
        made = self._arena.lay_out(
            lambda plan: kind(self.layers, shape, plan, **options), self.forget
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
        self,
        x: Any,
        *,
        mask: Any = None,
        training: bool = False,
        initial_state: Any = None,
        prepare: Callable[[Any], np.ndarray] | None = None,
    ) -> Any:
        """Output for a batch, batch first; with the final states where the layer returns them.

        ``prepare`` validates the samples and builds the layers for them.
        """
        plain = mask is None and initial_state is None and not training
        with self.lock:
            if plain and self._repeat is not None:
                output = self._repeat(x)
                if output is not None:
                    return output
            samples = (prepare or self.build_for)(x)
            shape = time_first(samples, self.layers[0].takes_ids).shape
            chain = self.chain(shape, Chain, training=training, masked=mask is not None)
            self._repeat = None
            output = run(chain, samples, mask, initial_state)
            if plain and Repeat.suits(chain):
                self._repeat = Repeat(chain, samples)
            return output

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
    outputs = [*chain.ops[-1].parted(output), *(chain.ops[-1].final_states() or [])]
    return outputs if len(outputs) > 1 else output


def as_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask as booleans of (batch, time)."""
    array = numeric_array("mask", mask)
    if array.shape != shape:
        raise ValueError(f"mask expects shape (batch, time) = {shape}, got {array.shape}")
    return array.astype(bool)
