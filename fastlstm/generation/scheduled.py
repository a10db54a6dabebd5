"""Scheduled sampling: a decoder learns from its own predictions, not from the truth alone.

In training a decoder is fed what should have come before (teacher forcing); in use, what it has
said itself, of which it has never seen the mistakes. So at each step of training the truth is fed
with a probability that falls from one update to the next, and the decoder's own prediction of that
step otherwise.

Source: Bengio, Vinyals, Jaitly and Shazeer, "Scheduled sampling for sequence prediction with
recurrent neural networks", NeurIPS 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.data.batch import Batch
from fastlstm.generation.source import Array
from fastlstm.validation import numeric_array, real_number, whole_number

Forcing = Callable[[int], float]

_CHOICES = ("greedy", "sample")
# Runs of a whole batch that take no longer than one step by step.
_FEW_RUNS = 2


def shift_right(y: npt.ArrayLike, start: Any) -> Array:
    """What teacher forcing feeds a decoder: ``start``, and then all but the last of each row.

    Parameters
    ----------
    y : array_like
        (rows, steps) ids or (rows, steps, features), what the decoder is to say.
    start : int or array_like
        The token, or (features,), that is fed at the first step.

    Returns
    -------
    numpy.ndarray
        Of the same shape and dtype.

    Examples
    --------
    >>> from fastlstm.generation import shift_right
    >>> shift_right([[5, 3, 4], [2, 6, 2]], start=1).tolist()
    [[1, 5, 3], [1, 2, 6]]
    """
    true = numeric_array("y", y)
    if true.ndim not in (2, 3) or 0 in true.shape:
        raise ValueError(
            f"shift_right expects y of shape (rows, steps) or (rows, steps, features), got "
            f"{true.shape}"
        )
    shifted = np.empty_like(true)
    shifted[:, 0], shifted[:, 1:] = start, true[:, :-1]
    return shifted


def linear_decay(steps: int, least: float = 0.0) -> Forcing:
    """Probability of the truth that falls along a line, from 1 to ``least`` after ``steps``."""
    steps = whole_number(steps, "linear_decay steps")
    floor = real_number("linear_decay least", least, most=1.0)
    return lambda step: max(floor, 1.0 - step / steps)


def exponential_decay(k: float) -> Forcing:
    """Probability of the truth k**step, with k below 1."""
    k = real_number("exponential_decay k", k, above=0.0, below=1.0)
    return lambda step: k**step


def inverse_sigmoid_decay(k: float) -> Forcing:
    """Probability of the truth k / (k + e**(step / k)), with k of at least 1.

    It stays near 1 at first, and is 1/2 after k log k steps.
    """
    k = real_number("inverse_sigmoid_decay k", k)
    if k < 1.0:
        raise ValueError(f"inverse_sigmoid_decay k expects a number of at least 1, got {k:g}")
    return lambda step: k / (k + math.exp(min(step / k, 700.0)))


class ScheduledSampling:
    """Batches for ``fit`` in which a part of what the decoder is fed are its own predictions.

        samples = ScheduledSampling(model, [source, shift_right(y, 1)], y, linear_decay(2000))
        model.fit(samples, epochs=20)

    At each step but the first, an input is replaced by what the model, as it is at that moment and
    without dropout, predicts from the inputs before, replaced ones among them. A model with one
    input goes step by step for that. Otherwise the batch is run as a whole until nothing changes
    any more: since a decoder does not look ahead, that comes to the same, in as many runs as there
    are replaced inputs in a row at most, and mostly in a few. With ``passes=1`` each prediction is
    made from the truth, as in Mihaylova and Martins, "Scheduled sampling for transformers", ACL
    2019. Gradients do not flow through predictions.

    Parameters
    ----------
    model : Model
        With one output, (batch, steps, vocabulary) for ids that are fed, or (batch, steps,
        features) for numbers, which then are what is predicted. It may be a language model with one
        input, too.
    x, y : array_like, or a list or dict of inputs
        As for ``fit``, with the true inputs of the decoder.
    forcing : float or callable
        The probability that a step is fed the truth, or ``forcing(step)`` after so many batches,
        such as ``linear_decay``, ``exponential_decay`` and ``inverse_sigmoid_decay`` make. 1 is
        teacher forcing, 0 always feeds predictions.
    batch_size : int
        Samples in a batch.
    sample_weight : array_like, optional
        (samples,) or (samples, steps), as for ``fit``.
    shuffle : bool
        Whether each epoch has an order of its own.
    feed : int or str
        Number or name of the decoder's input among several; by default the last.
    choice : "greedy" or "sample"
        Whether the prediction is the likeliest token, or drawn by its probability.
    from_logits : bool
        For draws: False where the model gives probabilities.
    padding : int, optional
        An id that is never replaced, nor predicted, such as 0 with ``mask_zero=True``.
    passes : int, optional
        Runs of the model for a batch at most.
    seed : int
        Order, choice of steps, and draws depend on it and on the number of the batch alone.

    Attributes
    ----------
    step : int
        Batches so far; set it to go on with a training that was interrupted.
    epoch : int
        Epochs begun.

    Raises
    ------
    ValueError
        If shapes or options do not fit.
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        y: npt.ArrayLike,
        forcing: float | Forcing,
        *,
        batch_size: int = 32,
        sample_weight: npt.ArrayLike | None = None,
        shuffle: bool = True,
        feed: int | str = -1,
        choice: str = "greedy",
        from_logits: bool = True,
        padding: int | None = None,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        if choice not in _CHOICES:
            raise ValueError(f"choice expects 'greedy' or 'sample', got {choice!r}")
        self.model, self.y = model, numeric_array("y", y)
        self.inputs, self._join = _taken_apart(x)
        if feed == -1:
            feed = list(self.inputs)[-1]
        if feed not in self.inputs:
            raise ValueError(f"feed expects one of the inputs {list(self.inputs)}, got {feed!r}")
        self.feed = feed
        fed = self.inputs[feed]
        if fed.ndim not in (2, 3) or (fed.ndim == 2) != (fed.dtype.kind in "iu"):
            raise ValueError(
                "the decoder's input expects ids (samples, steps) of whole numbers, or numbers "
                f"(samples, steps, features); got {fed.dtype} of shape {fed.shape}"
            )
        arrays = {"y": self.y, **{f"x[{name!r}]": part for name, part in self.inputs.items()}}
        self.weight = None
        if sample_weight is not None:
            self.weight = arrays["sample_weight"] = numeric_array("sample_weight", sample_weight)
        lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
        if len(set(lengths.values())) > 1 or not lengths["y"]:
            raise ValueError(f"expected as many samples in each array, at least one; got {lengths}")
        self.forcing = forcing if callable(forcing) else real_number("forcing", forcing, most=1.0)
        self.batch_size = whole_number(batch_size, "batch_size")
        self.shuffle, self.choice, self.from_logits = bool(shuffle), choice, bool(from_logits)
        self.padding = None if padding is None else whole_number(padding, "padding", 0)
        self.passes = None if passes is None else whole_number(passes, "passes")
        self.seed = whole_number(seed, "seed", 0)
        self.step = self.epoch = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.y) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.y)
        order = np.arange(count)
        if self.shuffle:
            np.random.default_rng([self.seed, 0, self.epoch]).shuffle(order)
        self.epoch += 1
        for first in range(0, count, self.batch_size):
            index = order[first : first + self.batch_size]
            parts = {name: array[index] for name, array in self.inputs.items()}
            parts[self.feed] = self._mixed(parts)
            self.step += 1
            weight = None if self.weight is None else self.weight[index]
            yield Batch(self._join(parts), self.y[index], weight, numbers=index)

    def _mixed(self, parts: dict[Any, Array]) -> Array:
        """The decoder's input, with predictions in the places that were drawn."""
        true = parts[self.feed]
        forcing = self.forcing(self.step) if callable(self.forcing) else self.forcing
        if not 0.0 <= forcing <= 1.0:
            raise ValueError(
                f"forcing expects a probability from 0 to 1, got {forcing} at step {self.step}"
            )
        draws = np.random.default_rng([self.seed, 1, self.step])
        own = draws.random(true.shape[:2]) >= forcing
        own[:, 0] = False
        if self.padding is not None and true.ndim == 2:
            own &= true != self.padding
        runs = int(own.sum(axis=1).max())
        if self.passes is None and runs > _FEW_RUNS:
            stream = self._stream(true)
            if stream is not None:
                return self._step_by_step(stream, true, own, draws)
        mixed, noise = true, None
        for _ in range(runs if self.passes is None else min(runs, self.passes)):
            scores = self._run(parts, mixed)
            if self.choice == "sample" and noise is None and true.ndim == 2:
                # The largest of log-probabilities with this added is a draw: it stays the same
                # from run to run, so that the same scores give the same token.
                noise = draws.gumbel(size=scores.shape)
            said = np.roll(self._said(scores, noise), 1, axis=1).astype(true.dtype)
            changed = np.where(own if true.ndim == 2 else own[..., np.newaxis], said, true)
            if np.array_equal(changed, mixed):
                break
            mixed = changed
        return mixed

    def _stream(self, true: Array) -> Any:
        """The model step by step, for a batch like this; None where it cannot go so."""
        shape = getattr(self.model, "output_shape", None)
        if len(self.inputs) > 1 or not isinstance(shape, tuple) or len(shape) != 3:
            return None
        if true.ndim == 3 and shape[2] != true.shape[2]:
            return None
        try:
            return self.model.stream(len(true))
        except (AttributeError, ValueError):  # it looks ahead, or is something else
            return None

    def _step_by_step(self, stream: Any, true: Array, own: Array, draws: Any) -> Array:
        """As runs of the whole batch until nothing changes, in one run and to the same bits."""
        mixed, noise = true.copy(), None
        for t in range(true.shape[1] - 1):
            scores = stream.step(mixed[:, t])[:, np.newaxis]
            if self.choice == "sample" and t == 0 and true.ndim == 2:
                noise = draws.gumbel(size=(*true.shape, scores.shape[2]))
            said = self._said(scores, None if noise is None else noise[:, t : t + 1])
            mixed[:, t + 1][own[:, t + 1]] = said[:, 0][own[:, t + 1]]
        return mixed

    def _run(self, parts: dict[Any, Array], mixed: Array) -> Array:
        """The model's output for these inputs of its decoder."""
        outputs = self.model(self._join({**parts, self.feed: mixed}))
        wanted = f"(batch, {mixed.shape[1]}, " + (
            "vocabulary)" if mixed.ndim == 2 else f"{mixed.shape[2]})"
        )
        fits = isinstance(outputs, np.ndarray) and outputs.ndim == 3
        fits = fits and outputs.shape[:2] == mixed.shape[:2]
        if not fits or (mixed.ndim == 3 and outputs.shape != mixed.shape):
            got = outputs.shape if isinstance(outputs, np.ndarray) else f"{len(outputs)} outputs"
            raise ValueError(
                f"scheduled sampling expects a model that gives {wanted}, a prediction for each "
                f"step of the decoder's input, got {got}"
            )
        return outputs

    def _said(self, scores: Array, noise: Array | None) -> Array:
        """What the model predicts at each step."""
        if self.inputs[self.feed].ndim == 3:
            return scores
        if noise is not None:
            with np.errstate(divide="ignore"):  # what is impossible
                scores = (scores if self.from_logits else np.log(scores)) + noise
        if self.padding is not None and self.padding < scores.shape[2]:
            scores = scores.copy()
            scores[..., self.padding] = -np.inf
        return scores.argmax(axis=2)


def _taken_apart(x: Any) -> tuple[dict[Any, Array], Callable[[dict[Any, Array]], Any]]:
    """The inputs by name or number, and what brings them into the form in which they came."""
    if isinstance(x, Mapping):
        return {name: numeric_array(f"x[{name!r}]", part) for name, part in x.items()}, dict
    if isinstance(x, (list, tuple)) and all(np.ndim(part) >= 2 for part in x):
        parts = {number: numeric_array(f"x[{number}]", part) for number, part in enumerate(x)}
        return parts, lambda given: list(given.values())
    return {0: numeric_array("x", x)}, lambda given: given[0]
