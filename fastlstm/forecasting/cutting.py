"""How ES-RNN cuts series into pieces, forecasts along them, and knows them again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.decomposition import likely
from fastlstm.forecasting.logarithm import logarithms, switches
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.pieces import Piece, Pieces
from fastlstm.forecasting.seasonal import relative
from fastlstm.kernels.smoothing import HEAD

Array = npt.NDArray[Any]

# Coefficients of a series that are rates; the others are its own at the beginning.
_RATES = 3
# Where seasons differ by this part of the level, scaled and relative errors count alike.
_ALIKE = 1 / 8


class Known(NamedTuple):
    """A series that was learned from: its row of coefficients, and where it began."""

    row: int
    stamp: Any
    values: Array
    log: bool
    piece: Piece


class Learned(NamedTuple):
    """Series as they are learned from.

    Attributes
    ----------
    pieces : list of Piece
    table : ndarray
        (P, coefficients) before anything was learned.
    weights : ndarray
        (P,) how much each of them counts.
    last : ndarray
        (P,) of bool, which of them end with their series.
    known : dict
        The last piece of each series, by its name.
    """

    pieces: list[Piece]
    table: Array
    weights: Array
    last: Array
    known: dict[Any, Known]


class Origins(NamedTuple):
    """Where along a piece forecasts are made: one every ``stride`` steps, from any of these on.

    Attributes
    ----------
    look_back, h, stride, number : int
        Steps of a window, of a forecast and from one to the next; how many there are.
    """

    look_back: int
    h: int
    stride: int
    number: int

    @property
    def steps(self) -> int:
        """Steps of a piece that has room for them."""
        return self.look_back - 1 + self.number * self.stride

    def ending(self, ends: Array) -> tuple[Array, Array]:
        """(P,) which origin is the last step of pieces, and how far behind the first may start."""
        at, starts = np.divmod(ends - self.look_back, self.stride)
        return at, starts

    def behind(self, starts: Array) -> Array:
        """(P, number, 1) their steps."""
        each = self.look_back - 1 + self.stride * np.arange(self.number)
        return np.asarray((starts[:, np.newaxis] + each)[..., np.newaxis])


class Read(NamedTuple):
    """Series as they are read to be forecast."""

    pieces: Pieces
    starts: list[Array]  # of each network (P, coefficients)
    taken: Array
    lengths: Array  # (P,) steps without those before the first value
    origins: Origins


class Cutter(NamedTuple):
    """Cuts series.

    Attributes
    ----------
    look_back, h : int
        Steps of a window, and of a forecast.
    seasons : tuple of int
        Lengths, rising.
    longest : int
        Steps of a piece at most.
    log : bool or None
        As of ``ESRNN``.
    """

    look_back: int
    h: int
    seasons: tuple[int, ...]
    longest: int
    log: bool | None

    def learned_from(self, panel: Panel, held: int) -> Learned:
        """Pieces of all series that are long enough, but for so many steps at their ends."""
        taken = switches(panel, self.log)
        y = logarithms(panel, taken)
        learned = Learned([], np.empty((0, 0)), np.empty(0), np.empty(0, bool), {})
        seen, weights, lasts = [], [], []
        for s, name in enumerate(panel.ids):
            series, whole = y.series(s), len(y.series(s))
            last = whole
            left = held
            while last >= self.least + left:
                first = max(0, last - self.longest)
                values = series[first:last]
                if not np.isfinite(values[: len(values) - left]).any():
                    break
                front = max(0, self.look_back + self.h + left - len(values))
                after = series[last : last + self.h]
                piece = Piece.of(values, after, front, self.unit_season)
                if last == whole:
                    stamp = panel.frequency.at(panel.starts[s], np.array(first))
                    begins = panel.series(s)[first : first + self.look_back + self.h].copy()
                    row = len(learned.pieces)
                    learned.known[name] = Known(row, stamp, begins, bool(taken[s]), piece)
                learned.pieces.append(piece)
                seen.append(len(values) - left)
                lasts.append(last == whole)
                unit = np.array([[piece.unit]])
                part = relative(values[np.newaxis], unit, taken[s : s + 1]).item()
                weights.append(0.5 + 0.5 * part / _ALIKE)
                if first == 0:
                    break
                last, left = first + self.look_back, 0
        if not learned.pieces:
            raise ValueError(
                f"ESRNN with h={self.h} needs a series of at least {self.least + held} points to "
                f"learn from, but the longest of {len(panel)} has {panel.lengths.max()}"
            )
        return learned._replace(
            table=self.firsts(learned.pieces, seen), weights=np.array(weights), last=np.array(lasts)
        )

    @property
    def least(self) -> int:
        """Steps that a series must have to be learned from."""
        return min(self.look_back, 2 * self.h) + self.h

    @property
    def unit_season(self) -> int:
        """The season whose changes values are scaled by."""
        return self.seasons[0] if self.seasons else 1

    def firsts(self, pieces: Sequence[Piece], seen: Sequence[int]) -> Array:
        """(P, 4 + all steps of seasons) coefficients before anything was learned.

        By so many values of each piece.
        """
        values = [piece.scaled[:n] for piece, n in zip(pieces, seen, strict=True)]
        found = np.stack(likely(values, self.seasons, self.h))
        for row, piece in zip(found, pieces, strict=True):
            at = HEAD
            for m in self.seasons:
                # Its first step is that of the first value.
                row[at : at + m] = np.roll(row[at : at + m], piece.front % m)
                at += m
        return found

    def origins(self, pieces: Sequence[Piece], stride: int, dilations: Sequence[int]) -> Origins:
        """As many as the longest piece has room for, and as dilations can part."""
        most = max(piece.steps for piece in pieces)
        multiple = math.lcm(*dilations)
        groups = -(-max(1, most - self.look_back + 1) // (stride * multiple))
        return Origins(self.look_back, self.h, stride, groups * multiple)

    def read(
        self,
        panel: Panel,
        known: Mapping[Any, Known],
        tables: Sequence[Array],
        stride: int,
        dilations: Sequence[int],
    ) -> Read:
        """Series from where they began when they were learned from; others are looked at anew."""
        taken = switches(panel, self.log)
        pieces, anew = [], []
        for s, name in enumerate(panel.ids):
            series, before = panel.series(s), known.get(name)
            first = None if before is None else self.goes_on(panel, s, before)
            if before is not None and first is not None:
                taken[s] = before.log
                values = np.log(series[first:]) if before.log else series[first:]
                pieces.append(before.piece._replace(values=values, after=values[:0]))
                continue
            values = series[-self.longest :]
            values = np.log(values) if taken[s] else values
            front = max(0, self.look_back - len(values))
            pieces.append(Piece.of(values, values[:0], front, self.unit_season))
            anew.append(s)
        # How fast a series follows it may have been learned under its name, which then is all.
        rows = np.array([known[name].row if name in known else -1 for name in panel.ids], int)
        each = [np.where((rows >= 0)[:, np.newaxis], table[rows], 0.0) for table in tables]
        if anew:
            some = [pieces[s] for s in anew]
            own = self.firsts(some, [len(piece.values) for piece in some])
            new = rows[anew] < 0
            for starts in each:
                starts[anew, _RATES:] = own[:, _RATES:]
                starts[np.array(anew)[new], :_RATES] = own[new, :_RATES]
        lengths = np.array([len(piece.values) for piece in pieces])
        origins = self.origins(pieces, stride, dilations)
        return Read(Pieces.of(pieces, origins.steps, self.h), each, taken, lengths, origins)

    def goes_on(self, panel: Panel, s: int, known: Known) -> int | None:
        """Step of a series where its piece began; None of one that is not what was learned from."""
        try:
            at = int(panel.frequency.positions(panel.starts[s], np.array([known.stamp]))[0])
        except ValueError:  # stamps of another kind, or beside these
            return None
        rest, size = panel.series(s)[max(at, 0) :], len(known.values)
        if at < 0 or not size <= len(rest) <= 4 * self.longest:
            return None
        same = np.array_equal(rest[:size], known.values, equal_nan=True)
        return at if same and not (known.log and np.nanmin(rest) <= 0) else None
