"""exp, sigmoid and tanh of one vector register.

All three reduce to e**x = 2**n * (1 + p) with |r| <= ln(2)/2 and p = e**r - 1 from a polynomial
that is right to well below rounding. Largest errors, as measured by
``tests/kernels/test_math.py`` over the whole range: exp 1.1 ulp, sigmoid 2.5, tanh 2.7, in both
precisions. NaN stays NaN, infinities go to their limits. Where denormals are flushed, so are
results below the smallest normal number.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from fastlstm.kernels.jit import INLINE, inline
from fastlstm.kernels.simd import (
    SHIFT32,
    SHIFT64,
    Vector,
    absolute,
    copy_sign,
    fma,
    scale,
    select,
    two_to,
)

LOG2_E = math.log2(math.e)

# ln(2) in two parts: the first has enough trailing zeros that n * part is exact.
_LN2_HIGH32, _LN2_LOW32 = 0.693359375, -2.12194440054690583e-4
_LN2_HIGH64, _LN2_LOW64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10

# The polynomial of degree 4 nearest to (e**r - 1 - r) / r**2 there: p is right to 0.15 ulp.
_Q0, _Q1, _Q2 = 0.50000000620869456, 0.16666542793797604, 0.041666281400370375
_Q3, _Q4 = 0.0083666106076889686, 0.0013946496871885469
# In double precision its Taylor series, long enough that the rest is far below rounding.
_C2, _C3, _C4, _C5, _C6, _C7, _C8 = (1.0 / math.factorial(n) for n in range(2, 9))
_C9, _C10, _C11, _C12, _C13, _C14 = (1.0 / math.factorial(n) for n in range(9, 15))


def exp(x):  # pragma: no cover
    """e**x of a vector."""
    return np.exp(x)


def sigmoid(x):  # pragma: no cover
    """1 / (1 + e**-x) of a vector."""
    return 1.0 / (1.0 + np.exp(-x))


def tanh(x):  # pragma: no cover
    """Hyperbolic tangent of a vector."""
    return np.tanh(x)


@inline
def _reduce32(x):
    """n + SHIFT and p, where e**x = 2**n * (1 + p)."""
    shifted = fma(x, LOG2_E, SHIFT32)
    n = shifted - SHIFT32
    r = fma(n, -_LN2_LOW32, fma(n, -_LN2_HIGH32, x))
    q = fma(r, _Q4, _Q3)
    q = fma(q, r, _Q2)
    q = fma(q, r, _Q1)
    q = fma(q, r, _Q0)
    return shifted, fma(r * r, q, r)


@inline
def _reduce64(x):
    """n + SHIFT and p, where e**x = 2**n * (1 + p)."""
    shifted = fma(x, LOG2_E, SHIFT64)
    n = shifted - SHIFT64
    r = fma(n, -_LN2_LOW64, fma(n, -_LN2_HIGH64, x))
    q = fma(r, _C14, _C13)
    q = fma(q, r, _C12)
    q = fma(q, r, _C11)
    q = fma(q, r, _C10)
    q = fma(q, r, _C9)
    q = fma(q, r, _C8)
    q = fma(q, r, _C7)
    q = fma(q, r, _C6)
    q = fma(q, r, _C5)
    q = fma(q, r, _C4)
    q = fma(q, r, _C3)
    q = fma(q, r, _C2)
    return shifted, fma(r * r, q, r)


def _register(dtype, reduce, lowest, highest, vanished, saturated):
    """Give the three functions their version for one precision.

    ``lowest`` and ``highest`` bound the arguments whose exponential is neither 0 nor infinite; at
    ``vanished`` n is the exponent of zero, just below that of the smallest normal number; below
    ``saturated`` e**x adds nothing to 1.
    """

    def exp_vector(x):
        x = select(x > highest, highest, x)
        x = select(x < lowest, lowest, x)
        shifted, p = reduce(x)
        return scale(1.0 + p, shifted)

    def sigmoid_vector(x):
        y = -absolute(x)
        shifted, p = reduce(select(y < vanished, vanished, y))
        power = two_to(shifted)
        z = fma(p, power, power)
        return select(x < 0.0, z, 1.0) / (1.0 + z)

    def tanh_vector(x):
        y = -2.0 * absolute(x)
        shifted, p = reduce(select(y < saturated, saturated, y))
        power = two_to(shifted)
        less_one = fma(p, power, power - 1.0)
        return copy_sign(less_one / (less_one + 2.0), x)

    def overload_for(function, implementation):
        @overload(function, jit_options=INLINE)
        def choose(x):
            return implementation if isinstance(x, Vector) and x.dtype == dtype else None

    overload_for(exp, exp_vector)
    overload_for(sigmoid, sigmoid_vector)
    overload_for(tanh, tanh_vector)


_register(types.float32, _reduce32, -104.0, 89.0, -88.0, -30.0)
_register(types.float64, _reduce64, -746.0, 710.0, -709.0, -50.0)
