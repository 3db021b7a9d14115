"""Bins of time, and which of them are measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.scenario.model import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Truths = NDArray[np.bool_]


def number(which: Truths) -> int:
    """How many are true."""
    return int(np.count_nonzero(which))


BINS_OF_DRAIN = 10_000
"""More than a picture can show; a run of a millisecond may drain for a minute."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Equal bins of time, on whose edges the measured window begins and ends.

    Attributes:
        origin: left edge of bin 0, at most 0 s (bin 0 may begin before the run).
        width: of each bin, s.
        first, last: the bins that begin at the warm-up's end (0 for ``auto``) and at `duration`.
    """

    origin: float
    width: float
    first: int
    last: int

    @classmethod
    def of(cls, scenario: Scenario, bins: int = 120) -> Grid:
        """A grid of about `bins` measured bins, or fewer, of a round width where that fits."""
        warmup = 0.0 if scenario.warmup == "auto" else float(scenario.warmup)
        measured = scenario.duration - warmup
        rough = measured / bins
        magnitude = 10.0 ** math.floor(math.log10(rough))
        steps = (factor * magnitude for factor in (1, 2, 5, 10))
        step = next(step for step in steps if step >= rough * (1 - 1e-9))
        count = max(1, round(measured / step))
        width = measured / count
        first = math.ceil(warmup / width - 1e-9)
        return cls(origin=warmup - first * width, width=width, first=first, last=first + count)

    def edges(self, count: int) -> Floats:
        """The `count` + 1 edges of the first `count` bins, s; the first is clipped to 0."""
        edges = self.origin + self.width * np.arange(count + 1, dtype=np.float64)
        return np.asarray(np.maximum(edges, 0.0), dtype=np.float64)

    @property
    def most(self) -> int:
        """How many bins there are at most: a drain that lasts beyond them falls into the last one."""
        return self.last + BINS_OF_DRAIN

    def bin_at(self, time: float) -> int:
        """The number of the bin that holds a time, s; an edge belongs to the bin that begins there."""
        return max(0, math.floor((time - self.origin) / self.width + 1e-9))

    def bins_until(self, time: float) -> int:
        """How many bins it takes to reach a time, s; the last may be cut short by it."""
        return max(0, math.ceil((time - self.origin) / self.width - 1e-9))


@dataclass(frozen=True, slots=True)
class Window:
    """When a run is measured: [start, end), s; the bins of the grid from `first` to before `last`.

    `found` is False if an ``auto`` warm-up was looked for and not found.
    """

    start: float
    end: float
    first: int
    last: int
    found: bool = True

    @property
    def length(self) -> float:
        """In s."""
        return self.end - self.start

    def holds(self, time: Floats) -> Truths:
        """(n,) whether each time, s, lies in it."""
        return np.asarray((time >= self.start) & (time < self.end), dtype=np.bool_)

    def of(self, bins: NDArray[Any]) -> NDArray[Any]:
        """(members,) the sum over its bins of (members, all bins) amounts."""
        return np.asarray(bins[:, self.first : self.last].sum(axis=1))

    def quarters(self, bins: Floats, grid: Grid) -> Floats:
        """(4,) mean amounts in the window's quarters, from (all bins,) integrals of the amount over time."""
        edges = grid.edges(self.last)[self.first :]
        edges[-1] = self.end  # of an interrupted run, the last bin may be cut short
        total = np.concatenate(([0.0], np.cumsum(bins[self.first : self.last])))
        at_quarters = np.interp(np.linspace(self.start, self.end, 5), edges, total)
        return np.asarray(4.0 * np.diff(at_quarters) / self.length, dtype=np.float64)
