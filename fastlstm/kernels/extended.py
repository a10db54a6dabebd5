"""Positive numbers of any size: m · 2**e on vectors, each lane with an exponent of its own.

They have the range of logarithms without their price: a sum takes neither exponential nor
logarithm, and its error is relative to the number itself, where a logarithm's is relative to that
logarithm. ``e`` is a whole number, held as a float. A number whose exponent is below ``NOTHING`` is
zero, whatever its m.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from fastlstm.kernels.jit import INLINE, inline
from fastlstm.kernels.math import LOG2_E, reduce32, reduce64
from fastlstm.kernels.simd import SHIFT32, SHIFT64, Vector, floor_exponent, fma, select, two_to

# The exponent of zero; what is added to zero's, or multiplied, leaves it below NOTHING.
ZERO = -1e30
NOTHING = ZERO / 2
LN2 = math.log(2.0)
# Sums and products between which m stays a normal number if it begins in [1, 2).
SPAN = 16

# Below these, e**x has no digits but those of its exponent.
_COARSE32, _COARSE64 = -(2.0**21), -(2.0**50)


def split_exp(x):  # pragma: no cover
    """m from 0.7 to 1.5 and e, where e**x = m · 2**e; zero for -infinity."""
    exact = np.maximum(x.astype(np.float64) * LOG2_E, ZERO)
    e = np.rint(exact)
    m = np.exp2(exact - e)
    return m.astype(x.dtype), e.astype(x.dtype)


def power_of_two(x):  # pragma: no cover
    """2**x for whole x; zero below the normal numbers."""
    return np.where(x < -126, 0, np.exp2(x)).astype(x.dtype)


def _register(dtype, reduce, shift, coarse, lowest):
    """Give the two functions their version for one precision."""

    def split_exp_vector(x):
        shifted, p = reduce(select(x < coarse, 0.0, x))
        e = select(x < coarse, x * LOG2_E, shifted - shift)
        return 1.0 + p, select(e < ZERO, ZERO, e)

    def power_of_two_vector(x):
        # The exponent below those of normal numbers is that of zero.
        return two_to(select(x < lowest, lowest, x) + shift)

    def overload_for(function, implementation):
        @overload(function, jit_options=INLINE)
        def choose(x):
            return implementation if isinstance(x, Vector) and x.dtype == dtype else None

    overload_for(split_exp, split_exp_vector)
    overload_for(power_of_two, power_of_two_vector)


_register(types.float32, reduce32, SHIFT32, _COARSE32, -127.0)
_register(types.float64, reduce64, SHIFT64, _COARSE64, -1023.0)


@inline
def larger(x, y):
    """The larger of two, lane by lane."""
    return select(x > y, x, y)


@inline
def add_two(m1, e1, m2, e2):
    """m and e of the sum of two numbers."""
    e = larger(e1, e2)
    m = fma(m1, power_of_two(e1 - e), m2 * power_of_two(e2 - e))
    return m, e


@inline
def add_three(m1, e1, m2, e2, m3, e3):
    """m and e of the sum of three numbers."""
    e = larger(larger(e1, e2), e3)
    m = fma(m1, power_of_two(e1 - e), m2 * power_of_two(e2 - e))
    return fma(m3, power_of_two(e3 - e), m), e


@inline
def normalise(m, e):
    """The same number with m in [1, 2)."""
    n = floor_exponent(m)
    return m * power_of_two(-n), e + n
