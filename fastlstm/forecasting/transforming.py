"""Transforms by name of all series of a panel, and back again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.rules import seasonal_naive_from
from fastlstm.forecasting.scaling import window_scaler
from fastlstm.forecasting.transforms import Transform, series_transform

Array = npt.NDArray[Any]

# None leaves values as they are.
TRANSFORMS = (None, "log1p", "boxcox", "difference")
# How a whole series is scaled, by the names that ``scaler`` has for it.
SERIES_SCALERS = {f"series_{name}": name for name in ("standard", "robust", "minmax")}


@dataclass(frozen=True)
class Transforms:
    """A transform of each series, as it was fitted; that of others is fitted when they come.

    Attributes
    ----------
    name : str or None
        One of ``TRANSFORMS``, or of the names of ``transforms.series_transform``.
    season : int
        Steps of a season, for "difference".
    fitted : dict
        From ids to transforms.
    """

    name: str | None
    season: int
    fitted: dict[Any, Transform]

    @classmethod
    def of(cls, name: str | None, panel: Panel, season: int) -> Transforms:
        """Fit to the series.

        Raises
        ------
        ValueError
            If a series has values that the transform is not for, with its name.
        """
        made = cls(name, season, {})
        if name == "difference" and panel.lengths.max() <= season:
            raise ValueError(
                f"transform='difference' expects a series of more than one season, {season} "
                f"points, but the longest has {panel.lengths.max()}"
            )
        return replace(made, fitted={} if name is None else made.each(panel))

    def transform(self, panel: Panel) -> Panel:
        """The series as a network sees them."""
        if self.name is None:
            return panel
        y = panel.y.copy()
        if self.name == "difference":
            y[self.season :] -= panel.y[: -self.season]
            steps = np.arange(len(y)) - np.repeat(panel.offsets[:-1], panel.lengths)
            y[steps < self.season] = np.nan
            return replace(panel, y=y)
        each = self.each(panel)
        for s, name in enumerate(panel.ids):
            part = slice(panel.offsets[s], panel.offsets[s + 1])
            try:
                y[part] = each[name].transform(panel.y[part])
            except ValueError as error:
                raise ValueError(f"series {name!r}: {error}") from None
        return replace(panel, y=y)

    def quantiles_back(self, values: Array, panel: Panel, middle: int) -> Array:
        """Quantiles of the series, of those of what a network sees.

        Changes of several seasons add up, of medians as they are; of their distances from the
        median the squares do, as of changes that have nothing to do with each other.

        Parameters
        ----------
        values : ndarray
            (S, h, Q) in rising order.
        panel : Panel
            The series before, as they are.
        middle : int
            Place of the median.

        Returns
        -------
        ndarray
            (S, h, Q)
        """
        if self.name != "difference":
            return self._elementwise(values, panel)
        median = values[..., middle : middle + 1]
        away = values - median
        before = self._last_season(panel, values.shape[1])[..., np.newaxis]
        wide = np.sqrt(self._added(away**2, axis=1))
        made: Array = before + self._added(median, axis=1) + np.sign(away) * wide
        return np.sort(made, axis=2)

    def paths_back(self, values: Array, panel: Panel) -> Array:
        """(S, paths, h) futures of the series, of futures of what a network sees."""
        if self.name != "difference":
            return self._elementwise(values, panel)
        before = self._last_season(panel, values.shape[2])[:, np.newaxis]
        made: Array = before + self._added(values, axis=2)
        return made

    def affine(self, ids: Array) -> tuple[Array, Array]:
        """(B, 1) shift and scale of these series, of a transform that has no more than these."""
        each: list[Any] = [self.fitted[name] for name in ids]
        shift, scale = np.array([[one.shift, one.scale] for one in each]).T
        return shift[:, np.newaxis], scale[:, np.newaxis]

    def each(self, panel: Panel) -> dict[Any, Transform]:
        """Of these series; of those that were there the one that was fitted."""
        if self.name == "difference":
            return {}
        made = {}
        for s, name in enumerate(panel.ids):
            if name in made:
                continue
            if name in self.fitted:
                made[name] = self.fitted[name]
                continue
            try:
                made[name] = series_transform(self.name, panel.series(s))
            except ValueError as error:
                raise ValueError(f"series {name!r}: {error}") from None
        return made

    def _elementwise(self, values: Array, panel: Panel) -> Array:
        if self.name is None:
            return values
        each = self.each(panel)
        pairs = zip(values, panel.ids, strict=True)
        return np.stack([each[name].inverse(one) for one, name in pairs])

    def _last_season(self, panel: Panel, h: int) -> Array:
        """(S, h) the values of the last season, again and again."""
        return np.concatenate(
            [
                seasonal_naive_from(y, h, np.array([len(y)]), self.season)
                for y in map(panel.series, range(len(panel)))
            ]
        )

    def _added(self, values: Array, axis: int) -> Array:
        """Sums over each step and those whole seasons before it."""
        made = np.moveaxis(values.copy(), axis, 0)
        for step in range(self.season, len(made)):
            made[step] += made[step - self.season]
        return np.moveaxis(made, 0, axis)


def check_scaler(name: Any) -> None:
    """An error where this is no name of a scaler, be it of windows or of whole series."""
    if name in SERIES_SCALERS:
        return
    try:
        window_scaler(name)
    except ValueError as error:
        series = ", ".join(map(repr, SERIES_SCALERS))
        raise ValueError(f"{error}; or, of whole series, one of {series}") from None


def check_transform(name: Any) -> None:
    """An error where this is no name of a transform."""
    if not (name is None or isinstance(name, str)) or name not in TRANSFORMS:
        names = ", ".join(map(repr, TRANSFORMS))
        raise ValueError(f"transform expects one of {names}; got {name!r}")
