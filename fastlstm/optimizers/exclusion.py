"""Which variables do not decay, and where the others lie."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from fastlstm.registry import suggestion


class Exclusion:
    """Variables by name.

    Parameters
    ----------
    names : sequence of str
        Whole names.
    patterns : sequence of str
        Regular expressions, to be found in a name.
    """

    def __init__(self, names: Sequence[str] = (), patterns: Sequence[str] = ()) -> None:
        self.names = _strings("var_list", names, "names of variables, such as 'lstm/bias'")
        expressions = _strings("var_names", patterns, "regular expressions, such as 'bias'")
        self.patterns = [_compiled(expression) for expression in expressions]

    def covers(self, name: str) -> bool:
        """Whether this variable is one of them."""
        return name in self.names or any(pattern.search(name) for pattern in self.patterns)

    def check(self, known: Sequence[str]) -> None:
        """A ``ValueError`` unless all whole names are ``known``."""
        for name in self.names:
            if name not in known:
                raise ValueError(
                    f"exclude_from_weight_decay names {name!r}, which is no variable of the "
                    f"model.{suggestion(name, known)} Its variables: {', '.join(known)}"
                )

    def stretches(self, segments: Sequence[tuple[str, int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Neighbouring variables that are treated alike.

        Parameters
        ----------
        segments : sequence of (str, int, int)
            Name, offset and size of each variable, in the order of the offsets.

        Returns
        -------
        bounds : ndarray
            (S, 2), first and past-last element of each stretch.
        decayed : ndarray
            (S,), 1 where the stretch decays, else 0.
        """
        bounds: list[tuple[int, int]] = []
        decayed: list[float] = []
        for name, offset, size in segments:
            decays = 0.0 if self.covers(name) else 1.0
            if bounds and decays == decayed[-1] and bounds[-1][1] == offset:
                bounds[-1] = bounds[-1][0], offset + size
            else:
                bounds.append((offset, offset + size))
                decayed.append(decays)
        return np.array(bounds, np.int64).reshape(-1, 2), np.array(decayed)


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise ValueError(
            f"exclude_from_weight_decay expects regular expressions as var_names, "
            f"got {expression!r}: {error}"
        ) from None


def _strings(argument: str, values: Sequence[str], what: str) -> list[str]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise ValueError(
            f"exclude_from_weight_decay expects a list of {what} as {argument}, got {values!r}"
        )
    return list(values)
