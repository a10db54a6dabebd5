"""Products and equations with the same bits whatever the threads of BLAS.

BLAS shares a large product among its threads, and where it cuts depends on how many there are. A
small one is left to a single thread: everything here is made of products that small, added in an
order that only the sizes say, and of operations on elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Rows and columns of a block. OpenBLAS leaves up to 64 x 64 x 64 products to one thread.
_BLOCK = 64
# A pivot that is less than this part of the largest is rounding.
_SINGULAR = 1e-14


def product(a: Array, b: Array) -> Array:
    """(n, m) the product of (n, k) and (k, m) matrices, in double precision.

    Examples
    --------
    >>> product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    (n, k), m = a.shape, b.shape[1]
    made = np.empty((n, m))
    whole, rest = k // _BLOCK, k % _BLOCK
    first = k - rest
    # Views of all blocks along k, one behind the other.
    many_a = a[:, :first].reshape(n, whole, _BLOCK).transpose(1, 0, 2)
    many_b = b[:first].reshape(whole, _BLOCK, m)
    for i in range(0, n, _BLOCK):
        rows = slice(i, i + _BLOCK)
        for j in range(0, m, _BLOCK):
            columns = slice(j, j + _BLOCK)
            if not whole:
                made[rows, columns] = a[rows] @ b[:, columns]
                continue
            made[rows, columns] = np.matmul(many_a[:, rows], many_b[:, :, columns]).sum(axis=0)
            if rest:
                made[rows, columns] += a[rows, first:] @ b[first:, columns]
    return made


def solve(square: Array, cross: Array) -> Array:
    """(n, m) solution of a symmetric, positive definite system, by the factors of Cholesky.

    Where it is singular to rounding it is least squares, of the smallest solution, by LAPACK, whose
    last bits may depend on the threads.

    Examples
    --------
    >>> solve(np.array([[4.0, 2.0], [2.0, 5.0]]), np.array([[8.0], [12.0]])).ravel().tolist()
    [1.0, 2.0]
    """
    found = _cholesky(square)
    if found is None:
        made: Array = np.linalg.lstsq(square, cross, rcond=None)[0]
        return made
    factor, inverses = found
    made = np.array(cross, np.float64)
    blocks = list(zip(range(0, len(factor), _BLOCK), inverses, strict=True))
    for first, inverse in blocks:
        last = first + len(inverse)
        made[first:last] = product(inverse, made[first:last])
        made[last:] -= product(factor[last:, first:last], made[first:last])
    for first, inverse in reversed(blocks):
        last = first + len(inverse)
        made[first:last] = product(inverse.T, made[first:last])
        made[:first] -= product(factor[first:last, :first].T, made[first:last])
    return made


def _cholesky(square: Array) -> tuple[Array, list[Array]] | None:
    """(n, n) of which the lower half is the factor but for its diagonal blocks, and their inverses.

    None where there is no factor. LAPACK leaves a block this small to one thread.
    """
    factor, inverses = np.array(square, np.float64), []
    least = _SINGULAR * float(factor.diagonal().max(initial=0.0))
    for first in range(0, len(factor), _BLOCK):
        last = min(first + _BLOCK, len(factor))
        try:
            block = np.linalg.cholesky(factor[first:last, first:last])
        except np.linalg.LinAlgError:
            return None
        if not (block.diagonal() ** 2 > least).all():
            return None
        inverses.append(np.linalg.inv(block))
        below = product(factor[last:, first:last], inverses[-1].T)
        factor[last:, first:last] = below
        factor[last:, last:] -= product(below, below.T)
    return factor, inverses
