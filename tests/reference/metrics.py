"""Metrics of all rows at once, as their definitions read, in float64.

``t`` is (M, C), one-hot where there are classes, ``y`` (M, C) and ``w`` (M,).
"""

from __future__ import annotations

import numpy as np


def counts(t, y, w, thresholds):
    """True and false positives, true and false negatives: (4, thresholds)."""
    out = np.zeros((4, len(thresholds)))
    for k, threshold in enumerate(thresholds):
        for m in range(len(y)):
            for j in range(y.shape[1]):
                true, above = t[m, j] != 0, y[m, j] > threshold
                out[{(1, 1): 0, (0, 1): 1, (0, 0): 2, (1, 0): 3}[int(true), int(above)], k] += w[m]
    return out


def only_top(y, k):
    """Everything but the k largest of each row below all thresholds; the first of equals goes."""
    out = np.full_like(y, -np.inf)
    for m in range(len(y)):
        for j in np.argsort(-y[m], kind="stable")[:k]:
            out[m, j] = y[m, j]
    return out


def roc_area(t, y, w, thresholds):
    """Trapezoids under the true over the false positive rate."""
    tp, fp, tn, fn = counts(t, y, w, thresholds)
    x, height = fp / (fp + tn), tp / (tp + fn)
    return sum(
        (x[k] - x[k + 1]) * (height[k] + height[k + 1]) / 2 for k in range(len(thresholds) - 1)
    )


def pr_area(t, y, w, thresholds, slices=2000):
    """Precision integrated over recall, tp and positives going evenly from one to the next."""
    tp, fp, _, fn = counts(t, y, w, thresholds)
    area = 0.0
    for k in range(len(thresholds) - 1):
        way = (np.arange(slices) + 0.5) / slices
        true = tp[k + 1] + way * (tp[k] - tp[k + 1])
        all_ = true + fp[k + 1] + way * (fp[k] - fp[k + 1])
        if tp[k] > tp[k + 1]:
            area += (true / all_).mean() * (tp[k] - tp[k + 1]) / (tp[k] + fn[k])
    return area


def f_scores(t, found, w, beta=1.0):
    """The score of each class, from what was found, (M, C) of 0 and 1."""
    scores = []
    for j in range(t.shape[1]):
        both = sum(w * t[:, j] * found[:, j])
        precision = both / (sum(w * found[:, j]) + 1e-7)
        recall = both / (sum(w * t[:, j]) + 1e-7)
        scores.append((1 + beta**2) * precision * recall / (beta**2 * precision + recall + 1e-7))
    return np.array(scores)


def confusion(t, y, w):
    """Weight by true and predicted class."""
    out = np.zeros((t.shape[1], t.shape[1]))
    for m in range(len(y)):
        out[t[m].argmax(), y[m].argmax()] += w[m]
    return out


def r2(t, y, w):
    """1 - squared errors / squared distances from the mean, of each column."""
    mean = np.average(t, axis=0, weights=w)
    return 1 - (w[:, None] * (t - y) ** 2).sum(axis=0) / (w[:, None] * (t - mean) ** 2).sum(axis=0)


def top_k(t, y, w, k):
    """How often the right class is among the k likeliest."""
    right = [t[m].argmax() in np.argsort(-y[m], kind="stable")[:k] for m in range(len(y))]
    return np.average(right, weights=w)


def perplexity(t, y, w):
    """e to the mean of -log p of the right class."""
    return np.exp(np.average(-np.log((t * y).sum(axis=1) / y.sum(axis=1)), weights=w))
