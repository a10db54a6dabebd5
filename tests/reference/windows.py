"""What slides over time, one window after the other, on sequences (batch, time, features)."""

from __future__ import annotations

import numpy as np


def padded(steps, size, stride, padding, dilation=1):
    """Steps to add before and after a sequence."""
    reach = (size - 1) * dilation + 1
    if padding == "causal":
        return reach - 1, 0
    if padding == "valid":
        return 0, 0
    total = max(0, (-(-steps // stride) - 1) * stride + reach - steps)
    return total // 2, total - total // 2


def convolve(x, kernel, bias, stride=1, padding="valid", dilation=1):
    """Sums over taps and features of x times the kernel (taps, features, filters), plus bias."""
    taps = len(kernel)
    before, after = padded(x.shape[1], taps, stride, padding, dilation)
    x = np.pad(x, ((0, 0), (before, after), (0, 0)))
    starts = range(0, x.shape[1] - (taps - 1) * dilation, stride)
    sums = [
        sum(x[:, start + k * dilation] @ kernel[k] for k in range(taps)) + bias for start in starts
    ]
    return np.stack(sums, axis=1)


def pool(x, reduce, size, stride, padding="valid"):
    """``reduce`` (np.max or np.mean) of the steps of each window that are in the sequence."""
    before, after = padded(x.shape[1], size, stride, padding)
    starts = range(-before, x.shape[1] + after - size + 1, stride)
    windows = [x[:, max(0, start) : start + size] for start in starts]
    return np.stack([reduce(window, axis=1) for window in windows], axis=1)
