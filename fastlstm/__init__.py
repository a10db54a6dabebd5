"""Recurrent networks on multicore CPUs: trained and run by Numba kernels, in Keras' words."""

from fastlstm import (
    callbacks,
    config,
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
    utils,
)
from fastlstm.kernels.parallel import get_num_threads, set_num_threads
from fastlstm.layers import Input
from fastlstm.models import Sequential, vjp

__version__ = "0.1.0"

__all__ = [
    "Input",
    "Sequential",
    "__version__",
    "callbacks",
    "config",
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
    "set_num_threads",
    "utils",
    "vjp",
]
