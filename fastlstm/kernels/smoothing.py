"""Exponential smoothing of many series: levels and seasons, windows without them, and back.

The letters: ``T`` steps of ``B`` series, whose first season has ``m`` steps and second one ``n``;
either may be 0, for none. A window has ``L`` steps and ends with its origin. Each series has ``S``
origins, ``stride`` steps apart, of which the first is so many steps behind L - 1 as it ``starts``.

    d_t = z_t - s_t - u_t - l_(t-1)        0 where there is no value
    l_t = l_(t-1) + a d_t
    s_(t+m) = s_t + b (1 - a) d_t
    u_(t+n) = u_t + c (1 - a) d_t

Of logarithms these are the multiplicative equations, with means that are geometric ones. What they
start from is learned too: ``coefficients`` (B, 4 + m + n) are, of each series, the logits of a, b
and c, the level before the first step, and the first season of each kind.

Threads take series, so the bits depend on nothing but a series' own numbers.

Source: the error-correction form of Holt and Winters, as in Hyndman, Koehler, Ord, Snyder,
"Forecasting with Exponential Smoothing", Springer 2008; two seasons after Taylor, "Short-term
electricity demand forecasting using double seasonal exponential smoothing", Journal of the
Operational Research Society 54(8), 2003.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share

# Logits of a, b and c, and the level, which stand before the seasons.
HEAD = 4
# A window of values that differ by less, in proportion, is one that does not vary.
_LEAST = 1e-3
# What the logarithm of a spread is multiplied by.
_LOGARITHM = 0.3


@inline
def _part(logit):
    """A number between 0 and 1."""
    return 1.0 / (1.0 + np.exp(-logit))


@kernel
def smooth(level, first, second, surprise, values, coefficients, crew):
    """Levels and seasons of all steps, from the first to the last.

    level : (B, T) after each step
    first, second : (B, T + m) and (B, T + n) before each step, and those of one season to come
    surprise : (B, T) d
    values : (T, B, 2) z, and 1 where there is a value, 0 where there is none
    coefficients : (B, 4 + m + n)
    """
    steps = level.shape[1]
    m, n = first.shape[1] - steps, second.shape[1] - steps
    begin, end = share(level.shape[0], crew)
    for i in range(begin, end):
        a = _part(coefficients[i, 0])
        b = _part(coefficients[i, 1]) * (1.0 - a)
        c = _part(coefficients[i, 2]) * (1.0 - a)
        now = coefficients[i, 3]
        for k in range(m):
            first[i, k] = coefficients[i, HEAD + k]
        for k in range(n):
            second[i, k] = coefficients[i, HEAD + m + k]
        for t in range(steps):
            expected = now
            if m > 0:
                expected += first[i, t]
            if n > 0:
                expected += second[i, t]
            d = values[t, i, 1] * (values[t, i, 0] - expected)
            now += a * d
            if m > 0:
                first[i, t + m] = first[i, t] + b * d
            if n > 0:
                second[i, t + n] = second[i, t] + c * d
            surprise[i, t] = d
            level[i, t] = now


@kernel
def smooth_back(
    d_coefficients, d_level, d_first, d_second, surprise, values, coefficients, penalty, crew
):
    """The gradient of the coefficients; those of levels and seasons are used up.

    ``penalty`` is the weight of Σ (l_(t+1) - 2 l_t + l_(t-1))², over steps that have a value and
    follow one that has, whose gradient is added: without it levels follow each value.
    """
    steps = d_level.shape[1]
    m, n = d_first.shape[1] - steps, d_second.shape[1] - steps
    begin, end = share(d_level.shape[0], crew)
    for i in range(begin, end):
        a = _part(coefficients[i, 0])
        b, c = _part(coefficients[i, 1]), _part(coefficients[i, 2])
        if penalty > 0.0:
            for t in range(1, steps):
                both = values[t, i, 1] * values[t - 1, i, 1]
                # l_(t+1) - l_t is a d_t.
                bend = 2.0 * penalty * both * a * (surprise[i, t] - surprise[i, t - 1])
                d_level[i, t] += bend
                d_level[i, t - 1] -= 2.0 * bend
                if t > 1:
                    d_level[i, t - 2] += bend
                else:
                    d_coefficients[i, 3] = bend
        d_a, d_b, d_c = 0.0 * a, 0.0 * a, 0.0 * a
        d_now = 0.0 * a
        for t in range(steps - 1, -1, -1):
            there = values[t, i, 1]
            d = surprise[i, t]
            d_now += d_level[i, t]
            later = d_first[i, t + m] if m > 0 else 0.0 * a
            later_still = d_second[i, t + n] if n > 0 else 0.0 * a
            seasons = b * later + c * later_still
            # l = l + a d;  s' = s + b (1 - a) d;  u' = u + c (1 - a) d
            d_a += d * (d_now - seasons)
            d_b += d * later
            d_c += d * later_still
            # d = there (z - s - u - l)
            d_d = there * (a * d_now + (1.0 - a) * seasons)
            d_now -= d_d
            if m > 0:
                d_first[i, t] += later - d_d
            if n > 0:
                d_second[i, t] += later_still - d_d
        before = d_coefficients[i, 3] if penalty > 0.0 and steps > 1 else 0.0 * a
        d_coefficients[i, 0] = d_a * a * (1.0 - a)
        d_coefficients[i, 1] = d_b * (1.0 - a) * b * (1.0 - b)
        d_coefficients[i, 2] = d_c * (1.0 - a) * c * (1.0 - c)
        d_coefficients[i, 3] = before + d_now
        for k in range(m):
            d_coefficients[i, HEAD + k] = d_first[i, k]
        for k in range(n):
            d_coefficients[i, HEAD + m + k] = d_second[i, k]


@inline
def _spread(values, i, at, look_back):
    """The standard deviation of the values in a window; 1 of one that does not vary."""
    count, total = 0.0 * values[0, 0, 0], 0.0 * values[0, 0, 0]
    for k in range(look_back):
        count += values[at + k, i, 1]
        total += values[at + k, i, 1] * values[at + k, i, 0]
    mean = total / max(count, 1.0)
    squares = 0.0 * mean
    for k in range(look_back):
        away = values[at + k, i, 1] * (values[at + k, i, 0] - mean)
        squares += away * away
    spread = np.sqrt(squares / max(count, 1.0))
    return spread if spread > _LEAST * (1.0 + abs(mean)) else 1.0 + 0.0 * mean


@kernel
def windows(seen, base, level, first, second, values, starts, look_back, horizon, stride, crew):
    """What a network sees at each origin, and what its answers are added to.

    seen : (S, B, L + A + 1) the window less its seasons and the level at its end, 0 where a value
        is missing; then the seasons to come, of A steps; both over the standard deviation of the
        values in the window, whose logarithm is last
    base : (S, B, h·Q) level and season of each step to come, once for each of its Q answers
    level, first, second : as ``smooth`` makes them
    starts : (B, 1) less than ``stride``
    look_back, horizon, stride : L, h
    """
    steps = level.shape[1]
    m, n = first.shape[1] - steps, second.shape[1] - steps
    origins, _, width = seen.shape
    answers = base.shape[2] // horizon
    begin, end = share(level.shape[0], crew)
    for i in range(begin, end):
        for j in range(origins):
            at = int(starts[i, 0]) + j * stride
            origin = at + look_back - 1
            now = level[i, origin]
            spread = _spread(values, i, at, look_back)
            seen[j, i, width - 1] = _LOGARITHM * np.log(spread)
            for k in range(look_back):
                season = 0.0 * now
                if m > 0:
                    season += first[i, at + k]
                if n > 0:
                    season += second[i, at + k]
                left = values[at + k, i, 1] * (values[at + k, i, 0] - season - now)
                seen[j, i, k] = left / spread
            for k in range(width - look_back - 1):
                season = 0.0 * now
                if m > 0:
                    season += first[i, origin + 1 + k % m]
                if n > 0:
                    season += second[i, origin + 1 + k % n]
                seen[j, i, look_back + k] = season / spread
            for k in range(horizon):
                season = 0.0 * now
                if m > 0:
                    season += first[i, origin + 1 + k % m]
                if n > 0:
                    season += second[i, origin + 1 + k % n]
                for q in range(answers):
                    base[j, i, k * answers + q] = now + season


@kernel
def windows_back(
    d_level, d_first, d_second, d_seen, d_base, values, starts, look_back, horizon, stride, crew
):
    """Gradients of levels and seasons, from those of ``seen`` and ``base``."""
    steps = d_level.shape[1]
    m, n = d_first.shape[1] - steps, d_second.shape[1] - steps
    origins, _, width = d_seen.shape
    answers = d_base.shape[2] // horizon
    begin, end = share(d_level.shape[0], crew)
    for i in range(begin, end):
        for t in range(steps):
            d_level[i, t] = 0.0
        for t in range(steps + m):
            d_first[i, t] = 0.0
        for t in range(steps + n):
            d_second[i, t] = 0.0
        for j in range(origins):
            at = int(starts[i, 0]) + j * stride
            origin = at + look_back - 1
            d_now = 0.0 * d_level[i, 0]
            spread = _spread(values, i, at, look_back)
            for k in range(look_back):
                d = values[at + k, i, 1] * d_seen[j, i, k] / spread
                d_now -= d
                if m > 0:
                    d_first[i, at + k] -= d
                if n > 0:
                    d_second[i, at + k] -= d
            for k in range(width - look_back - 1):
                d = d_seen[j, i, look_back + k] / spread
                if m > 0:
                    d_first[i, origin + 1 + k % m] += d
                if n > 0:
                    d_second[i, origin + 1 + k % n] += d
            for k in range(horizon):
                d = 0.0 * d_now
                for q in range(answers):
                    d += d_base[j, i, k * answers + q]
                d_now += d
                if m > 0:
                    d_first[i, origin + 1 + k % m] += d
                if n > 0:
                    d_second[i, origin + 1 + k % n] += d
            d_level[i, origin] += d_now
