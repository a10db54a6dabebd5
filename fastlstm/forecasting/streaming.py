"""Series that go on value by value, each time with the next forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.calibration import Heights
from fastlstm.forecasting.intervals import band_names, check_level, quantiles_of
from fastlstm.forecasting.panel import Panel
from fastlstm.validation import numeric_array

Array = npt.NDArray[Any]

# Steps for which there is room at first.
_ROOM = 256


class Asked(NamedTuple):
    """What a forecast is asked for: its quantiles, and the columns that they become."""

    quantiles: Array
    names: list[tuple[int, str]]


class Live:
    """Base class: keeps what came, and forecasts by reading the end of the series again.

    Parameters
    ----------
    model : BaseForecaster
        Fitted; its ``_forecast`` is asked each time.
    panel : Panel
        The series so far.
    memory : int, optional
        Points at the end of a series that a forecast depends on; all of them by default.
    """

    def __init__(self, model: Any, panel: Panel, memory: int | None = None) -> None:
        if panel.hist.shape[1]:
            raise ValueError(
                f"step takes values of the target, and {type(model).__name__} also reads "
                f"hist_exog={list(panel.names.hist)}; use update(df) and predict() instead"
            )
        self.model, self.h, self.name = model, model.h, model.name
        self._panel, self._memory = panel, memory
        self._ids = {name: s for s, name in enumerate(panel.ids)}
        self._alone, self._columns = len(panel) == 1, panel.futr.shape[1]
        self._came = np.empty((len(panel), _ROOM))
        self._beside = np.empty((len(panel), _ROOM, self._columns))
        self._count = 0
        self._asked: dict[Any, Asked] = {}
        goes_on = model._own_past() is not None
        calibrated = goes_on or getattr(model, "calibration_", None) is not None
        self._heights = Heights.of(panel) if calibrated else None
        # How many values have come since intervals were calibrated on some.
        self._since = (panel.lengths - model._began) % self.h if goes_on else None
        self._begin(panel)

    # -- what a model may do its own way -----------------------------------------------------------

    def _begin(self, panel: Panel) -> None:
        """Remember what the first forecast needs."""
        self._end = self._cut(panel)

    def _take(self, values: Array, futr: Array | None) -> None:
        """Move on by (S,) values; ``futr`` is (S, 1 + h, F)."""
        beside = None if futr is None else futr[:, :1]
        self._end = self._cut(self._end.extended(values[:, np.newaxis], beside))

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        """(S, h) forecasts and (S, h, Q) quantiles."""
        later = None if futr is None else futr[:, 1:]
        made = self.model._forecast(self._end, self.h, later, asked.quantiles)
        return made.point, made.bands

    def _cut(self, panel: Panel) -> Panel:
        if self._memory is None or panel.lengths.max() <= self._memory:
            return panel
        return panel.since(np.maximum(panel.lengths - self._memory, 0))

    # -- what the forecaster calls -----------------------------------------------------------------

    def step(self, y: Any, futr: Any, level: Sequence[float] | None) -> Any:
        """Take the next values, and forecast; see ``BaseForecaster.step``."""
        values, known = self._values(y), self._known(futr)
        key = None if level is None else tuple(np.ravel(level).tolist())
        asked = self._asked.get(key)
        if asked is None:
            levels = check_level(level)
            asked = Asked(quantiles_of(levels), band_names(self.name, levels))
            self._asked[key] = asked
        self._take(values, known)
        self._note(values, known)
        if self._heights is not None:
            self._heights.take(values)
        if self._since is not None:
            self._since = (self._since + 1) % self.h
            if not self._since.all():
                series = self.panel()
                self.model._go_through(series, series.lengths - 1)
        point, bands = self._ahead(known, asked)
        if self._heights is not None and self.model.calibration_ is not None and asked.names:
            bands = self.model._widened(bands, asked.quantiles, self._heights)
        if not asked.names:
            return point[0] if self._alone else point
        made = {self.name: point, **{name: bands[..., n] for n, name in asked.names}}
        return {name: one[0] for name, one in made.items()} if self._alone else made

    def panel(self) -> Panel:
        """The series, with all that came."""
        if self._count:
            known = self._beside[:, : self._count] if self._columns else None
            self._panel = self._panel.extended(self._came[:, : self._count], known)
            self._count = 0
        return self._panel

    def _note(self, values: Array, known: Array | None) -> None:
        if self._count == self._came.shape[1]:
            self._came = np.concatenate([self._came, np.empty_like(self._came)], axis=1)
            self._beside = np.concatenate([self._beside, np.empty_like(self._beside)], axis=1)
        self._came[:, self._count] = values
        if known is not None:
            self._beside[:, self._count] = known[:, 0]
        self._count += 1

    def _values(self, y: Any) -> Array:
        """(S,) float64, of a number, an array or a mapping."""
        count = len(self._ids)
        if type(y) is float and self._alone:
            values = np.array([y])
        elif isinstance(y, Mapping):
            unknown = [name for name in y if name not in self._ids]
            if unknown:
                some = ", ".join(map(repr, unknown[:5]))
                raise ValueError(f"step knows no series {some}; update(df) adds new ones")
            values = np.full(count, np.nan)
            for name, value in y.items():
                values[self._ids[name]] = np.nan if value is None else value
        else:
            values = numeric_array("y", np.nan if y is None else y).astype(np.float64)
            if values.shape != (count,) and not (self._alone and values.size == 1):
                raise ValueError(
                    f"step expects the next value of each of {count} series, (series,) = "
                    f"({count},), or a mapping of these by ids; got shape {values.shape}"
                )
            values = values.reshape(count)
        infinite = np.isinf(values)
        if infinite.any():
            raise ValueError(
                f"step expects finite values, or NaN where one is missing; got {values[infinite]}"
            )
        return values

    def _known(self, futr: Any) -> Array | None:
        """(S, 1 + h, F) columns of the step that came and of those to forecast."""
        names = list(self._panel.names.futr)
        if not names:
            if futr is not None:
                raise ValueError("step got futr, but the model learned from no such column")
            return None
        shape = (len(self._ids), 1 + self.h, len(names))
        wanted = (
            f"step expects futr, the columns {names} of the stamp of y and of the {self.h} to "
            f"forecast: (series, 1 + h, columns) = {shape}"
        )
        if futr is None:
            raise ValueError(f"{wanted}, got None; or use update(df) and predict(futr_df=...)")
        known = numeric_array("futr", futr).astype(np.float64)
        if self._alone and known.shape == shape[1:]:
            known = known[np.newaxis]
        if known.shape != shape or not np.isfinite(known).all():
            what = f"shape {known.shape}" if known.shape != shape else "some that are not finite"
            raise ValueError(f"{wanted}, got {what}")
        return known
