"""Some columns of a matrix, taken out and put back."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def take_columns(part, matrix, start, crew):
    """part[k, n] = matrix[k, start + n].

    part : (K, N)
    matrix : (K, at least start + N)
    """
    rows, columns = part.shape
    first, last = share(rows, crew)
    for k in range(first, last):
        for n in range(columns):
            part[k, n] = matrix[k, start + n]


@kernel
def put_columns(matrix, part, start, more, crew):
    """matrix[k, start + n] = part[k, n], the inverse of ``take_columns``; or, with ``more``, +=."""
    rows, columns = part.shape
    first, last = share(rows, crew)
    for k in range(first, last):
        for n in range(columns):
            if more:
                matrix[k, start + n] += part[k, n]
            else:
                matrix[k, start + n] = part[k, n]
