"""Callbacks for ``fit``: ``from fastlstm.callbacks import EarlyStopping``."""

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
from fastlstm.training.history import History

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientFlow",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
