"""A network for each series, all of them trained side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from fastlstm.forecasting.checkpoint import Interruption, current
from fastlstm.forecasting.fitting import LOOKS, Batch
from fastlstm.models import Ensemble
from fastlstm.randomness import drawing_from

Array = npt.NDArray[Any]
History = dict[str, list[float]]

# Networks that are trained at a time, and windows of these together, which are kept in memory.
_MODELS, _WINDOWS = 512, 65536
# Attributes of a run that say how far it has come.
_PROGRESS = ("step", "done", "losses", "history", "best", "failed", "kept")


class OneForEach:
    """Small networks of one architecture, one for each series.

    All start from the same weights, and each draws its windows by a generator of its own with the
    same seed: so the network of a series does not depend on the series beside it.

    Parameters
    ----------
    model : Model
        Compiled; its weights are those to start from.
    ids : ndarray
        (S,) of the series.
    counts : ndarray
        (S,) windows of each series.
    """

    def __init__(self, model: Any, ids: Array, counts: Array) -> None:
        together = int(np.clip(_WINDOWS // counts.mean(), 1, _MODELS))
        self.counts = counts
        self.firsts = list(range(0, len(ids), together))
        self.places = {name: place for place, name in enumerate(ids)}
        self.ensembles = []
        for first in self.firsts:
            count = len(ids[first : first + together])
            # It draws weights, which are not used; what is drawn later must not depend on them.
            with drawing_from(np.random.default_rng(0)):
                ensemble = Ensemble(model, count)
            ensemble.set_weights(
                [np.broadcast_to(w, (count, *w.shape)) for w in model.get_weights()]
            )
            self.ensembles.append(ensemble)

    def train(
        self,
        batch_of: Callable[[Array], Batch],
        *,
        steps: int,
        batch_size: int,
        seed: int,
        validation: Batch | None = None,
        patience: int | None = None,
        verbose: int = 1,
    ) -> list[History]:
        """Take so many steps of every network.

        Parameters
        ----------
        batch_of : callable
            (x, y, weight) of the windows with these numbers, which stand series by series.
        steps, batch_size : int
            Updates, and windows of each.
        seed : int
            Of the order of the windows.
        validation : tuple, optional
            (x, y, weight) of windows that are held out, (S, ...), one of each series. The weights
            of each network that are best on its own come back.
        patience : int, optional
            How many times in a row its loss there may fail to improve; of 20 looks in all. Networks
            go on until that is so for all that are trained together.
        verbose : int
            0 silent, otherwise one progress bar.

        Returns
        -------
        list of dict
            As from ``fitting.train``, means over the networks that were trained together.
        """
        ends = np.cumsum(self.counts)
        histories = []
        with (
            tqdm(
                total=steps * len(self.ensembles), disable=not verbose, file=sys.stderr, leave=True
            ) as bar,
            Interruption(current() is not None) as interruption,
        ):
            for first, ensemble in zip(self.firsts, self.ensembles, strict=True):
                mine = np.arange(first, first + len(ensemble))
                begins = ends[mine] - self.counts[mine]
                run = _Run(
                    ensemble,
                    batch_of(np.arange(begins[0], ends[mine[-1]])),
                    begins - begins[0],
                    _Orders(self.counts[mine], batch_size, seed),
                    None if validation is None else _taken(validation, mine[:, np.newaxis]),
                )
                histories.append(run.through(steps, patience, bar, interruption))
        return histories

    def _places_of(self, ids: Iterable[Any]) -> Array:
        """Numbers of the networks of these series."""
        unknown = [name for name in ids if name not in self.places]
        if unknown:
            some = ", ".join(map(repr, unknown[:5]))
            raise ValueError(
                f"pooled=False has a network for each series that fit was given, and none for "
                f"{some}{' ...' if len(unknown) > 5 else ''}: fit these too, or fit with "
                "pooled=True, whose one network forecasts any series"
            )
        return np.array([self.places[name] for name in ids])

    def model_of(self, name: Any) -> Any:
        """A copy of the network of a series."""
        place = self._places_of([name])[0]
        number = int(np.searchsorted(self.firsts, place, side="right")) - 1
        return self.ensembles[number][place - self.firsts[number]]

    def predict(self, x: dict[str, Array], ids: Array) -> Array:
        """Answers (S, ...) for windows (S, ...), one of each of these series.

        Raises
        ------
        ValueError
            If there is a series that has no network.
        """
        places = self._places_of(ids)
        made: Array | None = None
        for first, ensemble in zip(self.firsts, self.ensembles, strict=True):
            asked = np.flatnonzero((places >= first) & (places < first + len(ensemble)))
            if not len(asked):
                continue
            # The window of each network; networks that are not asked get one of another.
            window = np.full(len(ensemble), asked[0])
            window[places[asked] - first] = asked
            given = {name: array[window][:, np.newaxis] for name, array in x.items()}
            answers = ensemble.predict_on_batch(given)[:, 0]
            if made is None:
                made = np.empty((len(ids), *answers.shape[1:]), answers.dtype)
            made[asked] = answers[places[asked] - first]
        assert made is not None
        return made


class _Orders:
    """Which windows each network takes next: so many, from one pass through them to the next."""

    def __init__(self, counts: Array, batch_size: int, seed: int) -> None:
        self.kinds, self.kind_of = np.unique(counts, return_inverse=True)
        self.batch_size = batch_size
        # Networks with as many windows take them in the same order.
        self.generators = [np.random.default_rng(seed) for _ in self.kinds]
        self.left = [np.empty(0, np.int64) for _ in self.kinds]

    def next(self) -> Array:
        """(networks, batch_size) numbers of windows, from 0 for each network."""
        taken = np.empty((len(self.kinds), self.batch_size), np.int64)
        for kind, count in enumerate(self.kinds):
            while len(self.left[kind]) < self.batch_size:
                more = self.generators[kind].permutation(count)
                self.left[kind] = np.concatenate([self.left[kind], more])
            taken[kind], self.left[kind] = np.split(self.left[kind], [self.batch_size])
        return taken[self.kind_of]


class _Run:
    """Training of networks that fit into memory together with all their windows."""

    def __init__(
        self,
        ensemble: Ensemble,
        windows: Batch,
        begins: Array,
        orders: _Orders,
        validation: Batch | None,
    ) -> None:
        self.ensemble, self.windows, self.begins = ensemble, windows, begins
        self.orders, self.validation = orders, validation
        self.step, self.done = 0, False
        self.losses: list[float] = []
        self.history: History = {"step": [], "loss": []}
        if validation is not None:
            self.history["val_loss"] = []
        self.best = np.full(len(ensemble), np.inf)
        self.failed = np.zeros(len(ensemble), np.int64)
        self.kept: list[Array] = []

    def through(
        self, steps: int, patience: int | None, bar: Any, interruption: Interruption
    ) -> History:
        """Take the steps that are left; the history of the mean over the networks."""
        checkpoint, number, found = current(), 0, None
        if checkpoint is not None:
            number, found = checkpoint.next_run()
        if found is not None:
            self._restore(found)
            bar.update(self.step)
        every = max(1, steps // LOOKS)
        while self.step < steps and not self.done:
            self._take_step()
            bar.update()
            if self.step % every == 0 or self.step == steps:
                self._look(patience)
                bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in self.history.items()
                                 if name != "step"})  # fmt: skip
            if checkpoint is not None and (interruption.came or checkpoint.due):
                checkpoint.keep(number, self._state())
            if interruption.came:
                raise KeyboardInterrupt
        if self.kept:
            self.ensemble.set_weights(self.kept)
        if checkpoint is not None and (self.kept or not self.done):
            self.done, self.kept = True, []
            checkpoint.keep(number, self._state())
        return self.history

    def _take_step(self) -> None:
        """An update of every network."""
        at = self.begins[:, np.newaxis] + self.orders.next()
        each = self.ensemble.train_on_batch(*_taken(self.windows, at))
        if not np.isfinite(each).all():
            raise FloatingPointError(
                f"the loss of {(~np.isfinite(each)).sum()} of {len(each)} series, or its "
                "gradient, is not finite: lower learning_rate, or look for values that are far "
                "away from all others"
            )
        self.losses.append(float(each.mean()))
        self.step += 1

    def _look(self, patience: int | None) -> None:
        """Note the losses; keep the weights of those that are better on what is held out."""
        self.history["step"].append(self.step)
        self.history["loss"].append(float(np.mean(self.losses)))
        self.losses = []
        if self.validation is None:
            return
        losses = self.ensemble.test_on_batch(*self.validation)
        waits = self.failed <= (np.inf if patience is None else patience)
        better = waits & (losses < self.best)
        self.best[better] = losses[better]
        self.failed = np.where(better, 0, self.failed + waits)
        now = self.ensemble.get_weights()
        if not self.kept:
            self.kept = now
        for old, new in zip(self.kept, now, strict=True):
            old[better] = new[better]
        self.history["val_loss"].append(float(losses.mean()))
        self.done = patience is not None and bool((self.failed > patience).all())

    def _state(self) -> dict[str, Any]:
        """All that training goes on from."""
        ensemble, orders = self.ensemble, self.orders
        assert ensemble.optimizer is not None
        return {
            "weights": ensemble.get_weights(),
            "moments": ensemble.state(),
            "updates": ensemble.optimizer.steps,
            "orders": [one.bit_generator.state for one in orders.generators],
            "left": orders.left,
            "progress": {name: getattr(self, name) for name in _PROGRESS},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Take what ``_state`` gave."""
        self.ensemble.set_weights(state["weights"])
        self.ensemble.load_state(state["moments"], state["updates"])
        for generator, order in zip(self.orders.generators, state["orders"], strict=True):
            generator.bit_generator.state = order
        self.orders.left = state["left"]
        for name in _PROGRESS:
            setattr(self, name, state["progress"][name])


def _taken(batch: Batch, at: Array) -> Batch:
    """Windows with these numbers, (networks, windows)."""
    x, y, weight = batch
    return {name: array[at] for name, array in x.items()}, y[at], weight[at]
