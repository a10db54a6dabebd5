"""Futures of series, drawn step by step from what a network says of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import recursion
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.sliding import SlidingWindows
from fastlstm.forecasting.steps import and_flags
from fastlstm.forecasting.streaming import Asked, Live
from fastlstm.forecasting.windows import Windows

Array = npt.NDArray[Any]

# Rows of a stream: as many paths of several series as go through it side by side.
_ROWS = 4096


class Paths:
    """A network that is ready to go on from windows.

    Parameters
    ----------
    model : DeepAR
        Fitted.
    count : int
        How many series there are.
    """

    def __init__(self, model: Any, count: int) -> None:
        self._model, self._count = model, count
        self._encoder, stepper, self._names = recursion.parts(model.models_[0])
        self._together = min(count, max(1, _ROWS // model.n_paths))
        self._stream = stepper.stream(self._together * model.n_paths)
        self._index = np.arange(self._together)

    def drawn(self, windows: Windows, h: int) -> Iterator[tuple[Array, Array]]:
        """Numbers of some series, and (series, paths, h) futures of theirs, until all are there.

        They are futures of what the network sees, without transform.
        """
        model, together = self._model, self._together
        for start in range(0, self._count, together):
            index = np.arange(start, min(start + together, self._count))
            # A stream has as many rows for the last series, however few are left.
            some = windows.take(np.resize(index, together))
            shift, scale = model._scales(some)
            past = model._seen((some.past - shift) / scale)
            first = model._lags[-1]
            read = model._steps(past, some, first)
            states = self._encoder.predict_step((read,), self._index)
            repeated = [np.repeat(state, model.n_paths, axis=0) for state in states]
            self._stream.reset(start=dict(zip(self._names, repeated, strict=True)))
            generators = [_generator(model.seed, windows.ids[s]) for s in index]
            yield index, self._walk(some, past, shift, scale, generators, h)[: len(index)]

    def _walk(
        self,
        windows: Windows,
        past: Array,
        shift: Array,
        scale: Array,
        generators: list[np.random.Generator],
        h: int,
    ) -> Array:
        """(B, paths, h) draws, step by step."""
        model, law = self._model, self._model._law
        count, n, lags = len(past), model.n_paths, np.array(model._lags)
        draw = self._draws(generators, h)
        known, static = model._known(windows), model._static(windows, 1)[:, 0]
        # Each lag of a step is either of the past, the same for all paths, or has been drawn.
        first = lags[-1]
        values = np.full((count, n, first + h), np.nan)
        values[:, :, :first] = past[:, np.newaxis, past.shape[1] - first :]
        drawn = np.zeros((count, n, h))
        given: dict[str, Array] = {}
        if law.counts:
            offsets = np.repeat(law.offsets(scale[:, 0]), n, axis=0)
            given[recursion.OFFSETS] = offsets.astype(np.float32)
        for step in range(h):
            at = first + step
            alike = np.concatenate([known[:, past.shape[1] + step], static], axis=1)
            x = np.concatenate(
                [
                    and_flags(values[:, :, at - lags]).reshape(count * n, -1),
                    np.repeat(alike, n, axis=0),
                ],
                axis=1,
                dtype=np.float32,
            )
            given[recursion.STEPS] = x
            parameters = np.asarray(self._stream.step(given if len(given) > 1 else x), np.float64)
            now = drawn[:, :, step]
            now[: len(generators)] = draw(parameters.reshape(count, n, -1), step)
            values[:, :, at] = model._seen(now / scale if law.counts else now)
        if law.counts:
            return drawn
        return drawn * scale[..., np.newaxis] + shift[..., np.newaxis]

    def _draws(
        self, generators: list[np.random.Generator], h: int
    ) -> Callable[[Array, int], Array]:
        """Draws of a step from (series, paths, parameters), each series by its own generator."""
        count, law = len(generators), self._model._law
        if not law.uniforms:
            return lambda parameters, step: np.stack(
                [law.sample(*one) for one in zip(parameters, generators, strict=False)]
            )
        # All steps at once, in their order: what comes first does not depend on h.
        shape = (h, law.uniforms, self._model.n_paths)
        uniform = np.stack([generator.random(shape) for generator in generators], axis=2)
        return lambda parameters, step: law.made_of(parameters[:count], uniform[step])


class PathLive(Live):
    """Of a network that goes on step by step: it is ready all the time, and windows slide along."""

    def _begin(self, panel: Panel) -> None:
        model = self.model
        model._meet(model._transforms.transform(panel))
        self._paths = Paths(model, len(panel))
        self._sliding = None
        if model.transform is None:
            self._sliding = SlidingWindows(panel, model.input_size_ + model._lags[-1], self.h)
        else:  # which is done to series as they are
            super()._begin(panel)

    def _take(self, values: Array, futr: Array | None) -> None:
        if self._sliding is None:
            super()._take(values, futr)
        else:
            self._sliding.take(values, futr)

    def _ahead(self, futr: Array | None, asked: Asked) -> tuple[Array, Array]:
        model = self.model
        if self._sliding is not None:
            drawn = self._paths.drawn(self._sliding.windows(), self.h)
        else:
            later = None if futr is None else futr[:, 1:]
            drawn = model._drawn(self._end, self.h, later, self._paths)
        made = quantiles_of_paths(drawn, len(self._ids), self.h, asked.quantiles)
        return made.point, made.bands


def quantiles_of_paths(
    drawn: Iterator[tuple[Array, Array]], count: int, h: int, quantiles: Array
) -> Forecast:
    """Medians and quantiles of futures of so many series."""
    points, bands = np.empty((count, h)), np.empty((count, h, len(quantiles)))
    for index, paths in drawn:
        points[index] = np.median(paths, axis=1)
        bands[index] = np.moveaxis(np.quantile(paths, quantiles, axis=1), 0, -1)
    return Forecast(points, bands)


def _generator(seed: int, name: Any) -> np.random.Generator:
    """Draws of one series, whatever the others are."""
    digest = hashlib.blake2b(str(name).encode(), digest_size=16).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])
