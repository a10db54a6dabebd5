"""Pictures of models and of what attention looks at."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fastlstm import Input, Model, Sequential, figures
from fastlstm.layers import LSTM, Add, Dense, Embedding
from fastlstm.utils import plot_model

pytest.importorskip("matplotlib").use("Agg")


def _texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def _branches():
    x = Input((None, 3), name="series")
    y = Dense(4, name="dense")(x)
    return Model(x, Add(name="sum")([y, LSTM(4, return_sequences=True, name="lstm")(y)]))


def test_a_graph_is_drawn_with_what_it_takes(tmp_path):
    ax = plot_model(_branches(), tmp_path / "model.png")
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
    assert _texts(ax) == ["InputLayer\nseries", "Dense\ndense", "LSTM\nlstm", "Add\nsum"]
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 4
    heights = [text.get_position()[1] for text in ax.texts if text.get_text()]
    assert heights == sorted(heights, reverse=True)


def test_shapes_and_sequentials():
    model = Sequential([Embedding(9, 4, input_shape=(None,)), LSTM(3), Dense(1)])
    ax = plot_model(model, None, show_shapes=True)
    assert _texts(ax) == [
        "InputLayer\n(None, None)", "Embedding\n(None, None, 4)", "LSTM\n(None, 3)",
        "Dense\n(None, 1)",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no weights yet"):
        plot_model(Sequential([LSTM(3)]), None)


def test_weights_of_attention():
    ax = figures.attention(np.eye(2, 3), ["a", "b"], ["x", "y", "z"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y", "z"]
    np.testing.assert_array_equal(ax.images[0].get_array(), np.eye(2, 3))
    with pytest.raises(ValueError, match=r"one sample and head.*weights\[0\]"):
        figures.attention(np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="3 words for keys, got 2"):
        figures.attention(np.eye(2, 3), keys=["x", "y"])


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install"):
        plot_model(_branches(), None)
