"""Kernels of the conditional random field: values, gradients, limits, masks, bits and memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core.runtime import _nrt_python, rtsys

from fastlstm.kernels import crf, viterbi
from fastlstm.kernels.parallel import get_num_threads, set_num_threads
from fastlstm.kernels.program import Program
from tests.marks import needs_jit
from tests.reference import crf as reference
from tests.reference.finite import gradient

LIMITS = {np.float32: 1e-6, np.float64: 1e-13}
# A lone step, tag or row; parts of vectors and of panels; more rows than a thread takes at once.
SHAPES = [(1, 1, 1), (1, 3, 5), (6, 2, 1), (5, 7, 4), (9, 14, 9), (4, 3, 33), (3, 2, 70)]


class Case(NamedTuple):
    """What the kernels are given."""

    emissions: np.ndarray
    tags: np.ndarray
    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray
    mask: np.ndarray
    weights: np.ndarray

    @staticmethod
    def make(rng, shape, dtype=np.float64, size=1.0, masked=True):
        steps, batch, count = shape

        def scores(*shape):
            return (size * rng.standard_normal(shape)).astype(dtype)

        tags = rng.integers(0, count, (steps, batch)).astype(np.int32)
        mask = (rng.random((steps if masked else 0, batch)) < 0.7).astype(np.uint8)
        return Case(
            scores(steps, batch, count), tags, scores(count, count), scores(count), scores(count),
            mask, rng.uniform(0, 2, batch).astype(dtype),
        )  # fmt: skip

    def exact(self, solve=reference.forward_backward):
        mask = self.mask if len(self.mask) else None
        return reference.rows(
            self.emissions, self.tags, self.transitions, self.start, self.end, mask,
            self.weights.astype(np.float64) if len(self.weights) else None, solve,
        )  # fmt: skip

    def run(self, derivative=True):
        """Total, row losses and gradients; whatever is not written stays NaN."""
        prepared = Prepared(self, derivative)
        prepared.program.run()
        return prepared.out


def _filled(requests):
    """Scratch as a caller may leave it."""
    kinds = {"f": np.nan, "i": 12345, "u": 77}
    return [np.full(shape, kinds[np.dtype(kind).kind], kind) for shape, kind in requests]


class Prepared:
    """A recorded loss, with all its arrays."""

    def __init__(self, case: Case, derivative: bool = True) -> None:
        steps, batch, count = case.emissions.shape
        dtype = case.emissions.dtype
        threads = get_num_threads()
        work = crf.Scratch(*_filled(crf.scratch(steps, batch, count, dtype, threads, derivative)))
        d_emissions = np.full((steps if derivative else 0, batch, count), np.nan, dtype)
        shared = [np.full_like(x, np.nan) for x in (case.transitions, case.start, case.end)]
        self.out = [np.full(1, np.nan), np.full(batch, np.nan, dtype), d_emissions, *shared]
        self.program = Program(most=threads)
        crf.record_loss(
            self.program, work, *self.out, case.emissions, case.tags, case.mask, case.transitions,
            case.start, case.end, case.weights,
        )  # fmt: skip
        self.program._work = [1e9] * len(self.program)  # so that threads are used


def _marginals(case):
    steps, batch, count = case.emissions.shape
    threads = get_num_threads()
    requests = crf.scratch(steps, batch, count, case.emissions.dtype, threads, True)
    out = np.full_like(case.emissions, np.nan)
    program = Program(most=threads)
    crf.record_marginals(
        program, crf.Scratch(*_filled(requests)), out, case.emissions, case.mask,
        case.transitions, case.start, case.end,
    )  # fmt: skip
    program.run()
    return out


def _decode(case, work=0.0):
    steps, batch, count = case.emissions.shape
    dtype, threads = case.emissions.dtype, get_num_threads()
    requests = viterbi.scratch(steps, batch, count, dtype, threads)
    tags, scores = np.full((steps, batch), 99, np.int32), np.full(batch, np.nan, dtype)
    program = Program(most=threads)
    viterbi.record(
        program, viterbi.Scratch(*_filled(requests)), tags, scores, case.emissions, case.mask,
        case.transitions, case.start, case.end,
    )  # fmt: skip
    program._work = [work] * len(program)
    program.run()
    return tags, scores


def _assert_close(got, exact, limit):
    """Losses relative to their size, probabilities to one."""
    for one, other in zip(got, exact, strict=True):
        scale = max(1.0, np.abs(other).max(initial=0.0))
        np.testing.assert_allclose(one, other, rtol=0, atol=limit * scale)


def _assert_exact(case, limit, solve=reference.forward_backward):
    total, rows, *gradients = case.run()
    exact = case.exact(solve)
    expected = [exact.d_emissions, exact.d_transitions, exact.d_start, exact.d_end]
    _assert_close([total[0], rows], [exact.total, exact.row_loss], limit)
    _assert_close(gradients, expected, limit)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients(shape, dtype, masked, rng):
    case = Case.make(rng, shape, dtype, masked=masked)
    _assert_exact(case, LIMITS[dtype])
    _assert_close([_marginals(case)], [case.exact().marginals], LIMITS[dtype])


@pytest.mark.parametrize("shape", [(1, 2, 3), (5, 3, 3), (7, 2, 2), (3, 2, 6)])
def test_against_all_sequences_of_tags(shape, rng):
    _assert_exact(Case.make(rng, shape), 1e-13, reference.brute_force)


@pytest.mark.parametrize("shape", [(1, 2, 3), (4, 3, 3), (6, 7, 2)])
def test_gradients_by_finite_differences(shape, rng):
    case = Case.make(rng, shape)
    _, _, *gradients = case.run()
    for d, array in zip(gradients, (case.emissions, *case[2:5]), strict=True):
        slopes = gradient(lambda: case.run(derivative=False)[0][0], array)
        np.testing.assert_allclose(d, slopes, rtol=0, atol=1e-8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 12), st.integers(1, 16), st.integers(1, 40), st.sampled_from([0.1, 3, 100, 1e4]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_whatever_the_shape_and_size(steps, batch, count, size, seed):
    rng = np.random.default_rng(seed)
    case = Case.make(rng, (steps, batch, count), size=size)
    case.mask[:] = rng.random(case.mask.shape) < rng.random()
    _assert_exact(case, 1e-14 * max(10.0, size * steps))
    tags, scores = _decode(case)
    for b in range(batch):
        kept = case.mask[:, b] > 0
        best, score = reference.viterbi(case.emissions[kept, b], *case[2:5])
        assert tags[kept, b].tolist() == best
        np.testing.assert_allclose(scores[b], score, rtol=1e-12, atol=1e-12)
        assert not tags[~kept, b].any()


def test_without_start_end_mask_and_weights(rng):
    case = Case.make(rng, (5, 8, 6))
    zeros = case._replace(
        start=np.zeros(6), end=np.zeros(6), mask=np.ones((5, 8), np.uint8), weights=np.ones(8)
    )
    nothing = np.empty(0)
    plain = case._replace(
        start=nothing, end=nothing, mask=np.empty((0, 8), np.uint8), weights=nothing
    )
    for one, other in zip(plain.run()[:4], zeros.run()[:4], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(_decode(plain), _decode(zeros), strict=True):
        np.testing.assert_array_equal(one, other)


def test_value_alone_has_the_same_bits(rng):
    case = Case.make(rng, (9, 8, 9), np.float32)
    total, rows, *_ = case.run()
    alone, rows_alone, *_ = case.run(derivative=False)
    assert alone == total
    np.testing.assert_array_equal(rows_alone, rows)


# -- masks -----------------------------------------------------------------------------------


def test_a_skipped_step_is_as_though_it_were_not_there(rng):
    """Bit by bit: before, between and behind the others, and whatever stands there."""
    case = Case.make(rng, (7, 3, 5), np.float32, masked=False)
    kept = np.array([False, True, True, False, False, True, False])
    mask = np.ones((7, 3), np.uint8)
    mask[~kept, 1] = 0
    case.tags[~kept, 1] = -5
    case.emissions[~kept, 1] = 1e30
    masked = case._replace(mask=mask)
    alone = case._replace(
        emissions=case.emissions[kept, 1:2].copy(), tags=case.tags[kept, 1:2].copy(),
        weights=case.weights[1:2] / 3,
    )  # fmt: skip
    alone = alone._replace(mask=np.empty((0, 1), np.uint8))
    _, rows, d_emissions, *_ = masked.run()
    _, row, d_row, *_ = alone.run()
    np.testing.assert_array_equal(rows[1:2], row)
    np.testing.assert_allclose(d_emissions[kept, 1:2], d_row, rtol=1e-6)
    assert not d_emissions[~kept, 1].any()
    np.testing.assert_array_equal(_marginals(masked)[kept, 1:2], _marginals(alone))
    tags, scores = _decode(masked)
    best, score = _decode(alone)
    np.testing.assert_array_equal(tags[kept, 1:2], best)
    np.testing.assert_array_equal(scores[1:2], score)


def test_a_row_without_any_step(rng):
    case = Case.make(rng, (4, 2, 3), masked=False)
    case = case._replace(mask=np.array([[1, 0]] * 4, np.uint8))
    _, rows, d_emissions, *_ = case.run()
    assert rows[1] == 0
    assert not d_emissions[:, 1].any()
    assert not _marginals(case)[:, 1].any()
    tags, scores = _decode(case)
    assert scores[1] == 0
    assert not tags[:, 1].any()
    nothing = case._replace(mask=np.zeros((4, 2), np.uint8))
    for array in nothing.run():
        assert not array.any()


# -- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [30.0, 1e3, 1e4])
@pytest.mark.parametrize("dtype", LIMITS)
def test_scores_of_any_size(dtype, size, rng):
    case = Case.make(rng, (20, 5, 6), dtype, size=size)
    _, rows, *gradients = case.run()
    exact = case.exact()
    np.testing.assert_allclose(rows, exact.row_loss, rtol=LIMITS[dtype], atol=LIMITS[dtype] * size)
    expected = [exact.d_emissions, exact.d_transitions, exact.d_start, exact.d_end]
    _assert_close(gradients, expected, LIMITS[dtype] * size)


@pytest.mark.parametrize("dtype", LIMITS)
def test_the_best_way_may_use_what_underflows(dtype):
    """Tags 0, 1, 2 in turn: each change, and each place to stay, costs more than e**x can hold."""
    count, steps = 3, 90
    transitions = np.full((count, count), -1e4)
    np.fill_diagonal(transitions, 0.0)
    transitions[0, 1] = transitions[1, 2] = -700.0
    emissions = np.full((steps, 1, count), -50.0)
    for tag in range(count):
        emissions[30 * tag : 30 * tag + 30, 0, tag] = 0.0
    tags = np.repeat(np.arange(count), 30)[:, None].astype(np.int32)
    case = Case(
        emissions, tags, transitions, np.zeros(3), np.zeros(3), np.empty((0, 1), np.uint8),
        np.ones(1),
    )  # fmt: skip
    case = Case(*(x.astype(dtype) if x.dtype == np.float64 else x for x in case))
    _assert_exact(case, LIMITS[dtype] * 1e3)
    decoded, scores = _decode(case)
    np.testing.assert_array_equal(decoded, tags)
    assert scores[0] == -1400


@pytest.mark.parametrize("dtype", LIMITS)
def test_forbidden_transitions(dtype, rng):
    """Tags that may only follow one another in order, as in B-I-O schemes."""
    case = Case.make(rng, (12, 6, 5), dtype)
    case.transitions[:] = np.where(np.eye(5, k=1) + np.eye(5) > 0, case.transitions, -1e4)
    case.start[1:] = -1e4
    case.tags[:] = np.minimum(np.arange(12) // 2, 4)[:, None]
    _assert_exact(case, 10 * LIMITS[dtype])


def test_a_long_sequence_keeps_its_digits(rng):
    case = Case.make(rng, (3000, 1, 5), np.float32, size=3.0, masked=False)
    _, rows, *gradients = case.run()
    exact = case.exact()
    np.testing.assert_allclose(rows, exact.row_loss, rtol=1e-6)
    np.testing.assert_allclose(gradients[0], exact.d_emissions, atol=1e-6)


def test_large_scores_that_cancel_keep_the_digits_of_what_is_left(rng):
    """The same constants at every step change no probability."""
    case = Case.make(rng, (10, 4, 5), masked=False)
    small = Case(*(x.astype(np.float32) if x.dtype == np.float64 else x for x in case))
    large = small._replace(
        emissions=small.emissions + np.float32(8192),
        transitions=small.transitions - np.float32(4096),
    )
    exact = Case(*(x.astype(np.float64) if x.dtype == np.float32 else x for x in large)).exact()
    _, rows, d_emissions, *_ = large.run()
    np.testing.assert_allclose(rows, exact.row_loss, rtol=1e-6)
    np.testing.assert_allclose(d_emissions, exact.d_emissions, atol=1e-6)


def test_nan_shows_in_its_row_and_in_the_value(rng):
    for place in ((0, 1, 2), (3, 1, 0), (5, 1, 4)):
        case = Case.make(rng, (6, 3, 5), np.float32, masked=False)
        case.emissions[place] = np.nan
        total, rows, d_emissions, *_ = case.run()
        assert np.isnan(total[0])
        np.testing.assert_array_equal(np.isnan(rows), [False, True, False])
        assert np.isfinite(d_emissions[:, [0, 2]]).all()


@pytest.mark.parametrize("tag", [-1, 5, 2**31 - 1, -(2**31)])
def test_an_impossible_tag_touches_nothing_else(tag, rng):
    case = Case.make(rng, (6, 3, 5), masked=False)
    _, expected, d_expected, *_ = case.run()
    for t in (0, 3, 5):
        tags = case.tags.copy()
        tags[t, 1] = tag
        total, rows, d_emissions, *_ = case._replace(tags=tags).run()
        assert np.isnan(total[0])
        np.testing.assert_array_equal(np.isnan(rows), [False, True, False])
        np.testing.assert_array_equal(rows[[0, 2]], expected[[0, 2]])
        np.testing.assert_array_equal(d_emissions[:, [0, 2]], d_expected[:, [0, 2]])


def test_equal_scores_decode_to_the_first_tags(rng):
    case = Case.make(rng, (5, 2, 9), size=0.0)
    tags, scores = _decode(case)
    assert not tags.any()
    assert not scores.any()


def test_the_best_of_all_sequences_of_tags(rng):
    case = Case.make(rng, (5, 6, 4), masked=False)
    tags, scores = _decode(case)
    for b in range(6):
        best, score = reference.best(case.emissions[:, b], *case[2:5])
        assert tuple(tags[:, b]) == best
        np.testing.assert_allclose(scores[b], score, rtol=1e-13)


# -- bits and memory -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1.0, 1e3])
@pytest.mark.parametrize("count", [9, 50])
def test_bits_do_not_depend_on_the_threads(count, size, rng):
    case = Case.make(rng, (21, 35, count), np.float32, size=size)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        results.append([*case.run(), _marginals(case), *_decode(case, work=1e9)])
    for other in results[1:]:
        for one, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(one, expected)


def test_bits_of_a_row_do_not_depend_on_the_batch(rng):
    case = Case.make(rng, (8, 23, 9), np.float32)
    case = case._replace(weights=np.full(23, 23, np.float32))
    _, rows, d_emissions, *_ = case.run()
    tags, scores = _decode(case)
    for first, last in ((0, 1), (4, 11), (5, 23)):
        part = Case(
            case.emissions[:, first:last].copy(), case.tags[:, first:last].copy(), *case[2:5],
            case.mask[:, first:last].copy(), np.full(last - first, last - first, np.float32),
        )  # fmt: skip
        _, part_rows, d_part, *_ = part.run()
        np.testing.assert_array_equal(part_rows, rows[first:last])
        np.testing.assert_array_equal(d_part, d_emissions[:, first:last])
        part_tags, part_scores = _decode(part)
        np.testing.assert_array_equal(part_tags, tags[:, first:last])
        np.testing.assert_array_equal(part_scores, scores[first:last])


@needs_jit
def test_nothing_is_allocated(rng):
    prepared = Prepared(Case.make(rng, (9, 14, 9), np.float32, size=1e3))
    prepared.program.run()
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats().mi_alloc
        prepared.program.run()
        assert rtsys.get_allocation_stats().mi_alloc == before
    finally:
        _nrt_python.memsys_disable_stats()


def test_twice_in_the_same_memory(rng):
    prepared: Any = Prepared(Case.make(rng, (9, 14, 9), np.float32, size=1e3))
    prepared.program.run()
    first = [array.copy() for array in prepared.out]
    prepared.program.run()
    for one, other in zip(prepared.out, first, strict=True):
        np.testing.assert_array_equal(one, other)
