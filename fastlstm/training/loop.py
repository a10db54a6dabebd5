"""The training loop, evaluation and prediction, with Keras' arguments and meaning."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.training.callbacks import Callback, CallbackList
from fastlstm.training.data import Batches, Data
from fastlstm.training.history import History
from fastlstm.training.progress import Progress
from fastlstm.training.protocol import Trainable

Array = npt.NDArray[Any]
Callbacks = Callback | Sequence[Callback] | None


def fit(
    model: Trainable,
    x: Any,
    y: Any,
    *,
    batch_size: int | None = 32,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Callbacks = None,
    validation_split: float = 0.0,
    validation_data: Sequence[Any] | None = None,
    shuffle: bool = True,
    sample_weight: Any = None,
    class_weight: Any = None,
    initial_epoch: int = 0,
    validation_batch_size: int | None = None,
    validation_freq: int | Collection[int] = 1,
    steps_per_epoch: int | None = None,
    bptt: str | int | None = "full",
) -> History:
    """Train a model.

    Parameters
    ----------
    model : Trainable
        A compiled model.
    x, y : array_like
        Samples and targets, N in front.
    batch_size : int
        Samples an update; the last batch of an epoch may have fewer.
    epochs : int
        Number of the epoch to stop after.
    verbose : int or str
        0 silent, 1 or "auto" a progress bar, 2 one line an epoch.
    callbacks : Callback or sequence of Callback, optional
        What to call on the way.
    validation_split : float
        Part of the samples, the last ones, to validate on instead of training on them.
    validation_data : tuple, optional
        (x, y) or (x, y, sample_weight) to validate on; goes before ``validation_split``.
    shuffle : bool
        Take the samples in a new random order each epoch.
    sample_weight : array_like, optional
        (N,) or (N, T) weights.
    class_weight : dict of int to float, optional
        Weights by class, {0: 1.0, 1: 20.0}, of what is trained on: they multiply the sample
        weights. Classes left out weigh 1.
    initial_epoch : int
        Number of the first epoch, to go on with an earlier run.
    validation_batch_size : int, optional
        By default ``batch_size``.
    validation_freq : int or collection of int
        Validate every so many epochs, or after these (counted from 1).
    steps_per_epoch : int, optional
        Batches an epoch; the next epoch goes on where this one stopped.
    bptt : "full", "checkpoint" or int
        How the gradient goes back through time. "checkpoint" has the very result of "full" in
        memory that grows with the square root of the steps rather than with the steps, for up to
        1.4 times the time: only a few states are kept, and what lies between is computed again.
        A number works through each batch in windows of so many steps, with an update after each:
        states are carried from window to window, gradients are not. It takes a model that returns
        every step.

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
    batch_size = _batch_size(batch_size)
    validation_batch_size = (
        batch_size if validation_batch_size is None
        else _whole("validation_batch_size", validation_batch_size, 1)
    )  # fmt: skip
    _whole("epochs", epochs, 0)
    _whole("initial_epoch", initial_epoch, 0)
    if steps_per_epoch is not None:
        _whole("steps_per_epoch", steps_per_epoch, 1)
    if not isinstance(shuffle, (bool, np.bool_)):
        raise ValueError(f"shuffle expects True or False, got {shuffle!r}")
    if not 0.0 <= validation_split < 1.0:
        raise ValueError(
            f"validation_split expects a number from 0 to less than 1, got {validation_split!r}"
        )
    _check_validation_freq(validation_freq)
    progress = Progress(_verbosity(verbose))
    calls = CallbackList(callbacks)

    data = model.prepare(x, y, sample_weight)
    chosen = model.check_bptt(bptt)
    validation = None
    if validation_data is not None:
        validation = _prepare_validation(model, validation_data)
    elif validation_split:
        data, validation = data.split(validation_split)
    if class_weight is not None:
        data = model.weigh_classes(data, class_weight)
    if model.stateful:
        _check_stateful("fit", data, batch_size)
        if validation is not None:
            _check_stateful("validation", validation, validation_batch_size)
        if shuffle:
            warnings.warn(
                "a stateful model carries its states from batch to batch, but shuffle=True mixes "
                "the samples; pass shuffle=False if batches continue one another",
                stacklevel=3,
            )
    batches = Batches(len(data), batch_size, bool(shuffle), steps_per_epoch)

    history = History()
    calls.append(history)
    names = ["loss", *(metric.name for metric in model.metrics)]
    calls.set_model(model)
    calls.set_params(
        {
            "epochs": epochs,
            "steps": len(batches),
            "verbose": progress.verbose,
            "metrics": names + [f"val_{name}" for name in names if validation is not None],
        }
    )
    model.history = history
    model.stop_training = False
    logs: dict[str, float] = {}
    calls.call("on_train_begin")
    try:
        for epoch in range(initial_epoch, epochs):
            calls.call("on_epoch_begin", epoch)
            progress.start(f"Epoch {epoch + 1}/{epochs}", len(batches))
            logs = _train_epoch(model, data, batches, calls, progress, epoch, chosen)
            progress.pause()
            if validation is not None and _validates(epoch, validation_freq):
                results = _test(model, validation, validation_batch_size, calls, None)
                logs.update({f"val_{key}": value for key, value in results.items()})
            progress.finish(logs)
            calls.call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
    finally:
        progress.close()
    if epochs:
        model.finalize_weights()
    calls.call("on_train_end", logs)
    return history


def evaluate(
    model: Trainable,
    x: Any,
    y: Any,
    *,
    batch_size: int | None = 32,
    verbose: int | str = "auto",
    sample_weight: Any = None,
    callbacks: Callbacks = None,
    return_dict: bool = False,
) -> float | list[float] | dict[str, float]:
    """Compute the loss and the metrics without training.

    Parameters
    ----------
    model : Trainable
        A compiled model.
    x, y : array_like
        Samples and targets, N in front.
    batch_size : int
        Samples at a time.
    verbose : int or str
        0 silent, 1 a progress bar, 2 one line, "auto" a bar if it takes long.
    sample_weight : array_like, optional
        (N,) or (N, T) weights.
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
    batch_size = _batch_size(batch_size)
    progress = Progress(_verbosity(verbose), delay=verbose == "auto")
    calls = CallbackList(callbacks)
    data = model.prepare(x, y, sample_weight)
    if model.stateful:
        _check_stateful("evaluate", data, batch_size)
    _announce(calls, model, len(data), batch_size, progress.verbose)
    try:
        results = _test(model, data, batch_size, calls, progress)
    finally:
        progress.close()
    if return_dict:
        return results
    values = list(results.values())
    return values[0] if len(values) == 1 else values


def predict(
    model: Trainable,
    x: Any,
    *,
    batch_size: int | None = 32,
    verbose: int | str = "auto",
    callbacks: Callbacks = None,
) -> Any:
    """Compute the model's outputs.

    Parameters
    ----------
    model : Trainable
        The model.
    x : array_like
        Samples, N in front.
    batch_size : int
        Samples at a time.
    verbose : int or str
        0 silent, 1 a progress bar, 2 one line, "auto" a bar if it takes long.
    callbacks : Callback or sequence of Callback, optional
        What to call on the way.

    Returns
    -------
    numpy.ndarray or list of numpy.ndarray
        (N, ...), in the order of the samples; a list where the model has several outputs.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.
    """
    batch_size = _batch_size(batch_size)
    progress = Progress(_verbosity(verbose), delay=verbose == "auto")
    calls = CallbackList(callbacks)
    inputs = model.prepare_inputs(x)
    data = Data(inputs, ())
    total = len(data)
    if total == 0:
        raise ValueError(f"predict expects at least one sample, got x of shape {inputs[0].shape}")
    if model.stateful:
        _check_stateful("predict", data, batch_size)
    _announce(calls, model, total, batch_size, progress.verbose)
    calls.call("on_predict_begin")
    begin, end = calls.hook("on_predict_batch_begin"), calls.hook("on_predict_batch_end")
    batches = Batches(total, batch_size, shuffle=False)
    outputs: list[Array] = []
    try:
        progress.start("Predict", len(batches))
        for batch, index in enumerate(batches.epoch()):
            if begin is not None:
                begin(batch)
            parts = model.predict_step(inputs, index)
            outputs = outputs or [np.empty((total, *part.shape[1:]), part.dtype) for part in parts]
            for output, part in zip(outputs, parts, strict=True):
                output[index[0] : index[0] + len(index)] = part
            progress.update(len(index), dict)
            if end is not None:
                end(batch, {"outputs": one_or_all(parts)})
        progress.finish({})
    finally:
        progress.close()
    calls.call("on_predict_end")
    return one_or_all(outputs)


def one_or_all(outputs: list[Array]) -> Any:
    """The output of a model that has one, or the list of all."""
    return outputs if len(outputs) > 1 else outputs[0]


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

    def logs(self) -> dict[str, float]:
        logs = {"loss": self.total / self.samples}
        logs.update((metric.name, metric.result()) for metric in self.model.metrics)
        return logs


def _train_epoch(
    model: Trainable,
    data: Data,
    batches: Batches,
    calls: CallbackList,
    progress: Progress,
    epoch: int,
    bptt: str | int,
) -> dict[str, float]:
    begin, end = calls.hook("on_train_batch_begin"), calls.hook("on_train_batch_end")
    means = _Means(model)
    for batch, index in enumerate(batches.epoch()):
        if begin is not None:
            begin(batch)
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
    return means.logs()


def _test(
    model: Trainable, data: Data, batch_size: int, calls: CallbackList, progress: Progress | None
) -> dict[str, float]:
    begin, end = calls.hook("on_test_batch_begin"), calls.hook("on_test_batch_end")
    batches = Batches(len(data), batch_size, shuffle=False)
    calls.call("on_test_begin")
    if progress is not None:
        progress.start("Evaluate", len(batches))
    means = _Means(model)
    for batch, index in enumerate(batches.epoch()):
        if begin is not None:
            begin(batch)
        means.add(model.test_step(data, index), len(index))
        if progress is not None:
            progress.update(len(index), means.logs)
        if end is not None:
            end(batch, means.logs())
    logs = means.logs()
    if progress is not None:
        progress.finish(logs)
    calls.call("on_test_end", logs)
    return logs


def _announce(
    calls: CallbackList, model: Trainable, total: int, batch_size: int, verbose: int
) -> None:
    calls.set_model(model)
    calls.set_params(
        {
            "steps": -(-total // batch_size),
            "verbose": verbose,
            "metrics": ["loss", *(metric.name for metric in model.metrics)],
        }
    )


# -- arguments --------------------------------------------------------------------------------


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} expects a whole number of at least {least}, got {value!r}")
    return int(value)


def _batch_size(value: Any) -> int:
    return 32 if value is None else _whole("batch_size", value, 1)


def _verbosity(verbose: Any) -> int:
    if verbose == "auto":
        return 1
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose expects 0, 1, 2 or 'auto', got {verbose!r}")
    return int(verbose)


def _check_validation_freq(value: Any) -> None:
    if isinstance(value, Collection) and not isinstance(value, str):
        for epoch in value:
            _whole("validation_freq", epoch, 1)
    else:
        _whole("validation_freq", value, 1)


def _validates(epoch: int, validation_freq: int | Collection[int]) -> bool:
    if isinstance(validation_freq, Collection):
        return epoch + 1 in validation_freq
    return (epoch + 1) % validation_freq == 0


def _prepare_validation(model: Trainable, validation_data: Sequence[Any]) -> Data:
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError(
            f"validation_data expects a tuple (x, y) or (x, y, sample_weight), got "
            f"{type(validation_data).__name__}"
        )
    return model.prepare(*validation_data)


def _check_stateful(task: str, data: Data, batch_size: int) -> None:
    total = len(data)
    if total > batch_size and total % batch_size:
        raise ValueError(
            f"{task} with a stateful model expects a number of samples that batch_size divides, "
            f"since row i of a batch continues row i of the one before; got {total} samples and "
            f"batch_size={batch_size}. Leave out {total % batch_size} or change batch_size"
        )
