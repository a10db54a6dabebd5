"""The shapes that every benchmark walks: one table, float32.

Glossary: B batch, T steps, D input features, H units of each LSTM layer, one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One model and the batch that it is given: LSTM layers, then a Dense layer.

    The Dense layer stands on the last step, or on every step where ``every_step``. Where there
    is a ``vocabulary``, the inputs are ids below it, embedded in D features; where the first
    layer's product of them is ``looked_up`` in inference, it is no work. Where there are many
    ``models``, each has weights, a batch and an optimizer of its own.
    """

    name: str
    batch: int
    steps: int
    features: int
    units: tuple[int, ...]
    outputs: int = 1
    activation: str | None = None
    loss: str = "mse"
    vocabulary: int = 0
    looked_up: bool = False
    every_step: bool = False
    carried: bool = False
    models: int = 1

    @property
    def lead(self) -> tuple[int, ...]:
        """The axis of the models, before all others, where there are several."""
        return (self.models,) if self.models > 1 else ()

    @property
    def modes(self) -> tuple[str, ...]:
        """What is worth timing: only a stream goes step by step."""
        return ("forward", "train", "step") if self.carried else ("forward", "train")

    def flops(self, mode: str) -> float:
        """Floating-point operations of the matrix products.

        A training step has three times those of a forward pass, but for the gradient of inputs
        that are not embedded, which nobody wants. What is looked up is not counted.
        """
        samples = self.batch * self.steps
        total, depth = 0, self.features
        for units in self.units:
            total += 2 * samples * (depth + units) * 4 * units
            depth = units
        if mode != "train" and self.looked_up:
            total -= 2 * samples * self.features * 4 * self.units[0]
        total += 2 * (samples if self.every_step else self.batch) * depth * self.outputs
        if mode == "train":
            total *= 3
            if not self.vocabulary:
                total -= 2 * samples * self.features * 4 * self.units[0]
        return float(self.models * total)


_CLASSES = {"activation": "softmax", "loss": "sparse_categorical_crossentropy"}

ROWS = {
    row.name: row
    for row in (
        Row("stream", 1, 1, 8, (32,), carried=True),
        Row("stream-wide", 1, 1, 64, (256, 256), carried=True),
        Row("one-short", 1, 100, 8, (64,)),
        Row("one-long", 1, 500, 64, (256,)),
        Row("forecast", 32, 24, 1, (64,)),
        Row("tutorial-a", 32, 10, 10, (50, 50), 10, **_CLASSES),
        Row("forecast-deep", 64, 96, 8, (128, 128)),
        Row(
            "tutorial-b", 128, 80, 128, (128, 128),
            activation="sigmoid", loss="binary_crossentropy", vocabulary=10_000, looked_up=True,
        ),
        Row("wide-batch", 256, 50, 64, (256,)),
        Row("speech", 64, 100, 256, (512,)),
        Row(
            "lm", 20, 35, 650, (650, 650), 10_000,
            vocabulary=10_000, looked_up=True, every_step=True, **_CLASSES,
        ),
        Row("long", 8, 10_000, 4, (64,)),
        Row("many-small", 8, 48, 1, (16,), models=512),
    )
}  # fmt: skip
