"""Recurrent networks as scikit-learn estimators, for its pipelines, searches and scores."""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "fastlstm.sklearn builds on scikit-learn, which is not installed: "
        "pip install 'fastlstm[sklearn]'"
    ) from error

from fastlstm.sklearn.classifier import SequenceClassifier
from fastlstm.sklearn.regressor import SequenceRegressor

__all__ = ["SequenceClassifier", "SequenceRegressor"]
