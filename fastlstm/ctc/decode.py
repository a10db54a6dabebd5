"""Reading label sequences out of logits, batch first."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastlstm.ctc.common import (
    ADVICE,
    Array,
    check_blank,
    check_finite,
    check_lengths,
    check_logits,
    run,
    scratch_threads,
)
from fastlstm.kernels import ctc_decode as kernels
from fastlstm.losses.base import ENTROPY_WORK
from fastlstm.memory import check_room
from fastlstm.validation import whole_number

# Floating-point operations of a prefix at a step.
_PREFIX_WORK = 100.0


def ctc_greedy_decode(
    y_pred: npt.ArrayLike,
    input_lengths: npt.ArrayLike | None = None,
    blank: int = 0,
    merge_repeated: bool = True,
) -> tuple[Array, Array]:
    """Label sequences of the likeliest alignments, which take each step's likeliest class.

    Quick, and right where the network is sure; the likeliest label sequence, which may have many
    alignments, is what ``ctc_beam_search_decode`` looks for.

    Parameters
    ----------
    y_pred : array_like
        (batch, time, classes), logits.
    input_lengths : array_like of int, optional
        (batch,), how many steps of each row count; by default all.
    blank : int
        The class that stands for no label.
    merge_repeated : bool
        Whether a label that stands at several steps in a row counts once.

    Returns
    -------
    sequences : numpy.ndarray
        (1, batch, time) int32, as Keras' ``ctc_decode``: labels, and -1 after the last.
    log_probabilities : numpy.ndarray
        (batch, 1), of these alignments. (Keras gives the negative sum of their logits.)

    Raises
    ------
    ValueError
        If shapes, lengths or options do not fit, or a step has no finite largest logit.
    TypeError
        If the arrays do not hold numbers.
    """
    pred = check_logits(y_pred, "ctc_greedy_decode")
    batch, steps, classes = pred.shape
    lengths = check_lengths("input_lengths", input_lengths, batch, steps)
    check_blank(blank, classes)
    check_finite(pred, lengths, "ctc_greedy_decode")
    sequences = np.empty((1, batch, steps), np.int32)
    log_probabilities = np.empty((batch, 1))
    run(
        kernels.greedy, scratch_threads(), ENTROPY_WORK * pred.size,
        sequences[0], log_probabilities[:, 0], pred, lengths, int(blank), bool(merge_repeated),
    )  # fmt: skip
    return sequences, log_probabilities


def ctc_beam_search_decode(
    y_pred: npt.ArrayLike,
    input_lengths: npt.ArrayLike | None = None,
    beam_width: int = 100,
    top_paths: int = 1,
    blank: int = 0,
) -> tuple[Array, Array]:
    """The likeliest label sequences, looked for among the likeliest prefixes.

    At each step the ``beam_width`` likeliest beginnings of label sequences are kept, each with the
    probability of all its alignments. Where no beginning is dropped, what is found is the likeliest
    of all, and log probabilities are -``ctc_loss``; otherwise they are at most that.

    Parameters
    ----------
    y_pred : array_like
        (batch, time, classes), logits.
    input_lengths : array_like of int, optional
        (batch,), how many steps of each row count; by default all.
    beam_width : int
        Beginnings that are kept.
    top_paths : int
        Label sequences that are returned, at most ``beam_width``.
    blank : int
        The class that stands for no label.

    Returns
    -------
    sequences : numpy.ndarray
        (top_paths, batch, time) int32, as Keras' ``ctc_decode``, the likeliest first: labels, and
        -1 after the last.
    log_probabilities : numpy.ndarray
        (batch, top_paths), -infinity where there are no more sequences.

    Raises
    ------
    ValueError
        If shapes, lengths or options do not fit, or a step has no finite largest logit.
    TypeError
        If the arrays do not hold numbers.
    MemoryError
        If there is no room for the beams.
    """
    pred = check_logits(y_pred, "ctc_beam_search_decode")
    batch, steps, classes = pred.shape
    lengths = check_lengths("input_lengths", input_lengths, batch, steps)
    check_blank(blank, classes)
    width, paths = whole_number(beam_width, "beam_width"), whole_number(top_paths, "top_paths")
    if paths > width:
        raise ValueError(f"top_paths expects at most beam_width, {width}, got {paths}")
    check_finite(pred, lengths, "ctc_beam_search_decode")
    threads = scratch_threads()
    shapes = kernels.scratch_shapes(threads, steps, classes, width)
    check_room(sum(4 * math.prod(shape) for shape in shapes), "beams", ADVICE)
    sequences = np.empty((paths, batch, steps), np.int32)
    log_probabilities = np.empty((batch, paths))
    work = batch * steps * (ENTROPY_WORK * classes + _PREFIX_WORK * width)
    run(
        kernels.beam_search, threads, work, sequences, log_probabilities,
        np.empty(shapes[0]), *(np.empty(shape, np.int32) for shape in shapes[1:]),
        pred, lengths, width, int(blank),
    )  # fmt: skip
    return sequences, log_probabilities
