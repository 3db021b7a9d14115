"""Maps of a sweep over two keys or more: one colour a point, where lines would be too many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import NullLocator

from meshsim.plot import style
from meshsim.plot.axis import Axis, Line, number, shortened
from meshsim.scenario.model import CLIENT

MOST_NAMES = 24
"""So many lines' names stand beside a map; of more, every other one, and so on."""


def latency_map(axes: Axes, axis: Axis, lines: Sequence[Line], name: str) -> None:
    """The 99th percentile of latency at each point."""
    values = _values(axis, lines, "latency_p99")
    values[~(values > 0)] = np.nan
    low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (1e-3, 1.0)
    scale = LogNorm(low, max(high, 1.01 * low))
    bar = _map(axes, axis, lines, values, name, scale, "cividis")
    style.tidy(axes, "99th percentile of latency, failures included", grid=None)
    style.log_marks(bar.ax.yaxis, low, high)
    style.durations(bar.ax.yaxis)
    bar.ax.yaxis.set_minor_locator(NullLocator())


def success_map(axes: Axes, axis: Axis, lines: Sequence[Line], name: str) -> None:
    """The share of successful requests at each point."""
    values = _values(axis, lines, "success_ratio")
    low = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    bar = _map(axes, axis, lines, values, name, Normalize(min(low, 0.99), 1.0), "cividis_r")
    style.tidy(axes, "share of successful requests", grid=None)
    style.percent(bar.ax.yaxis)


def _values(axis: Axis, lines: Sequence[Line], column: str) -> Any:
    """The client's medians: (lines, places), NaN where a point is not finished."""
    places = {place: index for index, place in enumerate(sorted(axis.places))}
    values = np.full((len(lines), len(places)), np.nan)
    for row, line in enumerate(lines):
        for place, point in zip(line.places, line.points, strict=True):
            found = number(point, CLIENT, column)
            if found is not None:
                values[row, places[place]] = found.median
    return values


def _map(
    axes: Axes, axis: Axis, lines: Sequence[Line], values: Any, name: str, scale: Normalize, colours: str
) -> Any:
    """Draws the squares, the worst in the lightest colour, and marks both axes; returns the colour bar."""
    axes.set_facecolor("#EEEEEE")  # what is not finished
    squares = axes.pcolormesh(values, norm=scale, cmap=colours, edgecolors="white", linewidth=0.5)
    order = sorted(range(len(axis.places)), key=lambda index: axis.places[index])
    step = -(-len(order) // 12)
    shown = range(0, len(order), step)
    names = [shortened(axis.values[order[index]]) for index in shown]
    axes.set_xticks([index + 0.5 for index in shown], names)
    axes.set_xlabel(axis.key, fontsize=style.SIZE + 1, color=style.INK)
    step = -(-len(lines) // MOST_NAMES)
    axes.set_yticks([row + 0.5 for row in range(0, len(lines), step)], [line.name for line in lines[::step]])
    axes.set_ylabel(name, fontsize=style.SIZE + 1, color=style.INK)
    bar = axes.figure.colorbar(squares, ax=axes, pad=0.015, aspect=30)
    bar.ax.tick_params(labelsize=style.SIZE, colors=style.INK)
    bar.outline.set_visible(False)
    return bar
