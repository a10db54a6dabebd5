"""``python -m fastlstm warmup`` leaves nothing to compile for the models that most people build."""

from __future__ import annotations

import re

import pytest

from fastlstm import __main__ as command
from fastlstm.kernels.cache import cache_folder
from fastlstm.warmup import usual_models
from tests.marks import needs_jit
from tests.process import run_module, stderr_of

SCRIPT = """
import numpy as np
from fastlstm import Sequential
from fastlstm.layers import LSTM, Dense, Dropout, Embedding
from fastlstm.optimizers import Adam

x, y = np.zeros((70, 9, 3)), np.zeros(70)
model = Sequential([LSTM(40, return_sequences=True, input_shape=(9, 3)), LSTM(24), Dense(1)])
model.compile(optimizer=Adam(0.01, clipnorm=1.0), loss="mse")
model.fit(x, y, epochs=2, validation_split=0.1, verbose=0)
model.predict(x, verbose=0)
model.stream().step(x[:1, 0])

model = Sequential([LSTM(100, input_shape=(9, 3)), Dropout(0.2), Dense(7, "softmax")])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, verbose=0, sample_weight=np.ones(70))
model.evaluate(x, y, verbose=0)
model.predict(x, verbose=0)

model = Sequential([Embedding(50, 16), LSTM(32), Dense(1, "sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(np.ones((70, 9), int), y, verbose=0)
model.predict(np.ones((1, 9), int), verbose=0)
"""


@needs_jit
def test_nothing_is_compiled_afterwards():
    if cache_folder() is None:
        pytest.skip("no cache folder can be used here")
    printed = run_module("fastlstm", "warmup")
    assert f"Kernels are kept in {cache_folder()}" in printed
    for usual in usual_models():
        assert usual.title in printed
    assert stderr_of(SCRIPT) == ""
    again = run_module("fastlstm", "warmup")
    assert re.search(r"\n0 kernels compiled, \d\d+ loaded: \d+\.\d s\n$", again)


def test_no_cache_folder_is_said(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    printed = run_module("fastlstm", "warmup", expected=1, NUMBA_CACHE_DIR=str(file / "below"))
    assert printed.startswith("No cache folder can be used")
    assert "NUMBA_CACHE_DIR" in printed


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["nonsense"], 2)])
def test_arguments(arguments, code, capsys):
    with pytest.raises(SystemExit) as left:
        command.main(arguments)
    assert left.value.code == code
    assert "warmup" in "".join(capsys.readouterr())
