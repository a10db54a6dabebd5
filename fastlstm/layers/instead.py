"""Arguments that Keras' layers have and those here do not, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from fastlstm.registry import suggestion

# About how Keras computes; whatever is given, the results are the same.
_WITHOUT_EFFECT = {
    "autocast",
    "flash_attention",
    "implementation",
    "renorm_momentum",  # there is no renorm
    "score_mode",  # of AdditiveAttention, which has one
    "unroll",
    "use_cudnn",
}

# For the others, whether a value asks for something, and what comes near it here.
_INSTEAD = {
    "activity_regularizer": (
        "outputs are not penalised here; kernel_regularizer='l2' keeps weights small, and dropout "
        "regularizes outputs"
    ),
    "attention_axes": "attention is over time, the only axis between batch and features",
    "batch_input_shape": (
        "give input_shape without the batch; any batch size works, also with stateful=True"
    ),
    "batch_shape": (
        "give input_shape without the batch; any batch size works, also with stateful=True"
    ),
    "batch_size": "any batch size works, also with stateful=True; leave it out",
    "input_dim": "give input_shape=(time, features), or put Input((time, features)) in front",
    "input_length": "give input_shape=(time, features), or put Input((time, features)) in front",
    "ignore_class": "give the targets of that class a sample_weight of 0",
    "lora_alpha": "freeze the layer with trainable=False, and train a small Dense beside it",
    "lora_rank": "freeze the layer with trainable=False, and train a small Dense beside it",
    "noise_shape": "SpatialDropout1D drops whole features, noise_shape=(batch, 1, features)",
    "quantization_config": "weights are float32 or float64: leave it at None",
    "ragged": "give a list of sequences of unequal length, or lengths=, to fit and predict",
    "renorm_clipping": "there is no renorm; leave it at None",
    "seed": "nothing is drawn here; give the initializers their seeds",
    "sliding_window": "say which keys a query sees in a call, with attention_mask",
    "sparse": "arrays are dense; leave it at False",
    "time_major": "arrays are (batch, time, features): exchange the axes with x.swapaxes(0, 1)",
    "use_gate": "multiply the output by Dense(units, activation='sigmoid') of the query",
    "weights": "build the layer, or call it on data, and then call set_weights(weights)",
}


def check_rest(kind: type, arguments: Mapping[str, Any]) -> None:
    """An error where arguments that a layer does not know ask for what is not here.

    Keras' own are accepted where they ask for nothing: None, False, or what changes no result.
    """
    for name, value in arguments.items():
        if name in _WITHOUT_EFFECT or (name in _INSTEAD and (value is None or value is False)):
            continue
        if name in _INSTEAD:
            raise TypeError(f"{kind.__name__} has no {name!r} yet: {_INSTEAD[name]}")
        raise TypeError(
            f"{kind.__name__} has no argument {name!r}.{suggestion(name, known_to(kind))}"
        )


def known_to(kind: type) -> list[str]:
    """Names of the arguments that a layer of this kind takes, those of its bases among them."""
    found: dict[str, None] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = signature(vars(base)["__init__"]).parameters.values()
        named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        found.update(dict.fromkeys(p.name for p in parameters if p.kind in named))
        if all(p.kind is not Parameter.VAR_KEYWORD for p in parameters):
            break  # what is above it, it does not pass on
    return [name for name in found if name != "self"]
