"""Optimizers with Keras' arguments and formulas, over one flat buffer of parameters."""

from __future__ import annotations

from typing import Any

from fastlstm.optimizers import schedules
from fastlstm.optimizers.adagrad import Adagrad
from fastlstm.optimizers.adam import Adam
from fastlstm.optimizers.adamax import Adamax
from fastlstm.optimizers.adamw import AdamW
from fastlstm.optimizers.base import Optimizer
from fastlstm.optimizers.lion import Lion
from fastlstm.optimizers.nadam import Nadam
from fastlstm.optimizers.rmsprop import RMSprop
from fastlstm.optimizers.sgd import SGD
from fastlstm.registry import resolve

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]

_CLASSES = (Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop, SGD)
# As in Keras, strings have no underscores: "adamw", "rmsprop".
_TABLE: dict[str, type[Optimizer]] = {
    name: cls for cls in _CLASSES for name in (cls.__name__, cls.__name__.lower())
}


def get(identifier: Any) -> Optimizer:
    """Find an optimizer.

    Parameters
    ----------
    identifier : str, Optimizer, class or dict
        A name ("adam", "SGD"), an instance, a class or a configuration.

    Returns
    -------
    Optimizer
        The instance itself, or a new one.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these.
    """
    return resolve("optimizer", identifier, Optimizer, _TABLE)
