"""Running layers on arrays of any shape, one computation at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from fastlstm.kernels.parallel import get_num_threads
from fastlstm.layers.chain import Chain, chain_shape
from fastlstm.layers.freezing import Freezable
from fastlstm.layers.graph import Graph
from fastlstm.layers.repeat import Repeat, repeat_of
from fastlstm.memory import Arena
from fastlstm.validation import as_floats, as_ids, numeric_array

if TYPE_CHECKING:
    pass

# Shapes whose layout is remembered; an old one is laid out again in well under a millisecond.
_REMEMBERED = 16

C = TypeVar("C", bound="Chain")
Arrays = tuple[np.ndarray, ...]


class Runner:
    """Runs a graph of layers on arrays, laying out memory once for each shape.

    One computation at a time: ``lock`` is held from filling in the input to copying the output. A
    layer that belongs to a model shares the model's lock, as it shares its weights and gradients.
    """

    def __init__(self, graph: Graph, lock: threading.RLock | None = None) -> None:
        self.graph = graph
        self.lock = lock or threading.RLock()
        self._arena = Arena()
        self._chains: OrderedDict[tuple[Any, ...], Chain] = OrderedDict()
        self._repeat: Repeat | None = None  # of the last call

    def change(self, graph: Graph) -> None:
        """Run another graph from now on."""
        self.graph = graph
        self.forget()

    def __getstate__(self) -> dict[str, Any]:
        return {"graph": self.graph}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Runner.__init__(self, state["graph"])

    def forget(self) -> None:
        """Drop all layouts, after a change of the layers."""
        with self.lock:
            self._chains.clear()
            self._repeat = None

    def chain(self, shapes: tuple[tuple[int, ...], ...], kind: type[C], **options: Any) -> C:
        """The graph bound to inputs of these shapes, time first, as a ``kind(graph, ...)``."""
        # Which layers are trained is part of what is recorded.
        key = (shapes, kind, get_num_threads(), Freezable.freezes, *options.items())
        found = self._chains.get(key)
        if found is not None:
            self._chains.move_to_end(key)
            return cast(C, found)
        made = self._arena.lay_out(
            lambda plan: kind(self.graph, shapes, plan, **options), self.forget
        )
        self._chains[key] = made
        if len(self._chains) > _REMEMBERED:
            self._chains.popitem(last=False)
        return made

    def prepare_inputs(self, xs: Sequence[Any], names: Sequence[str] = ("x",)) -> Arrays:
        """Validated samples: (N, T, D), (N, D) or ids, C-contiguous in the layers' dtype."""
        pairs = zip(self.graph.inputs, xs, names, strict=True)
        return tuple(self._prepared(number, x, name) for number, x, name in pairs)

    def _prepared(self, number: int, x: Any, what: str) -> np.ndarray:
        array = numeric_array(what, x)
        taker = self.graph.taker(number)
        if self.graph.starts_alone:
            taker.check_input(array.shape)
        if 0 in array.shape:
            raise ValueError(
                f"{what} has shape {array.shape}: there is nothing in it; expected at least one "
                "sample, one step and one feature"
            )
        if taker.takes_ids:
            limit = getattr(taker, "input_dim", None)
            return as_ids(array, int(limit or 0), f"{type(taker).__name__} {taker.name!r}")
        return as_floats(array, taker.dtype, what)

    def prepare_checked(self, x: np.ndarray) -> Arrays:
        """Validated samples for the one input there is, of a shape that is known to fit."""
        return (as_floats(x, self.graph.layers[0].dtype, "x"),)

    def call(
        self,
        x: Any,
        *,
        mask: Any = None,
        training: bool = False,
        initial_state: Any = None,
        prepare: Callable[[Any], Arrays] | None = None,
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
            chain = self.chain(
                self.shapes(samples), Chain, training=training, masked=mask is not None
            )
            self._repeat = None
            output = run(chain, samples, mask, initial_state)
            if plain:
                self._repeat = repeat_of(chain, samples[0])
            return output

    def shapes(self, samples: Arrays, batch: int | None = None) -> tuple[tuple[int, ...], ...]:
        """Shapes of samples as a chain wants them, time first; of so many, or of all."""
        shapes = []
        for array, ids in zip(samples, self.graph.takes_ids, strict=True):
            count, *sample = array.shape
            shapes.append(chain_shape(sample, count if batch is None else batch, ids))
        return tuple(shapes)

    def build_for(self, x: Any) -> Arrays:
        """Validated samples for the one layer that there is, built for them where it was not."""
        (layer,), options = self.graph.layers, self.graph.steps[0].options
        several = len(self.graph.inputs) > 1
        names = [f"x[{number}]" for number in range(len(x))] if several else ["x"]
        samples = self.prepare_inputs(x if several else [x], names)
        if not layer.built:
            layer.build_for([array.shape for array in samples], **options)
        elif several:
            layer.shapes_after([array.shape for array in samples], **options)
        return samples


def run(
    chain: Chain, samples: Arrays, mask: Any, initial_state: Any, *, commit: bool = True
) -> Any:
    """Feed validated samples to a chain, compute, and copy out what the caller gets."""
    if mask is not None:
        np.copyto(chain.mask, as_mask(mask, samples[0].shape[:2]).T)
    first = chain.ops[0]
    first.set_initial_state(initial_state)
    try:
        chain.feed(x=samples)
        outputs = chain.predict()
    finally:
        first.set_initial_state(None)
    if commit:
        chain.commit()
    if chain.graph.ends_alone:
        last = chain.ops[-1]
        outputs = [*last.parted(outputs[0]), *(last.final_states() or [])]
    return outputs if len(outputs) > 1 else outputs[0]


def as_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask as booleans of (batch, time)."""
    array = numeric_array("mask", mask)
    if array.shape != shape:
        raise ValueError(f"mask expects shape (batch, time) = {shape}, got {array.shape}")
    return array.astype(bool)
