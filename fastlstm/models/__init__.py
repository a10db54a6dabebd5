"""Models: layers put together, trained, saved."""

from fastlstm.models.cloning import clone_model, model_from_json
from fastlstm.models.ensemble import Ensemble
from fastlstm.models.model import Model
from fastlstm.models.saving import load_model
from fastlstm.models.sequential import Sequential
from fastlstm.models.vjp import vjp

__all__ = [
    "Ensemble",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "vjp",
]
