"""The panels of a sweep's hockey stick: medians over the replications, their intervals as bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from meshsim.measure.median import Median
from meshsim.plot import style
from meshsim.plot.axis import Axis, Line, Numbers, number, shortened
from meshsim.scenario.model import CLIENT

BUSIEST = 4
"""So many services at most in the last panel."""
DODGE = 0.09
"""How far apart the marks of one category stand, in categories."""


class Panel:
    """One panel while it is drawn: lines of medians over an axis, named where they end.

    `highest` and `lowest` are of all that is drawn and more than 0.
    """

    def __init__(self, axes: Axes, axis: Axis, title: str) -> None:
        self.axes = axes
        self.axis = axis
        self.ends: list[style.LineEnd] = []
        self.highest, self.lowest = 0.0, np.inf
        style.tidy(axes, title)

    def line(self, name: str, line: Line, service: str, column: str, *, faint: bool = False) -> None:
        """Draws a column of a service or the client, with gaps without numbers; `faint` as a reference."""
        numbers = [number(point, service, column) for point in line.points]
        if not any(numbers):
            return
        look = style.LINES[len(self.ends) % len(style.LINES)]
        if faint:
            look = {"color": style.INK, "linestyle": (0, (1, 2))}
        middle, low, high = _columns(numbers)
        places = np.array(line.places)
        if self.axis.kind:
            self.axes.plot(places, middle, linewidth=1.3, **look)
            self.axes.fill_between(places, low, high, color=look["color"], alpha=0.18, linewidth=0)
        else:
            places = places + DODGE * _aside(len(self.ends))
            bars = np.vstack([middle - low, high - middle])
            marks: dict[str, Any] = {"fmt": "none", "linewidth": 1.3, "capsize": 3}
            self.axes.errorbar(places, middle, bars, color=look["color"], **marks)
        if not faint:
            self._dots(line.points, places, middle, look["color"])
        known = np.flatnonzero(np.isfinite(middle))
        place = known[np.argmax(places[known])]
        end = float(places[place]), float(middle[place])
        self.ends.append(style.LineEnd(shortened(name), *end, look["color"]))
        self.highest = max(self.highest, float(np.nanmax(high)))
        positive = low[np.isfinite(low) & (low > 0)]
        self.lowest = min(self.lowest, float(positive.min(initial=np.inf)))

    def _dots(
        self, points: Sequence[Numbers], places: NDArray[np.float64], middle: NDArray[np.float64], colour: str
    ) -> None:
        """A dot for each point: hollow where it was unstable, for then its numbers depend on the duration."""
        steady = np.array([point.unstable == 0 for point in points])
        look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.6, "color": colour}
        self.axes.plot(places[steady], middle[steady], **look)
        self.axes.plot(places[~steady], middle[~steady], markerfacecolor="white", **look)

    def finish(self, low: float, high: float) -> None:
        """Ends the drawing: sets the limits of the values and names the lines."""
        self.axes.set_ylim(low, high)
        style.name_lines(self.axes, self.ends)


def _aside(number: int) -> int:
    """How many steps the marks of a line stand beside the category's middle: 0, 1, -1, 2, -2, ..."""
    return (number + 1) // 2 * (1 if number % 2 else -1)


def _columns(numbers: Sequence[Median | None]) -> NDArray[np.float64]:
    """Medians and interval ends as three rows, NaN where there is no number."""
    none = (np.nan, np.nan, np.nan)
    return np.array([none if each is None else (each.median, each.low, each.high) for each in numbers]).T


def goodput(axes: Axes, axis: Axis, lines: Sequence[Line], others: str) -> None:
    """Good answers against what was asked for; `others` are the keys that distinguish several lines."""
    each = f", for each {others}" if others else ""
    panel = Panel(axes, axis, f"goodput and offered load, requests/s{each}")
    for line in lines:
        panel.line(line.name or "goodput", line, CLIENT, "goodput")
    panel.line("offered", max(lines, key=lambda line: len(line.points)), CLIENT, "rate", faint=True)
    panel.finish(0.0, 1.1 * max(1e-9, panel.highest))


def latency(axes: Axes, axis: Axis, lines: Sequence[Line]) -> None:
    """The median and the tail; of several lines the tail alone."""
    several = len(lines) > 1
    what = "99th percentile of latency" if several else "latency"
    panel = Panel(axes, axis, f"{what}, failures included (log scale)")
    for line in lines:
        for column in ("p99",) if several else ("p50", "p99"):
            panel.line(line.name or column, line, CLIENT, f"latency_{column}")
    low, high = (panel.lowest, panel.highest) if panel.lowest < np.inf else (1e-3, 1.0)
    style.log_durations(axes, low, high)
    panel.finish(low / 1.5, high * 1.5)


def busiest(axes: Axes, axis: Axis, lines: Sequence[Line]) -> None:
    """How busy the workers of the busiest services are; of several lines the busiest service alone.

    Where all workers are unlimited, how many work at once.
    """
    column, title = "utilisation", "utilisation of the busiest services' workers"
    names = ranked(lines, column)
    if not names:
        column, title = "busy_mean", "attempts in work at the busiest services"
        names = ranked(lines, column)
    several = len(lines) > 1
    if several and names:
        title = title.replace("the busiest services'", f"{names[0]}'s")
        title = title.replace("the busiest services", names[0])
    panel = Panel(axes, axis, title)
    for line in lines:
        for name in names[: 1 if several else BUSIEST]:
            panel.line(line.name or name, line, name, column)
    if column == "utilisation":
        style.percent(axes.yaxis)
        panel.finish(0.0, 1.1)
    else:
        panel.finish(0.0, 1.2 * max(1e-9, panel.highest))


def ranked(lines: Sequence[Line], column: str) -> list[str]:
    """The services that have a number somewhere, the highest first."""
    found: dict[str, float] = {}
    for point in (point for line in lines for point in line.points):
        for service in point.numbers:
            value = number(point, service, column) if service != CLIENT else None
            if value is not None:
                found[service] = max(found.get(service, 0.0), value.median)
    return sorted(found, key=lambda name: -found[name])
