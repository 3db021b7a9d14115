"""The panels of a sweep's hockey stick: medians over the replications, their intervals as bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from meshsim.measure.grid import Floats
from meshsim.measure.intervals import Median
from meshsim.plot import style
from meshsim.plot.axis import Axis, Line, number
from meshsim.scenario.model import CLIENT

BUSIEST = 4
"""So many services at most in the last panel."""
DODGE = 0.09
"""How far apart the marks of one category stand, in categories."""


class _Panel(style.Panel):
    """A panel of medians over an axis."""

    def line(self, axis: Axis, line: Line, name: str, service: str, column: str) -> None:
        """Draws a column of a service or the client, with gaps where it has no number."""
        numbers = [number(point, service, column) for point in line.points]
        if not any(numbers):
            return
        reference = column == "rate"
        look: dict[str, Any] = {"color": style.INK, "linestyle": (0, (1, 2))} if reference else self.look
        middle, low, high = _columns(numbers)
        places = np.array(line.places)
        if axis.kind:
            self.axes.plot(places, middle, linewidth=1.3, **look)
            self.axes.fill_between(places, low, high, color=look["color"], alpha=0.18, linewidth=0)
        else:
            places = places + DODGE * _aside(len(self.ends))
            bars = np.vstack([middle - low, high - middle])
            self.axes.errorbar(places, middle, bars, fmt="none", color=look["color"], lw=1.3, capsize=3)
        if not reference:  # hollow dots where it was unstable, for then its numbers depend on the duration
            steady = np.array([point.unstable == 0 for point in line.points])
            dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "ms": 3.6, "color": look["color"]}
            self.axes.plot(places[steady], middle[steady], **dots)
            self.axes.plot(places[~steady], middle[~steady], markerfacecolor="white", **dots)
        known = np.flatnonzero(np.isfinite(middle))
        last = known[np.argmax(places[known])]
        self.end(name, places[last], middle[last], look["color"])
        self.drawn(low)
        self.drawn(high)


def _aside(number: int) -> int:
    """How many steps the marks of a line stand beside the category's middle: 0, 1, -1, 2, -2, ..."""
    return (number + 1) // 2 * (1 if number % 2 else -1)


def _columns(numbers: Sequence[Median | None]) -> Floats:
    """Medians and interval ends as three rows, NaN where there is no number."""
    none = (np.nan, np.nan, np.nan)
    return np.array([none if each is None else (each.median, each.low, each.high) for each in numbers]).T


def goodput(axes: Axes, axis: Axis, lines: Sequence[Line], others: str) -> None:
    """Goodput and offered load; `others` are the keys that distinguish several lines."""
    each = f", for each {others}" if others else ""
    panel = _Panel(axes, f"goodput and offered load, requests/s{each}")
    for line in lines:
        panel.line(axis, line, line.name or "goodput", CLIENT, "goodput")
    panel.line(axis, max(lines, key=lambda line: len(line.points)), "offered", CLIENT, "rate")
    panel.finish(0.0, 1.1 * max(1e-9, panel.highest))


def latency(axes: Axes, axis: Axis, lines: Sequence[Line]) -> None:
    """The median and the tail; of several lines the tail alone."""
    several = len(lines) > 1
    what = "99th percentile of latency" if several else "latency"
    panel = _Panel(axes, f"{what}, failures included (log scale)")
    for line in lines:
        for column in ("p99",) if several else ("p50", "p99"):
            panel.line(axis, line, line.name or column, CLIENT, f"latency_{column}")
    panel.finish_durations()


def busiest(axes: Axes, axis: Axis, lines: Sequence[Line]) -> None:
    """How busy the workers of the busiest services are; of several lines the busiest service alone.

    Where all workers are unlimited, how many work at once.
    """
    several, names = len(lines) > 1, ranked(lines, "utilisation")
    limited = bool(names)
    names = names or ranked(lines, "busy_mean")
    which = names[0] if several and names else "the busiest services"
    workers = f"{which}'s" if several and names else f"{which}'"
    panel = _Panel(axes, f"utilisation of {workers} workers" if limited else f"attempts in work at {which}")
    for line in lines:
        for name in names[: 1 if several else BUSIEST]:
            panel.line(axis, line, line.name or name, name, "utilisation" if limited else "busy_mean")
    if limited:
        panel.finish_ratios()
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
