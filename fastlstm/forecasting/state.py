"""What a forecaster holds: its series, and what of it copies and files have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]


class State:
    """Attributes of a forecaster that is fitted, and what becomes of them."""

    @property
    def panel_(self: Any) -> Panel:
        """The series, as of the last ``fit``, ``update`` or ``step``."""
        going = self.__dict__.get("_going")
        if going is not None:
            self._panel = going.panel()
        if "_panel" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no panel_ before fit")
        panel: Panel = self._panel
        return panel

    @panel_.setter
    def panel_(self: Any, panel: Panel) -> None:
        self.__dict__.pop("_going", None)
        self._panel = panel

    @contextmanager
    def _or_as_before(self: Any) -> Iterator[None]:
        """If what is done within fails, or is broken off, attributes are as they were."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def __sklearn_is_fitted__(self: Any) -> bool:
        return hasattr(self, "panel_")

    def __getstate__(self: Any) -> dict[str, Any]:
        """Attributes that a copy has: all but the arrays of ``step``, which begins anew."""
        if self.__dict__.get("_going") is not None:
            self._panel = self.panel_
        return {name: value for name, value in self.__dict__.items() if name != "_going"}

    def _state(self: Any) -> dict[str, Any]:
        """Attributes that a file holds."""
        state = self.__getstate__()
        like = state.get("_like")
        if like is not None:
            # Forecasts have columns of ids and stamps; the types of others do not matter.
            names = self._columns[:2]
            kept = [{name: part[name] for name in names if name in part} for part in like[1:]]
            state["_like"] = like._replace(**dict(zip(like._fields[1:], kept, strict=True)))
        return state

    def _restore(self: Any, state: dict[str, Any]) -> None:
        """Take attributes from a file."""
        self.__dict__.update(state)
