"""What DeepAR sees of each step of a window: values before it, and what is known of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting import recursion
from fastlstm.forecasting.fitting import Batch
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.transforming import SERIES_SCALERS
from fastlstm.forecasting.windows import WindowReader, Windows

Array = npt.NDArray[Any]

# What the network sees of a draw is kept within this, in units of the window.
_FARTHEST = 1e6


class ColumnScales(NamedTuple):
    """Mean and spread of the columns known in the future, and of those of a series."""

    known: tuple[Array, Array]
    static: tuple[Array, Array]


class Steps:
    """Methods of a forecaster that goes on step by step, which say what its network is given.

    They read its ``input_size_``, lags, scales, and distribution.
    """

    def _reader(self: Any, panel: Panel, h: int, future: Array | None = None) -> WindowReader:
        """Windows of what is read and of what the first of its steps looks back to."""
        return WindowReader(panel, self.input_size_ + self._lags[-1], h, future)

    def _batch(self: Any, windows: Windows, *, past: bool = True) -> Batch:
        """Inputs, targets and weights of windows; ``past`` if the steps of the past count."""
        shift, scale = self._scales(windows)
        values = np.concatenate([windows.past, windows.target], axis=1)
        first = self._lags[-1]
        steps = self._steps(self._seen((values - shift) / scale), windows, first)
        x = {recursion.STEPS: steps}
        if self._law.counts:
            offsets = self._law.offsets(np.repeat(scale, steps.shape[1], axis=1))
            x[recursion.OFFSETS] = offsets.astype(np.float32)
        targets = values[:, first:] if self._law.counts else (values[:, first:] - shift) / scale
        weights = np.isfinite(targets)
        if not past:
            weights[:, : self.input_size_] = False
        targets = np.where(np.isfinite(targets), targets, 0.0)
        return x, targets[..., np.newaxis].astype(np.float32), weights.astype(np.float32)

    def _scales(self: Any, windows: Windows) -> tuple[Array, Array]:
        """(B, 1) shift and scale of each window, of the steps that are read, or of its series."""
        if self.scaler in SERIES_SCALERS:
            shift, scale = self._series_scalers.affine(windows.ids)
            return shift, scale
        past = windows.past[:, self._lags[-1] :]
        present = np.isfinite(past)
        if self._law.counts:
            total = np.where(present, past, 0.0).sum(axis=1, keepdims=True)
            mean = total / np.maximum(present.sum(axis=1, keepdims=True), 1)
            return np.zeros(mean.shape), 1.0 + mean
        found: tuple[Array, Array] = self._scaler.fit(past, present)
        return found

    def _seen(self: Any, values: Array) -> Array:
        """What the network sees of scaled values."""
        if self._law.counts:
            values = np.log1p(values)
        return np.clip(values, -_FARTHEST, _FARTHEST)

    def _steps(self: Any, values: Array, windows: Windows, first: int) -> Array:
        """(B, T, D) float32, inputs of the steps from ``first`` to the last of (B, P) values."""
        last = values.shape[1]
        before = np.stack([values[:, first - lag : last - lag] for lag in self._lags], axis=2)
        known = self._known(windows)[:, first:last]
        return np.concatenate(
            [and_flags(before), known, self._static(windows, last - first)],
            axis=2,
            dtype=np.float32,
        )

    def _known(self: Any, windows: Windows) -> Array:
        """(B, P, F) columns that are known of all steps, those of the data in units of theirs."""
        known = windows.columns()
        mean, spread = self._columns_of_fit.known
        known[..., : len(mean)] = (known[..., : len(mean)] - mean) / spread
        return known

    def _static(self: Any, windows: Windows, steps: int) -> Array:
        """(B, steps, C) columns of the series, the same at each step."""
        mean, spread = self._columns_of_fit.static
        static = (windows.static - mean) / spread
        return np.repeat(static[:, np.newaxis], steps, axis=1)


def and_flags(values: Array) -> Array:
    """Values, 0 where they are missing, and beside them whether they are there."""
    present = np.isfinite(values)
    return np.concatenate([np.where(present, values, 0.0), present], axis=-1)
