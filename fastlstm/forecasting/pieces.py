"""Stretches of series side by side, as a network reads them that goes along whole series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.decomposition import first_seasons
from fastlstm.forecasting.seasonal import repeated

Array = npt.NDArray[Any]


class Scale(NamedTuple):
    """What 0 and 1 stand for in a piece: ``scaled = (value - shift) / unit``."""

    shift: float
    unit: float


class Pieces(NamedTuple):
    """P pieces of T steps each; what lies behind the end of one is missing.

    Attributes
    ----------
    values : ndarray
        (P, T, 2) float32 scaled values, 0 where one is missing, beside whether it is there.
    later : ndarray
        (P, T + h) scaled values, NaN where missing, with those after the end of the piece.
    ends : ndarray
        (P,) how many steps there are, those before the series began included.
    shifts, units : ndarray
        (P,) of the scales.
    """

    values: Array
    later: Array
    ends: Array
    shifts: Array
    units: Array


def scale_of(values: Array, season: int) -> Scale:
    """The mean of a piece, and how far values a season apart are from each other."""
    _, unit = repeated(values[np.newaxis], season, 1)
    return Scale(float(np.nanmean(values)) if np.isfinite(values).any() else 0.0, unit.item())


def laid_out(
    parts: Sequence[Array], lengths: Sequence[int], scales: Sequence[Scale],
    fronts: Sequence[int], steps: int, h: int,
) -> Pieces:  # fmt: skip
    """The pieces as arrays.

    Parameters
    ----------
    parts : sequence of ndarray
        Values of each, and up to h that come after.
    lengths : sequence of int
        Of each, without these.
    scales : sequence of Scale
    fronts : sequence of int
        Steps before the first value, where there is none.
    steps, h : int
        T, and steps of a forecast.
    """
    later = np.full((len(parts), steps + h), np.nan)
    for row, part, (shift, unit), front in zip(later, parts, scales, fronts, strict=True):
        row[front : front + len(part)] = (part - shift) / unit
    ends = np.add(fronts, lengths)
    seen = np.where(np.arange(steps) < ends[:, np.newaxis], later[:, :steps], np.nan)
    there = np.isfinite(seen)
    values = np.stack([np.where(there, seen, 0.0), there], axis=2).astype(np.float32)
    shifts, units = np.array(scales).T
    return Pieces(values, later, ends, shifts, units)


def first_coefficients(
    values: Array, front: int, seasons: Sequence[int], logits: Sequence[float]
) -> Array:
    """(3 + 1 + all steps of seasons,) what smoothing starts from, before ``front`` steps.

    Parameters
    ----------
    values : ndarray
        (n,) scaled values of a piece.
    front : int
        Steps before the first of them.
    seasons : sequence of int
        Lengths, rising.
    logits : sequence of float
        Of how fast level and seasons follow, three.
    """
    level, firsts = first_seasons(values, seasons)
    turned = [np.roll(first, front % len(first)) for first in firsts]
    return np.concatenate([logits, [level], *turned])
