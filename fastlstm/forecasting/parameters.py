"""Constructor arguments as scikit-learn reads and sets them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fastlstm.forecasting.advice import no_such_argument


class Parameters:
    """What the constructor was given, by name; it does nothing else with it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _advising(cls.__init__)  # type: ignore[method-assign]

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments.

        Parameters
        ----------
        deep : bool
            No difference here.

        Returns
        -------
        dict of str to Any
        """
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Any:
        """Change some of the constructor's arguments, for the next ``fit``.

        Returns
        -------
        The forecaster itself.

        Raises
        ------
        ValueError
            For a name that the constructor does not have.
        """
        names = self._names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(names)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        given = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if repr(value) != repr(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(given)})"


def _advising(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that says what to use instead of an argument that it does not have."""
    names = [name for name in inspect.signature(init).parameters if name != "self"]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **params: Any) -> None:
        for name in params:
            if name not in names:
                raise no_such_argument(type(self), name, names)
        init(self, *args, **params)

    return checked
