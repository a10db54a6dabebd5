"""Callbacks: what a user hangs into the training loop, with Keras' names and arguments."""

from fastlstm.training.callbacks.base import Callback
from fastlstm.training.callbacks.callback_list import CallbackList
from fastlstm.training.callbacks.csv_logger import CSVLogger
from fastlstm.training.callbacks.early_stopping import EarlyStopping
from fastlstm.training.callbacks.gradient_flow import GradientFlow
from fastlstm.training.callbacks.lambda_callback import LambdaCallback
from fastlstm.training.callbacks.learning_rate_scheduler import LearningRateScheduler
from fastlstm.training.callbacks.model_checkpoint import ModelCheckpoint
from fastlstm.training.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from fastlstm.training.callbacks.tensorboard import TensorBoard
from fastlstm.training.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientFlow",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
