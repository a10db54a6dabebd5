"""What + - * / and an index make of symbols: calls of layers, which a file can hold.

As in Keras, a mask ends at an operator or an index, where a layer such as ``Add()([a, b])`` passes
it on.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

from fastlstm.layers.cropping import Slice
from fastlstm.layers.indexing import GetItem
from fastlstm.layers.merging import Add, Divide, Multiply, Subtract
from fastlstm.layers.rescaling import Rescaling
from fastlstm.layers.several import Several
from fastlstm.layers.symbol import Symbol

_LAYERS: dict[str, type[Several]] = {"+": Add, "-": Subtract, "*": Multiply, "/": Divide}
# What takes the symbol beside a number c: the scale and the offset, where the number comes last,
# and where it comes first.
_AFTER: dict[str, Callable[[float], tuple[float, float]]] = {
    "+": lambda c: (1.0, c),
    "-": lambda c: (1.0, -c),
    "*": lambda c: (c, 0.0),
    "/": lambda c: (1.0 / c, 0.0),
}
_BEFORE: dict[str, Callable[[float], tuple[float, float]]] = {
    "+": lambda c: (1.0, c),
    "-": lambda c: (-1.0, c),
    "*": lambda c: (c, 0.0),
}


def combine(sign: str, first: Any, second: Any) -> Any:
    """The symbol for ``first sign second``, one of which may be a number.

    Raises
    ------
    TypeError
        If one is neither, or it is a number over a symbol.
    """
    if isinstance(first, Symbol) and isinstance(second, Symbol):
        return _LAYERS[sign]().symbolic_call([first, second], ends_mask=True)
    in_front = isinstance(second, Symbol)
    symbol, other = (second, first) if in_front else (first, second)
    if not isinstance(other, numbers.Real) or isinstance(other, bool):
        raise TypeError(
            f"{sign} expects symbols or numbers, got {symbol!r} and {type(other).__name__}: arrays "
            "come into a model by an Input of their own, or as weights of a layer"
        )
    if in_front and sign not in _BEFORE:
        raise TypeError(
            f"{other!r} / {symbol!r} has no layer: Divide()([a, b]), or a / b, divides symbols"
        )
    if sign == "/" and other == 0:
        raise ZeroDivisionError(f"{symbol!r} is divided by zero")
    scale, offset = (_BEFORE if in_front else _AFTER)[sign](float(other))
    return Rescaling(scale, offset).symbolic_call([symbol], ends_mask=True)


def take(symbol: Symbol, key: Any) -> Any:
    """The symbol for ``symbol[key]``: slices and whole numbers for steps and features.

    Raises
    ------
    TypeError, IndexError
        If there is no layer for such an index.
    """
    keys = _one_for_each(symbol, key)
    if keys[0] != slice(None):
        raise TypeError(
            f"{_shown(symbol, key)} takes samples, which a model cannot choose among: the first "
            "index is ':', as in x[:, 0]"
        )
    numbered = [isinstance(place, int) for place in keys[1:]]
    if all(numbered):
        kept = f"x[{', '.join([':', *map(str, keys[1:-1]), _range(keys[-1])])}]"
        raise TypeError(
            f"{_shown(symbol, key)} has no axis but the batch's, which layers do not take: {kept} "
            "keeps one"
        )
    places = [_as_plain(place) for place in keys[1:]]
    chosen = [(axis, place) for axis, place in zip((1, -1)[-len(places) :], places, strict=True)
              if place is not None]  # fmt: skip
    if not chosen:
        return symbol
    if len(chosen) == 1 and not any(numbered):
        ((axis, (start, stop, step)),) = chosen
        return Slice(start, stop, step, axis)(symbol)
    return GetItem(*places)(symbol)


def _as_plain(place: Any) -> Any:
    """A whole number as it is; start, stop and step; or None for all."""
    if isinstance(place, int):
        return place
    step = 1 if place.step is None else place.step
    return None if place == slice(None) else [place.start, place.stop, step]


def _one_for_each(symbol: Symbol, key: Any) -> list[Any]:
    """An index for each axis: slices and whole numbers."""
    keys = list(key) if isinstance(key, tuple) else [key]
    dots = [number for number, place in enumerate(keys) if place is Ellipsis]
    if len(keys) - len(dots) > symbol.ndim or len(dots) > 1:
        raise IndexError(f"{_shown(symbol, key)}: there are {symbol.ndim} axes")
    whole = [slice(None)] * (symbol.ndim - len(keys) + len(dots))
    at = dots[0] if dots else len(keys)
    keys[at : at + 1] = whole
    for number, place in enumerate(keys):
        if isinstance(place, numbers.Integral) and not isinstance(place, bool):
            keys[number] = int(place)
        elif not isinstance(place, slice):
            raise TypeError(
                f"{_shown(symbol, key)} expects slices and whole numbers, as in x[:, -1] or "
                "x[..., 1:3]; Reshape and RepeatVector make new axes, Concatenate joins parts"
            )
        elif place.step is not None and not (isinstance(place.step, int) and place.step > 0):
            raise TypeError(
                f"{_shown(symbol, key)} expects a step of at least 1; recurrent layers go back in "
                "time with go_backwards=True, and both ways in Bidirectional"
            )
    return keys


def _shown(symbol: Symbol, key: Any) -> str:
    return f"index {key!r} of {symbol!r}"


def _range(place: int) -> str:
    return "-1:" if place == -1 else f"{place}:{place + 1}"
