"""Which models a ``Forecaster`` chooses from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastlstm import forecasting
from fastlstm.forecasting.base import BaseForecaster
from fastlstm.forecasting.baselines import Drift, Naive, SeasonalNaive
from fastlstm.forecasting.deepar import DeepAR
from fastlstm.forecasting.esrnn import ESRNN
from fastlstm.forecasting.holtwinters import HoltWinters
from fastlstm.forecasting.mqrnn import MQRNN
from fastlstm.forecasting.network import usual_look_back
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.regression import Ridge

# From the simplest on; networks come after these.
RULES = (Naive, SeasonalNaive, Drift, HoltWinters, Ridge)
# Those that are tried where nothing is said.
_USUAL = (Naive, SeasonalNaive, Drift, Ridge, ESRNN, MQRNN)
# Panels of so many points are learned from so quickly that more networks are compared.
_SMALL = 20_000
# What is told of models that are not given as they should be.
_EXPECTED = (
    "models expects forecasters of h={h} steps or their names, such as ['Ridge', MQRNN({h})]"
)


def check_models(given: Any, h: int) -> None:
    """An error that says what to write instead, where models are not what they should be."""
    if given is None or is_all(given):
        return
    expected = _EXPECTED.format(h=h)
    if isinstance(given, (str, BaseForecaster)) or _is_forecaster_class(given):
        said = repr(_name(given)) if isinstance(given, str) else f"{_name(given)} alone"
        raise TypeError(f'{expected}, in a list, or "all" of them; got {said}: put it in a list')
    if not isinstance(given, Iterable) or isinstance(given, (Mapping, Iterator)):
        raise TypeError(f'{expected}, in a list, or "all" of them; got {given!r}')
    models = list(given)
    if not models:
        raise ValueError(
            f"{expected}, at least one; got none. Leave models out to choose from the usual ones"
        )
    names = []
    for model in models:
        _check_one(model, h, expected)
        names.append(model if isinstance(model, str) else model.name)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"models expects each under a name of its own, but {', '.join(map(repr, twice))} is "
            f"there {names.count(twice[0])} times: leave out all but one, or tell them apart by "
            f"alias, such as {twice[0]}(h={h}, ..., alias='my {twice[0]}')"
        )


def _check_one(model: Any, h: int, expected: str) -> None:
    if isinstance(model, str):
        names = forecasting.MODELS
        if model not in names:
            lower = {name.lower(): name for name in names}
            near = difflib.get_close_matches(model.lower(), lower, 1)
            hint = f"; did you mean {lower[near[0]]!r}?" if near else ""
            raise ValueError(f"models expects names among {', '.join(names)}; got {model!r}{hint}")
    elif _is_forecaster_class(model):
        raise TypeError(f"{expected}; got the class {_name(model)}: write {_name(model)}({h})")
    elif not isinstance(model, BaseForecaster):
        raise TypeError(f"{expected}; got {model!r}")
    elif model.h != h:
        raise ValueError(
            f"{expected}; got {model.name} of h={model.h}: write {_name(type(model))}(h={h}, ...), "
            f"or Forecaster(h={model.h}, ...)"
        )


def candidates(given: Any, panel: Panel, h: int, input_size: int | None) -> list[BaseForecaster]:
    """Models to choose from, the simplest first."""
    if given is None:
        given = [kind(h) for kind in _USUAL]
        if len(panel.y) <= _SMALL:
            given += _of_small_panels(panel, h, input_size)
    elif is_all(given):
        given = forecasting.MODELS
    made = [getattr(forecasting, one)(h) if isinstance(one, str) else one for one in given]
    return sorted(made, key=_complexity)


def is_all(models: Any) -> bool:
    """Whether these are all that there are."""
    return isinstance(models, str) and models == "all"


def _of_small_panels(panel: Panel, h: int, input_size: int | None) -> list[BaseForecaster]:
    """Networks that learn less by heart."""
    season = panel.frequency.season
    short = max(2 * season, h)
    if input_size is not None or short >= usual_look_back(panel, h, season):
        return [DeepAR(h)]
    return [MQRNN(h, input_size=short, alias=f"MQRNN of {short}"), DeepAR(h)]


def _complexity(model: BaseForecaster) -> int:
    return RULES.index(type(model)) if type(model) in RULES else len(RULES)


def _is_forecaster_class(given: Any) -> bool:
    return isinstance(given, type) and issubclass(given, BaseForecaster)


def _name(given: Any) -> str:
    if isinstance(given, str):
        return given
    return given.__name__ if isinstance(given, type) else str(given.name)
