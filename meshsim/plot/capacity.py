"""The pictures of `capacity`: the load-latency curve with all that is asked and found, and the map."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from meshsim.plot import marks, style
from meshsim.units import duration_text, ratio_text

Answer = dict[str, Any]
Point = dict[str, Any]

MARKS = {
    "met": {"marker": "o", "color": style.BLUE, "label": "meets the objectives"},
    "undecided": {"marker": "D", "color": style.ORANGE, "label": "inconclusive, or few runs"},
    "missed": {"marker": "X", "color": style.VERMILLION, "label": "misses them"},
}
PANEL_INCHES = 2.6
BRACKET: dict[str, Any] = {
    "facecolor": "#BBBBBB66",
    "edgecolor": "#88888899",
    "hatch": "////",
    "linewidth": 0.0,
}
"""Hatched, so that it shows where the knee's band lies over it."""
KNEE_SHADE = "#CFE8DC"
RECOVERY = LinearSegmentedColormap.from_list("recovery", [style.VERMILLION, "#FFFFFF", style.BLUE])


def curve_figure(answer: Answer) -> style.Picture:
    """A panel for each limit over the load, and one of goodput; objectives, bracket and knee are marked.

    Args:
        answer: of `capacity`, with a curve.
    """
    limits, points = answer["objectives"], answer["load"]["curve"]
    x = _Axis(answer)
    figure = style.Picture(figsize=(10.0, 2.15 + PANEL_INCHES * (len(limits) + 1)), dpi=style.DPI)
    panels = np.atleast_1d(figure.subplots(len(limits) + 1, 1, sharex=True))
    inch = 1.0 / figure.get_figheight()
    figure.subplots_adjust(left=0.09, right=0.97, top=1.0 - 1.1 * inch, bottom=1.1 * inch, hspace=0.28)
    for place, (axes, limit) in enumerate(zip(panels, limits, strict=False)):
        _limit(axes, limit, points, [point["measured"][place] for point in points], x)
    _goodput(panels[-1], points, x)
    for axes in panels:
        _found(axes, answer, x)
    _name_found(panels[0], answer, x)
    panels[-1].set_xlabel(x.name, fontsize=style.SIZE, color=style.INK)
    _heading(figure, answer["scenario"], _sentence(answer))
    _legend(figure, answer)
    figure.alt = f"{answer['scenario']}: {_sentence(answer)}"
    return figure


class _Axis:
    """What the load is drawn over: requests per second, or users where all loads are closed."""

    def __init__(self, answer: Answer) -> None:
        point = answer["load"]["curve"][0]
        loads = point["loads"]
        self.open = any("rate" in load for load in loads)
        self.unit = sum(load.get("rate" if self.open else "users", 0.0) for load in loads) / point["factor"]
        self.name = "offered load, requests/s" if self.open else "users"

    def of(self, factor: float) -> float:
        """Where a load is drawn."""
        return float(factor * self.unit)


# ---- panels -----------------------------------------------------------------------------------------


def _limit(
    axes: Axes, limit: dict[str, Any], points: list[Point], values: list[Point | None], x: _Axis
) -> None:
    """One limit: what was measured at each load, and what is asked."""
    success = limit["key"] == "success"
    what = "success" if success else f"{limit['key']} latency (log scale)"
    asked = ratio_text(limit["limit"]) if success else duration_text(limit["limit"])
    style.tidy(axes, f"{limit['service']}: {what}; wanted is {'at least' if success else 'at most'} {asked}")
    _points(axes, points, values, x)
    axes.axhline(limit["limit"], color=style.INK, linewidth=1.0, linestyle=(0, (4, 2)))
    known = [value["mean"] for value in values if value is not None]
    if success:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: ratio_text(value)))
        low = min([limit["limit"], *(value["low"] for value in values if value is not None)])
        room = max(1e-6, 1.0 - low)
        axes.set_ylim(max(0.0, low - 0.1 * room), 1.0 + 0.1 * room)
    else:
        _log(axes, [limit["limit"], *known])


def _log(axes: Axes, values: list[float]) -> None:
    positive = [value for value in values if value > 0.0] or [1e-3]
    low, high = min(positive), max(positive)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration_text(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low / 1.6, high * 1.6)


def _goodput(axes: Axes, points: list[Point], x: _Axis) -> None:
    style.tidy(axes, "goodput, successes/s" + ("; the line is all that is offered" if x.open else ""))
    _points(axes, points, [point["goodput"] for point in points], x)
    if x.open:
        ends = [x.of(points[0]["factor"]), x.of(points[-1]["factor"])]
        axes.plot(ends, ends, color=style.INK, linewidth=0.7)
    axes.set_ylim(bottom=0.0)


def _points(axes: Axes, points: list[Point], values: list[Point | None], x: _Axis) -> None:
    """What was measured at each load, with its interval, marked by verdict."""
    known = [
        (x.of(point["factor"]), value, point["verdict"])
        for point, value in zip(points, values, strict=True)
        if value is not None
    ]
    line = [place for place, _, _ in known], [value["mean"] for _, value, _ in known]
    axes.plot(*line, color="#999999", linewidth=0.8)
    for verdict, look in MARKS.items():
        chosen = [(place, value) for place, value, said in known if said == verdict]
        axes.errorbar(
            [place for place, _ in chosen],
            [value["mean"] for _, value in chosen],
            yerr=[_half(value) for _, value in chosen],
            fmt=look["marker"],
            color=look["color"],
            markersize=5,
            elinewidth=1.0,
            capsize=2,
        )


def _half(value: Point) -> float:
    """Half the interval, cut where a logarithm has no place for it."""
    return float(min(value["half_width"], 0.95 * value["mean"])) if value["mean"] > 0.0 else 0.0


# ---- what was found ---------------------------------------------------------------------------------


def _found(axes: Axes, answer: Answer, x: _Axis) -> None:
    """The bracket as a grey band, the knee as a green one."""
    found = answer["load"]
    if found["meets"] is not None and found["misses"] is not None:
        ends = x.of(found["meets"]["factor"]), x.of(found["misses"]["factor"])
        axes.axvspan(*ends, **BRACKET, zorder=0.5)
    if found["knee"] is not None:
        knee = found["knee"]
        axes.axvspan(
            x.of(knee["low"]["factor"]), x.of(knee["high"]["factor"]), color=KNEE_SHADE, alpha=0.8, zorder=0
        )
        axes.axvline(x.of(knee["best"]["factor"]), color=style.GREEN, linewidth=1.0, linestyle=(0, (2, 2)))
    axes.axvline(x.of(1.0), color=style.INK, linewidth=0.7)


def _name_found(axes: Axes, answer: Answer, x: _Axis) -> None:
    """Names the scenario's own load and the knee above a panel."""
    labels = [marks.Label("the scenario's own load", x.of(1.0))]
    if answer["load"]["knee"] is not None:
        labels.append(marks.Label("knee", x.of(answer["load"]["knee"]["best"]["factor"])))
    marks.name_above(axes, labels)


def _sentence(answer: Answer) -> str:
    """What was found, in a sentence."""
    found = answer["load"]
    meets, misses, knee = found["meets"], found["misses"], found["knee"]
    words = []
    if meets is not None:
        words.append(f"{meets['label']} meets the objectives")
    if misses is not None:
        words.append(f"{misses['label']} misses them")
    words.append(f"{100 * answer['confidence']:.0f} % confidence")
    if found["confirmed"] is False:
        words.append("NOT confirmed with fresh seeds")
    if knee is not None:
        words.append(f"the knee is about {knee['best']['label']}")
    if answer["partial"]:
        words.append("PARTIAL: interrupted")
    return ", ".join(words) + "."


def _heading(figure: style.Picture, title: str, sentence: str) -> None:
    inch = 1.0 / figure.get_figheight()
    figure.text(0.09, 1.0 - 0.12 * inch, title, fontsize=14, weight="bold", va="top", color=style.INK)
    lines = textwrap.wrap(sentence, 118)[:3]
    figure.text(
        0.09, 1.0 - 0.42 * inch, "\n".join(lines), fontsize=10, va="top", color=style.INK, linespacing=1.3
    )


def _legend(figure: style.Picture, answer: Answer) -> None:
    """Explains marks and bands below the panels."""
    inch = 1.0 / figure.get_figheight()
    handles: list[Any] = [
        Line2D([], [], marker=look["marker"], color=look["color"], linestyle="", label=look["label"])
        for look in MARKS.values()
    ]
    handles.append(Patch(**BRACKET, label="the capacity is here"))
    handles.append(Patch(color=KNEE_SHADE, label="as good as the knee"))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.08, 0.18 * inch),
        ncols=5,
        fontsize=style.SIZE,
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.2,
    )
    seeds = answer["seeds"]
    made = f"meshsim {answer['version']} · {answer['runs']} runs, seeds {seeds[0]} to {seeds[-1]}"
    text = f"{made} · bars: 95 % intervals"
    figure.text(0.09, 0.08 * inch, text, fontsize=style.SIZE, va="bottom", color=style.INK)


# ---- the map ----------------------------------------------------------------------------------------


def map_figure(answer: Answer) -> style.Picture:
    """The chance of recovery over two keys, as numbers in colours, with the boundary.

    Args:
        answer: of `capacity`, with a map.
    """
    found = answer["map"]
    rows, columns = found["rows"], found["columns"]
    size = (2.6 + 0.75 * max(len(columns), 8), 2.2 + 0.5 * len(rows))
    figure = style.Picture(figsize=size, dpi=style.DPI)
    inch = 1.0 / size[1]
    axes = figure.add_axes((1.6 / size[0], 0.95 * inch, 1.0 - 1.8 / size[0], 1.0 - 2.0 * inch))
    shares = np.full((len(rows), len(columns)), np.nan)
    for cell in found["cells"]:
        shares[cell["row"], cell["column"]] = cell["share"]
    axes.imshow(shares, cmap=RECOVERY, vmin=0.0, vmax=1.0, aspect="auto", origin="lower", alpha=0.6)
    for cell in found["cells"]:
        _cell(axes, cell)
    _boundary(axes, shares)
    axes.set_xticks(range(len(columns)), columns, fontsize=style.SIZE)
    axes.set_yticks(range(len(rows)), rows, fontsize=style.SIZE)
    axes.set_xlabel(found["across"], fontsize=style.SIZE, color=style.INK)
    axes.set_title(found["down"], loc="left", fontsize=style.SIZE + 1, color=style.INK, pad=4)
    sentence = _map_sentence(answer)
    title = answer["scenario"]
    figure.text(0.02, 1.0 - 0.1 * inch, title, fontsize=13, weight="bold", va="top", color=style.INK)
    wrapped = "\n".join(textwrap.wrap(sentence, int(13.5 * size[0]))[:2])
    figure.text(0.02, 1.0 - 0.38 * inch, wrapped, fontsize=style.SIZE, va="top", color=style.INK)
    notes = "bold: run; in brackets: follows; hatched: half or more overloaded without the trigger, too"
    figure.text(0.02, 0.1 * inch, notes, fontsize=style.SIZE, va="bottom", color=style.INK)
    figure.alt = f"{answer['scenario']}: {sentence}"
    return figure


def _cell(axes: Axes, cell: Point) -> None:
    """A cell's number: bold where it was run; hatched where there is nothing to return to."""
    share, run = f"{100 * cell['share']:.0f} %", cell["replications"] > 0
    axes.text(
        cell["column"],
        cell["row"],
        share if run else f"({share})",
        ha="center",
        va="center",
        fontsize=style.SIZE,
        weight="bold" if run else "normal",
        color=style.INK,
    )
    if cell["hopeless"]:
        place = cell["column"] - 0.5, cell["row"] - 0.5
        axes.add_patch(
            Rectangle(place, 1.0, 1.0, fill=False, hatch="///", edgecolor="#777777", linewidth=0.0)
        )


def _boundary(axes: Axes, shares: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """A line between cells where recovery is likely and others."""
    likely = np.where(np.isnan(shares), math.nan, shares >= 0.5)
    rows, columns = shares.shape
    for row in range(rows):
        for column in range(columns):
            if column + 1 < columns and _differ(likely[row, column], likely[row, column + 1]):
                axes.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], color=style.BLACK, linewidth=2.0)
            if row + 1 < rows and _differ(likely[row, column], likely[row + 1, column]):
                axes.plot([column - 0.5, column + 0.5], [row + 0.5] * 2, color=style.BLACK, linewidth=2.0)


def _differ(one: float, other: float) -> bool:
    return not math.isnan(one) and not math.isnan(other) and one != other


def _map_sentence(answer: Answer) -> str:
    found = answer["map"]
    trial = found["trial"]
    run = sum(cell["replications"] > 0 for cell in found["cells"])
    partial = " PARTIAL: interrupted." if answer["partial"] else ""
    return (
        f"Chance that the mesh recovers: hit from {trial['hit']:g} to {trial['over']:g} s, looked at from"
        f" {trial['looked']:.4g} s on. {run} of {len(found['cells'])} cells were run.{partial}"
    )
