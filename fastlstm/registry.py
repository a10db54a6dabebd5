"""Names for objects: how a string, a class or a configuration becomes an instance.

Look-ups go through a table that the caller writes down; no name is ever imported, so that a
configuration read from a file can reach nothing but what the table lists.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from inspect import Parameter, signature
from typing import Any, TypeVar

T = TypeVar("T")


def snake_case(name: str) -> str:
    """Turn a class name into the name that strings use: GlorotUniform into glorot_uniform."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def named(*classes: type[T], **aliases: type[T]) -> dict[str, type[T]]:
    """Make a table of classes by class name, snake-case name and alias."""
    table = {cls.__name__: cls for cls in classes}
    table.update({snake_case(cls.__name__): cls for cls in classes})
    table.update(aliases)
    return table


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of ``names``, or nothing if none is near."""
    by_lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def check_rest(
    what: str,
    arguments: Mapping[str, Any],
    known: Iterable[str],
    instead: Mapping[str, str],
    without_effect: Collection[str] = (),
) -> None:
    """An error where arguments that something does not know ask for what is not here.

    Keras' own are accepted where they ask for nothing: None, False, or what changes no result.

    Parameters
    ----------
    what : str
        What they were given to, for the error.
    arguments : Mapping
        Those that it does not know, with their values.
    known : iterable of str
        Those that it does.
    instead : Mapping of str to str
        What to do instead of each that Keras has.
    without_effect : collection of str
        Those of Keras' that change no result.

    Raises
    ------
    TypeError
        For the first one that asks for something.
    """
    for name, value in arguments.items():
        if name in without_effect or (name in instead and (value is None or value is False)):
            continue
        if name in instead:
            raise TypeError(f"{what} has no {name!r} yet: {instead[name]}")
        raise TypeError(f"{what} has no argument {name!r}.{suggestion(name, known)}")


def arguments_of(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a function takes."""
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    parameters = signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in named and p.name != "self"]


def arguments_of_class(kind: type) -> list[str]:
    """Names of the arguments that a class takes, those that it passes on to its bases as well."""
    found: dict[str, None] = {}
    for base in kind.__mro__:
        if base is object or "__init__" not in vars(base):
            continue
        made = vars(base)["__init__"]
        found.update(dict.fromkeys(arguments_of(made)))
        if all(p.kind is not p.VAR_KEYWORD for p in signature(made).parameters.values()):
            break
    return list(found)


def find(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Look ``name`` up in a table.

    Parameters
    ----------
    kind : str
        What the table holds, for the error: "loss", "optimizer".
    name : str
        The user's word for it.
    table : Mapping[str, T]
        All names that are known.

    Returns
    -------
    T
        The entry.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest and lists all.
    """
    if name in table:
        return table[name]
    listed = ", ".join(sorted(known for known in table if known == known.lower()))
    raise ValueError(f"unknown {kind} {name!r}.{suggestion(name, table)} Known names: {listed}")


def resolve(kind: str, identifier: Any, base: Any, table: Mapping[str, type[T]]) -> T:
    """Turn whatever names an object into an instance of ``base``.

    Parameters
    ----------
    kind : str
        What is looked for, for errors.
    identifier : instance, class, str or dict
        An instance or a subclass of ``base``, a name in ``table``, or a configuration
        ``{"class_name": ..., "config": {...}}`` as ``serialize`` makes it.
    base : type
        Class of the result; may be abstract.
    table : Mapping[str, type]
        All names that are known.

    Returns
    -------
    T
        The instance itself, or a new one.

    Raises
    ------
    ValueError
        If the name is unknown or the configuration does not fit.
    TypeError
        If ``identifier`` is of another type.
    """
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if isinstance(identifier, str):
        return find(kind, identifier, table)()
    if isinstance(identifier, Mapping):
        return _from_mapping(kind, identifier, table)
    raise TypeError(
        f"expected {kind} as a name, {base.__name__} instance, class or configuration, "
        f"got {type(identifier).__name__}: {identifier!r}"
    )


def serialize(instance: Any) -> dict[str, Any]:
    """Write an instance as the configuration that ``resolve`` reads.

    Returns
    -------
    dict
        ``{"class_name": ..., "config": {...}}``, plain values only.
    """
    return {"class_name": type(instance).__name__, "config": instance.get_config()}


def _from_mapping(kind: str, identifier: Mapping[str, Any], table: Mapping[str, type[T]]) -> T:
    name, config = identifier.get("class_name"), identifier.get("config", {})
    if not isinstance(name, str) or not isinstance(config, Mapping):
        raise ValueError(
            f"a {kind} configuration needs 'class_name', a string, and 'config', a dict; "
            f"got {dict(identifier)!r}"
        )
    cls = find(kind, name, table)
    try:
        return cls(**config)
    except TypeError as error:
        raise ValueError(f"configuration of {kind} {name!r} does not fit: {error}") from error
