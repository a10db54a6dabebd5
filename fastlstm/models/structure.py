"""What a model is made of, as plain values: written, and read without trusting them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm import layers as layer_classes
from fastlstm.layers.base import Layer
from fastlstm.layers.dilated import Dilated
from fastlstm.layers.graph import calls_between
from fastlstm.layers.input import Input, InputLayer
from fastlstm.layers.smoothing import Smoothing
from fastlstm.layers.symbol import Shape, Symbol
from fastlstm.layers.time_distributed import Reader
from fastlstm.registry import find, serialize

if TYPE_CHECKING:
    from fastlstm.models.model import Model

# Names, shapes and types of the tensors that a file must hold.
Expected = dict[str, tuple[tuple[int, ...], np.dtype]]
Plan = tuple[Callable[[], Any], Expected]

_LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in vars(layer_classes).values()
    if isinstance(cls, type) and issubclass(cls, Layer) and cls not in (Layer, InputLayer)
}
# Those of forecasts, which have no public names.
_LAYERS.update(Dilated=Dilated, Smoothing=Smoothing)


def _known_layers() -> dict[str, type[Layer]]:
    """Layers that a file may name: those for everybody, and those that forecasters are made of."""
    found, rest = dict(_LAYERS), Layer.__subclasses__()
    while rest:
        cls = rest.pop()
        rest += cls.__subclasses__()
        inside = cls.__module__.startswith(f"{layer_classes.__name__}.")
        if inside and cls is not InputLayer and not cls.__name__.startswith("_"):
            found.setdefault(cls.__name__, cls)
    return found


def graph_config(model: Model) -> dict[str, Any]:
    """Inputs, layers and calls of a model; symbols go by numbers, the inputs' first."""
    numbers: dict[Symbol, int] = {}
    for symbol in model.inputs:
        numbers[symbol] = len(numbers)
    places = {layer: place for place, layer in enumerate(model.entries)}
    calls = []
    for call in sorted(calls_between(model.inputs, model.outputs), key=lambda call: call.serial):
        takes = [numbers[symbol] for symbol in call.inputs]
        for symbol in call.outputs:
            numbers[symbol] = len(numbers)
        entry = {"layer": places[call.layer], "takes": takes}
        calls.append({**entry, "options": call.options} if call.options else entry)
    config = {
        "name": model.name,
        "trainable": model.trainable,
        "inputs": [_input_config(symbol) for symbol in model.inputs],
        "layers": [serialized(layer) for layer in model.entries],
        "calls": calls,
        "outputs": [numbers[symbol] for symbol in model.outputs],
    }
    for side, ends in (("input", model.input), ("output", model.output)):
        if isinstance(ends, dict):
            config[f"{side}_keys"] = list(ends)
    return config


def _input_config(symbol: Symbol) -> dict[str, Any]:
    """Name and shape, and the batch size and type where an ``Input`` was given any."""
    config: dict[str, Any] = {"name": symbol.name, "shape": list(symbol.shape[1:])}
    if symbol.layer is not None:
        config["dtype"] = symbol.layer.dtype.name
        if symbol.layer.batch_shape[0] is not None:
            config["batch_size"] = symbol.layer.batch_shape[0]
    return config


def check_apart(model: Model) -> None:
    """An error where a layer is reached in several ways, by models inside: no file says so."""
    times = Counter(_reached(model))
    for layer, count in times.items():
        if count > 1:
            raise ValueError(
                f"layer {layer.name!r} is part of several of {[part.name for part in model.layers]}"
                f", which a file of model {model.name!r} cannot say: build it of the layers, with "
                "no models inside; or save the weights alone with save_weights"
            )


def _reached(model: Any) -> Iterator[Layer]:
    """The layers of all models inside, as often as there is a way to them."""
    for entry in model.entries:
        if isinstance(entry, Layer):
            yield entry
        else:
            yield from _reached(entry)


def serialized(entry: Any) -> dict[str, Any]:
    """A layer, or a model inside another one, as ``_entry`` reads it."""
    if isinstance(entry, Layer):
        return serialize(entry)
    config = entry.get_config()
    # Classes of the user's own are models like all others in a file.
    return {"class_name": "Model" if "calls" in config else "Sequential", "config": config}


def from_config(config: dict[str, Any]) -> Any:
    """A new model of what ``get_config`` described."""
    if config.get("input_shape", ...) is None:
        return _sequential(config, [_alone(entry) for entry in config["layers"]])
    return plan_of(config)[0]()


def plan_of(config: dict[str, Any]) -> Plan:
    """What makes the model of a configuration, and the weights that it will have.

    Shapes are followed through before anything is allocated.
    """
    if "calls" not in config:
        return _sequential_plan(config)
    entries = [_entry(entry) for entry in config["layers"]]
    shapes: list[Shape] = [(None, *_checked(given["shape"])) for given in config["inputs"]]
    expected_of: dict[int, Expected] = {}
    for call in config["calls"]:
        number, takes = int(call["layer"]), [int(place) for place in call["takes"]]
        taken = [shapes[place] for place in takes]
        made, found = _follow(entries[number], taken, _options(call))
        shapes += made
        expected_of.setdefault(number, found)
    expected: Expected = {}
    for number, entry in enumerate(entries):
        for name, spec in expected_of[number].items():
            expected[f"{_name(entry)}/{name}"] = spec
    return lambda: _model(config, entries), expected


def _model(config: dict[str, Any], entries: list[Any]) -> Any:
    from fastlstm.models.model import Model

    layers = [entry if isinstance(entry, Layer) else entry[1][0]() for entry in entries]
    symbols = [_input(given) for given in config["inputs"]]
    inputs = list(symbols)
    for call in config["calls"]:
        taken = [symbols[place] for place in call["takes"]]
        layer, options = layers[call["layer"]], _options(call)
        if options:
            made = layer.symbolic_call(taken, **options)
        else:
            made = layer(taken if len(taken) > 1 else taken[0])
        symbols += _all_made(made)
    starts = _by_key(config.get("input_keys"), inputs)
    ends = _by_key(config.get("output_keys"), [symbols[place] for place in config["outputs"]])
    model = Model(starts, ends, name=config["name"])
    model._trainable = bool(config.get("trainable", True))
    return model


def _input(given: dict[str, Any]) -> Symbol:
    batch, dtype = given.get("batch_size"), given.get("dtype")
    named = None if dtype is None else str(dtype)
    return Input(_checked(given["shape"]), batch, dtype=named, name=str(given["name"]))


def _by_key(names: Any, ends: list[Symbol]) -> Any:
    return ends if names is None else dict(zip(map(str, names), ends, strict=True))


def _all_made(made: Any) -> list[Symbol]:
    """All outputs of a call, from what it gave: a symbol, or lists of them, some in lists again."""
    while isinstance(made, (list, tuple, dict)):
        made = next(iter(made.values())) if isinstance(made, dict) else made[0]
    outputs: list[Symbol] = made.made_by.outputs
    return outputs


_MODELS = ("Model", "Sequential")


def _entry(entry: Any) -> Any:
    """A layer that is not built yet; or of a model inside its configuration and plan."""
    if entry["class_name"] in _MODELS:
        return entry["config"], plan_of(entry["config"])
    return _layer(entry)


def _alone(entry: Any) -> Any:
    """A layer, or a model that may not be built."""
    return from_config(entry["config"]) if entry["class_name"] in _MODELS else _layer(entry)


Reader.read = _alone


def _name(entry: Any) -> str:
    return str(entry.name if isinstance(entry, Layer) else entry[0]["name"])


def _layer(entry: Any) -> Layer:
    arguments = dict(entry["config"])
    arguments.pop("input_shape", None)
    name = entry["class_name"]
    known = _LAYERS if name in _LAYERS else _known_layers()
    return find("layer", name, known).from_config(arguments)


def _options(call: dict[str, Any]) -> dict[str, Any]:
    """What a call says besides its inputs."""
    return {str(key): bool(value) for key, value in call.get("options", {}).items()}


def _follow(
    entry: Any, taken: list[Shape], options: dict[str, Any]
) -> tuple[list[Shape], Expected]:
    """Shapes of what an entry gives for what it takes, and its weights."""
    if isinstance(entry, Layer):
        specs = entry.specs_for(taken)
        made = entry.shapes_after(taken, **options)
        return made, {spec.name: (spec.shape, entry.dtype) for spec in specs}
    config, (_, expected) = entry
    shapes = dict(enumerate(taken))
    if "calls" not in config:
        shape = taken[0]
        for inner in config["layers"]:
            (shape, *_), _ = _follow(_entry(inner), [shape], {})
        return [shape], expected
    for call in config["calls"]:
        inside = [shapes[int(place)] for place in call["takes"]]
        layer = _entry(config["layers"][int(call["layer"])])
        made, _ = _follow(layer, inside, _options(call))
        shapes.update(enumerate(made, start=len(shapes)))
    return [shapes[int(place)] for place in config["outputs"]], expected


def _checked(shape: Any) -> tuple[int | None, ...]:
    shape = tuple(shape)
    for size in shape:
        if size is not None and (type(size) is not int or size < 1):
            raise ValueError(f"the input shape {shape} is not one")
    return shape


def _sequential_plan(config: dict[str, Any]) -> Plan:
    entries = [_entry(entry) for entry in config["layers"]]
    sample: tuple[int | None, ...] = _checked(config["input_shape"])
    shape: Shape = (None, *sample)
    expected: Expected = {}
    for entry in entries:
        if isinstance(entry, Layer):
            entry.check_input(shape)
        (shape, *_), found = _follow(entry, [shape], {})
        expected.update({f"{_name(entry)}/{name}": spec for name, spec in found.items()})

    def make() -> Any:
        parts = [entry if isinstance(entry, Layer) else entry[1][0]() for entry in entries]
        model = _sequential(config, parts)
        model._sample_shape = sample
        model.build()
        return model

    if all(isinstance(entry, Layer) for entry in entries):
        _sequential(config, entries)  # which says what does not fit together
    return make, expected


def _sequential(config: dict[str, Any], layers: list[Any]) -> Any:
    from fastlstm.models.sequential import Sequential

    model = Sequential(name=str(config["name"]))
    model._trainable = bool(config.get("trainable", True))
    for layer in layers:
        model.add(layer)
    return model
