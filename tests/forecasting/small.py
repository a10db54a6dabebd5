"""One small forecaster of each kind, quick to fit, and series for them."""

from __future__ import annotations

import numpy as np

from fastlstm.forecasting import (
    MQRNN,
    DeepAR,
    Drift,
    Forecaster,
    Naive,
    Ridge,
    SeasonalNaive,
    SegRNN,
)

H, SEASON = 6, 12
KINDS = [Naive, SeasonalNaive, Drift, Ridge, MQRNN, SegRNN, DeepAR, Forecaster]
NETWORKS = [MQRNN, SegRNN, DeepAR]


def make(kind, **options):
    """A forecaster that is fitted in no time."""
    if kind in NETWORKS:
        options = {"units": 8, "max_steps": 4, "input_size": 24, **options}
    if kind is DeepAR:
        options = {"n_paths": 20, "layers": 1, **options}
    if kind is SeasonalNaive:
        options = {"season_length": SEASON, **options}
    if kind is Forecaster:
        one = MQRNN(H, units=8, max_steps=4, input_size=24)
        options = {"models": [Naive(H), one], **options}
    return kind(H, **{"verbose": 0, **options})


def series(rng, count=3, n=90):
    """Waves that rise, of unequal lengths."""
    t = np.arange(n)
    wave = 20 + 5 * np.sin(2 * np.pi * t / SEASON) + 0.1 * t
    return [wave[: n - 5 * s] + 10 * s + rng.standard_normal(n - 5 * s) for s in range(count)]


def same(one, other):
    """Forecasts of the same bits, be they arrays or dicts of these."""
    if isinstance(one, dict):
        assert list(one) == list(other)
    pairs = [(one[n], other[n]) for n in one] if isinstance(one, dict) else [(one, other)]
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine, theirs)
