"""From what the user gives to where the batches come from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.data.batch import Batch
from fastlstm.data.dataset import Dataset
from fastlstm.data.lengths import mask_of
from fastlstm.data.samples import ArraySamples
from fastlstm.data.sequences import SequenceSamples, of_unequal_length
from fastlstm.training.arguments import batch_size_of, check_alone, check_stateful
from fastlstm.training.data import Batches, Data, halves
from fastlstm.training.outputs import Outputs, StreamedOutputs
from fastlstm.training.passes import OfDataset, OfSamples, Passes, as_passes
from fastlstm.training.protocol import Trainable
from fastlstm.training.source import ArraySource, Source, StreamSource

Array = npt.NDArray[Any]
Arrays = tuple[Array, ...]
# What a step of ``predict`` takes: samples, and their mask where there is one.
Inputs = tuple[Arrays, dict[str, Array]]
# Bytes from which on views that overlap themselves are not copied as a whole.
_LARGE = 2**26


def train_sources(
    model: Trainable,
    x: Any,
    y: Any,
    sample_weight: Any,
    mask: Any,
    *,
    batch_size: int | None,
    shuffle: bool,
    steps: int | None,
    epochs: tuple[int, int],
    class_weight: Any,
    validation_split: float,
    validation_data: Any,
    validation_batch_size: int | None,
    validation_steps: int | None,
) -> tuple[Source[Data], Source[Data] | None]:
    """Where the batches of ``fit``, and of its validation, come from.

    Parameters
    ----------
    model : Trainable
        What is trained.
    epochs : tuple of (int, int)
        The number of the first epoch, and of the one to stop before.
    x, y, sample_weight, mask, batch_size, shuffle, steps, class_weight
        As for ``fit``.
    validation_split, validation_data, validation_batch_size, validation_steps
        As for ``fit``.

    Returns
    -------
    tuple of Source
        For training, and for validation or None.
    """
    prepare = _preparing(model, class_weight)
    split = 0.0 if validation_data is not None else validation_split
    passes = as_passes(x, shuffle=shuffle, training=True)
    source: Source[Data]
    validation: Source[Data] | None = None
    if passes is not None:
        check_alone(
            passes.name,
            y=y,
            sample_weight=sample_weight,
            mask=mask,
            batch_size=batch_size,
            validation_split=split or None,
        )
        _check_stream(passes, steps, epochs)
        passes.seek(epochs[0], steps)
        source = StreamSource(passes, prepare, _samples, steps, model.stateful)
        shuffle = isinstance(x, Dataset) and x.shuffle
    else:
        size = batch_size_of(batch_size)
        apart = batch_size_of(validation_batch_size, "validation_batch_size", size)
        samples = _by_batch(model, x, y, sample_weight, mask)
        if samples is not None:
            if split:
                at = halves(len(samples), split)
                held_back = _in_batches(
                    samples.rows(at, len(samples)), apart, bucket=validation_steps is None
                )
                samples = samples.rows(0, at)
                validation = _stream(model, "validation", held_back, apart, validation_steps)
            batches = _in_batches(samples, size, shuffle, bucket=shuffle)
            source = _stream(model, "fit", batches, size, steps, prepare)
        else:
            data = model.prepare(x, y, sample_weight, **_given(mask))
            if split:
                data, rest = data.split(split)
                validation = _whole(model, "validation", rest, apart, False, validation_steps)
            if class_weight is not None:
                data = model.weigh_classes(data, class_weight)
            source = _whole(model, "fit", data, size, shuffle, steps)
    if validation_data is not None:
        validation = _validation(
            model, validation_data, validation_batch_size, batch_size, validation_steps
        )
    if model.stateful and shuffle:
        warnings.warn(
            "a stateful model carries its states from batch to batch, but shuffle=True mixes "
            "the samples; pass shuffle=False if batches continue one another",
            stacklevel=4,  # the caller of model.fit
        )
    return source, validation


def test_source(
    model: Trainable,
    task: str,
    x: Any,
    y: Any,
    sample_weight: Any,
    mask: Any,
    batch_size: int | None,
    steps: int | None,
) -> Source[Data]:
    """Where the batches of ``evaluate``, or of a validation, come from."""
    passes = as_passes(x)
    if passes is not None:
        check_alone(passes.name, y=y, sample_weight=sample_weight, mask=mask, batch_size=batch_size)
        return StreamSource(passes, _preparing(model, None), _samples, steps, model.stateful)
    size = batch_size_of(batch_size)
    samples = _by_batch(model, x, y, sample_weight, mask)
    if samples is not None:
        batches = _in_batches(samples, size, bucket=steps is None)
        return _stream(model, task, batches, size, steps)
    data = model.prepare(x, y, sample_weight, **_given(mask))
    return _whole(model, task, data, size, False, steps)


def predict_source(
    model: Trainable, x: Any, mask: Any, batch_size: int | None, steps: int | None
) -> tuple[Source[Inputs], Outputs | StreamedOutputs]:
    """Where the batches of ``predict`` come from, and where its outputs go."""

    def prepare(batch: Batch) -> Inputs:
        inputs, counts = model.prepare_inputs(batch.x), _mask_of(batch)
        if counts is None:
            return inputs, {}
        return inputs, {"mask": model.prepare_mask(counts, inputs)}

    passes = as_passes(x)
    if passes is not None:
        check_alone(passes.name, mask=mask, batch_size=batch_size)
    else:
        size = batch_size_of(batch_size)
        samples = _by_batch(model, x, None, None, mask)
        if samples is None:
            inputs, masked = prepare(Batch(x, mask=mask))
            total = len(inputs[0])
            if total == 0:
                raise ValueError(
                    f"predict expects at least one sample, got x of shape {inputs[0].shape}"
                )
            if model.stateful:
                check_stateful("predict", total, size)
            batches = Batches(total, size, False, steps)
            return ArraySource((inputs, masked), batches), Outputs(total)
        passes = _in_batches(samples, size, bucket=steps is None)
    source = StreamSource(passes, prepare, lambda inputs: len(inputs[0][0]), steps, model.stateful)
    return source, StreamedOutputs()


def _validation(
    model: Trainable, given: Any, batch_size: int | None, default: int | None, steps: int | None
) -> Source[Data]:
    passes = as_passes(given)
    if passes is not None:
        check_alone(passes.name, validation_batch_size=batch_size)
        return test_source(model, "validation", given, None, None, None, None, steps)
    if not isinstance(given, Batch):
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3, 4):
            raise ValueError(
                f"validation_data expects a tuple (x, y), (x, y, sample_weight) or (x, y, "
                f"sample_weight, mask), a fastlstm.data.Batch, or a Dataset or another source of "
                f"batches of these; got {type(given).__name__}"
            )
        given = Batch(*given)
    x, y, weight, mask = given.x, given.y, given.sample_weight, _mask_of(given)
    size = default if batch_size is None else batch_size_of(batch_size, "validation_batch_size")
    return test_source(model, "validation", x, y, weight, mask, size, steps)


def _whole(
    model: Trainable, task: str, data: Data, size: int, shuffle: bool, steps: int | None
) -> ArraySource[Data]:
    total = _samples(data)
    if model.stateful:
        check_stateful(task, total, size)
    return ArraySource(data, Batches(total, size, shuffle, steps))


def _stream(
    model: Trainable,
    task: str,
    passes: Passes,
    size: int,
    steps: int | None,
    prepare: Callable[[Batch], Data] | None = None,
) -> StreamSource[Data]:
    if model.stateful:
        check_stateful(task, passes.samples or 0, size)
    return StreamSource(passes, prepare or _preparing(model, None), _samples, steps)


def _preparing(model: Trainable, class_weight: Any) -> Callable[[Batch], Data]:
    """What checks and converts a batch."""

    def prepare(batch: Batch) -> Data:
        data = model.prepare(batch.x, batch.y, batch.sample_weight, **_given(_mask_of(batch)))
        return data if class_weight is None else model.weigh_classes(data, class_weight)

    return prepare


def _mask_of(batch: Batch) -> Any:
    """Which steps of a batch count; None for all."""
    # Sequences that were filled up have a mask where their lengths differ.
    if batch.mask is not None or batch.numbers is not None:
        return batch.mask
    return mask_of(None, batch.lengths, batch.x)


def _samples(data: Data) -> int:
    return len(data)


def _given(mask: Any) -> dict[str, Any]:
    """A mask, for models that may never have heard of one."""
    return {} if mask is None else {"mask": mask}


def _by_batch(
    model: Trainable, x: Any, y: Any, sample_weight: Any, mask: Any
) -> ArraySamples | SequenceSamples | None:
    """Samples that are better read batch by batch than as a whole; None for all others.

    These are sequences of unequal length, arrays in files, which may be larger than memory, and
    large views such as windows, which would be larger if they were copied.
    """
    if not getattr(model, "samples_first", True):
        return None
    unequal = of_unequal_length(x)
    if not unequal and not any(_is_better_read_by_batch(array) for array in (x, y)):
        return None
    if unequal and mask is not None:
        raise ValueError(
            "mask cannot be given together with a list of sequences of unequal length: the steps "
            "that they have are those that count"
        )
    if unequal:
        return SequenceSamples(x, y, sample_weight)
    return ArraySamples(x, y, sample_weight, mask)


def _is_better_read_by_batch(array: Any) -> bool:
    if isinstance(array, np.memmap):
        return True
    if not isinstance(array, np.ndarray) or array.nbytes < _LARGE:
        return False
    steps = zip(array.shape, array.strides, strict=True)
    extent = sum((size - 1) * abs(stride) for size, stride in steps) + array.itemsize
    return extent < array.nbytes


def _in_batches(
    samples: ArraySamples | SequenceSamples, size: int, shuffle: bool = False, *, bucket: bool
) -> Passes:
    """Batches of samples; of like lengths, where lengths differ and the order is free."""
    if isinstance(samples, SequenceSamples):
        lengths = samples.lengths if bucket else None
        dataset = Dataset.of_samples(samples, size, shuffle, lengths=lengths)
        return OfDataset(dataset, in_order=not shuffle)
    return OfSamples(samples, size, shuffle)


def _check_stream(passes: Passes, steps: int | None, epochs: tuple[int, int]) -> None:
    if not passes.starts_over and steps is None and epochs[1] - epochs[0] > 1:
        warnings.warn(
            f"x is {passes.name} without steps_per_epoch: the first epoch goes on until it has run "
            f"out, which leaves nothing for the others of {epochs[1]} epochs. Pass steps_per_epoch "
            "if it does not end, or what starts over, such as a fastlstm.data.Dataset",
            stacklevel=5,  # the caller of model.fit
        )
    if passes.batches is None and steps is None and passes.name == "a PyDataset":
        raise ValueError("a PyDataset whose num_batches is None does not end: pass steps_per_epoch")
