"""Windows over long series: views of them, not copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.data.samples import ArraySamples, Joined, Samples, as_rows
from fastlstm.validation import whole_number

Array = npt.NDArray[Any]


def sliding_windows(
    data: npt.ArrayLike, sequence_length: int, sequence_stride: int = 1, sampling_rate: int = 1
) -> Array:
    """See a series as overlapping windows.

    Parameters
    ----------
    data : array_like
        (steps,) or (steps, features); an array is not copied.
    sequence_length : int
        Steps of a window.
    sequence_stride : int
        Steps from the start of a window to that of the next.
    sampling_rate : int
        Steps between two neighbours in a window.

    Returns
    -------
    numpy.ndarray
        (windows, sequence_length) or (windows, sequence_length, features): a read-only view.

    Raises
    ------
    ValueError
        If the series is too short for one window.

    Examples
    --------
    >>> sliding_windows([0, 1, 2, 3, 4, 5, 6], 3, sequence_stride=2)
    array([[0, 1, 2],
           [2, 3, 4],
           [4, 5, 6]])
    """
    array = as_rows(data, "data")
    length = whole_number(sequence_length, "sequence_length")
    stride = whole_number(sequence_stride, "sequence_stride")
    rate = whole_number(sampling_rate, "sampling_rate")
    span = (length - 1) * rate + 1
    if len(array) < span:
        steps = f" {rate} apart" if rate > 1 else ""
        raise ValueError(
            f"a window of {length} steps{steps} needs a series of at least {span}, got {len(array)}"
        )
    # The steps of a window come last here, and those between two samples are left out.
    view = np.lib.stride_tricks.sliding_window_view(array, span, axis=0)[::stride, ..., ::rate]
    return np.moveaxis(view, -1, 1)


def window_samples(
    data: Any,
    targets: Any,
    sequence_length: int,
    horizon: int | None,
    sequence_stride: int,
    sampling_rate: int,
    start_index: int | None,
    end_index: int | None,
) -> Samples:
    """Samples for ``Dataset.windows``, which has the arguments."""
    options = (sequence_length, horizon, sequence_stride, sampling_rate, start_index, end_index)
    if horizon is not None:
        whole_number(horizon, "horizon")
    if not _is_several(data):
        return _of_one(as_rows(data, "data"), targets, "the window", *options)
    if not data:
        raise ValueError("a data set expects at least one series, got none")
    if targets is not None and (not _is_several(targets) or len(targets) != len(data)):
        raise ValueError(
            f"targets expects one array for each of the {len(data)} series of data, or None"
        )
    parts, longest = [], 0
    needed = (sequence_length - 1) * sampling_rate + 1 + (horizon or 0)
    for number, series in enumerate(data):
        array = as_rows(series, f"data[{number}]")
        of_it = None if targets is None else targets[number]
        steps = len(array[start_index:end_index])
        longest = max(longest, steps)
        if steps >= needed:  # a shorter one has no window
            parts.append(_of_one(array, of_it, f"the window of series {number}", *options))
    if not parts:
        raise ValueError(
            f"none of the {len(data)} series has the {needed} steps that a window takes; the "
            f"longest has {longest}"
        )
    shapes = {array.shape[1:] for array in map(np.asarray, data)}
    if len(shapes) > 1:
        raise ValueError(
            f"the series differ in what a step has, {sorted(shapes)}; expected the same in all"
        )
    return parts[0] if len(parts) == 1 == len(data) else Joined(parts)


def _of_one(
    series: Array,
    targets: Any,
    words: str,
    length: int,
    horizon: int | None,
    stride: int,
    rate: int,
    start: int | None,
    end: int | None,
) -> ArraySamples:
    begin = _bounds(len(series), start, end)
    x = sliding_windows(series[start:end], length, stride, rate)
    span = (length - 1) * rate + 1
    if horizon is None and targets is None:
        y = None
    elif horizon is None:
        # As in Keras: the target of a window is that at the index of its first step.
        known = as_rows(targets, "targets")[start:end]
        count = min(len(x), -(-len(known) // stride))
        if not count:
            raise ValueError(f"targets has nothing from start_index={start} on")
        x, y = x[:count], known[::stride][:count]
    else:
        source = series if targets is None else as_rows(targets, "targets")
        if len(source) != len(series):
            raise ValueError(
                f"with a horizon, targets expects as many steps as data, {len(series)}; got "
                f"{len(source)}"
            )
        if len(series[start:end]) < span + horizon:
            raise ValueError(
                f"a window over {span} steps and a horizon of {horizon} need a series of at least "
                f"{span + horizon}, got {len(series[start:end])}"
            )
        y = sliding_windows(source[start:end][span:], horizon, stride)
        x, y = x[: len(y)], _squeezed(y)
    return ArraySamples(x, y, words=f"{words} from step", first=begin, stride=stride)


def _squeezed(y: Array) -> Array:
    """Targets without a horizon of 1, or the single number of a step."""
    if y.shape[1] == 1 and y.ndim == 3:
        return y[:, 0]
    return y[..., 0] if y.ndim == 3 and y.shape[2] == 1 else y


def _bounds(steps: int, start: int | None, end: int | None) -> int:
    """Check where windows may lie; return the first step."""
    for name, value in (("start_index", start), ("end_index", end)):
        if value is not None:
            whole_number(value, name, 0)
            if value > steps:
                raise ValueError(f"{name}={value} lies behind the {steps} steps of the series")
    if end is not None and end <= (start or 0):
        raise ValueError(f"end_index expects more than start_index={start or 0}, got {end}")
    return start or 0


def _is_several(data: Any) -> bool:
    """Whether it is a list of series and not one series."""
    return isinstance(data, (list, tuple)) and all(np.ndim(series) > 0 for series in data)
