"""The picture of a sweep: the hockey stick, or a map where a second key has many values."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.plot import maps, panels, style
from meshsim.plot.axis import MOST_LINES, Axis, Line, Numbers, lines, number, others, shortened
from meshsim.scenario.grid import Grid
from meshsim.scenario.model import CLIENT
from meshsim.units import duration_text, ratio_text

SHORT_RATIO = 0.99
"""Goodput below this share of the offered load falls short of it."""


def sweep_figure(
    grid: Grid,
    points: Sequence[Numbers],
    *,
    version: str,
    engine: str,
    seed: int,
    replications: int,
    partial: bool,
) -> style.Picture:
    """Goodput, latency and utilisation against a key, a line for each value of another; or maps over both.

    At least one of the grid's points has finished; the sweep is `partial` if some have not.
    """
    axis, found = lines(grid, points)
    mapped = len(found) > MOST_LINES
    figure = style.Picture(min(16.0, 3.2 + 0.5 * len(found)) if mapped else 8.6)
    top = style.heading(figure, grid.scenario.name or "sweep", grid.scenario.description)
    made = [f"engine {engine}", f"{style.seeds(seed, replications)} at each point"]
    if replications > 1:
        made.append("medians" if mapped else _medians(points, "bands" if axis.kind else "bars"))
    said = [style.source(version, *made, partial=partial)]
    if not mapped and any(point.unstable for point in points):
        said.append("hollow: unstable, queues grew throughout the window; a longer run gives other numbers")
    figure.subplots_adjust(top=top, bottom=style.caption(figure, said) + 0.02)
    (_maps if mapped else _panels)(figure, axis, found, ", ".join(others(grid, axis.key)))
    figure.alt = _alt_text(grid, axis, found, replications)
    return figure


def _panels(figure: style.Picture, axis: Axis, found: Sequence[Line], names: str) -> None:
    below, middle, last = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 2]})
    beside = [line.name for line in found] if len(found) > 1 else panels.ranked(found, "busy_mean")
    right = style.right_of(["goodput", *map(shortened, beside)])
    figure.subplots_adjust(left=style.LEFT, right=right, hspace=0.22)
    axis.dress(last)
    panels.goodput(below, axis, found, names)
    panels.latency(middle, axis, found)
    panels.busiest(last, axis, found)


def _maps(figure: style.Picture, axis: Axis, found: Sequence[Line], names: str) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    longest = max(len(line.name) for line in found)
    left = max(style.LEFT, min(0.5, 0.05 + style.LETTER * longest))
    figure.subplots_adjust(left=left, right=1.0, hspace=0.2)
    maps.latency_map(upper, axis, found, names)
    maps.success_map(lower, axis, found, names)
    upper.set_xlabel("")


def _medians(points: Sequence[Numbers], intervals: str) -> str:
    """How sure the intervals are, too: as few replications are not 95 %."""
    sure = min(point.numbers[CLIENT]["rate"].confidence for point in points)
    return f"medians, {intervals}: {100 * sure:.3g} % intervals of the median"


def _alt_text(grid: Grid, axis: Axis, found: Sequence[Line], replications: int) -> str:
    """The picture in one sentence."""
    ends = [shortened(axis.values[place]) for place in (0, -1)]
    words = [f"{grid.scenario.name or 'sweep'}: {axis.key} from {ends[0]} to {ends[1]}"]
    words[0] += f" in {len(axis.values)} values, {replications} run{'s' if replications > 1 else ''} each"
    names = ", ".join(others(grid, axis.key))
    for line in found[:MOST_LINES]:
        words.append((f"with {names} {line.name} " if line.name else "") + _line_in_words(line, axis))
    if len(found) > MOST_LINES:
        words.append(f"and {len(found) - MOST_LINES} more rows")
    return "; ".join(words) + "."


def _line_in_words(line: Line, axis: Axis) -> str:
    """What happens along a line: where goodput falls short, and the tail at both ends."""
    said = []
    for point, place in zip(line.points, line.places, strict=True):
        good, offered = number(point, CLIENT, "goodput"), number(point, CLIENT, "rate")
        if good and offered and good.median < SHORT_RATIO * offered.median:
            value = shortened(axis.values[axis.places.index(place)])
            share = f"{good.median:.3g}/s of {offered.median:.3g}/s"
            said.append(f"at {value} goodput falls short of the offered load: {share}")
            break
    else:
        said.append("goodput keeps up with the offered load")
    tails = [number(line.points[place], CLIENT, "latency_p99") for place in (0, -1)]
    if tails[0] and tails[1]:
        said.append(
            f"p99 is {duration_text(tails[0].median)} at first and {duration_text(tails[1].median)} at last"
        )
    busy = panels.ranked([line], "utilisation")
    if busy:
        found = [number(point, busy[0], "utilisation") for point in line.points]
        highest = max(each.median for each in found if each is not None)
        said.append(f"{busy[0]} is busiest, up to {ratio_text(highest)}")
    return ", ".join(said)
