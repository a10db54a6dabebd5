"""Constructor arguments as scikit-learn reads and sets them."""

from __future__ import annotations

import inspect
from typing import Any


class Parameters:
    """What the constructor was given, by name; it does nothing else with it."""

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
