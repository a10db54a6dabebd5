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


@kernel
def take_every(part, matrix, start, stride, crew):
    """part[k, n] = matrix[k, start + n·stride].

    part : (K, N)
    matrix : (K, D)
    """
    rows, columns = part.shape
    first, last = share(rows, crew)
    for k in range(first, last):
        for n in range(columns):
            part[k, n] = matrix[k, start + n * stride]


@kernel
def put_every(matrix, part, start, stride, crew):
    """matrix[k, start + n·stride] = part[k, n], and zero elsewhere: the gradient of ``take_every``.

    matrix : (K, D)
    part : (K, N)
    """
    rows, columns = part.shape
    first, last = share(rows, crew)
    for k in range(first, last):
        for d in range(matrix.shape[1]):
            matrix[k, d] = 0.0
        for n in range(columns):
            matrix[k, start + n * stride] = part[k, n]
