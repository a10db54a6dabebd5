"""The mean of what several models say."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.streaming import Asked, Live

Array = npt.NDArray[Any]


class Combination(BaseForecaster):
    """Forecast by the mean of several models, which are mostly wrong in different ways.

    Each learns from the series by itself. A forecast is the mean of theirs, and a quantile the mean
    of their quantiles at the same level.

    Sources: Bates, Granger, "The Combination of Forecasts", Operational Research Quarterly 20(4),
    1969; means of quantiles: Lichtendahl, Grushka-Cockayne, Winkler, "Is It Better to Average
    Probabilities or Quantiles?", Management Science 59(7), 2013.

    Parameters
    ----------
    h, freq, input_size, level, seed, verbose
        As for every forecaster: see ``MQRNN``. ``h`` is that of all the models; the others are
        theirs.
    models : sequence of forecasters
        At least one.
    alias : str, optional
        Name of the column of forecasts.

    Attributes
    ----------
    members_ : list of BaseForecaster
        The models, fitted.

    Examples
    --------
    >>> from fastlstm.forecasting import Drift, Naive
    >>> model = Combination(h=2, models=[Naive(2), Drift(2)])
    >>> model.fit([1.0, 2.0, 3.0]).predict()
    array([3.5, 4. ])
    """

    def __init__(
        self,
        h: int,
        freq: str | int | None = None,
        input_size: int | None = None,
        level: Sequence[float] | None = None,
        seed: int = 0,
        verbose: int = 1,
        *,
        models: Sequence[BaseForecaster] = (),
        alias: str | None = None,
    ) -> None:
        self.h, self.freq, self.input_size, self.level = h, freq, input_size, level
        self.seed, self.verbose, self.models, self.alias = seed, verbose, models, alias

    def _check(self) -> None:
        super()._check()
        if not self.models or not all(isinstance(one, BaseForecaster) for one in self.models):
            raise TypeError(f"models expects forecasters, at least one, got {self.models!r}")
        for model in self.models:
            if model.h != self.h:
                raise ValueError(f"models expect h={self.h} all of them, got {model!r}")
            model._check()

    def _fit(self, panel: Panel) -> None:
        self.members_ = [model._copy(level=self.level or model.level) for model in self.models]
        for model in self.members_:
            model._part_of_steps = self._part_of_steps
            model._fit(panel)

    def _forecast(self, panel: Panel, h: int, future: Array | None, quantiles: Array) -> Forecast:
        return mean_of([one._forecast(panel, h, future, quantiles) for one in self.members_])

    def _reach(self) -> int | None:
        each = [model._reach() for model in self.members_]
        known = [reach for reach in each if reach is not None]
        return max(known) if len(known) == len(each) else None

    def _live(self, panel: Panel) -> Live:
        return MembersLive(self, panel)

    def _go_on(self, panel: Panel, steps: int) -> None:
        members = [copy.copy(model) for model in self.members_]
        for model in members:
            model._go_on(panel, steps)
        self.members_ = members


class MembersLive(Live):
    """Of a combination: its members go on side by side, each in its own way."""

    def _begin(self, panel: Panel) -> None:
        self._lives = [model._live(panel) for model in self.model.members_]

    def _take(self, values: Array, futr: Array | None) -> None:
        try:
            for live in self._lives:
                live._take(values, futr)
        except ValueError:
            self._begin(self.panel())  # some may have taken it
            raise

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        made = [Forecast(*live._ahead(futr, asked)) for live in self._lives]
        if not asked.names:  # bands may be of any quantiles then
            made = [one._replace(bands=one.point[..., np.newaxis]) for one in made]
        return mean_of(made)


def mean_of(forecasts: Sequence[Forecast]) -> Forecast:
    """The mean of forecasts of the same steps and quantiles."""
    return Forecast(
        np.mean([one.point for one in forecasts], axis=0),
        np.mean([np.sort(one.bands, axis=2) for one in forecasts], axis=0),
    )
