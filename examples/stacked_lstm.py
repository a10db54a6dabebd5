"""Which of ten classes does a short sequence belong to? Two stacked LSTMs, as tutorials have it.

Run: python examples/stacked_lstm.py

The code is what one writes for Keras; only the import lines differ. The data are random, so the
network can only learn them by heart: watch the loss fall.
"""

import numpy as np

from fastlstm.layers import LSTM, Dense
from fastlstm.models import Sequential
from fastlstm.utils import set_random_seed


def build() -> Sequential:
    """The tutorial's model."""
    model = Sequential()
    model.add(LSTM(50, input_shape=(10, 10), return_sequences=True))
    model.add(LSTM(50))
    model.add(Dense(10, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def main() -> None:
    """Train on 100 random sequences of 10 steps with 10 features."""
    set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.random((100, 10, 10))
    # One class a sequence. Targets of shape (100, 10, 10), one class a step, need
    # return_sequences=True in the second LSTM too; the model says so if you try.
    y = np.eye(10)[rng.integers(0, 10, 100)]

    model = build()
    model.summary()
    model.fit(x, y, epochs=10, batch_size=32)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    print(f"after 10 epochs: loss {loss:.3f}, accuracy {accuracy:.2f}")


if __name__ == "__main__":
    main()
