"""Ridge regression from lags to all steps to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.baselines import ORIGINS, Baseline
from fastlstm.forecasting.effects import Effects, Known, fit_effects
from fastlstm.forecasting.network import usual_look_back
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.ridge import CENTERS, RidgeFit, fit_ridge, usual_alpha
from fastlstm.forecasting.rolling import SeriesLive
from fastlstm.forecasting.rules import filled, targets
from fastlstm.forecasting.streaming import Live
from fastlstm.forecasting.transforms import Affine, Arcsinh, tamed
from fastlstm.validation import real_number

Array = npt.NDArray[Any]


class View(NamedTuple):
    """What is taken from a series before its past is to explain it, and given back.

    Attributes
    ----------
    transform : Affine or Arcsinh
        Its units.
    effects : Effects
        What its hours of the week and the columns beside it add, in these units.
    """

    transform: Affine | Arcsinh
    effects: Effects

    @classmethod
    def of(cls, y: Array, known: Known, season: int) -> View:
        """Of a series without gaps."""
        transform = tamed(y)
        return cls(transform, fit_effects(transform.transform(y), known, season))

    def rest(self, y: Array, known: Known) -> Array:
        """(n,) what is left of the series."""
        left: Array = self.transform.transform(y) - self.effects.at(known)[: len(y)]
        return left

    def forecast(self, fit: RidgeFit, y: Array, known: Known, origins: Array, h: int) -> Array:
        """(W, h) what follows each origin; h more steps are known than there are of the series."""
        seen, added = self.transform.transform(y), self.effects.at(known)
        made = fit.predict(_windows(seen - added[: len(y)], fit, origins), h)
        made = made + added[origins[:, np.newaxis] + np.arange(h)]
        if isinstance(self.transform, Arcsinh):
            # As it goes back by powers, no further than twice what has been seen.
            low, high = seen.min(), seen.max()
            made = np.clip(made, 2 * low - high, 2 * high - low)
        return self.transform.inverse(made)


class Ridge(Baseline):
    """Ridge regression from the last values to all steps to come at once.

    A series is divided by its standard deviation, or if it has heavy tails brought down by the
    inverse hyperbolic sine: see ``transforms.tamed``. What columns that are known of the future add
    to it, and the hours of the week of stamps within a day, is found by a regression of its changes
    from season to season, and taken away: see ``effects.fit_effects``. Of what is left a window is
    taken from its last value or its mean, and each step to come is a weighted sum of the window:
    see ``ridge.fit_ridge``. Values that are missing are filled from the seasons beside them. Where
    more steps are asked for than ``h``, it goes on from its own forecasts. Columns that are not
    known of the future, and those of ``static_df``, are not used.

    Parameters
    ----------
    h, freq, seed, verbose, alias
        As for ``Naive``.
    input_size : int, optional
        Values that a forecast sees; by default from the season and ``h``, a week of hours. A series
        for which that is too many has less of its own.
    level : sequence of float, optional
        Coverage of prediction intervals in per cent. They are as wide as the errors in the last
        quarter of the series, at most 1000 points, of a regression that knew only what was before;
        after ``fit`` they follow how many of the values to come they held.
    alpha : float, optional
        Penalty of the weights; more of it for series that are short or noisy. By default of 1, 10,
        100 and 1000 that by which the last quarter is forecast best.
    pooled : bool
        One regression for all series. Otherwise one for each; a series that was not there in
        ``fit`` then gets its own when it is forecast.
    center : {"last", "mean"}
        What is taken from a window.

    Attributes
    ----------
    regressions_ : dict
        A ``RidgeFit`` for each id; with ``pooled`` a single one, for None.
    views_ : dict
        For each id the units of the series, and what is taken from it.
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
        alpha: float | None = None,
        pooled: bool = False,
        center: str = "last",
        alias: str | None = None,
    ) -> None:
        super().__init__(h, freq, input_size, level, seed, verbose, alias=alias)
        self.alpha, self.pooled, self.center = alpha, pooled, center

    def _check(self) -> None:
        super()._check()
        if self.alpha is not None:
            real_number("alpha", self.alpha)
        if self.center not in CENTERS:
            raise ValueError(f"center expects 'last' or 'mean', got {self.center!r}")

    def _remarks(self, panel: Panel) -> tuple[str, ...]:
        return panel.names._replace(futr=()).unused()

    def _fit(self, panel: Panel) -> None:
        self.input_size_ = self.input_size or usual_look_back(panel, self.h)
        self.views_, self.regressions_ = self._learned(panel)

    def _live(self, panel: Panel) -> Live:
        # Intervals of a regression for all series come from all of them; and columns go on too.
        return Live(self, panel) if self.pooled or panel.names.futr else SeriesLive(self, panel)

    def _learned(self, panel: Panel) -> tuple[dict[Any, View], dict[Any, RidgeFit]]:
        """How each series is seen, and the regressions of what is left of them."""
        views, rests = self._seen(panel)
        if self.pooled:
            return views, {None: self._regress(list(rests.values()))}
        return views, {name: self._regress([rest]) for name, rest in rests.items()}

    def _seen(self, panel: Panel) -> tuple[dict[Any, View], dict[Any, Array]]:
        """How each series is seen, and what is left of it."""
        season = panel.frequency.season
        views, rests = {}, {}
        for s, name in enumerate(panel.ids):
            y, known = filled(panel.series(s), season), Known.of(panel, s)
            views[name] = View.of(y, known, season)
            rests[name] = views[name].rest(y, known)
        return views, rests

    def _regress(self, series: list[Array]) -> RidgeFit:
        longest = max(len(y) for y in series)
        # At least as many windows as values in one, as far as that goes.
        look_back = min(self.input_size_, (longest - self.h) // 2)
        if look_back < 1:
            return RidgeFit(np.zeros((1, self.h)), np.zeros(self.h), "last")
        alpha = self.alpha
        if alpha is None:
            alpha = usual_alpha(series, look_back, self.h, self.center)
        return fit_ridge(series, look_back, self.h, alpha, self.center)

    def _paths(
        self, panel: Panel, h: int, future: Array | None, past: bool
    ) -> list[tuple[Array, Array]]:
        season = panel.frequency.season
        new = [s for s, name in enumerate(panel.ids) if name not in self.views_]
        now = self._and_those_of(panel.take(new)) if new else (self.views_, self.regressions_)
        before = self._learned(self._as_before(panel)) if past else now
        paths = []
        for s, name in enumerate(panel.ids):
            key = None if self.pooled else name
            y = filled(panel.series(s), season)
            known = Known.of(panel, s, h, None if future is None else future[s])
            errors = np.empty((0, h))
            if past:
                origins = np.arange(len(y) - _held(len(y), self.h), len(y))
                views, fits = before
                errors = targets(panel.series(s), h, origins)
                errors = errors - views[name].forecast(fits[key], y, known, origins, h)
            views, fits = now
            point = views[name].forecast(fits[key], y, known, np.array([len(y)]), h)[0]
            paths.append((point, errors))
        return paths

    def _and_those_of(self, panel: Panel) -> tuple[dict[Any, View], dict[Any, RidgeFit]]:
        """What was learned, and what these series say of themselves."""
        views, fits = (self._seen(panel)[0], {}) if self.pooled else self._learned(panel)
        return {**self.views_, **views}, {**self.regressions_, **fits}

    def _as_before(self, panel: Panel) -> Panel:
        """Series without the end by which intervals are measured.

        One of each, if it is there several times, as it was at several points: the shortest, which
        has seen the least.
        """
        order = np.argsort(panel.lengths, kind="stable")
        some = panel.take(list({panel.ids[s]: s for s in order[::-1]}.values()))
        return some.until([n - _held(n, self.h) for n in some.lengths.tolist()])


def _held(n: int, h: int) -> int:
    """Points at the end of a series that show how wide intervals must be: a quarter, or h."""
    return min(max(n // 4, min(h, n // 2)), ORIGINS)


def _windows(y: Array, fit: RidgeFit, origins: Array) -> Array:
    """(W, L) the last values before each origin, from the first value on where there are less."""
    look_back = len(fit.weights)
    longer = np.concatenate([np.full(look_back, y[0]), y])
    windows: Array = np.lib.stride_tricks.sliding_window_view(longer, look_back)[origins]
    return windows
