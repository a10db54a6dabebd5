"""What users stack."""

from fastlstm.layers.base import Layer
from fastlstm.layers.dense import Dense
from fastlstm.layers.dropout import Dropout
from fastlstm.layers.embedding import Embedding
from fastlstm.layers.input import Input
from fastlstm.layers.recurrent import LSTM, SimpleRNN

__all__ = ["LSTM", "Dense", "Dropout", "Embedding", "Input", "Layer", "SimpleRNN"]
