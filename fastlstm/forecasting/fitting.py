"""Training of a forecaster's network, batch by batch of windows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

Array = npt.NDArray[Any]
Batch = tuple[Any, Array, Array]

# Times a run looks at the windows that it does not train on.
LOOKS = 20


def train(
    model: Any,
    batch_of: Callable[[Array], Batch],
    count: int,
    *,
    steps: int,
    batch_size: int,
    generator: np.random.Generator,
    validation: Batch | None = None,
    patience: int | None = None,
    verbose: int = 1,
) -> dict[str, list[float]]:
    """Take so many steps, each on windows in an order drawn anew for each pass.

    Parameters
    ----------
    model : Model
        Compiled.
    batch_of : callable
        (x, y, weight) of the windows with these numbers.
    count : int
        How many windows there are.
    steps, batch_size : int
        Updates, and windows of each.
    generator : numpy.random.Generator
        Draws the order.
    validation : tuple, optional
        (x, y, weight) of windows that are held out. The weights that are best on them come back.
    patience : int, optional
        How many times in a row the validation loss may fail to improve; of 20 looks in all.
    verbose : int
        0 silent, otherwise one progress bar.

    Returns
    -------
    dict
        "loss" and, with ``validation``, "val_loss", of each twentieth of the steps; "step", after
        how many steps they were taken.
    """
    history: dict[str, list[float]] = {"step": [], "loss": []}
    if validation is not None:
        history["val_loss"] = []
    every = max(1, steps // LOOKS)
    best, kept, failed = np.inf, None, 0
    order, at, losses = generator.permutation(count), 0, []
    with tqdm(total=steps, disable=not verbose, file=sys.stderr, leave=True) as bar:
        for step in range(1, steps + 1):
            if at >= count:
                order, at = generator.permutation(count), 0
            index = order[at : at + batch_size]
            at += batch_size
            x, y, weight = batch_of(index)
            losses.append(float(model.train_on_batch(x, y, sample_weight=weight)))
            bar.update()
            if step % every and step != steps:
                continue
            history["step"].append(step)
            history["loss"].append(float(np.mean(losses)))
            losses = []
            if validation is not None:
                x, y, weight = validation
                loss = float(model.evaluate(x, y, sample_weight=weight, verbose=0, batch_size=1024))
                history["val_loss"].append(loss)
                failed = 0 if loss < best else failed + 1
                if loss < best:
                    best, kept = loss, model.get_weights()
            bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in history.items()
                             if name != "step"})  # fmt: skip
            if patience is not None and failed > patience:
                break
    if kept is not None:
        model.set_weights(kept)
    return history
