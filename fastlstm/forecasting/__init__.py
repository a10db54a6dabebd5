"""Forecasts of time series: tables in, tables out.

``Forecaster`` chooses among the models here and simple rules; each can be used by itself, with the
same constructor and methods: ``fit``, ``predict``, ``cross_validation``, ``update``, ``step``,
``scores``, ``save``. ``load`` reads what was saved.
"""

from fastlstm.forecasting.auto import Forecaster
from fastlstm.forecasting.baselines import Drift, Naive, SeasonalNaive
from fastlstm.forecasting.combination import Combination
from fastlstm.forecasting.deepar import DeepAR
from fastlstm.forecasting.esrnn import ESRNN
from fastlstm.forecasting.evaluation import evaluate
from fastlstm.forecasting.holtwinters import HoltWinters
from fastlstm.forecasting.mqrnn import MQRNN
from fastlstm.forecasting.regression import Ridge
from fastlstm.forecasting.saving import load
from fastlstm.forecasting.segrnn import SegRNN
from fastlstm.forecasting.seq2seq import Seq2Seq

# Those that can be named on the command line.
MODELS = (
    "MQRNN",
    "DeepAR",
    "SegRNN",
    "Seq2Seq",
    "ESRNN",
    "Naive",
    "SeasonalNaive",
    "Drift",
    "HoltWinters",
    "Ridge",
)

__all__ = [
    "ESRNN",
    "MQRNN",
    "Combination",
    "DeepAR",
    "Drift",
    "Forecaster",
    "HoltWinters",
    "Naive",
    "Ridge",
    "SeasonalNaive",
    "SegRNN",
    "Seq2Seq",
    "evaluate",
    "load",
]
