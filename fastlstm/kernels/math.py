"""exp, log, sigmoid and tanh of one vector register.

All but log reduce to e**x = 2**n * (1 + p) with |r| <= ln(2)/2 and p = e**r - 1 from a polynomial
that is right to well below rounding. Where a division follows anyway, as in single precision's
sigmoid and tanh, quotients of polynomials wait less for one another. log takes x = m * 2**n apart
and has log m = 2·artanh((m - 1) / (m + 1)) from a series.
Largest errors, as measured by ``tests/kernels/test_math.py`` over the whole range: exp and log
1.1 ulp, sigmoid 5.4, tanh 4.1, and in double precision 2.6: of sigmoid near -87 (above -20 it is
3.2), of tanh near its limits, where an ulp is smallest.
NaN stays NaN, infinities go to their limits. Where denormals are flushed, so are
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
    exponent,
    fma,
    mantissa,
    scale,
    select,
    two_to,
    zero_like,
)

LOG2_E = math.log2(math.e)
_LN2 = math.log(2.0)

# ln(2) in two parts: the first has enough trailing zeros that n * part is exact.
_LN2_HIGH32, _LN2_LOW32 = 0.693359375, -2.12194440054690583e-4
_LN2_HIGH64, _LN2_LOW64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10

# The polynomial of degree 4 nearest to (e**r - 1 - r) / r**2 there: p is right to 0.15 ulp.
_Q0, _Q1, _Q2 = 0.50000000620869456, 0.16666542793797604, 0.041666281400370375
_Q3, _Q4 = 0.0083666106076889686, 0.0013946496871885469
# e**r = (a + r·b) / (a - r·b), its Padé approximant of degree 3: a and b are 1 and 1/2 and these
# times r**2. The rest is below 0.1 ulp.
_A1, _B1 = 1.0 / 10.0, 1.0 / 120.0
# Beyond these arguments sigmoid is 1, and nothing.
_SIGMOID_ONE, _SIGMOID_NOTHING = 87.0, -88.9
# The quotient of polynomials in x**2 nearest to tanh(x) / x up to where tanh is 1 in single
# precision: to 0.4 ulp.
_ONE_FROM = 9.02
_N1, _N2 = 0.13379722833633423, 0.003494036151096225
_N3, _N4 = 2.0583516743499786e-05, 1.3319126246358337e-08
_D1, _D2 = 0.4671303927898407, 0.02587108500301838
_D3, _D4 = 0.0003283095720689744, 7.762034783809213e-07
# Keeps the logarithm of nothing finite, so that 0**0 is 1; a normal number in either precision.
_LEAST_BASE = 1e-37
# In double precision the Taylor series of e**r, long enough that the rest is far below rounding.
_C2, _C3, _C4, _C5, _C6, _C7, _C8 = (1.0 / math.factorial(n) for n in range(2, 9))
_C9, _C10, _C11, _C12, _C13, _C14 = (1.0 / math.factorial(n) for n in range(9, 15))
# Terms of artanh(s) / s = 1 + s²/3 + s⁴/5 + ...: enough for s² <= 0.0295, where m is √2 or √½.
_LOG_TERMS32, _LOG_TERMS64 = 5, 11


def exp(x):  # pragma: no cover
    """e**x of a vector."""
    return np.exp(x)


def log(x):  # pragma: no cover
    """Natural logarithm of a vector; -inf for 0 and for denormals, NaN below."""
    return np.log(x)


def exp_falling(x):  # pragma: no cover
    """e**x of a vector without positive elements; 0 below the smallest normal number."""
    return np.exp(x)


def sigmoid(x):  # pragma: no cover
    """1 / (1 + e**-x) of a vector."""
    return 1.0 / (1.0 + np.exp(-x))


def tanh(x):  # pragma: no cover
    """Hyperbolic tangent of a vector."""
    return np.tanh(x)


@inline
def power(base, exponent):
    """base**exponent of a vector of numbers >= 0, for a number >= 0; squares are exact."""
    if exponent == 2.0:
        result = base * base
    else:
        result = exp(log(select(base < _LEAST_BASE, _LEAST_BASE, base)) * exponent)
    return result


@inline
def reduce32(x):
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
def reduce64(x):
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


def _sigmoid32(x):
    """1 / (1 + 2**n · e**r), where e**r is a quotient itself."""
    x = select(x > _SIGMOID_ONE, _SIGMOID_ONE, x)
    x = select(x < _SIGMOID_NOTHING, _SIGMOID_NOTHING, x)
    shifted = fma(x, -LOG2_E, SHIFT32)
    n = shifted - SHIFT32
    minus_r = fma(n, _LN2, x)
    square = minus_r * minus_r
    a = fma(square, _A1, 1.0)
    b = fma(square, _B1, 0.5)
    below = fma(minus_r, b, a)
    above = fma(-minus_r, b, a)
    return below / fma(above, two_to(shifted), below)


def _sigmoid64(x):
    """1 / (1 + e**-x)."""
    y = -x
    y = select(y < -708.0, -708.0, y)
    y = select(y > 709.9, 709.9, y)
    shifted, p = reduce64(y)
    return 1.0 / fma(1.0 + p, two_to(shifted), 1.0)


def _tanh32(x):
    """x times a quotient of polynomials in x**2."""
    x = select(x > _ONE_FROM, _ONE_FROM, x)
    x = select(x < -_ONE_FROM, -_ONE_FROM, x)
    square = x * x
    p = fma(square, _N4, _N3)
    p = fma(p, square, _N2)
    p = fma(p, square, _N1)
    p = fma(p, square, 1.0)
    q = fma(square, _D4, _D3)
    q = fma(q, square, _D2)
    q = fma(q, square, _D1)
    q = fma(q, square, 1.0)
    y = x * p / q
    y = select(y > 1.0, 1.0, y)
    return select(y < -1.0, -1.0, y)


def _tanh64(x):
    """(e**2x - 1) / (e**2x + 1), where the exponential is below 1."""
    y = -2.0 * absolute(x)
    shifted, p = reduce64(select(y < -50.0, -50.0, y))
    power = two_to(shifted)
    less_one = fma(p, power, power - 1.0)
    return copy_sign(less_one / (less_one + 2.0), x)


def _register_log(dtype, terms, smallest, ln2_high, ln2_low):
    """Give log its version for one precision."""

    def log_vector(x):
        n, above = exponent(x), mantissa(x) - 1.0
        s = above / (2.0 + above)
        square = s * s
        series = zero_like(x)
        for k in range(terms - 1, 0, -1):
            series = fma(series, square, 1.0 / (2 * k + 1))
        # 2s = above - s·above, of which the first is exact.
        m_log = above - s * (above - 2.0 * square * series)
        y = fma(n, ln2_high, fma(n, ln2_low, m_log))
        y = select(x < smallest, -np.inf, y)
        y = select(x < 0.0, np.nan, y)
        return select(x < np.inf, y, x)

    @overload(log, jit_options=INLINE)
    def choose(x):
        return log_vector if isinstance(x, Vector) and x.dtype == dtype else None


def _register(dtype, reduce, sigmoid_vector, tanh_vector, lowest, highest, vanishing):
    """Give the four functions their version for one precision.

    ``lowest`` and ``highest`` bound the arguments whose exponential is neither 0 nor infinite,
    however it is rounded; at ``vanishing`` n is that of zero.
    """

    def exp_vector(x):
        x = select(x > highest, highest, x)
        x = select(x < lowest, lowest, x)
        shifted, p = reduce(x)
        return scale(1.0 + p, shifted)

    def exp_falling_vector(x):
        shifted, p = reduce(select(x < vanishing, vanishing, x))
        return (1.0 + p) * two_to(shifted)

    def overload_for(function, implementation):
        @overload(function, jit_options=INLINE)
        def choose(x):
            return implementation if isinstance(x, Vector) and x.dtype == dtype else None

    overload_for(exp, exp_vector)
    overload_for(exp_falling, exp_falling_vector)
    overload_for(sigmoid, sigmoid_vector)
    overload_for(tanh, tanh_vector)


_register(types.float32, reduce32, _sigmoid32, _tanh32, -104.0, 89.0, -88.1)
_register(types.float64, reduce64, _sigmoid64, _tanh64, -746.0, 710.0, -709.1)
_register_log(types.float32, _LOG_TERMS32, 2.0**-126, _LN2_HIGH32, _LN2_LOW32)
_register_log(types.float64, _LOG_TERMS64, 2.0**-1022, _LN2_HIGH64, _LN2_LOW64)
