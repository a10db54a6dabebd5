"""What layers are called on to make a graph: arrays that have a shape and no numbers yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

Shape = tuple[int | None, ...]

_latest = 0  # serial number of a call


class Symbol:
    """An array to come: an ``Input``, or an output of a layer that was called on symbols.

    Between symbols, or a symbol and a number, ``+ - * /`` call ``Add``, ``Subtract``, ``Multiply``,
    ``Divide`` and ``Rescaling``; an index, as in ``x[:, -1]`` or ``x[..., :3]``, calls ``Slice``.
    As in Keras, a mask ends there.

    Attributes
    ----------
    shape : tuple of int or None
        None for the batch, and for steps of any number.
    name : str
        Of the input, or of the layer that makes it.
    made_by : Call or None
        What makes it; None for an input.
    layer : InputLayer or None
        Of an input, what stands for it among the layers of a model.
    """

    layer: Any = None

    def __init__(self, shape: Shape, name: str, made_by: Call | None = None) -> None:
        self.shape, self.name, self.made_by = tuple(shape), name, made_by

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __add__(self, other: Any) -> Any:
        return _operators().combine("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return _operators().combine("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return _operators().combine("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _operators().combine("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return _operators().combine("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _operators().combine("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _operators().combine("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _operators().combine("/", other, self)

    def __neg__(self) -> Any:
        return _operators().combine("*", -1.0, self)

    def __getitem__(self, key: Any) -> Any:
        return _operators().take(self, key)

    def __pow__(self, _: Any) -> NoReturn:
        raise TypeError(f"** has no layer: Multiply()([x, x]) is the square of {self!r}")

    def __matmul__(self, _: Any) -> NoReturn:
        raise TypeError(f"@ of {self!r} expects Dot(axes)([a, b]) instead, or Dense for weights")

    def __abs__(self) -> NoReturn:
        raise TypeError(f"abs has no layer: Maximum()([x, -x]) is the size of {self!r}")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # A number of NumPy's on the left asks for its ufunc.
        sign = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}.get(ufunc.__name__)
        if sign is None or method != "__call__" or options:
            raise TypeError(self._no_numbers("NumPy's functions"))
        return _operators().combine(sign, *inputs)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(self._no_numbers("NumPy's functions"))

    def __bool__(self) -> NoReturn:
        raise TypeError(self._no_numbers("if and while"))

    def __iter__(self) -> NoReturn:
        raise TypeError(self._no_numbers("for"))

    def _no_numbers(self, what: str) -> str:
        return (
            f"{self!r} has no numbers yet, and {what} cannot be part of a model: call layers on "
            "it, make a Model(inputs, outputs), and call that on arrays"
        )

    def __repr__(self) -> str:
        return f"<Symbol {self.name!r} of shape {self.shape}>"


def _operators() -> Any:
    from fastlstm.layers import operators  # layers, whose calls make symbols

    return operators


class Call:
    """A layer, or a model, called on symbols.

    Attributes
    ----------
    layer : Layer or Model
        What was called; it may be called several times.
    inputs, outputs : list of Symbol
        What it takes, and what it makes.
    options : dict
        What the call said besides.
    serial : int
        Larger than that of each call whose outputs it takes.
    """

    def __init__(
        self,
        layer: Any,
        inputs: Sequence[Symbol],
        shapes: Sequence[Shape],
        options: dict[str, Any] | None = None,
    ) -> None:
        global _latest
        _latest += 1
        self.serial = _latest
        self.layer, self.inputs, self.options = layer, list(inputs), options or {}
        self.outputs = [Symbol(shape, layer.name, self) for shape in shapes]
        self.note()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Calls to come may take outputs of this one, which may be of another process.
        global _latest
        self.__dict__.update(state)
        _latest = max(_latest, self.serial)

    def note(self) -> None:
        """Let the layer know that it was called."""
        if isinstance(self.layer, Called):
            self.layer.calls.append(self)

    @property
    def result(self) -> Any:
        """What the caller gets: a symbol, or a list of several."""
        return self.outputs if len(self.outputs) > 1 else self.outputs[0]


class Called:
    """What knows the symbols that it was called on, and those that it gave.

    Attributes
    ----------
    calls : list of Call
        In their order.
    """

    calls: list[Call]

    def _first_call(self, what: str) -> Call:
        if not self.calls:
            raise AttributeError(
                f"{self!r} has no {what}, as it was not called on a symbol yet: make it part of a "
                "model first, whose input shape is known"
            )
        return self.calls[0]

    @property
    def input(self) -> Any:
        """The symbol that it was first called on, or the list of several."""
        given = self._first_call("input").inputs
        return given if len(given) > 1 else given[0]

    @property
    def output(self) -> Any:
        """The symbol, or the list of several, that the first call of it on symbols gave.

        Other models may end here: ``Model(model.input, model.get_layer("code").output)``.
        """
        return self._first_call("output").result


def is_symbolic(x: Any) -> bool:
    """Whether there is a symbol in x, which may be a list or a dict."""
    if isinstance(x, Symbol):
        return True
    values = x.values() if isinstance(x, dict) else x
    return isinstance(x, (list, tuple, dict)) and any(isinstance(value, Symbol) for value in values)


def symbols(x: Any, what: str) -> list[Symbol]:
    """One symbol or several, as a list."""
    entries = list(x) if isinstance(x, (list, tuple)) else [x]
    for entry in entries:
        if not isinstance(entry, Symbol):
            raise TypeError(
                f"{what} expects symbols, such as Input(shape) or what a layer gives for one, got "
                f"{type(entry).__name__}"
            )
    return entries
