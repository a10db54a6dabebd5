"""ReLU and its relatives as layers of their own, with their slopes and bounds."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels.rectifiers import Elu, Rectifier
from fastlstm.kernels.static import Static
from fastlstm.layers.activation import ActivationOp
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan
from fastlstm.validation import real_number


class _Rectifier(Weightless):
    """Base class: an activation of fixed numbers."""

    kind: Static

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> ActivationOp:
        return ActivationOp(self.kind, x, plan)


class ReLU(_Rectifier):
    """max(x, 0), or something like it.

    x where it is at least ``threshold``, but at most ``max_value``; below it,
    ``negative_slope`` · (x - ``threshold``).

    Parameters
    ----------
    max_value : float, optional
        At least 0; by default there is none.
    negative_slope : float
        At least 0.
    threshold : float
        At least 0.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("max_value", "negative_slope", "threshold")

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.max_value = None if max_value is None else real_number("ReLU max_value", max_value)
        self.negative_slope = real_number("ReLU negative_slope", negative_slope)
        self.threshold = real_number("ReLU threshold", threshold)
        most = math.inf if self.max_value is None else self.max_value
        self.kind = Rectifier(self.negative_slope, most, self.threshold)


class LeakyReLU(_Rectifier):
    """x, or ``negative_slope`` · x below zero.

    Parameters
    ----------
    negative_slope : float
        At least 0.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("negative_slope",)

    def __init__(
        self,
        negative_slope: float = 0.3,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.negative_slope = real_number("LeakyReLU negative_slope", negative_slope)
        self.kind = Rectifier(self.negative_slope)


class ELU(_Rectifier):
    """x, or ``alpha`` (e**x - 1) below zero.

    Parameters
    ----------
    alpha : float
        At least 0.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("alpha",)

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.alpha = real_number("ELU alpha", alpha)
        self.kind = Elu(self.alpha)
