"""What a dense layer does beside its matrix products: softmax rows and activation derivatives."""

from __future__ import annotations

from fastlstm.kernels.activations import activate, derivative, slope_at
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import dot_rows, exp_row, row_max, scale_row
from fastlstm.kernels.simd import lanes, load_first, store_first
from fastlstm.kernels.team import share


@kernel
def softmax(y, crew):
    """Each row of y, (M, C), becomes exp(y - max) / sum(exp(y - max))."""
    first, last = share(y.shape[0], crew)
    classes = y.shape[1]
    for r in range(first, last):
        at = r * classes
        total = exp_row(y, True, y, at, classes, row_max(y, at, classes))
        scale_row(y, at, classes, 1.0 / total)


@kernel
def softmax_of(y, x, crew):
    """Each row of y is the softmax of that of x; both are (M, C)."""
    first, last = share(y.shape[0], crew)
    classes = y.shape[1]
    for r in range(first, last):
        at = r * classes
        total = exp_row(y, True, x, at, classes, row_max(x, at, classes))
        scale_row(y, at, classes, 1.0 / total)


@kernel
def softmax_gradient(d, y, crew):
    """d, the gradient of softmax rows y, becomes that of their logits: y · (d - sum(d · y))."""
    rows, classes = y.shape
    first, last = share(rows, crew)
    step = lanes(y)
    for r in range(first, last):
        at = r * classes
        dot = dot_rows(d, at, y, at, classes)
        for c in range(0, classes, step):
            count = min(step, classes - c)
            slopes = load_first(d, at + c, count) - dot
            store_first(load_first(y, at + c, count) * slopes, d, at + c, count)


@kernel
def activation_gradient(activation, d, y, crew):
    """d, the gradient of y = activation(x), becomes that of x; both are (M, N)."""
    step = lanes(y)
    first, last = share(y.size, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        slope = derivative(activation, load_first(y, at, count))
        store_first(load_first(d, at, count) * slope, d, at, count)


@kernel
def activation_gradient_of(activation, d, x, crew):
    """The same from x: for activations whose output does not tell their slope."""
    step = lanes(x)
    first, last = share(x.size, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        steepness = slope_at(activation, load_first(x, at, count))
        store_first(load_first(d, at, count) * steepness, d, at, count)


@kernel
def activate_all(activation, y, crew):
    """y = activation(y), element by element, for any number of rows."""
    step = lanes(y)
    first, last = share(y.size, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        store_first(activate(activation, load_first(y, at, count)), y, at, count)


@kernel
def activate_of(activation, y, x, crew):
    """y = activation(x), element by element; both are (M, N)."""
    step = lanes(y)
    first, last = share(y.size, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        store_first(activate(activation, load_first(x, at, count)), y, at, count)
