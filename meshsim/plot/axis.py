"""What a sweep's picture has along its axes: the key with most numbers, and combinations of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from meshsim.measure.intervals import Median
from meshsim.measure.latency import FEWEST
from meshsim.plot import style
from meshsim.scenario.grid import Grid, text
from meshsim.scenario.variation import DURATION_KIND, RATE_KIND, kind, quantity
from meshsim.units import show_duration, show_ratio

MOST_LINES = 5
"""So many combinations of other keys are drawn as lines of one panel; more become a map."""
CROWDED_RATIO = 0.1
"""A linear axis is crowded where half the values lie within this share of it."""


class Numbers(Protocol):
    """One point's numbers, by service (the client is one) and column: a `meshsim.lab.digest.Digest`."""

    @property
    def point(self) -> int: ...
    @property
    def unstable(self) -> int: ...
    @property
    def numbers(self) -> Mapping[str, Mapping[str, Median]]: ...


@dataclass(frozen=True)
class Axis:
    """A key along an axis: its values as in the file, what they measure ('' for categories), and places."""

    key: str
    values: tuple[object, ...]
    kind: str
    places: tuple[float, ...]

    @classmethod
    def of(cls, key: str, values: tuple[object, ...]) -> Axis:
        """Numbers at their place, categories one beside the other."""
        found = kind(values)
        amounts = [quantity(value) for value in values] if found else []
        places = tuple(amount.value for amount in amounts if amount is not None)
        return cls(key, values, found, places or tuple(map(float, range(len(values)))))

    @property
    def logarithmic(self) -> bool:
        """Whether a linear axis would crowd the values at its lower end."""
        low, high = min(self.places), max(self.places)
        crowded = float(np.median(self.places)) < low + CROWDED_RATIO * (high - low)
        return bool(self.kind) and low > 0.0 and len(self.places) > 2 and crowded

    def dress(self, axes: Axes) -> None:
        """Gives the horizontal axis of a panel its scale, marks and name."""
        axes.set_xlabel(self.title, fontsize=style.SIZE + 1, color=style.INK)
        if not self.kind:
            axes.set_xticks(self.places, [shortened(value) for value in self.values])
            axes.set_xlim(-0.5, len(self.values) - 0.5)
            return
        if self.logarithmic:
            axes.set_xscale("log")
            axes.set_xticks(self.places, minor=False)
            axes.xaxis.set_minor_locator(NullLocator())
        elif len(self.places) <= 12:
            axes.set_xticks(self.places)
        axes.xaxis.set_major_formatter(lambda value, _: self.show(value))

    @property
    def title(self) -> str:
        """The key, and its unit where the marks don't say it."""
        return f"{self.key}, per s" if self.kind == RATE_KIND else self.key

    def show(self, place: float) -> str:
        """The mark at a place of an axis of numbers."""
        if self.kind == DURATION_KIND:
            return show_duration(place)
        if all(isinstance(value, str) and value.endswith("%") for value in self.values):
            return show_ratio(place)
        return f"{place:.6g}"


@dataclass(frozen=True)
class Line:
    """The points that differ in the axis's key only, and their places on it; named by the other keys' values.

    The name is empty where no other key has several values.
    """

    name: str
    points: tuple[Numbers, ...]
    places: tuple[float, ...]


def lines(grid: Grid, finished: Sequence[Numbers]) -> tuple[Axis, list[Line]]:
    """The axis for a grid, and a line for each combination of the other keys.

    The axis has the key with most values of those that are numbers, or of all if none is; of several that
    have too many for lines, the first.
    """
    keys = list(grid.keys)
    numeric = [key for key in keys if kind(grid.keys[key])]
    key = max(numeric or keys, key=lambda name: min(len(grid.keys[name]), MOST_LINES + 1))
    axis, across, across_lines = Axis.of(key, grid.keys[key]), keys.index(key), others(grid, key)
    found: dict[str, dict[float, Numbers]] = {}
    for point in finished:
        values = grid.points[point.point].values
        rest = [(name, value) for name, value in zip(keys, values, strict=True) if name in across_lines]
        place = axis.places[axis.values.index(values[across])]
        found.setdefault(_name(rest), {})[place] = point
    return axis, [
        Line(name, tuple(members[place] for place in sorted(members)), tuple(sorted(members)))
        for name, members in found.items()
    ]


def others(grid: Grid, key: str) -> list[str]:
    """The keys besides this one that have several values."""
    return [name for name, values in grid.keys.items() if name != key and len(values) > 1]


def _name(rest: Sequence[tuple[str, object]]) -> str:
    return ", ".join(shortened(value) for _, value in rest)


def shortened(value: object) -> str:
    """A value as it is written, if that is not too long to stand beside an axis."""
    return style.shortened(text(value))


def number(point: Numbers, service: str, column: str) -> Median | None:
    """A point's number; None where no replication has one, or too few requests for that percentile."""
    numbers = point.numbers.get(service, {})
    found = numbers.get(column)
    if found is None or not math.isfinite(found.median):
        return None
    completed = sum(numbers[name].median for name in ("ok", "failed") if name in numbers)
    return found if completed >= FEWEST.get(column.rpartition("_")[2], 0) else None
