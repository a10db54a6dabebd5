"""The grid that a series stands on: how far its stamps are apart."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_STAMP = np.dtype("datetime64[us]")
_DAY = 86_400_000_000
# Microseconds of the units that are always equally long.
_FIXED = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "D": _DAY}
# Months of the others.
_MONTHS = {"MS": 1, "ME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12}
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTH_NAMES = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
)  # fmt: skip
# Older names of pandas, and polars' names.
_OTHER_NAMES = {
    "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "d": "D", "b": "B",
    "M": "ME", "Q": "QE", "Y": "YE", "A": "YE", "AS": "YS", "mo": "MS", "q": "QS", "y": "YS",
}  # fmt: skip
_WRITTEN = re.compile(r"(\d*)\s*([A-Za-z]+)(?:-([A-Z]{3}))?")
_KNOWN = (
    "'h', 'D', 'B' (Monday to Friday), 'W' or 'W-MON', 'MS' or 'ME' (months by their first or last "
    "day), 'QS', 'QE', 'YS', 'YE', 'min', 's', 'ms', these with a number as in '15min', or a whole "
    "number for stamps that are whole numbers"
)


@dataclass(frozen=True)
class Frequency:
    """Steps from one stamp to the next.

    Made by ``Frequency.of`` or ``Frequency.infer``. Stamps are datetime64[us], or int64.

    Attributes
    ----------
    unit : str
        "" for whole numbers, "us", "W", "B", "MS", "ME", "QS", "QE", "YS" or "YE".
    count : int
        How many of these make a step.
    anchor : int
        The day of "W", from 0 for Monday; a month of the quarter or year, from 0 for the first; of
        whole numbers their season, 0 for none.
    """

    unit: str
    count: int = 1
    anchor: int = 0

    @classmethod
    def of(cls, freq: Any) -> Frequency:
        """The frequency of this name.

        Parameters
        ----------
        freq : str, int, timedelta or Frequency
            As pandas writes it, such as "h", "D", "W-MON", "MS", "15min", its offset objects
            included; or as polars does, "1h", "1d", "1mo". An int is the step of whole numbers.

        Raises
        ------
        ValueError, TypeError
            For names that mean nothing here, and steps that are not positive.

        Examples
        --------
        >>> Frequency.of("H").alias, Frequency.of("W").alias, Frequency.of("90min").season
        ('h', 'W-SUN', 16)
        """
        if isinstance(freq, Frequency):
            return freq
        if isinstance(freq, (datetime.timedelta, np.timedelta64)):
            return _of_duration(freq)
        if isinstance(freq, (int, np.integer)) and not isinstance(freq, bool):
            if freq < 1:
                raise ValueError(f"freq expects a step of at least 1, got {freq}")
            return cls("", int(freq))
        name = getattr(freq, "freqstr", freq)
        if not isinstance(name, str):
            raise TypeError(f"freq expects a name or a whole number, got {freq!r}; {_KNOWN}")
        return _of_name(name)

    @classmethod
    def infer(cls, stamps: npt.ArrayLike) -> Frequency:
        """The frequency of these stamps, some of which may be missing.

        Parameters
        ----------
        stamps : array_like
            (n,) datetime64 or whole numbers, rising.

        Raises
        ------
        ValueError
            If there are too few of them, or they are on no grid.
        """
        array = as_stamps(stamps)
        if len(array) < 2:
            raise ValueError(
                f"the frequency cannot be told from {len(array)} stamp; pass freq, one of {_KNOWN}"
            )
        apart = np.diff(array).astype(np.int64)
        if (apart <= 0).any():
            raise ValueError("the frequency can be told of rising stamps only; sort them first")
        if array.dtype == np.int64:
            return cls("", _common_step(array, apart, ""))
        if not (apart % _DAY).any():
            days = array.astype("datetime64[D]")
            for unit, on in (("MS", _first_of_month(days)), ("ME", _last_of_month(days))):
                if on.all():
                    return _of_months(unit, days)
            weekend = ~np.is_busday(days)
            if (
                not weekend.any()
                and (apart == _DAY).any()
                and days[-1] - days[0] > np.timedelta64(4)
            ):
                return cls("B")
            if not (apart % (7 * _DAY)).any():
                step = _common_step(array, apart, "us") // (7 * _DAY)
                return cls("W", step, int(_weekday(days[:1])[0]))
        return cls("us", _common_step(array, apart, "us"))

    def of_numbers(self) -> Frequency:
        """The same season, on whole numbers: for values of which nobody knows the stamps."""
        if self.unit == "":
            return self
        return Frequency("", 1, self.season)

    # -- stamps and their numbers ------------------------------------------------------------------

    def stamps(self, start: Any, first: int, count: int) -> Array:
        """(count,) stamps from number ``first`` on, where ``start`` has number 0."""
        return self.at(start, np.arange(first, first + count))

    def at(self, start: Any, positions: Array) -> Array:
        """Stamps with these numbers, where ``start``, one or as many, has number 0."""
        start = as_stamps(start)
        steps = np.asarray(positions, np.int64) * self.count
        if self.unit in ("", "us"):
            moved: Array = start + steps.astype(start.dtype if self.unit == "" else "m8[us]")
            return moved
        day = start.astype("datetime64[D]")
        if self.unit == "W":
            days = day + 7 * steps
        elif self.unit == "B":
            days = np.busday_offset(day, steps, roll="forward")
        else:
            month = day.astype("datetime64[M]") + self.months * np.asarray(positions, np.int64)
            ends = self.unit.endswith("E")
            days = (month + ends).astype("datetime64[D]") - ends
        stamps: Array = days.astype(_STAMP) + (start - day.astype(_STAMP))
        return stamps

    def positions(self, start: Any, stamps: npt.ArrayLike) -> Array:
        """Numbers of stamps, where ``start`` has number 0.

        Parameters
        ----------
        start : datetime64, int or array_like
            One for all of them, or (n,).
        stamps : array_like
            (n,) in any order.

        Returns
        -------
        ndarray
            (n,) int64.

        Raises
        ------
        ValueError
            If stamps lie between those of the grid; it names some.
        """
        array, start = as_stamps(stamps), as_stamps(start)
        self._check_kind(array)
        numbers = self._nearest_before(start, array)
        # A start beside the grid puts all others there.
        wrong = ~self._anchored(array) | (self.at(start, numbers) != array)
        if wrong.any():
            raise ValueError(self._off_grid(start, array, wrong))
        return numbers

    def _nearest_before(self, start: Array, stamps: Array) -> Array:
        if self.unit in ("", "us"):
            steps = (stamps - start).astype(np.int64)
        else:
            days, day = stamps.astype("datetime64[D]"), start.astype("datetime64[D]")
            if self.unit == "W":
                steps = (days - day).astype(np.int64) // 7
            elif self.unit == "B":
                steps = np.busday_count(day, days)
            else:
                months = days.astype("datetime64[M]") - day.astype("datetime64[M]")
                return np.asarray(months.astype(np.int64) // self.months)
        numbers: Array = np.asarray(steps, np.int64) // self.count
        return numbers

    def _anchored(self, stamps: Array) -> Array:
        """(n,) whether a stamp may stand on a grid of this kind, wherever that begins."""
        if self.unit in ("", "us"):
            return np.ones(len(stamps), bool)
        days = stamps.astype("datetime64[D]")
        if self.unit == "W":
            fits = _weekday(days) == self.anchor
        elif self.unit == "B":
            fits = np.is_busday(days)
        else:
            on = _last_of_month if self.unit.endswith("E") else _first_of_month
            months = days.astype("datetime64[M]").astype(np.int64)
            fits = on(days) & (months % _MONTHS[self.unit] == self.anchor)
        return np.asarray(fits)

    def _check_kind(self, stamps: Array) -> None:
        if (self.unit == "") != (stamps.dtype == np.int64):
            got = "whole numbers" if stamps.dtype == np.int64 else "dates and times"
            wanted = "whole numbers" if self.unit == "" else "dates and times"
            raise ValueError(
                f"freq={self.alias!r} expects stamps that are {wanted}, got {got}; pass another "
                "freq, or convert the stamps"
            )

    def _off_grid(self, start: Array, stamps: Array, wrong: Array) -> str:
        some = ", ".join(written(stamp) for stamp in stamps[wrong][:5])
        more = ", ..." if wrong.sum() > 5 else ""
        try:
            found = Frequency.infer(np.unique(stamps))
            advice = f"; these stamps look like freq={found.alias!r}" if found != self else ""
        except ValueError:
            advice = "; round the stamps, or pass the freq that they have"
        first = written(np.broadcast_to(start, stamps.shape)[wrong][0])
        return (
            f"{wrong.sum()} of {len(stamps)} stamps are not on the grid of freq={self.alias!r} "
            f"from {first} on: {some}{more}{advice}"
        )

    # -- what it is --------------------------------------------------------------------------------

    @property
    def whole_days(self) -> bool:
        """Whether each step is one day or several, however long these are."""
        return self.unit not in ("", "us") or (self.unit == "us" and self.count % _DAY == 0)

    @property
    def months(self) -> int:
        """Months of a step; 0 of a step that is none of months."""
        return _MONTHS.get(self.unit, 0) * self.count

    @property
    def season(self) -> int:
        """Steps after which series usually repeat: those of a day, week or year; 1 for none."""
        if self.unit == "us":
            if self.count % _DAY == 0:
                return _whole(7 * _DAY, self.count)
            # A day of seconds is too long to look back on, and an hour of milliseconds.
            cycles = {"min": _DAY, "s": _FIXED["h"], "us": _FIXED["s"]}
            cycle = next(cycles[unit] for unit in cycles if self.count >= _FIXED[unit])
            return _whole(cycle, self.count)
        if self.months:
            return _whole(12, self.months)
        if self.unit == "":
            return self.anchor or 1
        return _whole(52 if self.unit == "W" else 5, self.count)

    @property
    def alias(self) -> str:
        """Its name, as pandas writes it; of whole numbers, the step."""
        if self.unit == "":
            return str(self.count)
        unit, count, anchor = self.unit, self.count, ""
        if unit == "us":
            unit = [name for name, size in _FIXED.items() if count % size == 0][-1]
            count //= _FIXED[unit]
        elif unit == "W":
            anchor = f"-{_DAYS[self.anchor]}"
        elif _MONTHS.get(unit, 1) > 1:
            # Quarters are named by the first month that begins one, or by the last that ends one.
            month = self.anchor + (9 if unit == "QE" else 0)
            anchor = f"-{_MONTH_NAMES[month]}"
        return f"{count if count > 1 else ''}{unit}{anchor}"


def as_stamps(values: npt.ArrayLike) -> Array:
    """Stamps as datetime64[us] or int64.

    Raises
    ------
    TypeError
        If they are neither.
    """
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return array.astype(_STAMP)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    raise TypeError(f"stamps expect datetime64 or whole numbers, got {array.dtype}")


def written(stamp: Any) -> str:
    """A stamp as it reads best: a day without its midnight."""
    if not isinstance(stamp, np.datetime64) and np.asarray(stamp).dtype.kind != "M":
        return str(stamp)
    text = str(np.datetime64(stamp, "us"))
    if text.endswith(":00.000000"):
        return text.removesuffix(":00.000000").removesuffix("T00:00")
    return text.removesuffix(".000000")


def _of_name(name: str) -> Frequency:
    match = _WRITTEN.fullmatch(name.strip())
    number, unit, anchor = match.groups() if match else ("", "", None)
    # Polars' week has no day of its own.
    if unit == "w" and anchor is None:
        number, unit = str(7 * int(number or 1)), "D"
    unit, count = _OTHER_NAMES.get(unit, unit), int(number or 1)
    if count > 0 and unit in _FIXED and anchor is None:
        return Frequency("us", count * _FIXED[unit])
    if count > 0 and unit == "B" and anchor is None:
        return Frequency("B", count)
    if count > 0 and unit == "W" and (anchor or "SUN") in _DAYS:
        return Frequency("W", count, _DAYS.index(anchor or "SUN"))
    months = _MONTHS.get(unit, 0)
    if count > 0 and months and (anchor is None or (months > 1 and anchor in _MONTH_NAMES)):
        usual = "DEC" if unit.endswith("E") else "JAN"
        return Frequency(unit, count, _MONTH_NAMES.index(anchor or usual) % months)
    hint = " (minutes are 'min', months 'MS' or 'ME')" if unit == "m" else ""
    raise ValueError(f"freq={name!r} means nothing here{hint}; it may be {_KNOWN}")


def _of_duration(freq: Any) -> Frequency:
    step = np.timedelta64(freq)
    if np.datetime_data(step.dtype)[0] in ("Y", "M"):
        raise ValueError(f"freq={freq!r} does not tell the day; pass 'MS', 'ME', 'YS' or 'YE'")
    micros = step.astype("m8[us]")
    if micros != step or micros <= np.timedelta64(0, "us"):
        raise ValueError(f"freq expects some microseconds at least, got {freq!r}")
    return Frequency("us", int(micros.astype(np.int64)))


def _of_months(unit: str, days: Array) -> Frequency:
    """Of days that all are the first, or the last, of a month."""
    months = days.astype("datetime64[M]").astype(np.int64)
    step = _common_step(days, np.diff(months), unit)
    for letter, size in (("Y", 12), ("Q", 3)):
        if step % size == 0:
            return Frequency(letter + unit[1], step // size, int(months[0] % size))
    return Frequency(unit, step)


def _common_step(stamps: Array, apart: Array, unit: str) -> int:
    """The step that most stamps are apart, of which all other distances are multiples."""
    steps, counts = np.unique(apart, return_counts=True)
    usual = steps[np.argmax(counts)]
    wrong = np.flatnonzero(apart % usual)
    if wrong.size:
        some = ", ".join(f"{written(stamps[n])} to {written(stamps[n + 1])}" for n in wrong[:3])
        raise ValueError(
            f"the frequency cannot be told: {counts.max()} of {len(apart)} stamps come "
            f"{Frequency(unit, int(usual)).alias} after the one before, but {wrong.size} by no "
            f"multiple of that, such as {some}; pass freq, one of {_KNOWN}, or round the stamps"
        )
    return int(usual)


def _weekday(days: Array) -> Array:
    """(n,) from 0 for Monday; the first of January 1970 was a Thursday."""
    weekdays: Array = (days.astype(np.int64) + 3) % 7
    return weekdays


def _first_of_month(days: Array) -> Array:
    return np.asarray(days.astype("datetime64[M]").astype("datetime64[D]") == days)


def _last_of_month(days: Array) -> Array:
    return _first_of_month(days + 1)


def _whole(cycle: int, step: int) -> int:
    """Steps of a cycle if they are whole, otherwise 1."""
    return cycle // step if cycle % step == 0 else 1
