"""The fit loop, its callbacks and what they report."""

from fastlstm.training.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    TerminateOnNaN,
)
from fastlstm.training.data import Batches, Data
from fastlstm.training.history import History
from fastlstm.training.loop import evaluate, fit, predict

__all__ = [
    "Batches",
    "Callback",
    "CallbackList",
    "Data",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "TerminateOnNaN",
    "evaluate",
    "fit",
    "predict",
]
