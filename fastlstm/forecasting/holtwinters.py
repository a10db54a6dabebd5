"""Holt-Winters' exponential smoothing, by statsforecast."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.baselines import SeasonalBaseline, errors_of
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.rules import filled, naive_from

Array = npt.NDArray[Any]

# The last points from which a series is forecast again, to see how wide intervals must be: less
# than of simple rules, since each takes longer.
_FEWER_ORIGINS = 200


class HoltWinters(SeasonalBaseline):
    """Exponential smoothing of level, trend and season, by statsforecast.

    Its parameters are learned by ``fit``; those of a series that was not there then, or now begins
    elsewhere, when it is forecast. Values that are missing are filled from the seasons beside them.
    A series of less than two seasons is forecast by Holt's method, without a season, and one of
    less than 9 points by its last value.

    Parameters
    ----------
    h, freq, input_size, seed, verbose, alias
        As for ``Naive``.
    level : sequence of float, optional
        As for ``Naive``, from the last 200 points.
    season_length : int, optional
        As for ``SeasonalNaive``.

    Raises
    ------
    ImportError
        From ``fit``, where statsforecast is not installed.
    """

    def _fit(self, panel: Panel) -> None:
        _statsforecast()
        season = self._season(panel)
        self.models_ = {
            panel.ids[s]: (panel.starts[s], self._model(panel, s, season))
            for s in range(len(panel))
        }

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        if "models_" in state:
            state["models_"] = {
                name: (start, model and (type(model).__name__, _numbers_of(model)))
                for name, (start, model) in self.models_.items()
            }
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        if "models_" in state:
            self.models_ = {
                name: (start, given and _model_of(*given))
                for name, (start, given) in self.models_.items()
            }

    def _model(self, panel: Panel, s: int, season: int) -> Any:
        """A fitted model, or None for a series that is too short for one."""
        models, y = _statsforecast(), filled(panel.series(s), season)
        if season > 1 and len(y) >= max(2 * season, season + 7, 11):
            model = models.HoltWinters(season_length=season)
        elif len(y) >= 9:
            model = models.Holt(season_length=1)
        else:
            return None
        try:
            with np.errstate(all="ignore"):
                return model.fit(y)
        except Exception as error:  # statsforecast raises no other kind
            raise ValueError(
                f"statsforecast could not fit {type(model).__name__} to series {panel.ids[s]!r} of "
                f"{len(y)} points: {error}"
            ) from error

    def _paths(
        self, panel: Panel, h: int, future: Array | None, past: bool
    ) -> list[tuple[Array, Array]]:
        season, paths = self._season(panel), []
        for s in range(len(panel)):
            # States and seasons of a model are counted from the beginning of its series.
            start, model = self.models_.get(panel.ids[s], (None, None))
            if start != panel.starts[s]:
                model = self._model(panel, s, season)
            y, whole = panel.series(s), filled(panel.series(s), season)

            def rule(origins: Array, whole: Array = whole, model: Any = model) -> Array:
                if model is None:
                    return naive_from(whole, h, origins)
                with np.errstate(all="ignore"):
                    return np.stack([model.forward(whole[:o], h)["mean"] for o in origins])

            errors = np.empty((0, h))
            if past:
                errors = errors_of(y, h, rule, _FEWER_ORIGINS, 1 if model is None else 5)
            paths.append((rule(np.array([len(y)]))[0], errors))
        return paths


def _numbers_of(model: Any) -> dict[str, Any]:
    """Attributes of a fitted model of statsforecast, but for its optimizer's own account."""
    state = dict(vars(model))
    if "model_" in state:
        state["model_"] = {**state["model_"], "fit": None}
    return state


def _model_of(name: str, state: dict[str, Any]) -> Any:
    """A model of statsforecast with the numbers of one that was fitted."""
    kinds = {kind: getattr(_statsforecast(), kind) for kind in ("HoltWinters", "Holt")}
    made = kinds[name](season_length=state.get("season_length", 1))
    made.__dict__.update(state)
    return made


def _statsforecast() -> Any:
    try:
        import statsforecast.models
    except ImportError as error:
        raise ImportError(
            "HoltWinters forecasts by statsforecast, which is not installed: "
            "pip install 'fastlstm[statsforecast]'; or take SeasonalNaive or Ridge"
        ) from error
    return statsforecast.models
