"""The floating-point type that models are built in."""

from __future__ import annotations

__all__ = [
    "floatx",
    "set_floatx",
]

_FLOAT_TYPES = ("float32", "float64")

_floatx = "float32"


def floatx() -> str:
    """Name of the floating-point type of new models.

    Returns
    -------
    str
        "float32", unless ``set_floatx`` said otherwise.
    """
    return _floatx


def set_floatx(value: str) -> None:
    """Set the floating-point type of models that are built from now on.

    Parameters
    ----------
    value : str
        "float32" or "float64". Existing models keep the type they were built in.

    Raises
    ------
    ValueError
        If ``value`` is anything else.
    """
    global _floatx
    _floatx = check_floatx(value)


def check_floatx(value: str) -> str:
    """Return ``value`` if it names a floating-point type of models; ValueError otherwise."""
    if value not in _FLOAT_TYPES:
        raise ValueError(f"expected 'float32' or 'float64', got {value!r}")
    return value
