"""The natural logarithm of one vector register, and powers by way of it.

x = 2**n * m with m in [√½, √2), and log m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| <= 0.172:
an odd series whose terms shrink thirtyfold. Largest error, as measured by
``tests/kernels/test_logarithm.py``: 1.8 ulp in single and 2.5 in double precision. Zero goes to
-infinity, as do denormals, negative numbers to NaN; NaN stays NaN.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from fastlstm.kernels.jit import INLINE, inline
from fastlstm.kernels.math import exp
from fastlstm.kernels.simd import Vector, fma, select, zero_like

_SQRT2 = math.sqrt(2.0)
# ln(2) in two parts: the first has enough trailing zeros that n * part is exact.
_LN2_HIGH32, _LN2_LOW32 = 0.693359375, -2.12194440054690583e-4
_LN2_HIGH64, _LN2_LOW64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Terms after the first: what is left out is below a twentieth of an ulp.
_TERMS32, _TERMS64 = 5, 11
_NORMAL32, _NORMAL64 = 2.0**-126, 2.0**-1022
# Keeps the logarithm of nothing finite, so that 0**0 is 1; a normal number in either precision.
_LEAST_BASE = 1e-37


def log(x):  # pragma: no cover
    """Natural logarithm of a vector."""
    return np.log(x)


@inline
def power(base, exponent):
    """base**exponent of a vector of numbers >= 0, for a number >= 0; squares are exact."""
    if exponent == 2.0:
        result = base * base
    else:
        result = exp(log(select(base < _LEAST_BASE, _LEAST_BASE, base)) * exponent)
    return result


@intrinsic
def split_exponent(typingctx, x):
    """n, as a vector of numbers, and m in [1, 2), where x = 2**n * m is positive and normal."""
    size, mantissa, bias = (32, 23, 127) if x.dtype == types.float32 else (64, 52, 1023)

    def codegen(context, builder, sig, args):
        whole = ir.VectorType(ir.IntType(size), x.lanes)

        def constant(value):
            return ir.Constant(whole, [value] * x.lanes)

        bits = builder.bitcast(args[0], whole)
        n = builder.sub(builder.lshr(bits, constant(mantissa)), constant(bias))
        rest = builder.and_(bits, constant((1 << mantissa) - 1))
        m = builder.or_(rest, constant(bias << mantissa))
        values = [builder.sitofp(n, x.llvm), builder.bitcast(m, x.llvm)]
        return context.make_tuple(builder, sig.return_type, values)

    return types.UniTuple(x, 2)(x), codegen


@inline
def _log_of(x, terms, high, low, normal):
    n, m = split_exponent(x)
    n = select(m > _SQRT2, n + 1.0, n)
    m = select(m > _SQRT2, 0.5 * m, m)
    s = (m - 1.0) / (m + 1.0)
    s2 = s * s
    series = zero_like(x)
    for k in range(terms, 0, -1):
        series = fma(series, s2, 2.0 / (2 * k + 1))
    y = fma(n, high, fma(n, low, fma(s * s2, series, 2.0 * s)))
    y = select(x >= normal, y, select(x >= 0.0, -np.inf, zero_like(x) + np.nan))
    return select(x == np.inf, np.inf, y)


def _log32(x):
    return _log_of(x, _TERMS32, _LN2_HIGH32, _LN2_LOW32, _NORMAL32)


def _log64(x):
    return _log_of(x, _TERMS64, _LN2_HIGH64, _LN2_LOW64, _NORMAL64)


@overload(log, jit_options=INLINE)
def _choose(x):
    if not isinstance(x, Vector):
        return None
    return _log32 if x.dtype == types.float32 else _log64
