"""Running sequences, one step at a time, with their states kept from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain, has_time
from fastlstm.layers.graph import Graph
from fastlstm.layers.symbol import Shape
from fastlstm.layers.with_states import WithStates
from fastlstm.memory import Arena
from fastlstm.models.named import by_name
from fastlstm.validation import as_floats, as_ids, numeric_array, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlstm.models.network import Network


class Stream:
    """States of running sequences; made by ``model.stream()``.

    ``step`` gives what ``predict`` gives for the whole sequence so far, to the last bit, for the
    price of one step. Streams of one model are independent of one another and of ``predict``.
    They follow the model's weights when those change.

    Attributes
    ----------
    batch : int
        Number of sequences that run side by side, each a row.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm import Sequential
    >>> from fastlstm.layers import LSTM, Dense
    >>> model = Sequential([LSTM(8, input_shape=(None, 3)), Dense(1)])
    >>> x = np.random.default_rng(0).standard_normal((1, 20, 3)).astype("float32")
    >>> stream = model.stream()
    >>> for t in range(20):
    ...     y = stream.step(x[:, t])
    >>> bool((y == model.predict(x, verbose=0)).all())
    True
    """

    def __init__(self, model: Network, batch: int) -> None:
        self.batch = whole_number(batch, "stream batch")
        graph, shapes = model.graph, model.input_shapes
        pairs = zip(shapes, graph.takes_ids, strict=True)
        timed = [has_time(len(shape), ids) for shape, ids in pairs]
        if not any(timed):
            raise ValueError(
                f"stream needs a model of sequences, (batch, time, features) or ids (batch, time); "
                f"this one takes {model.input_shape}"
            )
        _check_steps(graph, shapes)
        self._lock, self._layers = model.lock, model.all_layers
        self._weights = [layer.flat_params for layer in self._layers]
        steps = [
            _of_one_step(shape, self.batch, has_steps)
            for shape, has_steps in zip(shapes, timed, strict=True)
        ]
        self._arena = Arena()
        self._chain = self._arena.lay_out(lambda plan: _Steps(graph, steps, plan))
        arrays = [x[0] if t else x for x, t in zip(self._chain.xs, timed, strict=True)]
        limits = [getattr(graph.taker(number), "input_dim", 0) for number in graph.inputs]
        self._inputs = list(map(_Input, arrays, graph.takes_ids, limits))
        ys = [y[0] if y.ndim == 3 else y for y in self._chain.ys]
        self._y: Any = ys if len(ys) > 1 else ys[0]
        self._x = self._inputs[0].array
        self._dtype = self._x.dtype
        # Of a lone row also without its axis.
        self._shapes = (self._x.shape, self._x.shape[1:] if self.batch == 1 else None)
        self._step = self._chain.bound("check", "forward")
        self._seen = -1  # of ``Layer.changes``
        self.reset()

    def step(self, x: Any) -> Any:
        """Go on by one step.

        Parameters
        ----------
        x : array_like
            The next input of each row, (batch, features); for a batch of one also (features,).
            Where the model takes ids: (batch,), or a number.

        Returns
        -------
        ndarray or list of ndarray
            Output after this step, (batch, outputs), or a list of several. It is the same array
            each time: copy it to keep it.

        Raises
        ------
        ValueError
            If x does not fit or is not finite; the states are those before.
        """
        # Anything but the very array that fits takes the long way.
        if type(x) is not np.ndarray or x.shape not in self._shapes or x.dtype != self._dtype:
            x = self._checked(x)
        with self._lock:
            self._x[...] = x
            if Layer.changes == self._seen:
                finished = self._step()
            else:  # perhaps these layers' weights
                self._check_place()
                self._seen = Layer.changes
                finished = self._chain.forward()
        if not finished:
            self._checked(x)
        return self._y

    def _check_place(self) -> None:
        pairs = zip(self._layers, self._weights, strict=True)
        if any(layer.flat_params is not weights for layer, weights in pairs):
            raise RuntimeError(
                "the model has other layers than when this stream was made, or its weights have "
                "moved; make one anew"
            )

    def _checked(self, x: Any, number: int = 0, what: str = "x") -> np.ndarray:
        """An input in the right form, or an error that says what is wrong with it."""
        taken = self._inputs[number]
        array, shape = numeric_array(what, x), taken.array.shape
        if self.batch == 1 and array.shape == shape[1:]:
            array = array[np.newaxis]
        if array.shape != shape:
            features = "" if taken.ids else ", features"
            raise ValueError(
                f"stream.step expects {what} of shape (batch{features}) = {shape}, got "
                f"{array.shape}"
            )
        if taken.ids:
            return as_ids(array, taken.limit, "stream.step")
        return as_floats(array, taken.array.dtype, what)

    def reset(self, rows: Any = None) -> None:
        """Let rows start a new sequence.

        Parameters
        ----------
        rows : int, slice, sequence of int or array of bool, optional
            Which; by default all.
        """
        rows = slice(None) if rows is None else rows
        with self._lock:
            for h, carry in self._chain.states():
                h[rows] = 0
                carry[:, :, rows] = 0

    def take_rows(self, index: Any) -> Stream:
        """Let each row go on from the states of another one, as a search does.

        Parameters
        ----------
        index : sequence of int
            (batch,), for each row the one whose states it takes, as they were before; one may be
            taken several times.

        Returns
        -------
        Stream
            This one.

        Raises
        ------
        ValueError
            If there are not as many rows, or one is out of range.
        """
        rows = numeric_array("index", index)
        if rows.shape != (self.batch,) or rows.dtype.kind not in "iu":
            raise ValueError(
                f"stream.take_rows expects whole numbers of shape (batch,) = ({self.batch},), got "
                f"{rows.dtype} of shape {rows.shape}"
            )
        if rows.min() < 0 or rows.max() >= self.batch:
            wrong = rows.min() if rows.min() < 0 else rows.max()
            raise ValueError(f"stream.take_rows expects rows 0 to {self.batch - 1}, got {wrong}")
        with self._lock:
            for h, carry in self._chain.states():
                h[...] = h[rows]
                carry[...] = carry[:, :, rows]
        return self

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a stream cannot be copied or pickled; copy the model, and make one of it")

    def __repr__(self) -> str:
        return f"<Stream of {self.batch} sequences>"


class StreamOfSeveral(Stream):
    """A stream of a model with several inputs, of which each step takes all.

    An input without steps of its own, such as facts about a sequence, is given at each step too.
    """

    def __init__(self, model: Network, batch: int) -> None:
        super().__init__(model, batch)
        self._names = model.input_names

    def step(self, x: Any) -> Any:
        """Go on by one step.

        Parameters
        ----------
        x : list or dict of array_like
            The next of each input: (batch, features), or of ids (batch,); in a dict by the
            inputs' names.

        Returns
        -------
        ndarray or list of ndarray
            As for a lone input.

        Raises
        ------
        ValueError
            If an array does not fit or is not finite; the states are those before.
        """
        arrays = self._fitting(x)
        with self._lock:
            for taken, array in zip(self._inputs, arrays, strict=True):
                taken.array[...] = array
            if Layer.changes == self._seen:
                finished = self._step()
            else:
                self._check_place()
                self._seen = Layer.changes
                finished = self._chain.forward()
        if not finished:
            self._fitting(x, checked=True)
        return self._y

    def _fitting(self, x: Any, checked: bool = False) -> list[np.ndarray]:
        """Arrays for all inputs; those that fit as they are go unchecked unless ``checked``."""
        arrays: list[np.ndarray] = []
        given = by_name(x, self._names, "stream.step")
        for number, (taken, array) in enumerate(zip(self._inputs, given, strict=True)):
            if checked or not taken.fits(array):
                array = self._checked(array, number, f"x[{self._names[number]!r}]")
            arrays.append(array)
        return arrays


class _Input(NamedTuple):
    """Where an input of one step goes, and what may be in it: numbers, or ids below a limit."""

    array: np.ndarray
    ids: bool
    limit: int

    def fits(self, x: Any) -> bool:
        """Whether x is an array that may be copied there; the program looks at its numbers."""
        like = self.array
        return type(x) is np.ndarray and x.shape == like.shape and x.dtype == like.dtype


def stream_of(model: Network, batch: int) -> Stream:
    """A stream for a model's number of inputs: a lone one comes by the shortest way."""
    return (StreamOfSeveral if len(model.graph.inputs) > 1 else Stream)(model, batch)


def _of_one_step(shape: Shape, batch: int, timed: bool) -> tuple[int, ...]:
    """The shape of an input for one step, time first."""
    sizes = [int(size or 0) for size in shape[2 if timed else 1 :]]
    return (1, batch, *sizes) if timed else (batch, *sizes)


def _check_steps(graph: Graph, inputs: Sequence[Shape]) -> None:
    """An error where a layer cannot answer step by step."""
    shapes = graph.all_shapes(inputs)
    for layer, takes, _, _ in graph.steps:
        if layer.waits([shapes[number] for number in takes]):
            raise ValueError(
                f"stream answers after every step, but layer {layer.name!r} needs the end of the "
                "sequence first; use predict, or a model whose layers all go forward"
            )
        if len(takes) > 1 and isinstance(layer, WithStates):
            raise ValueError(
                f"stream keeps states from step to step, but layer {layer.name!r} starts from "
                "those that the model computes for its initial_state; use predict, or call the "
                "layer without initial_state"
            )


class _Steps(Chain):
    """A chain of one step that goes on from its own last states."""

    hands_out = False  # who calls is given the last output itself

    def parts(self) -> dict[str, Callable[[Program], None]]:
        parts = super().parts()
        return {
            "pack": parts["pack"],
            "check": self._record_check,
            "forward": self._record_forward,
        }

    def _record_forward(self, program: Program) -> None:
        for op in self.ops:
            op.record_advance(program)
            op.record_forward(program)
            op.record_states(program)

    def _start(self) -> None:
        pass  # the program advances by itself

    def states(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Last h, (B, H), and other states, (S-1, P, B, units of a panel), of each layer."""
        ops = [inner for op in self.ops for inner in op.recurrent_ops]
        return [(op.last_h, op.last_carry) for op in ops]
