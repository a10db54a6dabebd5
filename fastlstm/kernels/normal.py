"""The normal distribution's share below a number, for a vector register.

Its tail below -a, for a >= 0, is e**(-a²/2) · q(u) / (a + k), with u = (a - k) / (a + k) between -1
and 1, and q a polynomial: the interpolant at Chebyshev's points of what the tail takes for that. It
is right to 1e-8 of the tail in single precision, and to 3e-17 in double, before rounding.
"""

from __future__ import annotations

import math

from numba import types
from numba.extending import overload

from fastlstm.kernels.jit import INLINE
from fastlstm.kernels.math import exp_falling
from fastlstm.kernels.simd import Vector, absolute, fma, select, zero_like

_DENSITY_AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)

# k, the argument from which on nothing is left, and the coefficients of q, the constant first.
_TAIL32 = (
    4.0, 13.5,
    (
        0.7552851380248612, -0.6078966306081963, 0.3871366971202861, -0.18652234548964364,
        0.06040682434735087, -0.007531534601352409, -0.003528755526427452, 0.0015760096554597856,
        0.00020846616173452297, -0.0001171377523064853,
    ),
)  # fmt: skip
_TAIL64 = (
    6.0, 38.0,
    (
        0.7773517718933621, -0.7010090295908654, 0.5689688918147886, -0.41390358577559977,
        0.2679742458413856, -0.15268023206424283, 0.07517191567480695, -0.03098531550990628,
        0.010029820574986185, -0.0021316052084365245, 3.287044563439324e-05,
        0.0001813605251464435, -6.47537062314748e-05, 1.0747886797716152e-06,
        6.800622773541278e-06, -1.7969083285180418e-06, -4.360196378933116e-07,
        3.0509054819373853e-07, 1.3067770534703449e-08, -3.7854164094275504e-08,
        -5.939794851277494e-11, 2.657409765539715e-09,
    ),
)  # fmt: skip


def _made(k, last, q):
    """Share and density for one precision."""
    degree = len(q) - 1

    def share_and_density(x):
        a = absolute(x)
        a = select(a > last, last, a)
        # a²/2, and what rounding took from it.
        half = 0.5 * a
        square = half * a
        rest = fma(half, a, -square)
        e = exp_falling(-square)
        e = fma(-rest, e, e)
        inverse = 1.0 / (a + k)
        u = (a - k) * inverse
        series = zero_like(x) + q[degree]
        for n in range(degree - 1, -1, -1):
            series = fma(u, series, q[n])
        tail = e * (series * inverse)
        return select(x > 0.0, 1.0 - tail, tail), _DENSITY_AT_ZERO * e

    return share_and_density


_normal32, _normal64 = _made(*_TAIL32), _made(*_TAIL64)


def normal(x):  # pragma: no cover
    """Share of the standard normal distribution below a vector, and its density there."""
    return _normal64(x)


@overload(normal, jit_options=INLINE)
def _choose(x):
    if isinstance(x, Vector):
        return _normal32 if x.dtype == types.float32 else _normal64
    return None
