"""Names of Keras that are not here, and small things that are."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastlstm
from fastlstm import elsewhere, layers, metrics, utils


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in elsewhere._ADVICE.items() for name in names],
)
def test_what_is_not_here_is_told_where_it_is(module, name):
    with pytest.raises(AttributeError, match=f"{module} has no '{name}'; use instead: ..."):
        getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", ["Conv2D", "MaxPooling3D", "ConvLSTM1D", "GlobalMaxPooling2D"])
def test_layers_of_images(name):
    with pytest.raises(AttributeError, match=r"x\.reshape\(batch, height, width \* channels\)"):
        getattr(layers, name)


def test_a_name_that_nobody_has():
    with pytest.raises(AttributeError, match=r"fastlstm\.layers has no 'LTSM'$"):
        layers.LTSM  # noqa: B018
    assert not hasattr(fastlstm, "nonsense")


def test_other_names_of_the_same():
    assert layers.MaxPool1D is layers.MaxPooling1D
    assert layers.GlobalAvgPool1D is layers.GlobalAveragePooling1D


def test_clear_session_counts_from_the_first():
    utils.clear_session()
    assert [layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    utils.clear_session()
    assert layers.Dense(1).name == "dense"


def test_metrics_are_called():
    metric, mean = metrics.MeanAbsoluteError(), metrics.Mean()
    assert metric([1.0, 2.0], [2.0, 2.0]) == 0.5
    assert metric(np.zeros(2), np.zeros(2)) == 0.25
    assert mean([1.0, 2.0]) == 1.5
    assert mean(3.0) == 2.0
