"""Pictures of forecasts, with matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.figures import pyplot
from fastlstm.forecasting.frequency import written
from fastlstm.forecasting.panel import Panel

Array = npt.NDArray[Any]

_PAST, _SAID, _CAME = "0.25", "tab:blue", "tab:orange"
# Series that a figure has room for.
_MOST = 8
# Series whose components have room beside each other.
SIDE_BY_SIDE = 3


def draw_forecasts(
    panel: Panel,
    columns: dict[str, Array],
    places: Sequence[int],
    *,
    history: int,
    came: Array | None = None,
    target: str = "",
    title: str = "",
) -> Any:
    """Draw the end of each series and what is forecast, intervals as shades.

    Parameters
    ----------
    panel : Panel
    columns : dict of str to ndarray
        (S, h) each: the forecast under the model's name, first, and the ends of its intervals.
    places : sequence of int
        The series to draw, by their numbers.
    history : int
        Points before the forecast.
    came : ndarray, optional
        (S, h) what came.
    target, title : str
        What is drawn, beside the axes, and what the figure is about, above all.

    Returns
    -------
    matplotlib Figure
    """
    plt = pyplot()
    shown = list(places)[:_MOST]
    across = 1 if len(shown) == 1 else 2
    down = -(-len(shown) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(9 if across == 1 else 12, 3.2 * down), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    name, *others = columns
    h = columns[name].shape[1]
    bands = [(low, low.replace("-lo-", "-hi-")) for low in others if "-lo-" in low]
    for number, ax in enumerate(axes.flat):
        if number >= len(shown):
            ax.set_axis_off()
            continue
        s = shown[number]
        stamps, values = panel.stamps(s)[-history:], panel.series(s)[-history:]
        later = panel.frequency.stamps(panel.starts[s], int(panel.lengths[s]), h)
        ax.plot(stamps, values, color=_PAST, lw=1.1, label="the past")
        for n, (low, high) in enumerate(bands):
            covers = low.rpartition("-")[2]
            shade = 0.15 + 0.2 * n / max(1, len(bands) - 1)
            ax.fill_between(
                later, columns[low][s], columns[high][s], color=_SAID, alpha=shade, lw=0,
                label=f"{covers} %",
            )  # fmt: skip
        if came is not None:
            ax.plot(later, came[s], color=_CAME, lw=1.1, label="what came")
        ax.plot(later, columns[name][s], color=_SAID, lw=1.6, label=name)
        # The last stamp that was known.
        ax.axvline(stamps[-1], color="0.6", lw=0.8, ls=":", label="known until here")
        ax.set_title(str(panel.ids[s]), loc="left", fontsize="medium")
        if target and number % across == 0:
            ax.set_ylabel(target)
        _tidy(ax)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize="large")
    return figure


def draw_components(parts: dict[Any, dict[str, Array]], name: str) -> Any:
    """Draw level, seasons and network of some series, a column for each.

    Parameters
    ----------
    parts : dict of dict of str to ndarray
        By the series' ids, as ``ESRNN.components`` gives them.
    name : str
        Of the model.

    Returns
    -------
    matplotlib Figure
    """
    plt = pyplot()
    figure, axes = plt.subplots(
        3, len(parts), figsize=(max(9, 5.5 * len(parts)), 8), layout="constrained",
        squeeze=False, height_ratios=(2, 1.3, 1),
    )  # fmt: skip
    for number, (series, part) in enumerate(parts.items()):
        stamps, network = part["stamp"], part["network"]
        h = int(np.isfinite(network).sum())
        seasons = {key: v for key, v in part.items() if key.startswith("season_")}
        longest = max((int(key.rpartition("_")[2]) for key in seasons), default=h)
        late = slice(-min(len(stamps), 2 * longest + h), None)
        whole, middle, last = axes[:, number]
        whole.plot(stamps, part["y"], color=_PAST, lw=1.0, label="the series")
        whole.plot(stamps, part["level"], color=_CAME, lw=1.8, label="level")
        whole.plot(stamps, part["forecast"], color=_SAID, lw=1.6, label=f"{name}, all together")
        whole.set_title(str(series), loc="left")
        neutral = 1.0 if part["multiplicative"] else 0.0
        what = "factor" if part["multiplicative"] else "added"
        colours = ("tab:green", "tab:purple")
        for colour, (key, season) in zip(colours, seasons.items(), strict=False):
            label = f"season of {key.rpartition('_')[2]} steps"
            middle.plot(stamps[late], season[late], color=colour, lw=1.4, label=label)
        last.plot(stamps[late], network[late], color=_SAID, lw=1.6, label="network")
        last.set_xlim(middle.get_xlim() if seasons else None)
        middle.set_ylabel(f"seasons, {what}")
        last.set_ylabel(f"network, {what}")
        for ax in (middle, last):
            ax.axhline(neutral, color="0.7", lw=0.8)
            ax.axvspan(stamps[-h], stamps[-1], color=_SAID, alpha=0.08, lw=0)
        for ax in (whole, middle, last):
            _tidy(ax)
            if number == 0 and ax.get_legend_handles_labels()[1]:
                ax.legend(frameon=False, ncols=3, fontsize="small", loc="upper left")
                ax.margins(y=0.2)  # where the legend stands
    return figure


def draw_training(histories: Sequence[dict[str, list[float]]], title: str) -> Any:
    """Draw the loss over the updates, a line for each network.

    Returns
    -------
    matplotlib Figure
    """
    figure, ax = pyplot().subplots(figsize=(8, 4), layout="constrained")
    for name, label, colour in (
        ("loss", "training", _PAST),
        ("val_loss", "points held out", _SAID),
    ):
        for number, history in enumerate(histories):
            if name in history:
                ax.plot(
                    history["step"], history[name], color=colour, marker="o", ms=3,
                    label=None if number else label,
                )  # fmt: skip
    ax.set(xlabel="updates", ylabel="loss of scaled values")
    ax.set_title(title, loc="left")
    ax.legend(frameon=False)
    _tidy(ax)
    return figure


def draw_calibration(nominal: Array, empirical: Array, name: str) -> Any:
    """Draw how much of what came lay within intervals, over how much should have.

    Parameters
    ----------
    nominal, empirical : ndarray
        (n,) coverage in per cent.
    name : str
        Of the model.

    Returns
    -------
    matplotlib Figure
    """
    figure, ax = pyplot().subplots(figsize=(5, 5), layout="constrained")
    ax.plot([0, 100], [0, 100], color="0.7", lw=1, label="as it should be")
    ax.plot(nominal, empirical, color=_SAID, marker="o", ms=4, label=name)
    ax.set(
        xlim=(0, 100), ylim=(0, 100), xlabel="nominal coverage, per cent",
        ylabel="what came within, per cent",
    )  # fmt: skip
    ax.legend(frameon=False)
    _tidy(ax)
    return figure


def draw_attention(panel: Panel, place: int, weights: Array, name: str) -> Any:
    """Draw the past of a series, and below it how much each step to come looks at each of it.

    Parameters
    ----------
    panel : Panel
    place : int
        Number of the series.
    weights : ndarray
        (h, L), each row sums to 1.
    name : str
        Of the model.

    Returns
    -------
    matplotlib Figure
    """
    h, look_back = weights.shape
    shown = min(look_back, int(panel.lengths[place]))
    end = int(panel.lengths[place])
    stamps = panel.frequency.stamps(panel.starts[place], end - shown, shown)
    later = panel.frequency.stamps(panel.starts[place], end, h)
    figure, (above, below) = pyplot().subplots(
        2, 1, sharex=True, figsize=(10, 6.5), layout="constrained", height_ratios=(1, 2)
    )
    above.plot(stamps, panel.series(place)[end - shown :], color=_PAST, lw=1.1)
    above.set(ylabel="value")
    above.set_title(f"{panel.ids[place]}: what {name} looks at", loc="left")
    image = below.pcolormesh(
        stamps, np.arange(1, h + 1), 100 * weights[:, look_back - shown :],
        cmap="Blues", vmin=0, shading="nearest", rasterized=True,
    )  # fmt: skip
    below.set(xlabel="step of the past", ylabel="step to come")
    below.set_ylim(h + 0.5, 0.5)
    _tidy(above)
    _tidy(below)
    below.grid(visible=False)
    marks = np.unique(np.linspace(1, h, min(h, 9)).round().astype(int))
    below.set_yticks(marks, [written(later[k - 1]) for k in marks], fontsize="small")
    figure.colorbar(image, ax=below, label="weight, per cent of the row")
    return figure


def _tidy(ax: Any) -> None:
    ax.grid(which="major", color="0.92", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if hasattr(ax.xaxis.get_major_locator(), "intervald"):  # dates
        locator = ax.xaxis.get_major_locator()
        ax.xaxis.set_major_formatter(_date_formatter(locator))


def _date_formatter(locator: Any) -> Any:
    from matplotlib.dates import ConciseDateFormatter

    return ConciseDateFormatter(locator)


def places_of(panel: Panel, ids: Any) -> list[int]:
    """Numbers of the series with these ids, or with this one; the first ones by default.

    Raises
    ------
    TypeError
        For a table.
    ValueError
        For an id that there is not.
    """
    if ids is None:
        return list(range(min(len(panel), _MOST)))
    if hasattr(ids, "columns"):
        raise TypeError(
            "ids expects names of series, such as ['a', 'b'], got a table; plots make forecasts "
            "and backtests of their own, from the series of the last fit"
        )
    if isinstance(ids, str) or np.ndim(ids) == 0:
        ids = [ids]
    known = {name: s for s, name in enumerate(panel.ids)}
    unknown = [name for name in ids if name not in known]
    if unknown:
        some = ", ".join(map(repr, panel.ids[:5]))
        raise ValueError(f"there is no series {unknown[0]!r}; there are {len(panel)}: {some} ...")
    return [known[name] for name in ids]
