"""Masks that a call of an attention is given: inputs of their own, behind query, value and key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastlstm.kernels import masks
from fastlstm.kernels.program import Program
from fastlstm.layers.symbol import Shape, Symbol, is_symbolic
from fastlstm.memory import Plan

# All there are, in the order in which they follow the key; a call's options name those given.
KINDS = ("query_mask", "value_mask", "key_mask", "attention_mask")


def with_masks(inputs: Sequence[Any], given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Inputs of a call with the masks that are not None, and the options that name these.

    The key stands third then, which is the value where there was none.
    """
    named = [kind for kind in KINDS if given.get(kind) is not None]
    if not named:
        return list(inputs), {}
    entries = [given[kind] for kind in named]
    if not is_symbolic(list(inputs)):
        pairs = zip(named, entries, strict=True)
        entries = [_for_arrays(kind, entry, len(inputs[0])) for kind, entry in pairs]
    query, value, key = (*inputs, inputs[1])[:3]
    return [query, value, key, *entries], dict.fromkeys(named, True)


def _for_arrays(kind: str, mask: Any, batch: int) -> np.ndarray:
    """A mask as an array; one that is alike for all samples, once for each."""
    if isinstance(mask, Symbol):
        raise TypeError(
            f"{kind} is a symbol, but what it is for is an array: call the layer on symbols alone, "
            "and make a Model of which the mask is an input"
        )
    array = np.asarray(mask)
    alike = array.ndim == 2 or (array.ndim == 3 and len(array) == 1)
    if kind == "attention_mask" and alike:
        return np.broadcast_to(array, (batch, *array.shape[-2:]))
    return array


def without_masks(shapes: Sequence[Shape], options: Mapping[str, Any], kind: str) -> list[Shape]:
    """Shapes of query, value and perhaps key; an error where masks do not fit them."""
    named = _named(options)
    given = list(shapes[: len(shapes) - len(named)])
    if len({shape[0] for shape in shapes} - {None}) > 1:
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"{kind} expects inputs and masks of as many samples, got {listed}")
    if len(given) < 2 or any(len(shape) < 2 for shape in given):
        return given
    batch, queries, steps = given[0][0], given[0][1], given[1][1]
    shown = [(kind, shape) for kind, shape in zip(named, shapes[len(given) :], strict=True)]
    for name, shape in shown:
        if name == "attention_mask":
            form, wanted = "(batch, query, key)", [(batch,), (queries, 1), (steps, 1)]
        else:
            form, wanted = (
                "(batch, time)",
                [(batch,), (queries if name == "query_mask" else steps,)],
            )
        sizes = zip(shape, wanted, strict=False)
        fits = all(None in (size, *some) or size in some for size, some in sizes)
        if len(shape) != len(wanted) or not fits:
            expected = tuple(some[0] for some in wanted)
            raise ValueError(
                f"{kind} expects {name} of shape {form} = {expected}, True where something counts; "
                f"got {tuple(shape)}"
            )
    return given


def _named(options: Mapping[str, Any]) -> list[str]:
    return [kind for kind in KINDS if options.get(kind)]


class Counted:
    """Which steps of queries and keys count, and which keys each query may see.

    Attributes
    ----------
    asked, keys : ndarray
        (Q, B) and (S, B) of uint8, or (0, B) for all.
    seen : ndarray
        (Q, B, S), not 0 where a query may see a key; Q and S may be 1 for all alike. Or (0, 0, 0).

    Parameters
    ----------
    xs, carried : list of ndarray
        The inputs, and the masks that come with them from the layers before.
    options : dict
        What the call said.
    replaces : bool
        Whether a mask given takes the place of all that come with the inputs.
    """

    def __init__(
        self,
        xs: Sequence[np.ndarray],
        carried: Sequence[np.ndarray],
        options: Mapping[str, Any],
        plan: Plan,
        *,
        replaces: bool = False,
    ) -> None:
        named = _named(options)
        found = dict(zip(named, xs[len(xs) - len(named) :], strict=True))
        self.seen = found.pop("attention_mask", np.empty((0, 0, 0), xs[0].dtype))
        self._calls: list[tuple[Any, ...]] = []
        ends = replaces and bool(named)
        self.asked, self.keys = (mask[:0] if ends else mask for mask in carried[:2])
        steps = (len(xs[0]), len(xs[1]))
        if "query_mask" in found:
            self.asked = self._convert(found["query_mask"], steps[0], plan)
        if "value_mask" in found:
            self.keys = self._convert(found["value_mask"], steps[1], plan)
        more = [self._convert(found["key_mask"], steps[1], plan)] if "key_mask" in found else []
        if not more and len(carried) > 2 and carried[2] is not carried[1]:
            more = [carried[2]]
        for mask in more:
            self._join(mask, plan)

    def _convert(self, given: np.ndarray, steps: int, plan: Plan) -> np.ndarray:
        """A mask as kernels have it, from numbers (B, T), or from ids (T, B)."""
        ids = given.dtype.kind == "i"
        mask = plan.array((steps, given.shape[1 if ids else 0]), np.uint8)
        if ids:
            flat = mask.reshape(-1), given.reshape(-1), mask.reshape(-1)[:0]
            self._calls.append((masks.of_ids, *flat))
        else:
            self._calls.append((masks.of_rows, mask, given))
        return mask

    def _join(self, mask: np.ndarray, plan: Plan) -> None:
        """Let keys count where they do in this mask as well."""
        if not len(self.keys) or not len(mask):
            self.keys = mask if len(mask) else self.keys
            return
        both = plan.array(mask.shape, np.uint8)
        self._calls += [(masks.of_both, both.reshape(-1), self.keys.reshape(-1), mask.reshape(-1))]
        self.keys = both

    def record(self, program: Program) -> None:
        """Record what fills in the masks that are made here."""
        for function, made, *others in self._calls:
            program.add(function, made, *others, work=1.0 * made.size)

    @property
    def hides(self) -> bool:
        """Whether there may be queries that see nothing at all."""
        return bool(self.seen.size or len(self.asked) or len(self.keys))
