"""Models made again from what they are made of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastlstm import Input, Model, Sequential
from fastlstm.layers import LSTM, Add, Dense, Embedding
from fastlstm.models import clone_model, model_from_json


def _sequential():
    return Sequential([Input((None,)), Embedding(9, 4), LSTM(5), Dense(2)], name="line")


def _graph():
    x = Input((6, 3), name="x")
    shared = LSTM(4)
    return Model(x, Dense(1)(Add()([shared(x), shared(x)])), name="graph")


@pytest.mark.parametrize("make", [_sequential, _graph])
@pytest.mark.parametrize(
    "again", [clone_model, lambda model: model_from_json(model.to_json())], ids=["clone", "json"]
)
def test_the_same_layers_with_weights_of_their_own(make, again):
    model = make()
    other = again(model)
    assert type(other) is type(model)
    assert other.get_config() == model.get_config()
    assert any(
        (one != two).any()
        for one, two in zip(model.get_weights(), other.get_weights(), strict=True)
    )
    other.set_weights(model.get_weights())
    x = np.ones((2, 6)) if make is _sequential else np.ones((2, 6, 3))
    np.testing.assert_array_equal(model.predict(x, verbose=0), other.predict(x, verbose=0))


def test_options_of_the_text():
    text = _sequential().to_json(indent=2)
    assert text.startswith("{\n  ")
    assert json.loads(text)["class_name"] == "Sequential"


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "{}", '{"config": 4}', '{"config": {"layers": 3}}', "[" * 100_000, None]
)
def test_other_texts(text):
    with pytest.raises(ValueError, match=r"model\.to_json|nested deeper"):
        model_from_json(text)
