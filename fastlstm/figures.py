"""Figures, drawn with matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def gradient_flow(
    norms: Mapping[str, np.ndarray],
    *,
    title: str = "Gradient of the loss on its way back through time",
    shades: Sequence[float] | None = None,
    ax: Any = None,
) -> Any:
    """Draw norms over steps back in time, on a logarithmic scale.

    A line that falls shows a gradient that vanishes: the steps to the right are hardly learned
    from. One that rises shows one that explodes. Where a line ends, the gradient is zero.

    Parameters
    ----------
    norms : mapping of str to array_like
        For each line its name and norms, the first for the last step.
    title : str
        Above the figure.
    shades : sequence of float, optional
        A number from 0 to 1 for each line, to draw them from light to dark; by default each has a
        colour of its own.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes
        ``ax.figure.savefig("flow.png")`` writes the figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "figures are drawn with matplotlib, which is not installed: "
            "pip install 'fastlstm[examples]', or draw what gradient_flow() returns yourself"
        ) from error
    if ax is None:
        ax = plt.subplots(figsize=(8, 4.5), layout="constrained")[1]
    for number, (name, values) in enumerate(norms.items()):
        shade = {} if shades is None else {"color": plt.get_cmap("viridis_r")(shades[number])}
        marker = "o" if len(values) == 1 else None
        ax.plot(np.arange(len(values)), values, label=name, lw=1.6, marker=marker, **shade)
    ax.set_yscale("log")
    ax.set(xlabel="steps back in time", ylabel="norm of the gradient with respect to h")
    ax.set_title(title, loc="left")
    ax.legend(frameon=False)
    ax.grid(which="major", color="0.9", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
