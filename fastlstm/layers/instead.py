"""Arguments that Keras' layers have and those here do not, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastlstm import registry
from fastlstm.registry import arguments_of_class

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
    "activity_regularizer": "give it to RNN, as in RNN(cells, activity_regularizer=...)",
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
    "lora_alpha": "freeze the layer with trainable=False, and train a small Dense beside it",
    "lora_rank": "freeze the layer with trainable=False, and train a small Dense beside it",
    "noise_shape": "SpatialDropout1D drops whole features, noise_shape=(batch, 1, features)",
    "optional": "a model takes all of its inputs; make a second model for those without this one",
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
    """An error where arguments that a layer does not know ask for what is not here."""
    if not arguments:
        return
    known = arguments_of_class(kind)
    registry.check_rest(kind.__name__, arguments, known, _INSTEAD, _WITHOUT_EFFECT)
