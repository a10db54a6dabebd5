"""Arguments of Keras' methods of models that are not here, and what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastlstm.registry import arguments_of, check_rest

# About how Keras computes, prints or reads ahead; whatever is given, the results are the same.
_WITHOUT_EFFECT = {
    "max_queue_size",
    "max_shard_size",
    "save_format",
    "use_multiprocessing",
    "workers",
    "zipped",
}
_INSTEAD = {
    "by_name": "copy the weights of one layer after the other, with get_weights and set_weights",
    "expand_nested": "call summary() of the model inside, model.get_layer(name)",
    "include_optimizer": "save_weights writes the weights alone",
    "layer_range": "there is the whole table; print_fn sees its lines one by one",
    "nb_epoch": "it is called epochs",
    "sample_weight_mode": "a sample_weight of shape (samples, time) weighs steps",
    "show_trainable": "layer.trainable and model.trainable_weights say so",
    "skip_mismatch": "copy the weights of the layers that fit, with get_weights and set_weights",
    "target_tensors": "give targets to fit",
    "validation_lengths": "give validation_data=fastlstm.data.Batch(x, y, lengths=lengths)",
    "validation_mask": "give validation_data=(x, y, sample_weight, mask)",
}


def check_options(
    method: str, options: dict[str, Any], function: Callable[..., Any]
) -> dict[str, Any]:
    """The options that a function takes; an error where others ask for what is not here."""
    known = arguments_of(function)
    rest = {name: value for name, value in options.items() if name not in known}
    if rest:
        check_rest(method, rest, known, _INSTEAD, _WITHOUT_EFFECT)
    return {name: value for name, value in options.items() if name in known}
