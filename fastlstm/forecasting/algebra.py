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
    """(..., n, m) the product of (..., n, k) and (..., k, m) matrices, in double precision.

    Examples
    --------
    >>> product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    (*several, n, k), m = a.shape, b.shape[-1]
    made = np.empty((*several, n, m))
    whole, rest = k // _BLOCK, k % _BLOCK
    first = k - rest
    # Views of all blocks along k, one behind the other.
    many_a = a[..., :first].reshape(*several, n, whole, _BLOCK).swapaxes(-3, -2)
    many_b = b[..., :first, :].reshape(*several, whole, _BLOCK, m)
    for i in range(0, n, _BLOCK):
        rows = slice(i, i + _BLOCK)
        for j in range(0, m, _BLOCK):
            columns = slice(j, j + _BLOCK)
            block = made[..., rows, columns]
            if not whole:
                block[...] = a[..., rows, :] @ b[..., columns]
                continue
            block[...] = np.matmul(many_a[..., rows, :], many_b[..., columns]).sum(axis=-3)
            if rest:
                block += a[..., rows, first:] @ b[..., first:, columns]
    return made


def solve(square: Array, cross: Array) -> Array:
    """(..., n, m) solutions of symmetric, positive definite systems, by the factors of Cholesky.

    Where one is singular to rounding it is least squares, of the smallest solution, by LAPACK,
    whose last bits may depend on the threads.

    Examples
    --------
    >>> solve(np.array([[4.0, 2.0], [2.0, 5.0]]), np.array([[8.0], [12.0]])).ravel().tolist()
    [1.0, 2.0]
    """
    found = _cholesky(square)
    if found is None:
        if square.ndim > 2:  # one of them: the others are solved as they are without it
            return np.stack([solve(one, y) for one, y in zip(square, cross, strict=True)])
        made: Array = np.linalg.lstsq(square, cross, rcond=None)[0]
        return made
    factor, inverses = found
    made = np.array(cross, np.float64)
    blocks = list(zip(range(0, factor.shape[-1], _BLOCK), inverses, strict=True))
    for first, inverse in blocks:
        last = first + inverse.shape[-1]
        made[..., first:last, :] = product(inverse, made[..., first:last, :])
        below = factor[..., last:, first:last]
        made[..., last:, :] -= product(below, made[..., first:last, :])
    for first, inverse in reversed(blocks):
        last = first + inverse.shape[-1]
        made[..., first:last, :] = product(inverse.swapaxes(-1, -2), made[..., first:last, :])
        before = factor[..., first:last, :first].swapaxes(-1, -2)
        made[..., :first, :] -= product(before, made[..., first:last, :])
    return made


def _cholesky(square: Array) -> tuple[Array, list[Array]] | None:
    """(..., n, n) whose lower half is the factor but for its diagonal blocks, and their inverses.

    None where one has no factor. LAPACK leaves a block this small to one thread.
    """
    factor, inverses = np.array(square, np.float64), []
    diagonal = factor.diagonal(axis1=-2, axis2=-1)
    least = _SINGULAR * diagonal.max(axis=-1, keepdims=True, initial=0.0)
    for first in range(0, factor.shape[-1], _BLOCK):
        last = min(first + _BLOCK, factor.shape[-1])
        try:
            block = np.linalg.cholesky(factor[..., first:last, first:last])
        except np.linalg.LinAlgError:
            return None
        if not (block.diagonal(axis1=-2, axis2=-1) ** 2 > least).all():
            return None
        inverses.append(np.linalg.inv(block))
        below = product(factor[..., last:, first:last], inverses[-1].swapaxes(-1, -2))
        factor[..., last:, first:last] = below
        factor[..., last:, last:] -= product(below, below.swapaxes(-1, -2))
    return factor, inverses
