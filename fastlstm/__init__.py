"""Recurrent networks on multicore CPUs: trained and run by Numba kernels, in Keras' words."""

from fastlstm import (
    activations,
    callbacks,
    config,
    constraints,
    crf,
    ctc,
    data,
    generation,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    utils,
)
from fastlstm.elsewhere import advise
from fastlstm.kernels.parallel import get_num_threads, set_num_threads
from fastlstm.layers import Input
from fastlstm.models import Model, Sequential, vjp

__version__ = "0.1.0"

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "callbacks",
    "config",
    "constraints",
    "crf",
    "ctc",
    "data",
    "generation",
    "get_num_threads",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "set_num_threads",
    "utils",
    "vjp",
]


def __getattr__(name: str) -> None:
    raise advise(__name__, name)
