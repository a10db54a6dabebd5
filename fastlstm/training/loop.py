"""The training loop, evaluation and prediction, with Keras' arguments and meaning."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy.typing as npt

from fastlstm.data.lengths import mask_of
from fastlstm.training.arguments import (
    check_shuffle,
    check_validation_freq,
    check_validation_split,
    number_or_none,
    validates,
    verbosity,
)
from fastlstm.training.callbacks import Callback, CallbackList
from fastlstm.training.data import Data
from fastlstm.training.feeding import predict_source, test_source, train_sources
from fastlstm.training.history import History
from fastlstm.training.outputs import one_or_all
from fastlstm.training.progress import Progress
from fastlstm.training.protocol import Trainable
from fastlstm.training.source import Source
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]
Callbacks = Callback | Sequence[Callback] | None


def fit(
    model: Trainable,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Callbacks = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    sample_weight: Any = None,
    mask: Any = None,
    lengths: Any = None,
    class_weight: Any = None,
    initial_epoch: int = 0,
    validation_batch_size: int | None = None,
    validation_freq: int | Collection[int] = 1,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    bptt: str | int | None = "full",
) -> History:
    """Train a model.

    Parameters
    ----------
    model : Trainable
        A compiled model.
    x : array_like, Dataset, PyDataset or iterable
        Samples, N in front. Memory-mapped arrays, large overlapping windows, and lists of sequences
        of unequal length are read and checked batch by batch; the latter are filled up and masked,
        and with ``shuffle``, batches have like lengths. Or, without ``y``, what has batches x,
        (x, y) or (x, y, sample_weight): a ``fastlstm.data.Dataset``; an object with batches by
        number, such as a ``keras.utils.PyDataset``; an iterable; or a generator, which can be gone
        through once, and is not started again for the next epoch.
    y : array_like, optional
        Targets, N in front.
    batch_size : int, optional
        Samples an update, 32 by default; the last batch of an epoch may have fewer.
    epochs : int
        Number of the epoch to stop after.
    verbose : int or str
        0 silent, 1 or "auto" a progress bar, 2 one line an epoch.
    callbacks : Callback or sequence of Callback, optional
        What to call on the way.
    validation_split : float
        Part of the samples, the last ones, to validate on instead of training on them.
    validation_data : tuple, Dataset, PyDataset or iterable, optional
        (x, y), (x, y, sample_weight) or (x, y, sample_weight, mask) to validate on; a
        ``fastlstm.data.Batch``, which may have lengths too; or what has batches of these. Goes
        before ``validation_split``.
    shuffle : bool
        Take the samples in a new random order each epoch; of a PyDataset, the batches. A Dataset
        has an order of its own.
    sample_weight : array_like, optional
        (N,) or (N, T) weights.
    mask : array_like, optional
        (N, T) of booleans: the steps of the samples that count. Recurrent layers keep their states
        over the others, which have no part in the loss and the metrics.
    lengths : array_like, optional
        (N,) steps of each sample that count, the first ones; in the place of ``mask``.
    class_weight : dict of int to float, optional
        Weights by class, {0: 1.0, 1: 20.0}, of what is trained on: they multiply the sample
        weights. Classes left out weigh 1.
    initial_epoch : int
        Number of the first epoch, to go on with an earlier run. From 1 on, a Dataset goes on with
        the batches of that epoch.
    validation_batch_size : int, optional
        By default ``batch_size``.
    validation_freq : int or collection of int
        Validate every so many epochs, or after these (counted from 1).
    steps_per_epoch : int, optional
        Batches an epoch; the next epoch goes on where this one stopped. A generator that never
        ends needs it.
    validation_steps : int, optional
        Batches to validate on, the first ones each time; of a generator, the next ones.
    bptt : "full", "checkpoint" or int
        How the gradient goes back through time. "checkpoint" has the very result of "full" in
        memory that grows with the square root of the steps rather than with the steps, for up to
        1.4 times the time: only a few states are kept, and what lies between is computed again.
        Layers that need whole sequences, such as attention, may stand after the last recurrent
        one. A number works through each batch in windows of so many steps, with an update after
        each: states are carried from window to window, gradients are not. It takes a model that
        returns every step, and whose layers all go forward step by step.

    Returns
    -------
    History
        The logs of each epoch; a loss is the mean over the epoch's samples.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit; nothing has been trained then.
    FloatingPointError
        If a batch's loss is not finite and no callback takes care of it. The weights are those
        before that batch, or that window of it.
    """
    whole_number(epochs, "epochs", 0)
    whole_number(initial_epoch, "initial_epoch", 0)
    check_validation_split(validation_split)
    check_validation_freq(validation_freq)
    check_shuffle(shuffle)
    progress = Progress(verbosity(verbose))
    calls = CallbackList(callbacks)
    source, validation = train_sources(
        model,
        x,
        y,
        sample_weight,
        mask_of(mask, lengths, x),
        batch_size=batch_size,
        shuffle=bool(shuffle),
        steps=number_or_none(steps_per_epoch, "steps_per_epoch"),
        epochs=(initial_epoch, epochs),
        class_weight=class_weight,
        validation_split=validation_split,
        validation_data=validation_data,
        validation_batch_size=validation_batch_size,
        validation_steps=number_or_none(validation_steps, "validation_steps"),
    )
    chosen = model.check_bptt(bptt)

    history = History()
    calls.append(history)
    names = ["loss", *(metric.name for metric in model.metrics)]
    calls.set_model(model)
    calls.set_params(
        {
            "epochs": epochs,
            "steps": source.steps,
            "verbose": progress.verbose,
            "metrics": names + [f"val_{name}" for name in names if validation is not None],
        }
    )
    model.history = history
    model.stop_training = False
    logs: dict[str, float] = {}
    calls.call("on_train_begin", {})
    try:
        for epoch in range(initial_epoch, epochs):
            calls.call("on_epoch_begin", epoch, {})
            progress.start(f"Epoch {epoch + 1}/{epochs}", source.steps)
            results = _train_epoch(model, source, calls, progress, epoch, chosen)
            if results is None:
                _ran_out(epoch, epochs, first=epoch == initial_epoch)
                break
            logs = results
            progress.pause()
            if validation is not None and validates(epoch, validation_freq):
                results = _test(model, validation, calls, None) or {}
                logs.update({f"val_{key}": value for key, value in results.items()})
            progress.finish(logs)
            calls.call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
    finally:
        progress.close()
        source.close()
        if validation is not None:
            validation.close()
    if epochs:
        model.finalize_weights()
    calls.call("on_train_end", logs)
    return history


def evaluate(
    model: Trainable,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    sample_weight: Any = None,
    mask: Any = None,
    lengths: Any = None,
    steps: int | None = None,
    callbacks: Callbacks = None,
    return_dict: bool = False,
) -> float | list[float] | dict[str, float]:
    """Compute the loss and the metrics without training.

    Parameters
    ----------
    model : Trainable
        A compiled model.
    x : array_like, Dataset, PyDataset or iterable
        Samples, N in front; or, without ``y``, what has batches, as in ``fit``. Of a Dataset, all
        samples are taken as they are, and its state stays.
    y : array_like, optional
        Targets, N in front.
    batch_size : int, optional
        Samples at a time, 32 by default.
    verbose : int or str
        0 silent, 1 a progress bar, 2 one line, "auto" a bar if it takes long.
    sample_weight : array_like, optional
        (N,) or (N, T) weights.
    mask : array_like, optional
        (N, T) of booleans: the steps of the samples that count.
    lengths : array_like, optional
        (N,) steps of each sample that count, the first ones; in the place of ``mask``.
    steps : int, optional
        Batches after which to stop.
    callbacks : Callback or sequence of Callback, optional
        What to call on the way.
    return_dict : bool
        Return a dict by name.

    Returns
    -------
    float, list of float or dict of str to float
        The loss, or the loss and each metric.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.
    """
    progress = Progress(verbosity(verbose), delay=verbose == "auto")
    calls = CallbackList(callbacks)
    mask = mask_of(mask, lengths, x)
    source = test_source(
        model, "evaluate", x, y, sample_weight, mask, batch_size, number_or_none(steps, "steps")
    )
    _announce(calls, model, source.steps, progress.verbose)
    try:
        results = _test(model, source, calls, progress)
    finally:
        progress.close()
        source.close()
    if results is None:
        raise ValueError("evaluate expects at least one batch, and got none")
    if return_dict:
        return results
    values = list(results.values())
    return values[0] if len(values) == 1 else values


def predict(
    model: Trainable,
    x: Any,
    *,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    mask: Any = None,
    lengths: Any = None,
    steps: int | None = None,
    callbacks: Callbacks = None,
) -> Any:
    """Compute the model's outputs.

    Parameters
    ----------
    model : Trainable
        The model.
    x : array_like, Dataset, PyDataset or iterable
        Samples, N in front; or what has batches, as in ``fit``, whose targets are not looked at.
    batch_size : int, optional
        Samples at a time, 32 by default.
    verbose : int or str
        0 silent, 1 a progress bar, 2 one line, "auto" a bar if it takes long.
    mask : array_like, optional
        (N, T) of booleans: the steps of the samples that count.
    lengths : array_like, optional
        (N,) steps of each sample that count, the first ones; in the place of ``mask``.
    steps : int, optional
        Batches after which to stop.
    callbacks : Callback or sequence of Callback, optional
        What to call on the way.

    Returns
    -------
    numpy.ndarray
        (N, ...), in the order of the samples. A list of arrays, where the outputs are steps of
        sequences of unequal length; and where the model has several outputs.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.
    """
    progress = Progress(verbosity(verbose), delay=verbose == "auto")
    calls = CallbackList(callbacks)
    mask = mask_of(mask, lengths, x)
    source, outputs = predict_source(model, x, mask, batch_size, number_or_none(steps, "steps"))
    _announce(calls, model, source.steps, progress.verbose)
    calls.call("on_predict_begin", {})
    begin, end = calls.hook("on_predict_batch_begin"), calls.hook("on_predict_batch_end")
    try:
        progress.start("Predict", source.steps)
        for number, ((inputs, masked), index, batch) in enumerate(source.epoch()):
            if begin is not None:
                begin(number, {})
            parts = model.predict_step(inputs, index, **masked)
            outputs.add(parts, index, batch)
            progress.update(len(index), dict)
            if end is not None:
                end(number, {"outputs": one_or_all(parts)})
        progress.finish({})
    finally:
        progress.close()
        source.close()
    calls.call("on_predict_end", {})
    return outputs.result()


class _Means:
    """Logs of the batches so far: the loss weighted by batch size, and the model's metrics."""

    def __init__(self, model: Trainable) -> None:
        self.model = model
        self.total = 0.0
        self.samples = 0
        for metric in model.metrics:
            metric.reset_state()

    def add(self, loss: float, samples: int) -> None:
        self.total += loss * samples
        self.samples += samples

    def logs(self) -> dict[str, Any]:
        logs = {"loss": self.total / self.samples}
        logs.update((metric.name, metric.result()) for metric in self.model.metrics)
        return logs


def _train_epoch(
    model: Trainable,
    source: Source[Data],
    calls: CallbackList,
    progress: Progress,
    epoch: int,
    bptt: str | int,
) -> dict[str, Any] | None:
    """Logs of an epoch; None if there was no batch any more."""
    begin, end = calls.hook("on_train_batch_begin"), calls.hook("on_train_batch_end")
    means = _Means(model)
    for batch, (data, index, _) in enumerate(source.epoch()):
        if begin is not None:
            begin(batch, {})
        loss = model.train_step(data, index, bptt)
        if not math.isfinite(loss) and not calls.handles_nan:
            raise FloatingPointError(
                f"loss is {'NaN' if math.isnan(loss) else 'infinite'} at batch {batch + 1} of "
                f"epoch {epoch + 1}; the weights are those before this "
                f"{'batch' if isinstance(bptt, str) else 'window of it'}. Look for NaN or "
                f"very large values in the data, lower the learning_rate, or set clipnorm in the "
                f"optimizer. The callback TerminateOnNaN stops here without an error"
            )
        means.add(loss, len(index))
        progress.update(len(index), means.logs)
        if end is not None:
            end(batch, means.logs())
        if model.stop_training:
            break
    return means.logs() if means.samples else None


def _ran_out(epoch: int, epochs: int, first: bool) -> None:
    """Say what it means that an epoch had no batch: nothing else has them again."""
    if first:
        raise ValueError("fit expects at least one batch in the first epoch, and got none")
    warnings.warn(
        f"the batches ran out: training ends after {epoch} of {epochs} epochs. A generator can be "
        "gone through once; pass what starts over, such as a fastlstm.data.Dataset, or a generator "
        "that does not end together with steps_per_epoch",
        stacklevel=4,  # the caller of model.fit
    )


def _test(
    model: Trainable, source: Source[Data], calls: CallbackList, progress: Progress | None
) -> dict[str, Any] | None:
    """Loss and metrics; None if there was no batch."""
    begin, end = calls.hook("on_test_batch_begin"), calls.hook("on_test_batch_end")
    source.rewind()
    calls.call("on_test_begin", {})
    if progress is not None:
        progress.start("Evaluate", source.steps)
    means = _Means(model)
    for batch, (data, index, _) in enumerate(source.epoch()):
        if begin is not None:
            begin(batch, {})
        means.add(model.test_step(data, index), len(index))
        if progress is not None:
            progress.update(len(index), means.logs)
        if end is not None:
            end(batch, means.logs())
    if not means.samples:
        return None
    logs = means.logs()
    if progress is not None:
        progress.finish(logs)
    calls.call("on_test_end", logs)
    return logs


def _announce(calls: CallbackList, model: Trainable, steps: int | None, verbose: int) -> None:
    calls.set_model(model)
    calls.set_params(
        {
            "steps": steps,
            "verbose": verbose,
            "metrics": ["loss", *(metric.name for metric in model.metrics)],
        }
    )
