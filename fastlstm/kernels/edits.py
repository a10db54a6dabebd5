"""How far label sequences are from one another.

Source: Wagner and Fischer, "The string-to-string correction problem", Journal of the ACM 21(1),
1974.
"""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import take


@kernel
def edits(counts, scratch, found, labels, crew):
    """Least number of labels to put in, take out or exchange, so that ``found`` is ``labels``.

    counts : (B, 2) float64: that number, and the number of labels
    scratch : (threads, L + 1) int32
    found : (B, T) int32, filled up with negative ids
    labels : (B, L) int32, likewise
    """
    row = crew.member
    b = take(crew, -1)
    while b < len(labels):
        n = 0
        while n < labels.shape[1] and labels[b, n] >= 0:
            n += 1
        # The distances from what was found so far to each beginning of the labels.
        for j in range(n + 1):
            scratch[row, j] = j
        t = 0
        while t < found.shape[1] and found[b, t] >= 0:
            corner = scratch[row, 0]
            scratch[row, 0] = t + 1
            for j in range(n):
                exchanged = corner + (0 if found[b, t] == labels[b, j] else 1)
                corner = scratch[row, j + 1]
                other = min(corner, scratch[row, j]) + 1
                scratch[row, j + 1] = min(exchanged, other)
            t += 1
        counts[b, 0], counts[b, 1] = scratch[row, n], n
        b = take(crew, b)
