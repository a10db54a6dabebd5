"""What a network is shown of windows: values, columns and targets in units of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.fitting import Batch
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.scaling import window_scaler
from fastlstm.forecasting.transforming import SERIES_SCALERS
from fastlstm.forecasting.windows import Windows

Array = npt.NDArray[Any]


class Inputs:
    """Methods of a network over windows that scale what it is given, and what it should answer."""

    def _scales(self: Any, windows: Windows) -> tuple[Array, Array]:
        """What an answer of 0 stands for, (B, h) or (B, 1), and its unit, (B, 1)."""
        return self._scaled(windows)

    def _scaled(self: Any, windows: Windows) -> tuple[Array, Array]:
        """(B, 1) shift and scale of what the network sees of each window."""
        if self.scaler not in SERIES_SCALERS:
            scaler, past = window_scaler(self.scaler), windows.past
            shift, scale = windows.known("scaled", lambda: scaler.fit(past, np.isfinite(past)))
            return shift, scale
        return self._series_scalers.affine(windows.ids)

    def _weights(self: Any, windows: Windows, scale: Array) -> Array:
        """(B, 1) how much errors in units of ``scale`` count; all alike."""
        return np.ones_like(scale)

    def _batch(self: Any, windows: Windows) -> Batch:
        """Inputs, targets and weights of windows, scaled."""
        shift, scale = self._scales(windows)
        targets = windows.target - shift
        targets /= scale
        return (
            self._inputs(windows, shift, scale),
            _filled(targets)[..., np.newaxis],
            (np.isfinite(windows.target) * self._weights(windows, scale)).astype(np.float32),
        )

    def _inputs(self: Any, windows: Windows, shift: Array, scale: Array) -> dict[str, Array]:
        """What the network is shown of windows."""
        values, past, future = windows.past - shift, windows.cells(), windows.future()
        if windows.whole:
            np.divide(values, scale, out=past[..., 0], casting="same_kind")
        else:
            values /= scale
            past[..., 0] = _filled(values)
        inputs = {"past": past}
        if future.shape[2]:
            inputs["future"] = future
        self._scale_columns(windows, past[..., 2:], future)
        if windows.static.shape[1]:
            mean, spread = self._static
            inputs["static"] = ((windows.static - mean) / spread).astype(np.float32)
        return inputs

    def _scale_columns(self: Any, windows: Windows, past: Array, future: Array) -> None:
        """Bring columns that are no flags into units of their spread in the window, in place."""
        places = np.flatnonzero(~self._binary)
        if not places.size:
            return
        began = None
        if not windows.whole:
            began = np.logical_or.accumulate(np.isfinite(windows.past), axis=1)
        found = windows.known("columns", lambda: _means_and_spreads(past[..., places], began))
        hist = past.shape[2] - future.shape[2]
        for place, mean, spread in zip(
            places, found[: len(places)], found[len(places) :], strict=True
        ):
            column = past[..., place]
            np.divide(column - mean, spread, out=column, casting="same_kind")
            if began is not None:
                column[~began] = 0.0
            if place >= hist:
                column = future[..., place - hist]
                np.divide(column - mean, spread, out=column, casting="same_kind")


def binary_columns(panel: Panel) -> Array:
    """(K + F,) of historic and future columns, which are only 0 and 1."""
    columns = np.concatenate([panel.hist, panel.futr], axis=1)
    return np.asarray(np.isin(columns, (0.0, 1.0)).all(axis=0))


def _means_and_spreads(columns: Array, began: Array | None) -> tuple[Array, ...]:
    """(B, 1) means of (B, L, n) columns, then deviations, of the steps since a series began."""
    count: Any = columns.shape[1]
    if began is not None:
        began = began[..., np.newaxis]
        count = np.maximum(began.sum(axis=1, keepdims=True), 1)
        columns = np.where(began, columns, 0)
    mean = columns.sum(axis=1, keepdims=True) / np.float64(count)
    away = columns - mean if began is None else np.where(began, columns - mean, 0)
    away *= away
    spread = np.sqrt(away.sum(axis=1, keepdims=True) / count)
    spread[spread < 1e-6 * (1 + np.abs(mean))] = 1.0
    return (*np.moveaxis(mean, 2, 0), *np.moveaxis(spread, 2, 0))


def _filled(values: Array) -> Array:
    """Zero where there is no value, in single precision."""
    filled: Array = values.astype(np.float32)
    filled[np.isnan(filled)] = 0.0
    return filled


def spread_of(columns: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of columns, 1 where they do not vary."""
    spread = columns.std(axis=0)
    largest = np.abs(columns).max(axis=0, initial=0.0)
    return columns.mean(axis=0), np.where(spread > 1e-10 * largest, spread, 1.0)
