"""Exponential smoothing as its equations read, a series and a step at a time, in float64."""

from __future__ import annotations

import numpy as np


def smooth(values, coefficients, seasons):
    """Levels (B, T), and seasons of steps to T and one season more, a list of (B, T + m)."""
    steps, batch, _ = values.shape
    levels = np.zeros((batch, steps))
    found = [np.zeros((batch, steps + m)) for m in seasons]
    for i in range(batch):
        a, b, c = (1 / (1 + np.exp(-logit)) for logit in coefficients[i, :3])
        level, at = coefficients[i, 3], 4
        for season, m in zip(found, seasons, strict=True):
            season[i, :m] = coefficients[i, at : at + m]
            at += m
        for t in range(steps):
            value, there = values[t, i]
            now = [season[i, t] for season in found]
            before, level = level, level
            if there:
                level = a * (value - sum(now)) + (1 - a) * before
            levels[i, t] = level
            for n, (season, m) in enumerate(zip(found, seasons, strict=True)):
                season[i, t + m] = now[n]
                if there:
                    rate = (b, c)[n]
                    others = sum(now) - now[n]
                    season[i, t + m] = rate * (value - level - others) + (1 - rate) * now[n]
    return levels, found


def windows(values, levels, found, seasons, starts, look_back, horizon, stride, answers, ahead):
    """What ``kernels.smoothing.windows`` gives: (S, B, L + A + 1) and (S, B, h·Q)."""
    steps, batch, _ = values.shape
    seen, bases = [], []
    for j in range((steps - look_back + 1) // stride):
        row, base = [], []
        for i in range(batch):
            origin = look_back - 1 + int(starts[i, 0]) + j * stride

            def season_to_come(k, i=i, origin=origin):
                pairs = zip(found, seasons, strict=True)
                return sum(season[i, origin + 1 + k % m] for season, m in pairs)

            last = range(origin - look_back + 1, origin + 1)
            there = np.array([values[t, i, 0] for t in last if values[t, i, 1]])
            spread = there.std() if len(there) else 0.0
            spread = spread if spread > 1e-3 * (1 + abs(there.mean() if len(there) else 0)) else 1.0
            window = [
                (values[t, i, 0] - sum(season[i, t] for season in found) - levels[i, origin])
                * values[t, i, 1]
                for t in last
            ]
            window += [season_to_come(k) for k in range(ahead)]
            row.append([one / spread for one in window] + [0.3 * np.log(spread)])
            base.append(
                [
                    levels[i, origin] + season_to_come(k)
                    for k in range(horizon)
                    for _ in range(answers)
                ]
            )
        seen.append(row)
        bases.append(base)
    return np.array(seen), np.array(bases)


def roughness(levels, values, first):
    """Σ of squared second differences of levels, the one before the first step included."""
    total = 0.0
    for i in range(len(levels)):
        along = np.concatenate([[first[i]], levels[i]])
        for t in range(1, levels.shape[1]):
            if values[t, i, 1] and values[t - 1, i, 1]:
                total += (along[t + 1] - 2 * along[t] + along[t - 1]) ** 2
    return total
