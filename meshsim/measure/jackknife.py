"""How far two runs with common random numbers are apart, and how far chance alone could have brought them.

A simulated and a live run of one scenario are compared in blocks of arrival time. Leaving out one block
after the other shows how much any one of them matters, and that is the spread of the whole (the jackknife).
One method serves means, percentiles, counts and ratios, however many draws are shared: where all are,
blocks differ by next to nothing; where few are (a real Envoy draws its own hosts and back-offs), as
independent runs would.

Blocks must be longer than the mesh remembers. Percentiles bear the jackknife since a block is much more than
the square root of the number of requests (Shao and Wu).

Source:
    Quenouille, Notes on bias in estimation, Biometrika 43 (1956); Tukey, Bias and confidence in not-quite
    large samples (1958): the interval of pseudo-values. Shao and Wu, A general theory for jackknife variance
    estimation, Annals of Statistics 17 (1989): percentiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from meshsim.measure.grid import Floats, Ints, Truths
from meshsim.measure.intervals import t_quantile

BLOCKS = 20
"""Of a run's measured window."""


@dataclass(frozen=True, slots=True)
class Quotient:
    """A sum over a sum, both by block: a ratio, a rate, a count."""

    above: Floats
    below: Floats

    @classmethod
    def count(cls, amounts: Floats) -> Quotient:
        """How many there are in all; without a block, its number is estimated by the others."""
        return cls(amounts, np.full(len(amounts), 1.0 / len(amounts)))

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.above)

    def value(self, kept: Truths | None = None) -> float | None:
        """The number of the blocks that are kept, (blocks,), or of all; None without data."""
        take = slice(None) if kept is None else kept
        below = float(self.below[take].sum())
        return float(self.above[take].sum()) / below if below else None

    @property
    def step(self) -> float:
        """What one event more adds to it; 0 where it counts none."""
        below = float(self.below.sum())
        return 1.0 / below if below else 0.0


@dataclass(frozen=True, slots=True)
class Times:
    """A mean (`quantile` None) or a percentile of latencies, s, by the block in which each began."""

    latency: Floats
    block: Ints
    blocks: int
    quantile: float | None
    step: ClassVar[float] = 0.0

    def value(self, kept: Truths | None = None) -> float | None:
        """As that of a quotient."""
        some = self.latency if kept is None else self.latency[kept[self.block]]
        if not len(some):
            return None
        return float(some.mean() if self.quantile is None else np.quantile(some, self.quantile))


Statistic = Quotient | Times
"""A number of one run, also without some of its blocks."""


class Gap(NamedTuple):
    """Another run's number minus a run's own, and how far chance may bring them apart."""

    difference: float
    half_width: float


def gap(one: Statistic, other: Statistic, confidence: float) -> Gap | None:
    """Compares a number of two runs with the same blocks; None where one of them does not have it."""
    assert one.blocks == other.blocks, "the runs are cut into the same blocks"
    whole = _between(one, other)
    if whole is None:
        return None
    kept = ~np.eye(one.blocks, dtype=np.bool_)
    without = [each for each in (_between(one, other, row) for row in kept) if each is not None]
    count = len(without)
    if count < 2:
        return Gap(whole, math.inf)
    mean = math.fsum(without) / count
    error = math.sqrt((count - 1) / count * math.fsum((each - mean) ** 2 for each in without))
    return Gap(whole, t_quantile(0.5 + confidence / 2.0, count - 1) * error)


def _between(one: Statistic, other: Statistic, kept: Truths | None = None) -> float | None:
    own, its = one.value(kept), other.value(kept)
    return None if own is None or its is None else its - own
