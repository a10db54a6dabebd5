"""Connectionist temporal classification as its definition reads, for one sequence, in float64."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np

from tests.reference.losses import log_softmax


def collapse(alignment, blank):
    """The labels that an alignment stands for: repeated classes merged, blanks taken out."""
    merged = [k for k, _ in itertools.groupby(alignment)]
    return tuple(int(k) for k in merged if k != blank)


def all_label_sequences(y, blank=0):
    """Log probability of each label sequence that the logits (T, C) can give."""
    log_p = log_softmax(y)
    steps, classes = y.shape
    sums = defaultdict(lambda: -np.inf)
    for alignment in itertools.product(range(classes), repeat=steps):
        labels = collapse(alignment, blank)
        term = sum(log_p[t, k] for t, k in enumerate(alignment))
        sums[labels] = np.logaddexp(sums[labels], term)
    return dict(sums)


def brute_force(labels, y, blank=0):
    """-log of the probability of the labels, over all alignments."""
    return -all_label_sequences(y, blank).get(tuple(labels), -np.inf)


def _places(labels, blank):
    """Labels with blanks around them, and which may be reached from two places before."""
    places = [blank]
    for label in labels:
        places += [label, blank]
    skips = [s >= 2 and places[s] not in (blank, places[s - 2]) for s in range(len(places))]
    return places, skips


def _forward(log_p, places, skips):
    steps = len(log_p)
    alpha = np.full((steps + 1, len(places)), -np.inf)
    # As if the first blank had been there before the first step.
    alpha[0, 0] = 0
    for t in range(steps):
        for s, k in enumerate(places):
            value = alpha[t, s]
            if s >= 1:
                value = np.logaddexp(value, alpha[t, s - 1])
            if skips[s]:
                value = np.logaddexp(value, alpha[t, s - 2])
            alpha[t + 1, s] = value + log_p[t, k]
    return alpha


def recursion(labels, y, blank=0):
    """Loss and its gradient with respect to the logits, by the forward-backward algorithm."""
    log_p = log_softmax(y)
    places, skips = _places(labels, blank)
    alpha = _forward(log_p, places, skips)
    loss = -np.logaddexp.reduce(alpha[-1, -2:])
    # Backward is forward with time and labels turned round, p of the step itself included.
    backwards = [s >= 2 and places[::-1][s] not in (blank, places[::-1][s - 2])
                 for s in range(len(places))]  # fmt: skip
    beta = _forward(log_p[::-1], places[::-1], backwards)[1:][::-1, ::-1]
    gradient = np.exp(log_p)
    for t in range(len(log_p)):
        for s, k in enumerate(places):
            gradient[t, k] -= np.exp(alpha[t + 1, s] + beta[t, s] - log_p[t, k] + loss)
    return loss, gradient
