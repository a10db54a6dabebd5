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
    plt = pyplot()
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


def attention(
    weights: Any,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    *,
    title: str = "What each step looks at",
    ax: Any = None,
) -> Any:
    """Draw the weights of an attention as a map, the darker the more a step is looked at.

    Parameters
    ----------
    weights : array_like
        (Tq, Tv), of one sample and head: what ``return_attention_scores=True`` returns.
    queries, keys : sequence of str, optional
        Words for the steps, from top to bottom and from left to right.
    title : str
        Above the figure.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the weights are not of one sample and head, or there are not as many words as steps.
    """
    plt = pyplot()
    grid = np.asarray(weights)
    if grid.ndim != 2:
        raise ValueError(
            f"attention expects weights (Tq, Tv) of one sample and head, got shape {grid.shape}; "
            "choose one, as in weights[0]"
        )
    if ax is None:
        ax = plt.subplots(figsize=(6, 4.5), layout="constrained")[1]
    image = ax.imshow(grid, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
    for name, words, axis, size in (
        ("queries", queries, ax.yaxis, grid.shape[0]),
        ("keys", keys, ax.xaxis, grid.shape[1]),
    ):
        if words is None:
            continue
        if len(words) != size:
            raise ValueError(f"attention expects {size} words for {name}, got {len(words)}")
        axis.set_ticks(range(size), words)
    ax.set(xlabel="looked at", ylabel="looking")
    ax.set_title(title, loc="left")
    ax.figure.colorbar(image, ax=ax, label="weight")
    return ax


def graph(
    rows: Sequence[tuple[str, str, Sequence[int]]], *, title: str = "", ax: Any = None
) -> Any:
    """Draw boxes and what they take from one another, from top to bottom.

    Parameters
    ----------
    rows : sequence of (str, str, sequence of int)
        For each box a title, a line of text, and the numbers of the boxes before it that it takes
        something from.
    title : str
        Above the figure.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    plt = pyplot()
    depths: list[int] = []
    for _, _, sources in rows:
        depths.append(1 + max((depths[source] for source in sources), default=-1))
    in_row = [depths.count(depth) for depth in range(max(depths) + 1)]
    places = []
    for number, depth in enumerate(depths):
        place = depths[:number].count(depth)
        places.append((3.6 * (place - (in_row[depth] - 1) / 2), -1.3 * depth))
    if ax is None:
        size = (max(4.0, 3.4 * max(in_row)), 1.1 * len(in_row) + 0.6)
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    box = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": "0.4"}
    half = 0.34  # of a box's height
    for number, ((head, text, sources), (x, y)) in enumerate(zip(rows, places, strict=True)):
        for source in sources:
            # Past a row in between, on a curve.
            far = depths[number] - depths[source] > 1
            curve = "arc3,rad=-0.35" if far else "arc3"
            style = {"arrowstyle": "-|>", "color": "0.4", "connectionstyle": curve}
            start = places[source][0], places[source][1] - half
            ax.annotate("", (x, y + half), start, arrowprops={**style, "shrinkA": 0, "shrinkB": 0})
        ax.text(x, y, f"{head}\n{text}", ha="center", va="center", fontsize=9, bbox=box)
    edges = [x for x, _ in places]
    ax.set_xlim(min(edges) - 2.2, max(edges) + 2.2)
    ax.set_ylim(-1.3 * max(depths) - 0.8, 0.8)
    ax.set_title(title, loc="left")
    ax.axis("off")
    return ax


def pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "figures are drawn with matplotlib, which is not installed: "
            "pip install 'fastlstm[examples]', or draw the numbers yourself"
        ) from error
    return plt
