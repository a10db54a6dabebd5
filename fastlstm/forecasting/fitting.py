"""Training of a forecaster's network, batch by batch of windows."""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from fastlstm.forecasting.checkpoint import Interruption, current, restore, state_of
from fastlstm.forecasting.windows import WindowList
from fastlstm.models import Model
from fastlstm.optimizers import Adam, Optimizer
from fastlstm.randomness import drawing_from
from fastlstm.training.data import Data

Array = npt.NDArray[Any]
Batch = tuple[Any, Array, Array]

# What is left of the learning rate after the first training.
_LATER_RATE = 0.1
# Times a run looks at the windows that it does not train on.
LOOKS = 20
# Windows that are read together, for several updates: each takes a third less time so.
TOGETHER = 1024


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
    ahead: bool = False,
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
    ahead : bool
        Read several batches together: for a ``batch_of`` that draws nothing at random.

    Returns
    -------
    dict
        "loss" and, with ``validation``, "val_loss", of each twentieth of the steps; "step", after
        how many steps they were taken.
    """
    every = max(1, steps // LOOKS)
    checked = _Checked(model)
    batches = Batches(batch_of, batch_size, TOGETHER if ahead else batch_size)
    checkpoint, number, found = current(), 0, None
    if checkpoint is not None:
        number, found = checkpoint.next_run()
    if found is None:
        now = _Progress(generator.permutation(count), validated=validation is not None)
    else:
        restore(model, generator, found["state"])
        now = _Progress.of(found["progress"])

    def keep() -> None:
        if checkpoint is not None:
            state = {"state": state_of(model, generator), "progress": vars(now)}
            checkpoint.keep(number, state)

    bar = tqdm(
        total=steps, initial=now.step, disable=not verbose, file=sys.stderr, leave=True
    )  # fmt: skip
    with bar, Interruption(checkpoint is not None) as interruption:
        while now.step < steps and not now.done:
            if now.at >= count:
                now.order, now.at = generator.permutation(count), 0
            batch = batches.next(now.order, now.at, steps - now.step)
            now.losses.append(float(model.train_on_batch(checked(batch), None)))
            now.at += batch_size
            now.step += 1
            bar.update()
            if now.step % every == 0 or now.step == steps:
                now.look(model, validation, patience)
                bar.set_postfix(now.shown())
            if interruption.came:
                keep()
                raise KeyboardInterrupt
            if checkpoint is not None and checkpoint.due:
                keep()
    if not now.done or now.kept is not None:
        if now.kept is not None:
            model.set_weights(now.kept)
        now.done, now.kept = True, None
        keep()
    return now.history


def go_on(forecaster: Any, reader: Any, *, steps: int, batch_size: int) -> list[Any]:
    """Copies of trained models that have learned on, each from where its optimizer stood.

    On all windows, old and new: of hourly demand for electricity, forecast a day ahead through a
    year of updates six weeks apart, 150 steps of each took 2.8 % off the error, half of the windows
    from the new rows 1.4 %, and all of them from there added 5 %. A tenth of the rate of the first
    training is the rate now, which does not fall.

    Parameters
    ----------
    forecaster : BaseForecaster
        Of a network over windows, whose ``models_`` are compiled, with Adam; it stays as it is.
    reader : WindowReader
        Of the series as the network sees them.
    steps, batch_size
        As for ``train``.

    Returns
    -------
    list of Model
    """
    series, origins = reader.origins(min(forecaster.input_size_, 2 * forecaster.h))
    windows = WindowList(reader, series, origins, len(forecaster.models_) * steps * batch_size)
    made = []
    for number, old in enumerate(forecaster.models_):
        if not isinstance(old, Model):
            raise ValueError(
                f"update(df, steps={steps}) goes on with networks for all series, and these are "
                f"{type(old).__name__}: update(df) lets series go on, and fit(df) learns anew"
            )
        model, before = copy.deepcopy(old), cast("Optimizer", old.optimizer)
        model.compile(Adam(forecaster.learning_rate * _LATER_RATE, global_clipnorm=1.0), old.loss)
        cast("Optimizer", model.optimizer).load_state(before.state(), before.steps)
        generator = np.random.default_rng([forecaster.seed, before.steps, number])
        with drawing_from(generator):
            train(
                model,
                lambda index: forecaster._batch(windows.read(index)),
                len(windows),
                steps=steps,
                batch_size=batch_size,
                generator=generator,
                verbose=forecaster.verbose,
                ahead=True,
            )
        made.append(model)
    return made


class Batches:
    """Batches one after the other, of which several are read at a time.

    Parameters
    ----------
    batch_of : callable
        (x, y, weight) of the windows with these numbers, each of which depends on nothing else.
    size : int
        Windows of a batch.
    together : int
        Windows that are read at a time, or one batch if that is more.
    """

    def __init__(self, batch_of: Callable[[Array], Batch], size: int, together: int) -> None:
        self._batch_of, self._size = batch_of, size
        self._several = max(1, together // size)
        self._read: deque[Batch] = deque()

    def next(self, order: Array, at: int, most: int) -> Batch:
        """The batch that begins at this place of the order; so many will be asked for at most."""
        if not self._read:
            index = order[at : at + self._size * min(self._several, most)]
            self._read.extend(_parted(self._batch_of(index), self._size))
        return self._read.popleft()


def _parted(batch: Batch, size: int) -> Iterator[Batch]:
    """So many windows each."""
    x, y, weight = batch
    for first in range(0, len(y), size):
        rows = slice(first, first + size)
        yield {name: one[rows] for name, one in x.items()}, y[rows], weight[rows]


class _Checked:
    """Batches as a model's steps take them; those that are like the one before fit as well.

    That they are finite is not looked at: a loss that is not ends the training.

    Parameters
    ----------
    model : Model
        Compiled.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._like: list[Any] | None = None

    def __call__(self, batch: Batch) -> Data:
        x, y, weight = batch
        xs = tuple(x[name] for name in self._model.input_names)
        like = _like((*xs, y, weight))
        if like == self._like and all(one.flags.c_contiguous for one in (*xs, y, weight)):
            return Data(xs, (y,), (weight,))
        data: Data = self._model.prepare(x, y, weight)
        # Remembered if they are taken as they are.
        weights = () if data.weight is None else data.weight
        self._like = like if _like((*data.x, *data.y, *weights)) == like else None
        return data


def _like(arrays: tuple[Array, ...]) -> list[Any]:
    return [(one.shape, one.dtype) for one in arrays]


class _Progress:
    """How far training has come.

    Parameters
    ----------
    order : ndarray
        (count,) numbers of the windows, as this pass goes through them.
    validated : bool
        Whether there is something to validate on.
    """

    def __init__(self, order: Array, validated: bool) -> None:
        self.order, self.at, self.step, self.done = order, 0, 0, False
        self.losses: list[float] = []
        self.history: dict[str, list[float]] = {"step": [], "loss": []}
        if validated:
            self.history["val_loss"] = []
        self.best, self.failed = np.inf, 0
        self.kept: list[Array] | None = None

    @classmethod
    def of(cls, state: dict[str, Any]) -> _Progress:
        """What ``vars`` gave."""
        made = cls(state["order"], False)
        made.__dict__.update(state)
        return made

    def look(self, model: Any, validation: Batch | None, patience: int | None) -> None:
        """Note the mean loss since the last look, and that of what is held out."""
        self.history["step"].append(self.step)
        self.history["loss"].append(float(np.mean(self.losses)))
        self.losses = []
        if validation is not None:
            x, y, weight = validation
            loss = float(model.evaluate(x, y, sample_weight=weight, verbose=0, batch_size=1024))
            self.history["val_loss"].append(loss)
            self.failed = 0 if loss < self.best else self.failed + 1
            if loss < self.best:
                self.best, self.kept = loss, model.get_weights()
        self.done = patience is not None and self.failed > patience

    def shown(self) -> dict[str, str]:
        """The last losses, for the progress bar."""
        names = [name for name in self.history if name != "step"]
        return {name: f"{self.history[name][-1]:.4g}" for name in names}
