"""What a stream is given once, before the first step, and what is computed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm.layers.chain import Chain, Value, time_first
from fastlstm.layers.runner import Runner
from fastlstm.models.named import by_name
from fastlstm.models.parting import Parted
from fastlstm.validation import as_floats, as_ids, numeric_array

if TYPE_CHECKING:
    from fastlstm.models.network import Network


class Beginning:
    """Computes what a stream holds from what it is given once.

    Attributes
    ----------
    names : list of str
        Of the inputs that are given once.
    """

    def __init__(self, model: Network, parted: Parted) -> None:
        self._graph, self._parted = model.graph, parted
        places = [model.graph.inputs.index(number) for number in parted.given]
        self.names = [model.input_names[place] for place in places]
        self._shapes = [model.input_shapes[place] for place in places]
        self._runner = None if parted.once is None else Runner(parted.once, model.lock)

    def __call__(self, start: Any, rows: int) -> dict[int, Value]:
        """All that somebody takes later, by number, time first, for so many rows."""
        given = by_name(start, self.names, "stream.reset start")
        triples = zip(self._parted.given, given, range(len(given)), strict=True)
        arrays = {number: self._checked(number, x, place, rows) for number, x, place in triples}
        made = {
            number: Value(time_first(x, self._takes_ids(number)), np.empty((0, rows), np.uint8))
            for number, x in arrays.items()
        }
        if self._runner is not None:
            made.update(self._computed(self._runner, arrays))
        return made

    def _takes_ids(self, number: int) -> bool:
        return self._graph.taker(number).takes_ids

    def _checked(self, number: int, x: Any, place: int, rows: int) -> np.ndarray:
        """An input in the right form, or an error that says what is wrong with it."""
        what, shape = f"start[{self.names[place]!r}]", self._shapes[place]
        array = numeric_array(what, x)
        if rows == 1 and array.ndim == len(shape) - 1:
            array = array[np.newaxis]
        wanted = (rows, *shape[1:])
        fits = len(wanted) == array.ndim and array.size > 0
        if not fits or any(a not in (None, b) for a, b in zip(wanted, array.shape, strict=True)):
            shown = ", ".join("time" if size is None else str(size) for size in wanted)
            raise ValueError(
                f"stream.reset expects {what} of shape ({shown}), a row for each that starts, got "
                f"{array.shape}"
            )
        taker = self._graph.taker(number)
        if taker.takes_ids:
            return as_ids(array, int(getattr(taker, "input_dim", 0)), "stream.reset")
        return as_floats(array, taker.dtype, what)

    def _computed(self, runner: Runner, arrays: dict[int, np.ndarray]) -> dict[int, Value]:
        samples = tuple(arrays[number] for number in runner.graph.inputs)
        chain = runner.chain(runner.shapes(samples), Chain)
        chain.feed(x=samples)
        made = {}
        for number, y, mask in zip(runner.graph.outputs, chain.predict(), chain.masks, strict=True):
            made[number] = Value(time_first(y, ids=False), chain.in_order(mask))
        return made
