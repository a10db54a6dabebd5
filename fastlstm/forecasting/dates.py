"""Stamps as people write them, in ISO's notation: 31/01/2024, 1.2.2024 08:00, 20240131."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

_TIME = r"(?:[T ]+(\d\d?):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?"
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_OFFSET = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:\.\d+)? ?(Z|[+-]\d\d:?\d\d)")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d\d?)[-/.](\d\d?)" + _TIME)
_YEAR_LAST = re.compile(r"(\d\d?)[-/.](\d\d?)[-/.](\d{4})" + _TIME)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)")
_MONTH = re.compile(r"(\d{4})[-/](\d\d?)")
ORDERS = ("dmy", "mdy")


def iso_stamps(
    texts: Sequence[str], order: str | None = None, option: str = "order"
) -> tuple[list[str], str]:
    """Stamps in ISO's notation.

    Parameters
    ----------
    texts : sequence of str
        All written in one way.
    order : {"dmy", "mdy"}, optional
        Of day and month, where the year stands last; by default what is possible.
    option : str
        What an error calls the argument ``order``.

    Returns
    -------
    stamps : list of str
    remark : str
        How they were read, in words; empty where they were in ISO's notation already.

    Raises
    ------
    ValueError
        If they are no stamps, or might be read in two ways.
    """
    distinct = list(dict.fromkeys(texts))
    if all(map(_PLAIN.fullmatch, distinct)):
        return list(texts), ""
    made, remark = _converted(distinct, order, option)
    known = dict(zip(distinct, made, strict=True))
    return [known[text] for text in texts], remark


def looks_like_stamps(texts: Sequence[str]) -> bool:
    """Whether these texts are stamps, in whichever way they are written."""
    ways = (_PLAIN, _OFFSET, _YEAR_FIRST, _YEAR_LAST)
    return bool(texts) and any(all(map(way.fullmatch, texts)) for way in ways)


def _converted(texts: list[str], order: str | None, option: str) -> tuple[list[str], str]:
    found = [_OFFSET.fullmatch(text) for text in texts]
    if all(found):
        return [_in_utc(*match.groups()) for match in found if match], "offsets are taken to UTC"
    for way, remark in (
        (_YEAR_FIRST, "read as year, month, day"),
        (_COMPACT, "read as year, month, day"),
        (_MONTH, "read as the first of each month"),
    ):
        found = [way.fullmatch(text) for text in texts]
        if all(found):
            fields = [(*match.groups(), "1")[:3] for match in found if match]
            times = [match.groups()[3:] for match in found if match]
            return _written(fields, times), remark
    found = [_YEAR_LAST.fullmatch(text) for text in texts]
    if not all(found):
        wrong = [text for text, match in zip(texts, found, strict=True) if not match]
        some = ", ".join(map(repr, wrong[:3]))
        raise ValueError(
            f"expected stamps such as 2024-01-31, 2024-01-31 12:00 or 31/01/2024, all written in "
            f"one way; got {some}"
        )
    parts = [match.groups() for match in found if match]
    order = order or _order(parts, texts[0], option)
    day, month = (0, 1) if order == "dmy" else (1, 0)
    fields = [(part[2], part[month], part[day]) for part in parts]
    words = "day, month, year" if order == "dmy" else "month, day, year"
    return _written(fields, [part[3:] for part in parts]), f"read as {words}"


def _order(parts: Sequence[tuple[str, ...]], example: str, option: str) -> str:
    """Which of the first two numbers is the day, where only one of them can be."""
    first, second = (max(int(part[place]) for part in parts) for place in (0, 1))
    if first > 12 >= second:
        return "dmy"
    if second > 12 >= first:
        return "mdy"
    if first > 12:
        raise ValueError(f"stamps are written in different ways, such as {example!r}")
    raise ValueError(
        f"is the day or the month first in {example!r}? No stamp tells; say {option} dmy or mdy"
    )


def _written(
    fields: Sequence[tuple[str, ...]], times: Sequence[tuple[str | None, ...]]
) -> list[str]:
    with_time = any(time and time[0] is not None for time in times)
    made = []
    for (year, month, day), time in zip(fields, times, strict=True):
        hour, minute, second = [int(part or 0) for part in time] or [0, 0, 0]
        stamp = datetime.datetime(int(year), int(month), int(day), hour, minute, second)
        made.append(stamp.isoformat(" ") if with_time else stamp.date().isoformat())
    return made


def _in_utc(stamp: str, offset: str) -> str:
    local = datetime.datetime.fromisoformat(stamp)
    if offset == "Z":
        return local.isoformat(" ")
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    ahead = datetime.timedelta(hours=hours, minutes=minutes)
    return (local + ahead if offset[0] == "-" else local - ahead).isoformat(" ")
