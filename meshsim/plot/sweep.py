"""The picture of a sweep: the hockey stick, or a map where a second key has many values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshsim.plot import maps, panels, style
from meshsim.plot.axis import MOST_LINES, Axis, Line, Numbers, lines, number, others, shortened
from meshsim.scenario.grid import Grid
from meshsim.scenario.model import CLIENT
from meshsim.units import duration_text, ratio_text

SHORT_RATIO = 0.99
"""Goodput below this share of the offered load falls short of it."""


class Header(Protocol):
    """What a picture shows of a sweep; `meshsim.lab.jobs.journal.Header` is one."""

    @property
    def seed(self) -> int: ...
    @property
    def replications(self) -> int: ...
    @property
    def version(self) -> str: ...


class DrawableSweep(Protocol):
    """What a picture is made from; `meshsim.lab.sweep.Sweep` is one."""

    @property
    def grid(self) -> Grid: ...
    @property
    def header(self) -> Header: ...
    @property
    def engine(self) -> str: ...
    @property
    def partial(self) -> bool: ...
    @property
    def digests(self) -> Sequence[Numbers]: ...


def sweep_figure(sweep: DrawableSweep) -> style.Picture:
    """Goodput, latency and utilisation against a key, a line for each value of another; or maps over both.

    The sweep may be partial, of at least one point. Notebooks show the figure, ``savefig`` writes it.
    """
    axis, found = lines(sweep.grid, sweep.digests)
    mapped = len(found) > MOST_LINES
    tall = min(16.0, 3.2 + 0.5 * len(found)) if mapped else 8.6
    figure = style.Picture(tall)
    scenario = sweep.grid.scenario
    top = style.heading(figure, scenario.name or "sweep", scenario.description)
    bottom = style.caption(figure, _caption(sweep, "" if mapped else "bands" if axis.kind else "bars"))
    names = ", ".join(others(sweep.grid, axis.key))
    (_maps if mapped else _panels)(figure, axis, found, names, top, bottom)
    figure.alt = _alt_text(sweep)
    return figure


def _panels(
    figure: style.Picture, axis: Axis, found: Sequence[Line], names: str, top: float, bottom: float
) -> None:
    below, middle, last = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 2]})
    beside = [line.name for line in found] if len(found) > 1 else panels.ranked(found, "busy_mean")
    right = style.right_of(["goodput", *map(shortened, beside)])
    figure.subplots_adjust(left=style.LEFT, right=right, top=top, bottom=bottom + 0.02, hspace=0.22)
    axis.dress(last)
    panels.goodput(below, axis, found, names)
    panels.latency(middle, axis, found)
    panels.busiest(last, axis, found)


def _maps(
    figure: style.Picture, axis: Axis, found: Sequence[Line], names: str, top: float, bottom: float
) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    longest = max(len(line.name) for line in found)
    left = max(style.LEFT, min(0.5, 0.05 + style.LETTER * longest))
    figure.subplots_adjust(left=left, right=1.0, top=top, bottom=bottom + 0.02, hspace=0.2)
    maps.latency_map(upper, axis, found, names)
    maps.success_map(lower, axis, found, names)
    upper.set_xlabel("")


def _caption(sweep: DrawableSweep, intervals: str) -> list[str]:
    """Where the picture comes from; `intervals` are what shows them, empty for a map, which shows none."""
    made = sweep.header
    seeds = style.seeds(made.seed, made.replications)
    words = [f"engine {sweep.engine}", f"{seeds} at each point"]
    if made.replications > 1:
        shown = f"medians, {intervals}: {_confidence(sweep)} intervals of the median"
        words.append(shown if intervals else "medians")
    line = style.source(made.version, *words, partial=sweep.partial)
    if intervals and any(point.unstable for point in sweep.digests):
        return [line, "hollow: unstable, queues grew throughout the window; a longer run gives other numbers"]
    return [line]


def _confidence(sweep: DrawableSweep) -> str:
    """How sure the bands are: as few replications are not 95 %, this is said."""
    sure = [point.numbers[CLIENT]["rate"].confidence for point in sweep.digests]
    return f"{100 * min(sure):.3g} %"


def _alt_text(sweep: DrawableSweep) -> str:
    """The picture in one sentence."""
    axis, found = lines(sweep.grid, sweep.digests)
    ends = [shortened(axis.values[place]) for place in (0, -1)]
    replications = sweep.header.replications
    words = [f"{sweep.grid.scenario.name or 'sweep'}: {axis.key} from {ends[0]} to {ends[1]}"]
    words[0] += f" in {len(axis.values)} values, {replications} run{'s' if replications > 1 else ''} each"
    names = ", ".join(others(sweep.grid, axis.key))
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
