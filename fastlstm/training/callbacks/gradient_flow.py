"""Watching the gradient on its way back through time."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm import figures
from fastlstm.training.callbacks.base import Callback, Logs
from fastlstm.training.protocol import Trainable
from fastlstm.validation import whole_number

_MOST_NAMES = 8


class GradientFlow(Callback):
    """Record, during training, how far back in time the loss is felt.

    For one batch, before the first epoch and after every so many, keep the norm of the gradient of
    the loss with respect to h at each step of each recurrent layer. The training is not changed by
    it, to the last bit.

    Parameters
    ----------
    x, y, sample_weight : array_like
        A batch, as for ``fit``, of the same one each time; some dozens of samples do.
    mask, lengths : array_like, optional
        Which of its steps count, or how many of each sample, as for ``fit``.
    every : int
        Epochs from one record to the next.

    Attributes
    ----------
    epochs : list of int
        Epochs that were trained when each record was taken; the first is 0.
    history : dict of str to list of ndarray
        By layer, a record each: (time,), entry k is the norm k steps before the last one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm import Sequential
    >>> from fastlstm.callbacks import GradientFlow
    >>> from fastlstm.layers import LSTM, Dense
    >>> model = Sequential([LSTM(8, input_shape=(30, 2), name="lstm"), Dense(1)])
    >>> model.compile(optimizer="adam", loss="mse")
    >>> x = np.random.default_rng(0).standard_normal((64, 30, 2))
    >>> watch = GradientFlow(x[:16], x[:16, 0, :1], every=2)
    >>> _ = model.fit(x, x[:, 0, :1], epochs=4, verbose=0, callbacks=[watch])
    >>> watch.epochs
    [0, 2, 4]
    >>> watch.history["lstm"][-1].shape
    (30,)
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        every: int = 1,
    ) -> None:
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.mask, self.lengths = mask, lengths
        self.every = whole_number(every, "GradientFlow every")
        self._forget()

    def _forget(self) -> None:
        self.epochs: list[int] = []
        self.history: dict[str, list[np.ndarray]] = {}

    def set_model(self, model: Trainable) -> None:
        """Learn which model is trained."""
        if not hasattr(model, "gradient_flow"):
            raise TypeError(
                "GradientFlow needs a model that has the method gradient_flow, such as a "
                f"Sequential; got {type(model).__name__}"
            )
        super().set_model(model)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start afresh, so that an instance serves several runs."""
        self._forget()
        self._trained = 0
        self._record()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Record, where it is time to."""
        self._trained += 1
        if self._trained % self.every == 0:
            self._record()

    def _record(self) -> None:
        self.epochs.append(self._trained)
        model: Any = self.model
        counted = {"mask": self.mask, "lengths": self.lengths}
        found = model.gradient_flow(self.x, self.y, self.sample_weight, **counted)
        for name, norms in found.items():
            self.history.setdefault(name, []).append(norms)

    def plot(self, layer: str | None = None, *, ax: Any = None) -> Any:
        """Draw the records of a layer, the first one by default; see ``fastlstm.figures``.

        Returns
        -------
        matplotlib Axes
            With a line a record, from light to dark.
        """
        if layer is None and self.history:
            layer = next(iter(self.history))
        if layer not in self.history:
            known = ", ".join(self.history) or "none yet: pass the callback to fit first"
            raise ValueError(f"GradientFlow has no records of layer {layer!r}; it has {known}")
        # Some of many lines are named; a line whose name begins with _ is not.
        last = len(self.epochs) - 1
        named = {round(number) for number in np.linspace(0, last, min(last + 1, _MOST_NAMES))}
        lines = {
            f"after {epoch} epochs" if number in named else f"_{epoch}": norms
            for number, (epoch, norms) in enumerate(
                zip(self.epochs, self.history[layer], strict=True)
            )
        }
        title = f"Gradient of the loss on its way back through {layer!r}"
        shades = [0.15 + 0.85 * number / max(last, 1) for number in range(last + 1)]
        return figures.gradient_flow(lines, title=title, shades=shades, ax=ax)
