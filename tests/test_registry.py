"""Names, classes and configurations become instances; errors say what would have worked."""

from __future__ import annotations

import pytest

from fastlstm import initializers, losses, metrics, optimizers
from fastlstm.registry import find, serialize, snake_case

MODULES = {
    "initializer": (initializers, "Orthogonal", "orthogonal", "orthogonl"),
    "optimizer": (optimizers, "Adam", "adam", "Adamm"),
    "loss": (losses, "MeanSquaredError", "mean_squared_error", "mean_squared_eror"),
    "metric": (metrics, "BinaryAccuracy", "binary_accuracy", "BinaryAcuracy"),
}


@pytest.fixture(params=MODULES)
def entry(request):
    return request.param, *MODULES[request.param]


def test_get_by_class_name_snake_case_name_class_and_instance(entry):
    _, module, class_name, name, _ = entry
    cls = getattr(module, class_name)
    assert type(module.get(class_name)) is cls
    assert type(module.get(name)) is cls
    assert type(module.get(cls)) is cls
    instance = cls()
    assert module.get(instance) is instance


def test_get_by_configuration(entry):
    _, module, class_name, name, _ = entry
    instance = getattr(module, class_name)()
    configuration = serialize(instance)
    assert configuration == {"class_name": class_name, "config": instance.get_config()}
    again = module.get(configuration)
    assert type(again) is type(instance)
    assert again.get_config() == instance.get_config()
    assert type(module.get({"class_name": name})) is type(instance)


def test_unknown_names_suggest_the_nearest(entry):
    kind, module, class_name, name, typo = entry
    with pytest.raises(ValueError, match=f"unknown {kind} '{typo}'") as error:
        module.get(typo)
    assert f"Did you mean {name!r}?" in str(error.value) or f"{class_name!r}?" in str(error.value)
    assert name in str(error.value).split("Known names:")[1]


def test_names_like_nothing_are_listed_without_a_suggestion():
    with pytest.raises(ValueError, match=r"unknown loss 'qqq'\. Known names: .*huber"):
        losses.get("qqq")


@pytest.mark.parametrize("wrong", [3, None, ["adam"], int])
def test_other_types_are_refused(wrong, entry):
    kind, module, *_ = entry
    with pytest.raises(TypeError, match=f"expected {kind} as a name"):
        module.get(wrong)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"class_name": 3}, {"class_name": "Huber", "config": [1]}, {"config": {}}],
)
def test_configurations_of_the_wrong_form_are_refused(wrong):
    with pytest.raises(ValueError, match="needs 'class_name'"):
        losses.get(wrong)


def test_configurations_reach_only_the_table_and_only_known_arguments():
    with pytest.raises(ValueError, match=r"unknown loss 'os\.system'"):
        losses.get({"class_name": "os.system", "config": {}})
    with pytest.raises(ValueError, match="configuration of loss 'Huber' does not fit"):
        losses.get({"class_name": "Huber", "config": {"gamma": 1}})


def test_find_returns_any_kind_of_entry():
    assert find("number", "one", {"one": 1}) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GlorotUniform", "glorot_uniform"),
        ("SGD", "sgd"),
        ("LSTM", "lstm"),
        ("SimpleRNN", "simple_rnn"),
        ("Dense", "dense"),
    ],
)
def test_snake_case(name, expected):
    assert snake_case(name) == expected
