"""What users stack."""

from fastlstm.elsewhere import advise
from fastlstm.layers.activation import Activation, Softmax
from fastlstm.layers.activity_regularization import ActivityRegularization
from fastlstm.layers.attention import AdditiveAttention, Attention
from fastlstm.layers.base import Layer
from fastlstm.layers.batch_normalization import BatchNormalization
from fastlstm.layers.bidirectional import Bidirectional
from fastlstm.layers.conv1d import Conv1D
from fastlstm.layers.crf import CRF
from fastlstm.layers.cropping import Cropping1D, Slice, ZeroPadding1D
from fastlstm.layers.dense import Dense
from fastlstm.layers.dot import Dot
from fastlstm.layers.dropout import Dropout, SpatialDropout1D
from fastlstm.layers.embedding import Embedding
from fastlstm.layers.gaussian_noise import GaussianNoise
from fastlstm.layers.global_pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from fastlstm.layers.gru import GRU
from fastlstm.layers.indexing import GetItem
from fastlstm.layers.input import Input, InputLayer
from fastlstm.layers.layer_norm_lstm import LayerNormLSTM
from fastlstm.layers.layer_normalization import LayerNormalization
from fastlstm.layers.lstm import LSTM, CoupledLSTM, PeepholeLSTM
from fastlstm.layers.masking import Masking
from fastlstm.layers.merging import (
    Add,
    Average,
    Concatenate,
    Divide,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from fastlstm.layers.minimal import MinGRU, MinLSTM
from fastlstm.layers.multi_head_attention import MultiHeadAttention
from fastlstm.layers.pooling import AveragePooling1D, MaxPooling1D
from fastlstm.layers.projected_lstm import ProjectedLSTM
from fastlstm.layers.rectifiers import ELU, LeakyReLU, ReLU
from fastlstm.layers.repeat_vector import RepeatVector
from fastlstm.layers.rescaling import Rescaling
from fastlstm.layers.reshape import Flatten, Permute, Reshape
from fastlstm.layers.rnn import RNN
from fastlstm.layers.rnn_cells import (
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
)
from fastlstm.layers.short import (
    Lambda,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from fastlstm.layers.simple_rnn import SimpleRNN
from fastlstm.layers.slstm import SLSTM
from fastlstm.layers.time_distributed import TimeDistributed

# Keras' other names.
AvgPool1D, MaxPool1D = AveragePooling1D, MaxPooling1D
GlobalAvgPool1D, GlobalMaxPool1D = GlobalAveragePooling1D, GlobalMaxPooling1D

__all__ = [
    "CRF",
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "SLSTM",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AdditiveAttention",
    "Attention",
    "Average",
    "AveragePooling1D",
    "AvgPool1D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "CoupledLSTM",
    "Cropping1D",
    "Dense",
    "Divide",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianNoise",
    "GetItem",
    "GlobalAveragePooling1D",
    "GlobalAvgPool1D",
    "GlobalMaxPool1D",
    "GlobalMaxPooling1D",
    "Input",
    "InputLayer",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPooling1D",
    "Maximum",
    "MinGRU",
    "MinLSTM",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "PeepholeLSTM",
    "Permute",
    "ProjectedLSTM",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SimpleRNN",
    "SimpleRNNCell",
    "Slice",
    "Softmax",
    "SpatialDropout1D",
    "StackedRNNCells",
    "Subtract",
    "TimeDistributed",
    "ZeroPadding1D",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


def __getattr__(name: str) -> None:
    raise advise(__name__, name)
