"""What users stack."""

from fastlstm.layers.base import Layer
from fastlstm.layers.batch_normalization import BatchNormalization
from fastlstm.layers.bidirectional import Bidirectional
from fastlstm.layers.dense import Dense
from fastlstm.layers.dropout import Dropout, SpatialDropout1D
from fastlstm.layers.embedding import Embedding
from fastlstm.layers.gru import GRU
from fastlstm.layers.input import Input
from fastlstm.layers.lstm import LSTM, CoupledLSTM
from fastlstm.layers.masking import Masking
from fastlstm.layers.minimal import MinGRU, MinLSTM
from fastlstm.layers.repeat_vector import RepeatVector
from fastlstm.layers.simple_rnn import SimpleRNN
from fastlstm.layers.slstm import SLSTM
from fastlstm.layers.time_distributed import TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "SLSTM",
    "BatchNormalization",
    "Bidirectional",
    "CoupledLSTM",
    "Dense",
    "Dropout",
    "Embedding",
    "Input",
    "Layer",
    "Masking",
    "MinGRU",
    "MinLSTM",
    "RepeatVector",
    "SimpleRNN",
    "SpatialDropout1D",
    "TimeDistributed",
]
