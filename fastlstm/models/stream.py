"""Running sequences, one step at a time, with their states kept from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain
from fastlstm.memory import Arena
from fastlstm.utils import numeric_array
from fastlstm.validation import as_floats, as_ids, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlstm.models.network import Network


class Stream:
    """States of running sequences; made by ``Sequential.stream``.

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
        shape = model.input_shape
        if len(model.graph.inputs) > 1 or len(model.graph.outputs) > 1:
            raise ValueError("stream needs a model with one input and one output")
        ids = model.graph.takes_ids[0]
        if len(shape) != (2 if ids else 3):
            raise ValueError(
                f"stream needs a model of sequences, (batch, time, features) or ids (batch, time); "
                f"this one takes {shape}"
            )
        self._lock, self._layers = model.lock, model.all_layers
        self._weights = [layer.flat_params for layer in self._layers]
        waits = [layer.name for layer in self._layers if not layer.causal]
        if waits:
            raise ValueError(
                f"stream answers after every step, but layer {waits[0]!r} needs the end of the "
                "sequence first; use predict, or a model whose layers all go forward"
            )
        steps = (1, self.batch, *(int(size or 0) for size in shape[2:]))
        self._arena = Arena()
        self._chain = self._arena.lay_out(lambda plan: _Steps(model.graph, [steps], plan))
        self._x = self._chain.x[0]
        self._y = self._chain.y[0] if self._chain.y.ndim == 3 else self._chain.y
        self._takes_ids = ids
        self._limit = getattr(model.graph.taker(model.graph.inputs[0]), "input_dim", 0)
        self._dtype = self._x.dtype
        # Of a lone row also without its axis.
        self._shapes = (self._x.shape, self._x.shape[1:] if self.batch == 1 else None)
        self._step = self._chain.bound("check", "forward")
        self._seen = -1  # of ``Layer.changes``
        self.reset()

    def step(self, x: Any) -> np.ndarray:
        """Go on by one step.

        Parameters
        ----------
        x : array_like
            The next input of each row, (batch, features); for a batch of one also (features,).
            Where the model takes ids: (batch,), or a number.

        Returns
        -------
        ndarray
            Output after this step, (batch, outputs). It is the same array each time: copy it to
            keep it.

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

    def _checked(self, x: Any) -> np.ndarray:
        """The input in the right form, or an error that says what is wrong with it."""
        array, shape = numeric_array("x", x), self._x.shape
        if self.batch == 1 and array.shape == shape[1:]:
            array = array[np.newaxis]
        if array.shape != shape:
            features = "" if self._takes_ids else ", features"
            raise ValueError(
                f"stream.step expects x of shape (batch{features}) = {shape}, got {array.shape}"
            )
        if self._takes_ids:
            return as_ids(array, self._limit, "stream.step")
        return as_floats(array, self._x.dtype, "x")

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


class _Steps(Chain):
    """A chain of one step that goes on from its own last states."""

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
