"""Arguments without a name stand where Keras has them, or are not taken at all."""

from __future__ import annotations

import os
import warnings
from inspect import Parameter, signature
from operator import attrgetter

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential
from fastlstm.layers import Dense
from fastlstm.models import Ensemble, load_model

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

MODULES = """
    layers losses metrics optimizers optimizers.schedules callbacks initializers regularizers
    constraints activations utils models
"""
METHODS = """
    compile fit evaluate predict train_on_batch test_on_batch predict_on_batch build summary
    get_layer get_weights set_weights count_params save save_weights load_weights to_json
    get_config from_config
"""
# Where ours is another one, and why it stays so.
DEVIATIONS = {
    "losses.Loss": "no loss of one's own can be made, and all that there are inherit their order",
    "metrics.Metric": "all metrics that there are begin with a name, in Keras too",
}


def _positional(function):
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in kinds and p.name not in ("self", "cls")]


def _shared():
    """The functions and classes that both have, by their names."""
    found = {"Input": (fastlstm.Input, keras.Input)}
    for module in MODULES.split():
        ours, theirs = attrgetter(module)(fastlstm), attrgetter(module)(keras)
        for name in getattr(ours, "__all__", None) or vars(ours):
            both = getattr(ours, name, None), getattr(theirs, name, None)
            if not name.startswith("_") and all(map(callable, both)):
                found[f"{module}.{name}"] = both
    for kind in ("Model", "Sequential"):
        ours, theirs = getattr(fastlstm, kind), getattr(keras, kind)
        for name in METHODS.split():
            found[f"{kind}.{name}"] = getattr(ours, name), getattr(theirs, name)
    for of in ("losses.MeanSquaredError.__call__", "metrics.AUC.update_state",
               "metrics.Mean.update_state", "layers.Dense.build"):  # fmt: skip
        found[of] = attrgetter(of)(fastlstm), attrgetter(of)(keras)
    return found


SHARED = _shared()


def _agree(ours, theirs):
    common = min(len(ours), len(theirs))
    return ours[:common] == theirs[:common]


def test_all_that_both_have_is_walked():
    assert len(SHARED) > 200
    some = "layers.LSTM losses.Huber metrics.AUC optimizers.Adam Model.compile Sequential.fit"
    assert {*some.split(), "callbacks.EarlyStopping", "utils.plot_model"} < set(SHARED)
    assert set(DEVIATIONS) <= set(SHARED)


@pytest.mark.parametrize("name", [name for name in SHARED if name not in DEVIATIONS])
def test_the_order_is_that_of_keras(name):
    ours, theirs = map(_positional, SHARED[name])
    assert _agree(ours, theirs), f"{name} takes {ours}, in Keras {theirs}"


def test_deviations_are_ones():
    """What has come to agree leaves the table."""
    for name in DEVIATIONS:
        assert not _agree(*map(_positional, SHARED[name])), name


def test_the_common_ones_are_all_there():
    """Where people leave out names: not only no other order, but as many."""
    for name in ("compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch"):
        for kind in ("Model", "Sequential"):
            ours, theirs = map(_positional, SHARED[f"{kind}.{name}"])
            assert ours == theirs, name
    assert _positional(Sequential) == _positional(keras.Sequential.__init__)
    defaults = [
        {name: p.default for name, p in signature(api.Model.compile).parameters.items()}
        for api in (fastlstm, keras)
    ]
    assert {name: defaults[0][name] for name in defaults[1]} == defaults[1]


# -- what follows from it ------------------------------------------------------------------------


def _model(**options):
    return Sequential([Input((3,)), Dense(2)], **options)


def test_compile_without_names(rng):
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    model = _model()
    model.compile("sgd", "mse", [2.0], ["mae"], ["mse"], False, 1, "auto", True)
    assert [metric.name for metric in model.metrics] == ["mae", "mse"]
    loss, _, mse = model.evaluate(x, y, 8, 0)
    np.testing.assert_allclose(loss, 2 * mse, rtol=1e-6)
    logs = model.evaluate(x, y, 4, 0, np.ones(8), 2, None, True)
    assert list(logs) == ["loss", "mae", "mse"]
    assert model.predict(x, 4, 0, 1).shape == (4, 2)


def test_the_optimizer_of_one_who_names_none():
    model = _model()
    model.compile(loss="mse")
    assert type(model.optimizer).__name__ == "RMSprop"


def test_fit_without_names(rng):
    x, y = rng.standard_normal((8, 3)), rng.integers(0, 2, 8)
    weights, classes = rng.uniform(0.5, 2, 8), {0: 1.0, 1: 3.0}
    fits = []
    for arguments, named in [
        ((4, 3, 0, None, 0.5, None, False, classes, weights, 1, 1, 1, 2, 1), {}),
        (
            (),
            {
                "batch_size": 4, "epochs": 3, "verbose": 0, "validation_split": 0.5,
                "shuffle": False, "class_weight": classes, "sample_weight": weights,
                "initial_epoch": 1, "steps_per_epoch": 1, "validation_steps": 1,
                "validation_batch_size": 2, "validation_freq": 1,
            },
        ),
    ]:  # fmt: skip
        fastlstm.utils.set_random_seed(1)
        model = Sequential([Input((3,)), Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        fits.append(model.fit(x, y, *arguments, **named).history)
    assert fits[0] == fits[1]
    assert len(fits[0]["val_loss"]) == 2


@pytest.mark.parametrize("metrics", [["mae"], "mae", {"dense": "mae"}, [["mae"]], [abs]], ids=str)
def test_metrics_in_the_place_of_weights_are_told(metrics):
    with pytest.raises((TypeError, ValueError), match="loss_weights") as told:
        _model(name="one").compile("sgd", "mse", metrics)
    if not isinstance(metrics, dict):
        assert "metrics=[...]" in str(told.value)
    with pytest.raises(ValueError, match=r"metrics=\[\.\.\.\]"):
        Ensemble(_model(), 2).compile("sgd", "mse", metrics)


def test_a_model_may_be_frozen_when_it_is_made(rng):
    x = Input((3,))
    for model in (_model(trainable=False), Model(x, Dense(1)(x), trainable=False)):
        assert not model.trainable
        assert model.trainable_weights == []
    with pytest.raises(TypeError, match=r"name='encoder'"):
        Sequential([Input((3,)), Dense(2)], "encoder")


def test_the_place_of_custom_objects(tmp_path):
    model = _model()
    model.save(tmp_path / "model")
    load_model(tmp_path / "model", None, False)
    with pytest.raises(TypeError, match=r"custom_objects.*compile=True"):
        load_model(tmp_path / "model", False)
