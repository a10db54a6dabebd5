"""Is a sentence positive or negative? An embedding and two LSTMs read it word by word.

Run: python examples/sentiment.py SENTENCES [--epochs 3]

SENTENCES is a text file with one sentence a line, a tab and its label, 1 for positive and 0 for
negative, or a folder of such files:

    Wow... Loved this place.<TAB>1
    Crust is not good.<TAB>0

Every fifth sentence is kept for testing. Beside the network's accuracy stand two simple rules:
always guessing the commoner label, and a logistic regression on which words occur.
"""

import argparse
import re
from collections import Counter
from pathlib import Path

import numpy as np

from fastlstm.layers import LSTM, Dense, Embedding
from fastlstm.models import Sequential
from fastlstm.utils import pad_sequences, set_random_seed

VOCABULARY = 10_000
STEPS = 80


def build() -> Sequential:
    """The tutorial's model."""
    model = Sequential()
    model.add(Embedding(VOCABULARY, 128))
    model.add(LSTM(128, return_sequences=True))
    model.add(LSTM(128))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def read(path: Path) -> tuple[list[list[str]], np.ndarray]:
    """Words and label of each sentence."""
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    sentences, labels = [], []
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
            text, tab, label = line.rstrip().rpartition("\t")
            if tab and label in ("0", "1"):
                sentences.append(re.findall(r"[a-z']+|[!?]", text.lower()))
                labels.append(int(label))
    if not sentences:
        raise SystemExit(f"{path}: no lines of the form sentence<TAB>0 or sentence<TAB>1")
    return sentences, np.array(labels)


def to_ids(sentences: list[list[str]], train: np.ndarray) -> list[list[int]]:
    """Numbers for words, the commonest of the training sentences first; 0 pads, 1 is unknown."""
    counts = Counter(word for i in np.flatnonzero(train) for word in sentences[i])
    ids = {word: n + 2 for n, (word, _) in enumerate(counts.most_common(VOCABULARY - 2))}
    return [[ids.get(word, 1) for word in sentence] for sentence in sentences]


def word_rule(ids: list[list[int]], labels: np.ndarray, train: np.ndarray) -> float:
    """Test accuracy of a logistic regression on the set of words."""
    words = np.zeros((len(ids), VOCABULARY), np.float32)
    for row, sentence in zip(words, ids, strict=True):
        row[sentence] = 1
    model = Sequential([Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(words[train], labels[train], epochs=20, batch_size=32, verbose=0)
    return model.evaluate(words[~train], labels[~train], verbose=0)[1]


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sentences", type=Path, help="file or folder of sentence<TAB>label lines")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()

    set_random_seed(0)
    sentences, labels = read(arguments.sentences)
    order = np.random.default_rng(0).permutation(len(labels))
    sentences, labels = [sentences[i] for i in order], labels[order]
    train = np.arange(len(labels)) % 5 != 0
    ids = to_ids(sentences, train)
    x = pad_sequences(ids, maxlen=STEPS)

    model = build()
    model.fit(
        x[train], labels[train], epochs=arguments.epochs, batch_size=128, validation_split=0.1
    )
    _, accuracy = model.evaluate(x[~train], labels[~train], verbose=0)
    commoner = max(labels[~train].mean(), 1 - labels[~train].mean())
    print(f"test sentences                       {int((~train).sum())}")
    print(f"accuracy, always the commoner label  {commoner:.3f}")
    print(f"accuracy, words alone                {word_rule(ids, labels, train):.3f}")
    print(f"accuracy, LSTM                       {accuracy:.3f}")


if __name__ == "__main__":
    main()
