"""Scalar functions in the longest precision of NumPy; errors in units of the last place."""

from __future__ import annotations

import numpy as np

# Longer than float64 on x86 and in software on some others; Windows and Apple have no such type.
HAS_LONGER = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant


def exp(x: np.ndarray) -> np.ndarray:
    """e**x in the precision of x."""
    with np.errstate(all="ignore"):
        return np.exp(x)


def log(x: np.ndarray) -> np.ndarray:
    """Natural logarithm in the precision of x."""
    with np.errstate(all="ignore"):
        return np.log(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e**-x) in the precision of x, without overflow or cancellation."""
    with np.errstate(all="ignore"):
        z = np.exp(-np.abs(x))
        return np.where(x < 0, z, 1) / (1 + z)


def tanh(x: np.ndarray) -> np.ndarray:
    """Hyperbolic tangent in the precision of x."""
    with np.errstate(all="ignore"):
        return np.tanh(x)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0), and NaN for NaN."""
    return np.maximum(x, 0)


def ulp_errors(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance of ``got`` from ``exact`` in units of the last place of ``exact`` in got's type.

    Results below the smallest normal number may be flushed: there, zero counts as exact. NaN and
    infinities must match: otherwise the error is infinite.
    """
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        unit = np.spacing(np.abs(rounded)).astype(exact.dtype)
        errors = np.abs(got.astype(exact.dtype) - exact) / unit
        flushed = (np.abs(exact) < np.finfo(got.dtype).smallest_normal) & (got == 0)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded)) | flushed
        special = ~np.isfinite(rounded) | ~np.isfinite(got)
        return np.where(flushed, 0, np.where(special, np.where(same, 0, np.inf), errors))
