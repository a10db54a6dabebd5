"""Arrays for several inputs or outputs, as a list or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def by_name(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """An entry for each name, from a list or a dict; for a lone name also what is given itself.

    Raises
    ------
    ValueError
        If there are other names, or other than that many entries.
    """
    if isinstance(given, Mapping):
        missing = [name for name in names if name not in given]
        unknown = [name for name in given if name not in names]
        if missing or unknown:
            raise ValueError(
                f"{what} expects a dict with {list(names)}, got {list(given)}: missing {missing}, "
                f"unknown {unknown}"
            )
        return [given[name] for name in names]
    if len(names) == 1:
        return [given]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        kind = type(given).__name__
        count = f"{kind} of {len(given)}" if isinstance(given, (list, tuple)) else kind
        raise ValueError(
            f"{what} expects a list of {len(names)} arrays, one for each of {list(names)}, or a "
            f"dict by these names; got {count}"
        )
    return list(given)
