"""The fit loop, its callbacks and what they report."""

from fastlstm.training.callbacks import (
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    GradientFlow,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from fastlstm.training.data import Batches, Data
from fastlstm.training.history import History
from fastlstm.training.loop import evaluate, fit, predict

__all__ = [
    "Batches",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "Data",
    "EarlyStopping",
    "GradientFlow",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "evaluate",
    "fit",
    "predict",
]
