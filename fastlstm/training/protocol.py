"""What the loop needs of a model: nothing else is known about it here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastlstm.metrics import Metric
from fastlstm.optimizers import Optimizer
from fastlstm.training.data import Data

Array = npt.NDArray[Any]
Arrays = tuple[Array, ...]
Index = npt.NDArray[np.intp]


class Trainable(Protocol):
    """A model that ``fit``, ``evaluate`` and ``predict`` can run.

    One whose users give several arrays, or one with another axis before that of the samples, says
    so by an attribute ``samples_first = False``.
    """

    stop_training: bool
    history: Any

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics that each step updates."""

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer, for callbacks that change the learning rate."""

    @property
    def stateful(self) -> bool:
        """Whether row i of a batch continues row i of the batch before."""

    def prepare(self, x: Any, y: Any, sample_weight: Any = None, mask: Any = None) -> Data:
        """Check samples, targets, weights and which steps count, and convert them.

        ``mask`` is given only where there is one.
        """

    def weigh_classes(self, data: Data, class_weight: Any) -> Data:
        """Multiply the weights by those of the targets' classes."""

    def prepare_inputs(self, x: Any) -> Arrays:
        """Check samples and convert them, an array for each input."""

    def check_bptt(self, bptt: Any) -> str | int:
        """Check the argument of ``fit`` against the model; return what ``train_step`` takes."""

    def train_step(self, data: Data, index: Index, bptt: str | int) -> float:
        """Train on the samples of these numbers and return their loss.

        Updates the metrics. ``bptt`` is "full", "checkpoint" or a number of steps, with an update
        after each so many. A loss that is not finite means that no weight was changed.
        """

    def test_step(self, data: Data, index: Index) -> float:
        """Return the loss of the samples of these numbers; updates the metrics."""

    def finalize_weights(self) -> None:
        """Give the weights their values at the end of a training, where they differ."""

    def prepare_mask(self, mask: Any, samples: Arrays) -> Array:
        """Check which steps of prepared samples count, and convert it."""

    def predict_step(self, x: Arrays, index: Index, mask: Array | None = None) -> list[Array]:
        """Return fresh arrays with the outputs for the samples of these numbers.

        ``mask`` is given only where there is one.
        """

    def get_weights(self) -> list[Array]:
        """Return all weights."""

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Replace all weights."""

    def save(self, path: str, /) -> None:
        """Write the model to a file."""

    def save_weights(self, path: str, /) -> None:
        """Write the weights to a file."""

    def reset_states(self) -> None:
        """Set the states that a stateful model carries between batches to zero."""
