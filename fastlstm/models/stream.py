"""Running sequences, one step at a time, with their states kept from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain, Value, chain_shape, has_time, time_first
from fastlstm.layers.graph import Graph
from fastlstm.layers.symbol import Shape
from fastlstm.memory import Arena, Plan
from fastlstm.models.beginning import Beginning
from fastlstm.models.named import by_name
from fastlstm.models.parting import Parted, part
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
    start_names : list of str
        Inputs that ``reset`` takes once as ``start``: those that states before the first step are
        made of. ``step`` takes the others.

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

    Facts that the first states are made of are given once, and so is what an encoder reads, and
    what attention looks at:

    >>> from fastlstm import Input, Model
    >>> series, facts = Input((None, 3)), Input((2,), name="facts")
    >>> start = [Dense(8, "tanh")(facts), Dense(8)(facts)]
    >>> model = Model([series, facts], Dense(1)(LSTM(8)(series, initial_state=start)))
    >>> stream = model.stream()
    >>> stream.start_names
    ['facts']
    >>> stream.reset(start=np.ones((1, 2)))
    >>> for t in range(20):
    ...     y = stream.step(x[:, t])
    >>> bool((y == model.predict([x, np.ones((1, 2))], verbose=0)).all())
    True
    """

    def __init__(self, model: Network, batch: int, parted: Parted) -> None:
        self.batch = whole_number(batch, "stream batch")
        graph, shapes = model.graph, model.input_shapes
        timed = _timed(model)
        self._parted = parted
        self._lock, self._layers = model.lock, model.all_layers
        self._weights = [layer.flat_params for layer in self._layers]
        self._beginning = Beginning(model, parted) if parted.given else None
        self._begun = np.full(self.batch, self._beginning is None)  # each row
        self.start_names = [] if self._beginning is None else self._beginning.names
        places = [graph.inputs.index(number) for number in parted.stepped]
        self._names = [model.input_names[place] for place in places]
        self._timed = [timed[place] for place in places]
        self._samples = [_of_one_step(shapes[place], timed[place]) for place in places]
        self._step_shapes = [
            chain_shape([1, *sample] if has_steps else sample, self.batch, graph.takes_ids[place])
            for place, sample, has_steps in zip(places, self._samples, self._timed, strict=True)
        ]
        self._outputs = graph.outputs
        self._arena = Arena()
        # Sequences that are held have a single step until they are there.
        known = graph.all_shapes(shapes)
        self._lay_out({n: _Room.of_one_step(known[n]) for n in (*parted.held, *parted.kept)})
        self.reset()

    def _lay_out(self, rooms: dict[int, _Room]) -> None:
        """Make room for a step, and for what is held from step to step."""
        self._rooms, parted, batch = rooms, self._parted, self.batch
        graph, held = parted.steps, [rooms[number] for number in parted.held]
        shapes = [*self._step_shapes, *(room.shape(batch) for room in held)]
        self._chain = self._arena.lay_out(lambda plan: _Steps(graph, shapes, plan, held=held))
        xs = self._chain.xs
        arrays = [x.reshape(batch, *n) for x, n in zip(xs, self._samples, strict=False)]
        limits = [getattr(graph.taker(number), "input_dim", 0) for number in parted.stepped]
        ids = graph.takes_ids[: len(arrays)]
        self._inputs = list(map(_Input, arrays, ids, limits))
        self._x = self._inputs[0].array
        dtype = graph.layers[0].dtype
        values = zip(xs[len(arrays) :], self._chain.held_masks, strict=True)
        self._held = dict(zip(parted.held, values, strict=True))
        for number in parted.kept:
            nothing = np.empty((0, batch), np.uint8)
            self._held[number] = np.zeros(rooms[number].shape(batch), dtype), nothing
        made = dict(zip(graph.outputs, (_of_step(y) for y in self._chain.ys), strict=True))
        made.update((n, time_first(array, ids=False)) for n, (array, _) in self._held.items())
        ys = [made[number] for number in self._outputs]
        self._y: Any = ys if len(ys) > 1 else ys[0]
        self._dtype = self._x.dtype
        # Of a lone row also without its axis.
        self._shapes = (self._x.shape, self._x.shape[1:] if self.batch == 1 else None)
        self._step = self._chain.bound("check", "forward")
        self._seen = -1  # of ``Layer.changes``

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
                self._check_ready()
                self._seen = Layer.changes
                finished = self._chain.forward()
        if not finished:
            self._checked(x)
        return self._y

    def _check_ready(self) -> None:
        if self._beginning is not None and not self._begun.all():
            raise ValueError(
                f"rows {np.flatnonzero(~self._begun).tolist()} of the stream have nothing to start "
                f"from: states before the first step are made of {self._beginning.names}, which "
                "stream.reset(start=...) takes once"
            )
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

    def reset(self, rows: Any = None, *, start: Any = None) -> None:
        """Let rows start a new sequence.

        Parameters
        ----------
        rows : int, slice, sequence of int or array of bool, optional
            Which; by default all.
        start : array_like, or list or dict of array_like, optional
            Of a model in which layers take their ``initial_state`` from the graph: the inputs that
            those states are made of, such as facts, or the sequence that an encoder reads, with a
            row for each row that starts. Needed before the first step. They are held, so that
            without ``start`` a row starts again from what it had.

        Raises
        ------
        ValueError
            If ``start`` does not fit; the states are those before.
        """
        chosen = slice(None) if rows is None else rows
        index = np.atleast_1d(np.arange(self.batch)[chosen])
        with self._lock:
            if self._beginning is None:
                if start is not None:
                    raise ValueError(
                        "stream.reset(start=...) is for models in which a layer takes its "
                        "initial_state from the graph; this one starts from zeros"
                    )
                for h, carry in self._chain.states():
                    h[index] = 0
                    carry[:, :, index] = 0
                return
            if start is not None:
                self._hold(index, self._beginning(start, index.size))
            self._chain.begin(index)

    def _hold(self, index: np.ndarray, made: dict[int, Value]) -> None:
        """Take into some rows what their sequences start from."""
        rooms = {n: _Room.like(*made[n]) for n in self._rooms}
        if rooms != self._rooms:
            others = np.delete(self._begun, index)
            if others.any():
                raise ValueError(
                    f"what rows of a stream look at has one length, {self._lengths(self._rooms)} "
                    f"steps in those that go on; got {self._lengths(rooms)}. Pad it and let a mask "
                    "say so, or reset all rows"
                )
            self._lay_out(rooms)
        for number, (target, mask) in self._held.items():
            value, counts = made[number]
            _rows_of(target)[index] = _rows_of(value)
            mask[:, index] = counts
        self._begun[index] = True

    def _lengths(self, rooms: dict[int, _Room]) -> list[int]:
        return sorted({room.steps for room in rooms.values() if room.steps is not None})

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
            for array, mask in self._held.values():
                _rows_of(array)[...] = _rows_of(array)[rows]
                mask[...] = mask[:, rows]
            self._begun = self._begun[rows]
            if not self._begun.all():
                self._seen = -1
        return self

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a stream cannot be copied or pickled; copy the model, and make one of it")

    def __repr__(self) -> str:
        return f"<Stream of {self.batch} sequences>"


class StreamOfSeveral(Stream):
    """A stream of a model with several inputs, of which each step takes all.

    An input without steps of its own, such as facts about a sequence, is given at each step too,
    unless states before the first step are made of it.
    """

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
                self._check_ready()
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
    timed = _timed(model)
    if not any(timed):
        raise ValueError(
            f"stream needs a model of sequences, (batch, time, features) or ids (batch, time); "
            f"this one takes {model.input_shape}"
        )
    parted = part(model.graph, model.input_shapes, timed)
    return (StreamOfSeveral if len(parted.stepped) > 1 else Stream)(model, batch, parted)


def _timed(model: Network) -> list[bool]:
    """Which of the inputs have steps."""
    pairs = zip(model.input_shapes, model.graph.takes_ids, strict=True)
    return [has_time(len(shape), ids) for shape, ids in pairs]


def _of_one_step(shape: Shape, timed: bool) -> tuple[int, ...]:
    """The shape of one step of a sample, or of a sample without steps."""
    sample = shape[2 if timed else 1 :]
    if None in sample:
        raise ValueError(
            f"stream needs to know the size of a step, but the model takes {shape}: only the "
            "number of steps may be None"
        )
    return tuple(int(size or 0) for size in sample)


def _of_step(y: np.ndarray) -> np.ndarray:
    """What the one step of an output is."""
    return y[0] if y.ndim == 3 else y


def _rows_of(array: np.ndarray) -> np.ndarray:
    """A view of an array, time first, with the row first."""
    return time_first(array, ids=False)


class _Room(NamedTuple):
    """What is held of each row: its number of features, and of steps; and whether there is a mask.

    ``steps`` is None where it has none.
    """

    features: int
    steps: int | None
    masked: bool

    @classmethod
    def of_one_step(cls, shape: Shape) -> _Room:
        """For an array of this shape, batch first, whose steps are not known."""
        return cls(int(shape[-1] or 0), 1 if len(shape) == 3 else None, False)

    @classmethod
    def like(cls, array: np.ndarray, mask: np.ndarray) -> _Room:
        """For an array, time first."""
        timed = array.ndim == 3
        return cls(array.shape[-1], len(array) if timed else None, timed and len(mask) > 0)

    def shape(self, batch: int) -> tuple[int, ...]:
        """Of all rows, time first."""
        steps = () if self.steps is None else (self.steps,)
        return (*steps, batch, self.features)


class _Steps(Chain):
    """A chain of one step that goes on from its own last states.

    Its last inputs are what is ``held``, which others fill in.
    """

    def __init__(
        self, graph: Graph, shapes: Sequence[tuple[int, ...]], plan: Plan, held: Sequence[_Room]
    ) -> None:
        self._rooms = held
        super().__init__(graph, shapes, plan)

    def _masks_of_inputs(self, plan: Plan) -> list[np.ndarray]:
        batch = self.mask.shape[1]
        self.held_masks = [
            plan.array(((room.steps or 0) if room.masked else 0, batch), np.uint8)
            for room in self._rooms
        ]
        stepped = [self.mask[:0] for _ in self.xs[: len(self.xs) - len(self._rooms)]]
        return [*stepped, *self.held_masks]

    hands_out = False  # who calls is given the last output itself

    def parts(self) -> dict[str, Callable[[Program], None]]:
        parts = super().parts()
        return {
            "pack": parts["pack"],
            "check": self._record_check,
            "forward": self._record_forward,
            "begin": self._record_beginning,
        }

    def _record_check(self, program: Program) -> None:
        pairs = list(zip(self.graph.inputs, self.xs, strict=True))
        for number, x in pairs[: len(pairs) - len(self._rooms)]:
            self.graph.taker(number).record_check(program, x.reshape(-1))

    def _record_forward(self, program: Program) -> None:
        for step, op in zip(self.graph.steps, self.ops, strict=True):
            op.record_advance(program)
            op.record_forward(program)
            if any(self.graph.uses[number] for number in step.gives[1:]):
                op.record_states(program)

    def _record_beginning(self, program: Program) -> None:
        for op in self.ops:
            op.record_start(program)

    def _start(self) -> None:
        pass  # the program advances by itself

    def begin(self, index: np.ndarray) -> None:
        """Let some rows start from what is held, or from zeros; the others go on."""
        ops = [inner for op in self.ops for inner in op.recurrent_ops]
        if len(np.unique(index)) == len(self.index):  # nobody goes on
            self.program.run(*self._parts["begin"])
            for op in ops:
                for last, first in zip([op.last_h, *op.last_carry], op.states(0), strict=True):
                    np.copyto(last, first)
            return
        before = [(op.last_h.copy(), op.last_carry.copy()) for op in ops]
        self.program.run(*self._parts["begin"])
        for op, (h, carry) in zip(ops, before, strict=True):
            first_h, *first_carry = (state.copy() for state in op.states(0))
            h[index] = first_h[index]
            for state, first in zip(carry, first_carry, strict=True):
                state[:, index] = first[:, index]
            np.copyto(op.last_h, h)
            np.copyto(op.last_carry, carry)

    def states(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Last h, (B, H), and other states, (S-1, P, B, units of a panel), of each layer."""
        ops = [inner for op in self.ops for inner in op.recurrent_ops]
        return [(op.last_h, op.last_carry) for op in ops]
