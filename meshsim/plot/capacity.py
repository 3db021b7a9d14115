"""The pictures of `capacity`: the load-latency curve with all that is asked and found, and the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from meshsim.measure import capacity as results
from meshsim.measure.grid import Floats
from meshsim.measure.intervals import Interval
from meshsim.plot import marks, style
from meshsim.units import duration_text, ratio_text

Points = Sequence[results.CurvePoint]
MARKS: dict[str, tuple[str, str, str]] = {
    "met": ("o", style.BLUE, "objectives met"),
    "undecided": ("D", style.ORANGE, "inconclusive or not evaluated"),
    "missed": ("X", style.VERMILLION, "objectives missed"),
}
"""Marker, colour and meaning of each verdict."""
PANEL_INCHES = 2.6
BRACKET: dict[str, Any] = {"fc": "#BBBBBB66", "ec": "#88888899", "hatch": "////", "lw": 0.0}
"""Hatched, so that it shows where the knee's band lies over it."""
KNEE_SHADE = "#CFE8DC"
RECOVERY = LinearSegmentedColormap.from_list("recovery", [style.VERMILLION, "#FFFFFF", style.BLUE])


def curve_figure(found: results.CapacityNumbers, part: results.LargestLoad) -> style.Picture:
    """A panel for each limit over the load, and one of goodput; objectives, bracket and knee are marked."""
    height = 2.15 + PANEL_INCHES * (len(found.objectives) + 1)
    figure = style.Picture(height)
    sentence = _sentence(found, part)
    top = style.heading(figure, found.scenario, sentence) - 0.2 / height
    bottom = _legend(figure, found)
    panels = np.atleast_1d(figure.subplots(len(found.objectives) + 1, 1, sharex=True))
    figure.subplots_adjust(left=style.LEFT, right=0.97, top=top, bottom=bottom, hspace=0.28)
    x = _Axis(part.curve[0])
    for place, (axes, limit) in enumerate(zip(panels, found.objectives, strict=False)):
        _limit(axes, limit, place, part.curve, x)
    _goodput(panels[-1], part.curve, x)
    for axes in panels:
        _mark_found(axes, part, x)
    labels = [marks.Label("the scenario's own load", x.unit)]
    if part.knee is not None:
        labels.append(marks.Label("knee", x.at(part.knee.best)))
    marks.name_above(panels[0], labels)
    panels[-1].set_xlabel(x.name, **style.TEXT)
    figure.alt = f"{found.scenario}: {sentence}"
    return figure


class _Axis:
    """What the load is drawn over: requests per second, or users where all loads are closed."""

    def __init__(self, level: results.LoadLevel) -> None:
        self.open = any(load.rate is not None for load in level.loads)
        amounts = (load.rate if self.open else load.users for load in level.loads)
        self.unit = sum(amount or 0.0 for amount in amounts) / level.factor
        self.name = "offered load, requests/s" if self.open else "users"

    def at(self, level: results.LoadLevel) -> float:
        """Where a load is drawn."""
        return float(level.factor * self.unit)


def _limit(axes: Axes, limit: results.Limit, place: int, points: Points, x: _Axis) -> None:
    values = [point.measured[place] for point in points]
    known = [value for value in values if value is not None]
    if limit.key == "success":
        title = f"success ratio; objective: at least {ratio_text(limit.limit)}"
        style.percent(axes.yaxis)
        low = min([limit.limit, *(value.low for value in known)])
        room = max(1e-6, 1.0 - low)
        axes.set_ylim(max(0.0, low - 0.1 * room), 1.0 + 0.1 * room)
    else:
        title = f"{limit.key} latency (log scale); objective: at most {duration_text(limit.limit)}"
        positive = [value for value in [limit.limit, *(each.mean for each in known)] if value > 0.0] or [1e-3]
        style.log_durations(axes, min(positive), max(positive))
        axes.set_ylim(min(positive) / 1.6, max(positive) * 1.6)
    style.tidy(axes, f"{limit.service}: {title}")
    _points(axes, points, values, x)
    axes.axhline(limit.limit, color=style.INK, linewidth=1.0, linestyle=(0, (4, 2)))


def _goodput(axes: Axes, points: Points, x: _Axis) -> None:
    style.tidy(axes, "goodput, requests/s" + (" (thin line: offered load)" if x.open else ""))
    _points(axes, points, [point.goodput for point in points], x)
    if x.open:
        ends = [x.at(points[0]), x.at(points[-1])]
        axes.plot(ends, ends, color=style.INK, linewidth=0.7)
    axes.set_ylim(bottom=0.0)


def _points(axes: Axes, points: Points, values: Sequence[Interval | None], x: _Axis) -> None:
    """What was measured at each load, with its interval, marked by verdict."""
    pairs = zip(points, values, strict=True)
    known = [(x.at(point), value, point.verdict) for point, value in pairs if value is not None]
    line = [place for place, _, _ in known], [value.mean for _, value, _ in known]
    axes.plot(*line, color="#999999", linewidth=0.8)
    for verdict, (marker, colour, _) in MARKS.items():
        places = [place for place, _, said in known if said == verdict]
        chosen = [value for _, value, said in known if said == verdict]
        means = [value.mean for value in chosen]
        # cut where a logarithm has no place for it
        margins = [max(0.0, min(value.half_width, 0.95 * value.mean)) for value in chosen]
        axes.errorbar(places, means, margins, fmt=marker, color=colour, ms=5, elinewidth=1.0, capsize=2)


def _mark_found(axes: Axes, part: results.LargestLoad, x: _Axis) -> None:
    """The bracket as a grey band, the knee as a green one, and the scenario's own load."""
    if part.meets is not None and part.misses is not None:
        axes.axvspan(x.at(part.meets), x.at(part.misses), **BRACKET, zorder=0.5)
    if part.knee is not None:
        axes.axvspan(x.at(part.knee.low), x.at(part.knee.high), color=KNEE_SHADE, alpha=0.8, zorder=0)
        axes.axvline(x.at(part.knee.best), color=style.GREEN, linewidth=1.0, linestyle=(0, (2, 2)))
    axes.axvline(x.unit, color=style.INK, linewidth=0.7)


def _sentence(found: results.CapacityNumbers, part: results.LargestLoad) -> str:
    words = (
        part.meets and f"{part.meets.label} meets the objectives",
        part.misses and f"{part.misses.label} misses them",
        f"{100 * found.confidence:.0f} % confidence",
        part.confirmed is False and "NOT confirmed with fresh seeds",
        part.knee and f"the knee is about {part.knee.best.label}",
        found.partial and "PARTIAL: interrupted",
    )
    return ", ".join(word for word in words if word) + "."


def _legend(figure: style.Picture, found: results.CapacityNumbers) -> float:
    """Explains marks and bands; returns where the panels end, as a share of the height."""
    handles: list[Any] = [
        Line2D([], [], marker=marker, color=colour, linestyle="", label=label)
        for marker, colour, label in MARKS.values()
    ]
    handles.append(Patch(**BRACKET, label="capacity bracket"))
    handles.append(Patch(color=KNEE_SHADE, label="as good as the knee"))
    corner = (style.LEFT - 0.01, 0.22 * figure.inch)
    look: dict[str, Any] = {"frameon": False, "handletextpad": 0.4, "columnspacing": 1.2}
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=corner, ncols=5, fontsize=style.SIZE, **look
    )
    runs = f"{found.runs} runs, seeds {found.seeds[0]} to {found.seeds[-1]}"
    source = style.source(found.version, runs, "bars: 95 % intervals")
    return style.caption(figure, [source]) + 0.38 * figure.inch


def map_figure(found: results.CapacityNumbers, part: results.RecoveryMap) -> style.Picture:
    """The probability of recovery over two keys, as numbers in colours, with the boundary."""
    width, height = max(10.0, 2.6 + 0.75 * len(part.columns)), 2.2 + 0.5 * len(part.rows)
    figure = style.Picture(height, width)
    run = sum(cell.replications > 0 for cell in part.cells)
    sentence = (
        f"Probability that the mesh recovers from its trigger ({part.trial.hit:g} to {part.trial.over:g} s),"
        f" judged from {part.trial.looked:.4g} s on. {run} of {len(part.cells)} cells were run."
        + (" PARTIAL: interrupted." if found.partial else "")
    )
    top = style.heading(figure, found.scenario, sentence) - 0.2 / height
    bottom = 0.15 / height + style.caption(
        figure, ["bold: run; in brackets: follows; hatched: half or more overloaded without the trigger, too"]
    )
    left = 1.6 / width
    axes = figure.add_axes((left, bottom, 1.0 - left - 0.2 / width, top - bottom))
    shares = np.full((len(part.rows), len(part.columns)), np.nan)
    for cell in part.cells:
        shares[cell.row, cell.column] = cell.share
        _cell(axes, cell)
    axes.imshow(shares, cmap=RECOVERY, vmin=0.0, vmax=1.0, aspect="auto", origin="lower", alpha=0.6)
    _boundary(axes, shares)
    axes.set_xticks(range(len(part.columns)), part.columns, fontsize=style.SIZE)
    axes.set_yticks(range(len(part.rows)), part.rows, fontsize=style.SIZE)
    axes.set_xlabel(part.across, **style.TEXT)
    style.title(axes, part.down)
    figure.alt = f"{found.scenario}: {sentence}"
    return figure


def _cell(axes: Axes, cell: results.Cell) -> None:
    """A cell's number: bold where it was run; hatched where there is nothing to return to."""
    share = f"{100 * cell.share:.0f} %"
    text, weight = (share, "bold") if cell.replications else (f"({share})", "normal")
    place: dict[str, Any] = {"ha": "center", "va": "center"}
    axes.text(cell.column, cell.row, text, fontsize=style.SIZE, weight=weight, color=style.INK, **place)
    if cell.hopeless:
        corner = cell.column - 0.5, cell.row - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor="#777777", linewidth=0.0))


def _boundary(axes: Axes, shares: Floats) -> None:
    """A line between cells where recovery is likely and others; a cell that is not known has no edge."""
    likely = np.where(np.isnan(shares), np.nan, shares >= 0.5)
    for row, column in np.argwhere(np.abs(np.diff(likely, axis=1)) == 1.0):
        axes.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], color=style.BLACK, linewidth=2.0)
    for row, column in np.argwhere(np.abs(np.diff(likely, axis=0)) == 1.0):
        axes.plot([column - 0.5, column + 0.5], [row + 0.5] * 2, color=style.BLACK, linewidth=2.0)
