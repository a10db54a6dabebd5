"""Conditional random fields as functions: against PyTorch's autograd, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.crf import (
    crf_log_likelihood,
    crf_marginals,
    crf_value_and_grad,
    crf_viterbi_decode,
)
from tests.peers import import_torch
from tests.reference import crf as reference

B, T, K = 5, 8, 6
LIMITS = {np.float32: 2e-6, np.float64: 1e-12}


@pytest.fixture
def scores(rng):
    """Emissions, tags, transitions, start and end."""
    tags = rng.integers(0, K, (B, T))
    shapes = (B, T, K), (K, K), (K,), (K,)
    emissions, *shared = (rng.standard_normal(shape) for shape in shapes)
    return emissions, tags, *shared


def _in(dtype, scores):
    return [x.astype(dtype) if x.dtype == np.float64 else x for x in scores]


def _torch_log_likelihood(torch, emissions, tags, transitions, start, end, lengths):
    """As users write it: a loop over steps with logsumexp, rows held once they have ended."""
    alpha = start + emissions[:, 0]
    rows = torch.arange(len(tags))
    score = start[tags[:, 0]] + emissions[rows, 0, tags[:, 0]]
    for t in range(1, tags.shape[1]):
        on = t < lengths
        after = torch.logsumexp(alpha[:, :, None] + transitions, dim=1) + emissions[:, t]
        alpha = torch.where(on[:, None], after, alpha)
        gain = transitions[tags[:, t - 1], tags[:, t]] + emissions[rows, t, tags[:, t]]
        score = score + torch.where(on, gain, torch.zeros_like(gain))
    score = score + end[tags[rows, lengths - 1]]
    return score - torch.logsumexp(alpha + end, dim=1)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_value_and_gradients_as_pytorch_has_them(dtype, size, scores, rng):
    torch = import_torch()
    emissions, tags, *shared = _in(dtype, scores)
    emissions, shared = emissions * dtype(size), [x * dtype(size) for x in shared]
    lengths, weights = rng.integers(1, T + 1, B), rng.uniform(0, 2, B).astype(dtype)
    value, gradients = crf_value_and_grad(
        emissions, tags, *shared, lengths=lengths, sample_weight=weights
    )
    theirs = [torch.tensor(x, requires_grad=True) for x in (emissions, *shared)]
    expected = _torch_log_likelihood(
        torch, theirs[0], torch.tensor(tags), *theirs[1:], torch.tensor(lengths)
    )
    (expected * torch.tensor(weights)).sum().backward()
    limit = LIMITS[dtype] * size
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=LIMITS[dtype], atol=limit)
    for d, tensor in zip(gradients, theirs, strict=True):
        assert d.dtype == dtype
        np.testing.assert_allclose(d, tensor.grad.numpy(), rtol=0, atol=5 * limit)
    alone = crf_log_likelihood(emissions, tags, *shared, lengths=lengths)
    np.testing.assert_array_equal(alone, value)


def test_marginals_sum_to_one_and_are_the_reference(scores):
    emissions, tags, *shared = scores
    mask = np.arange(T) < np.array([[T], [1], [3], [0], [5]])
    got = crf_marginals(emissions, *shared, mask=mask)
    by_time = emissions.swapaxes(0, 1)
    exact = reference.rows(by_time, tags.T, *shared, mask.T).marginals
    np.testing.assert_allclose(got, exact.swapaxes(0, 1), atol=1e-13)
    np.testing.assert_allclose(got.sum(axis=2), mask, atol=1e-13)


def test_decoding(scores):
    emissions, _, *shared = scores
    tags, best = crf_viterbi_decode(emissions, *shared, lengths=[T, 1, 3, 0, 5])
    assert tags.shape == (B, T)
    assert tags.dtype == np.int32
    for b, length in enumerate([T, 1, 3, 0, 5]):
        expected, score = reference.viterbi(emissions[b, :length], *shared)
        assert tags[b, :length].tolist() == expected
        assert not tags[b, length:].any()
        np.testing.assert_allclose(best[b], score, rtol=1e-12)


def test_the_decoded_tags_are_the_most_likely(scores):
    emissions, tags, *shared = scores
    best, _ = crf_viterbi_decode(emissions, *shared)
    likely = crf_log_likelihood(emissions, best, *shared)
    assert (likely > crf_log_likelihood(emissions, tags, *shared)).all()
    assert (likely < 0).all()


def test_lengths_are_a_mask(scores):
    emissions, tags, *shared = scores
    lengths = np.array([T, 2, 0, 5, 1])
    mask = np.arange(T) < lengths[:, None]
    tags[~mask] = -100  # as some people mark what is not to be counted
    for given in (mask, mask.astype(np.float32), mask.tolist()):
        np.testing.assert_array_equal(
            crf_log_likelihood(emissions, tags, *shared, lengths=lengths),
            crf_log_likelihood(emissions, tags, *shared, mask=given),
        )


def test_what_is_left_out_counts_as_zero(scores):
    emissions, tags, transitions, *_ = scores
    value, gradients = crf_value_and_grad(emissions, tags, transitions)
    zeros, others = crf_value_and_grad(emissions, tags, transitions, np.zeros(K), np.zeros(K))
    np.testing.assert_array_equal(value, zeros)
    np.testing.assert_array_equal(gradients.transitions, others.transitions)
    assert gradients.start is None
    assert gradients.end is None
    assert others.start.shape == (K,)


def test_the_precision(scores):
    emissions, tags, transitions, *_ = scores
    assert crf_log_likelihood(emissions, tags, transitions).dtype == np.float64
    single = emissions.astype(np.float32)
    assert crf_log_likelihood(single, tags, transitions).dtype == np.float32
    whole = np.rint(emissions).astype(int)
    assert crf_log_likelihood(whole, tags, transitions).dtype == np.float32
    fastlstm.config.set_floatx("float64")
    assert crf_log_likelihood(whole, tags, transitions).dtype == np.float64


def test_the_same_bits_for_any_threads_and_batch(rng):
    emissions, transitions = rng.standard_normal((64, 40, 50)), rng.standard_normal((50, 50))
    tags = rng.integers(0, 50, (64, 40))
    results = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        value, gradients = crf_value_and_grad(emissions, tags, transitions)
        decoded = crf_viterbi_decode(emissions, transitions)
        results.append([value, *gradients[:2], *decoded, crf_marginals(emissions, transitions)])
    for other in results[1:]:
        for one, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(one, expected)
    part = crf_log_likelihood(emissions[20:21], tags[20:21], transitions)
    np.testing.assert_array_equal(part, results[0][0][20:21])


def test_gradient_ascent_learns_transitions(rng):
    """Tags that alternate, from emissions that say nothing."""
    tags = np.tile([0, 1], (4, 5))
    emissions, transitions = np.zeros((4, 10, 2)), np.zeros((2, 2))
    for _ in range(50):
        _, gradients = crf_value_and_grad(emissions, tags, transitions)
        transitions += 0.05 * gradients.transitions
    decoded, _ = crf_viterbi_decode(emissions + np.array([0.1, 0.0]), transitions)
    np.testing.assert_array_equal(decoded, tags)


FUNCTIONS = {
    "log_likelihood": lambda x, a, **rest: crf_log_likelihood(x, np.zeros((B, T), int), a, **rest),
    "value_and_grad": lambda x, a, **rest: crf_value_and_grad(x, np.zeros((B, T), int), a, **rest),
    "marginals": crf_marginals,
    "decode": crf_viterbi_decode,
}

WRONG = {
    r"emissions expects shape \(batch, time, tags\)": {"emissions": np.zeros((T, K))},
    "each at least 1": {"emissions": np.zeros((B, 0, K))},
    "emissions has nan at index": {"emissions": np.full((B, T, K), np.nan)},
    "too large for float32": {"emissions": np.zeros((B, T, K), "f4"), "start": np.full(K, 1e300)},
    r"transitions expects shape \(tags, tags\) = \(6, 6\), as emissions has 6 tags; got \(5, 6\)": {
        "transitions": np.zeros((5, 6))
    },
    "transitions expects scores": {"transitions": None},
    "transitions has inf at index": {"transitions": np.full((K, K), np.inf)},
    r"start expects shape \(tags,\) = \(6,\)": {"start": np.zeros(5)},
    r"end expects shape \(tags,\) = \(6,\)": {"end": np.zeros((1, K))},
    r"mask expects shape \(batch, time\) = \(5, 8\), got \(8, 5\)": {"mask": np.ones((T, B))},
    "mask or lengths, got both": {"mask": np.ones((B, T)), "lengths": np.ones(B, int)},
    r"lengths expects whole numbers of shape \(batch,\) = \(5,\)": {"lengths": [1, 2]},
    "lengths expects whole numbers": {"lengths": np.full(B, 0.5)},
    "lengths expects 0 to 8, the steps of emissions, got 9": {"lengths": [1, 2, 3, 4, 9]},
    "lengths expects 0 to 8, the steps of emissions, got -1": {"lengths": [1, 2, -1, 4, 8]},
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("message", WRONG)
def test_errors_say_what_was_expected(function, message):
    given = {"emissions": np.zeros((B, T, K)), "transitions": np.zeros((K, K)), **WRONG[message]}
    emissions, transitions = given.pop("emissions"), given.pop("transitions")
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[function](emissions, transitions, **given)


@pytest.mark.parametrize("function", [crf_log_likelihood, crf_value_and_grad])
def test_wrong_tags(function):
    emissions, transitions = np.zeros((B, T, K)), np.zeros((K, K))
    tags = np.zeros((B, T), int)
    with pytest.raises(ValueError, match=r"\(batch, time\) = \(5, 8\), got \(8, 5\)"):
        function(emissions, tags.T, transitions)
    for wrong in (K, -1):
        tags[2, 3] = wrong
        with pytest.raises(ValueError, match=f"from 0 to 5, as emissions has 6 tags; got {wrong}"):
            function(emissions, tags, transitions)
    with pytest.raises(TypeError, match="whole-number ids"):
        function(emissions, np.full((B, T), 0.5), transitions)
    with pytest.raises(TypeError, match="object"):
        function(emissions, np.full((B, T), None), transitions)


def test_wrong_weights():
    arrays = np.zeros((B, T, K)), np.zeros((B, T), int), np.zeros((K, K))
    with pytest.raises(ValueError, match=r"sample_weight expects shape \(batch,\) = \(5,\)"):
        crf_value_and_grad(*arrays, sample_weight=np.ones(4))
    with pytest.raises(ValueError, match="sample_weight has nan"):
        crf_value_and_grad(*arrays, sample_weight=np.full(B, np.nan))
