"""Linear-chain conditional random fields as functions on arrays, batch first.

Lafferty, McCallum and Pereira, "Conditional Random Fields", ICML 2001. A sequence of tags y of K
kinds scores

    start[y[0]] + Σ emissions[t, y[t]] + Σ transitions[y[t-1], y[t]] + end[y[T-1]]

and has the probability e**score / Z, where Z is the sum of e**score over all sequences of tags.
Emissions are scores of each tag at each step, such as a network's output without an activation. To
forbid a transition, give it a score of -1e4. A step that is masked is skipped as though it were not
there, wherever it stands: the tags before and after it follow one another. As a part of a model
there is ``fastlstm.layers.CRF``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.config import floatx
from fastlstm.kernels import crf, viterbi
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.memory import Arena
from fastlstm.validation import as_floats, as_ids, numeric_array

__all__ = [
    "CRFGradients",
    "crf_log_likelihood",
    "crf_marginals",
    "crf_value_and_grad",
    "crf_viterbi_decode",
]

Array = npt.NDArray[Any]


class CRFGradients(NamedTuple):
    """Gradients, each of the shape of what it belongs to; None where that was left out."""

    emissions: Array
    transitions: Array
    start: Array | None
    end: Array | None


class _Inputs(NamedTuple):
    """Checked, in one dtype, and time first."""

    emissions: Array
    mask: Array
    transitions: Array
    start: Array
    end: Array


def crf_log_likelihood(
    emissions: npt.ArrayLike,
    tags: npt.ArrayLike,
    transitions: npt.ArrayLike,
    start: npt.ArrayLike | None = None,
    end: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
) -> Array:
    """Logarithm of the probability of each row's tags.

    Parameters
    ----------
    emissions : array_like
        (batch, time, K), the score of each tag at each step. float64 stays float64; anything else
        is computed in float32, unless ``fastlstm.config.floatx()`` says otherwise.
    tags : array_like
        (batch, time), ids from 0 to K - 1; any of these where a step is skipped.
    transitions : array_like
        (K, K), the score of going from tag i to tag j at [i, j].
    start, end : array_like, optional
        (K,), the score of beginning, and of ending, with each tag; by default 0.
    mask : array_like, optional
        (batch, time) of booleans: False where a step is skipped.
    lengths : array_like, optional
        (batch,), steps of each row that count, in the place of a mask.

    Returns
    -------
    numpy.ndarray
        (batch,); 0 for a row without any step.

    Raises
    ------
    ValueError
        If shapes do not fit, scores are not finite, or tags or lengths are out of range.
    TypeError
        If the arrays do not hold numbers, or the tags no whole ones.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm.crf import crf_log_likelihood
    >>> emissions, transitions = np.zeros((1, 3, 2)), np.zeros((2, 2))
    >>> value = crf_log_likelihood(emissions, [[0, 1, 0]], transitions)  # one of eight
    >>> bool(np.isclose(value[0], np.log(1 / 8)))
    True
    """
    given = _checked(emissions, transitions, start, end, mask, lengths)
    ids = _checked_tags(tags, given)
    weights = np.empty(0, given.emissions.dtype)
    return -_run_loss(given, ids, weights, gradient=False)[1]


def crf_value_and_grad(
    emissions: npt.ArrayLike,
    tags: npt.ArrayLike,
    transitions: npt.ArrayLike,
    start: npt.ArrayLike | None = None,
    end: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> tuple[Array, CRFGradients]:
    """``crf_log_likelihood``, and the gradients of its sum.

    Parameters
    ----------
    emissions, tags, transitions, start, end, mask, lengths : array_like
        As for ``crf_log_likelihood``.
    sample_weight : array_like, optional
        (batch,), factors of the rows in the sum. Those of a mean are 1 / batch.

    Returns
    -------
    log_likelihood : numpy.ndarray
        (batch,), without the weights.
    gradients : CRFGradients
        Of Σ weight · log-likelihood.

    Raises
    ------
    ValueError, TypeError
        As for ``crf_log_likelihood``.
    """
    given = _checked(emissions, transitions, start, end, mask, lengths)
    ids = _checked_tags(tags, given)
    batch, dtype = ids.shape[1], given.emissions.dtype
    weights = np.ones(batch, dtype)
    if sample_weight is not None:
        weights = as_floats(sample_weight, dtype, "sample_weight")
        if weights.shape != (batch,):
            raise ValueError(
                f"sample_weight expects shape (batch,) = ({batch},), got {weights.shape}"
            )
    # The kernels' loss is a mean, and the negative.
    arrays = _run_loss(given, ids, weights * dtype.type(-batch), gradient=True)
    _, row_loss, d_emissions, d_transitions, d_start, d_end = arrays
    gradients = CRFGradients(
        np.ascontiguousarray(d_emissions.swapaxes(0, 1)),
        d_transitions,
        None if start is None else d_start,
        None if end is None else d_end,
    )
    return -row_loss, gradients


def crf_marginals(
    emissions: npt.ArrayLike,
    transitions: npt.ArrayLike,
    start: npt.ArrayLike | None = None,
    end: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
) -> Array:
    """Probability of each tag at each step.

    Parameters
    ----------
    emissions, transitions, start, end, mask, lengths : array_like
        As for ``crf_log_likelihood``.

    Returns
    -------
    numpy.ndarray
        (batch, time, K); 0 where a step is skipped.

    Raises
    ------
    ValueError, TypeError
        As for ``crf_log_likelihood``.
    """
    given = _checked(emissions, transitions, start, end, mask, lengths)
    marginals = np.empty_like(given.emissions)
    program = Program(most=get_num_threads())
    crf.record_marginals(program, _scratch(given.emissions, gradient=True), marginals, *given)
    program.run()
    return np.ascontiguousarray(marginals.swapaxes(0, 1))


def crf_viterbi_decode(
    emissions: npt.ArrayLike,
    transitions: npt.ArrayLike,
    start: npt.ArrayLike | None = None,
    end: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
) -> tuple[Array, Array]:
    """The most probable tags of each row.

    Parameters
    ----------
    emissions, transitions, start, end, mask, lengths : array_like
        As for ``crf_log_likelihood``.

    Returns
    -------
    tags : numpy.ndarray
        (batch, time) int32; 0 where a step is skipped.
    scores : numpy.ndarray
        (batch,), the score of these tags.

    Raises
    ------
    ValueError, TypeError
        As for ``crf_log_likelihood``.

    Examples
    --------
    >>> from fastlstm.crf import crf_viterbi_decode
    >>> emissions = [[[0, 1], [3, 0], [0, 1]]]
    >>> tags, scores = crf_viterbi_decode(emissions, [[0, -2], [-2, 0]])
    >>> tags.tolist(), scores.tolist()
    ([[0, 0, 0]], [3.0])
    """
    given = _checked(emissions, transitions, start, end, mask, lengths)
    steps, batch, count = given.emissions.shape
    threads, dtype = get_num_threads(), given.emissions.dtype
    requests = viterbi.scratch(steps, batch, count, dtype, threads)
    work = viterbi.Scratch(*Arena().lay_out(lambda plan: plan.scratch(*requests)))
    tags = np.empty((steps, batch), np.int32)
    scores = np.empty(batch, dtype)
    program = Program(most=threads)
    viterbi.record(program, work, tags, scores, *given)
    program.run()
    return np.ascontiguousarray(tags.T), scores


def _run_loss(given: _Inputs, ids: Array, weights: Array, gradient: bool) -> list[Array]:
    """Total, row losses, and gradients."""
    steps, batch, count = given.emissions.shape
    dtype = given.emissions.dtype
    arrays = [
        np.zeros(1),
        np.empty(batch, dtype),
        np.empty((steps if gradient else 0, batch, count), dtype),
        *(np.empty_like(x) for x in (given.transitions, given.start, given.end)),
    ]
    program = Program(most=get_num_threads())
    emissions, mask, transitions, start, end = given
    arguments = [*arrays, emissions, ids, mask, transitions, start, end, weights]
    crf.record_loss(program, _scratch(emissions, gradient), *arguments)
    program.run()
    return arrays


def _scratch(emissions: Array, gradient: bool) -> crf.Scratch:
    steps, batch, count = emissions.shape
    requests = crf.scratch(steps, batch, count, emissions.dtype, get_num_threads(), gradient)
    return crf.Scratch(*Arena().lay_out(lambda plan: plan.scratch(*requests)))


def _checked(
    emissions: Any, transitions: Any, start: Any, end: Any, mask: Any, lengths: Any
) -> _Inputs:
    array = numeric_array("emissions", emissions)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(
            "emissions expects shape (batch, time, tags), each at least 1, got "
            f"{array.shape}; a single sequence is a batch of one: emissions[None]"
        )
    batch, steps, count = array.shape
    dtype = array.dtype if array.dtype == np.float64 else np.dtype(floatx())
    x = np.ascontiguousarray(as_floats(array, dtype, "emissions").swapaxes(0, 1))
    return _Inputs(
        x,
        _checked_mask(mask, lengths, batch, steps),
        _checked_scores("transitions", transitions, (count, count), dtype),
        _checked_scores("start", start, (count,), dtype),
        _checked_scores("end", end, (count,), dtype),
    )


def _checked_scores(name: str, scores: Any, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    if scores is None:
        if name == "transitions":
            raise ValueError(f"transitions expects scores of shape (tags, tags) = {shape}")
        return np.empty(0, dtype)
    array = as_floats(scores, dtype, name)
    if array.shape != shape:
        words = "(tags, tags)" if len(shape) == 2 else "(tags,)"
        raise ValueError(
            f"{name} expects shape {words} = {shape}, as emissions has {shape[0]} tags; "
            f"got {array.shape}"
        )
    return array


def _checked_mask(mask: Any, lengths: Any, batch: int, steps: int) -> Array:
    """(T, B) of uint8, or (0, B)."""
    if mask is not None and lengths is not None:
        raise ValueError("expected mask or lengths, got both; lengths stand for a mask")
    if mask is not None:
        array = numeric_array("mask", mask)
        if array.shape != (batch, steps):
            raise ValueError(
                f"mask expects shape (batch, time) = {(batch, steps)}, got {array.shape}"
            )
        return np.ascontiguousarray((array != 0).T, np.uint8)
    if lengths is None:
        return np.empty((0, batch), np.uint8)
    array = numeric_array("lengths", lengths)
    if array.shape != (batch,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"lengths expects whole numbers of shape (batch,) = ({batch},), got {array.dtype} "
            f"of shape {array.shape}"
        )
    if array.min() < 0 or array.max() > steps:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"lengths expects 0 to {steps}, the steps of emissions, got {wrong}")
    return np.ascontiguousarray(np.arange(steps)[:, np.newaxis] < array, np.uint8)


def _checked_tags(tags: Any, given: _Inputs) -> Array:
    """(T, B) of int32; 0 where a step is skipped, whatever stood there."""
    steps, batch, count = given.emissions.shape
    array = numeric_array("tags", tags)
    if array.shape != (batch, steps):
        raise ValueError(
            f"tags expects ids of shape (batch, time) = {(batch, steps)}, got {array.shape}"
        )
    if len(given.mask):
        array = np.where(given.mask.T, array, 0)
    if array.dtype.kind in "iu" and array.size and not 0 <= array.min() <= array.max() < count:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(
            f"tags expects ids from 0 to {count - 1}, as emissions has {count} tags; got "
            f"{wrong}; mask the steps that have no tag"
        )
    return np.ascontiguousarray(as_ids(array, count, "tags").T)
