"""Values that are types: equal ones are one type, and kernels for them come back from the cache."""

import pickle

import numba

from fastlstm.cells.rnn import RNNCell
from fastlstm.kernels.activations import Relu, Tanh
from fastlstm.kernels.static import StaticType
from tests.process import run_python

FIT = """
import numpy as np
from fastlstm.kernels import recurrent
from fastlstm.layers import LSTM
LSTM(3)(np.zeros((2, 3, 1), "float32"))
tally = recurrent.forward.cache.tally
print(tally["loaded"], tally["compiled"])
"""


def test_equal_values_have_one_type():
    assert numba.typeof(RNNCell(Tanh())) == numba.typeof(RNNCell(Tanh()))
    assert numba.typeof(RNNCell(Tanh())) != numba.typeof(RNNCell(Relu()))


def test_value_and_type_survive_pickling():
    cell = RNNCell(Relu())
    type_ = numba.typeof(cell)
    assert isinstance(type_, StaticType)
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert pickle.loads(pickle.dumps(type_)) == type_


def test_a_second_process_finds_the_compiled_driver(tmp_path):
    assert run_python(FIT, NUMBA_CACHE_DIR=str(tmp_path)).split() == ["0", "1"]
    assert run_python(FIT, NUMBA_CACHE_DIR=str(tmp_path)).split() == ["1", "0"]
