"""Optimizer steps over the flat parameter buffer.

All arrays are as long as the parameters, all updates in place. Threads take whole vectors, and an
element's bits do not depend on who computes it, nor on where in a vector.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastlstm.kernels.emit import data_pointer, load_part, store_part, strided
from fastlstm.kernels.jit import INLINE, inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import Vector, lanes, load_first, store_first, zero_like
from fastlstm.kernels.static import method
from fastlstm.kernels.team import share

# Numbers that a rule is told at each step.
RATES = 6


@inline
def share_vectors(size, step, crew):
    """First and past-last element of a thread's part, which starts on a vector of ``step``."""
    first, last = share((size + step - 1) // step, crew)
    return first * step, min(last * step, size)


@inline
def share_stretch(bounds, s, step, crew):
    """First and past-last element of a thread's part of stretch ``s``, as ``share_vectors``."""
    first, last = share_vectors(bounds[s, 1] - bounds[s, 0], step, crew)
    return bounds[s, 0] + first, bounds[s, 0] + last


# -- one step --------------------------------------------------------------------------------


@kernel
def step(rule, params, moments, grads, rates, decays, bounds, window, crew):
    """One step of an optimizer, after the decay of the weights.

        p -= p · decay        p, moments = rule(p, g, moments, rates)

    moments : (rule.moments, size)
    rates : (RATES,) float64
    decays : (S,) float64, of each stretch of the parameters: weight decay times learning rate, or 0
    bounds : (S, 2), first and past-last element of each stretch; what is in none stays as it is
    window : (1,) float64, as in ``accumulate``: where it is 0, nothing happens
    """
    if window[0] == 0.0:
        return
    numbers = (rates[0], rates[1], rates[2], rates[3], rates[4], rates[5])
    width = lanes(params)
    for s in range(len(decays)):
        start, stop = share_stretch(bounds, s, width, crew)
        decay = decays[s]
        whole = start + (stop - start) // width * width
        for at in range(start, whole, width):
            _step(rule, params, moments, grads, numbers, decay, at, width)
        if whole < stop:
            _step(rule, params, moments, grads, numbers, decay, whole, stop - whole)


@inline
def _step(rule, params, moments, grads, numbers, decay, at, count):
    p = load_first(params, at, count)
    p = p - p * decay
    before = load_moments(rule, moments, at, moments.shape[1], count)
    p, after = rule_update(rule, p, load_first(grads, at, count), before, numbers)
    store_moments(after, moments, at, moments.shape[1], count)
    store_first(p, params, at, count)


def rule_update(rule, p, g, moments, rates):  # pragma: no cover
    """The rule's equations."""
    return rule.update(p, g, moments, rates)


@overload(rule_update, jit_options=INLINE)
def _rule_update(rule, p, g, moments, rates):
    update = method(rule, "update")
    return lambda rule, p, g, moments, rates: update(rule, p, g, moments, rates)


@intrinsic
def load_moments(typingctx, rule, moments, at, stride, count):
    """The first ``count`` elements of one vector of each moment, zero in the other lanes."""
    vector = Vector(moments.dtype)
    result = types.UniTuple(vector, rule.value.moments)

    def codegen(context, builder, sig, args):
        _, array, at, stride, count = args
        pointer = data_pointer(context, builder, moments, array)
        values = [
            load_part(builder, vector, strided(builder, pointer, at, stride, index), count)
            for index in range(result.count)
        ]
        return context.make_tuple(builder, result, values)

    intp = types.intp
    return result(rule, moments, intp, intp, intp), codegen


@intrinsic
def store_moments(typingctx, values, moments, at, stride, count):
    """Write what ``load_moments`` reads."""
    vector = Vector(moments.dtype)

    def codegen(context, builder, sig, args):
        tuple_value, array, at, stride, count = args
        pointer = data_pointer(context, builder, moments, array)
        for index, value in enumerate(cgutils.unpack_tuple(builder, tuple_value, values.count)):
            target = strided(builder, pointer, at, stride, index)
            store_part(builder, vector, value, target, count)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(values, moments, intp, intp, intp), codegen


# -- before and after it ---------------------------------------------------------------------


@kernel
def accumulate(total, grads, window, crew):
    """Collect gradients; the last of a window becomes the mean of all of them.

    total : sum of the window's gradients so far, 0 again when it ends
    window : (1,) float64: how many gradients a window has, where this one is its last, else 0
    """
    count = window[0]
    width = lanes(grads)
    first, last = share_vectors(len(grads), width, crew)
    for at in range(first, last, width):
        part = min(width, last - at)
        g = load_first(grads, at, part)
        sums = g + load_first(total, at, part)
        if count == 0.0:
            store_first(sums, total, at, part)
        else:
            store_first(sums / count, grads, at, part)
            store_first(zero_like(g), total, at, part)


@kernel
def average(params, means, bounds, blend, crew):
    """Running mean of the parameters.

        mean = momentum · mean + (1 - momentum) · p        p = mean, where so told

    bounds : (S, 2), as in ``step``
    blend : (2,) float64: momentum; whether the parameters become their mean
    """
    momentum, overwrites = blend[0], blend[1] != 0.0
    width = lanes(params)
    for s in range(len(bounds)):
        first, last = share_stretch(bounds, s, width, crew)
        for at in range(first, last, width):
            count = min(width, last - at)
            p = load_first(params, at, count)
            mean = load_first(means, at, count) * momentum + p * (1.0 - momentum)
            store_first(mean, means, at, count)
            if overwrites:
                store_first(mean, params, at, count)
