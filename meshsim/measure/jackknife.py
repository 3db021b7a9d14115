"""How far two runs with common random numbers are apart, and how far chance alone could have brought them.

Two runs of one scenario with the same arrivals and service times (a simulated and a live one) are compared in
blocks of arrival time. Leaving out one block after the other shows how much any one of them matters, and that
is the spread of the whole (the jackknife). One method serves means, percentiles, counts and ratios, however
many draws are shared: where all of them are, the blocks differ by next to nothing, and where few are (a real
Envoy draws its own hosts and back-offs), by as much as independent runs would.

Blocks must be longer than the mesh remembers. Percentiles bear the jackknife since a block is much more than
the square root of the number of requests (Shao and Wu).

Source:
    Quenouille, Notes on bias in estimation, Biometrika 43 (1956); Tukey, Bias and confidence in not-quite
    large samples (1958): the interval of pseudo-values. Shao and Wu, A general theory for jackknife variance
    estimation, Annals of Statistics 17 (1989): percentiles.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from meshsim.measure.grid import Floats, Ints, Truths
from meshsim.measure.intervals import t_quantile

BLOCKS = 20
"""Of a run's measured window."""


class Statistic(ABC):
    """A number of one run, also without some of its blocks."""

    @abstractmethod
    def value(self, kept: Truths) -> float | None:
        """The number of the blocks that are kept, (blocks,); None without data."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many blocks there are."""

    @property
    def step(self) -> float:
        """What one event more adds to it; 0 where it counts none."""
        return 0.0

    @property
    def whole(self) -> float | None:
        """The number of all blocks."""
        return self.value(np.ones(self.size, dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class Quotient(Statistic):
    """A sum over a sum, both by block: a ratio, a rate, a count."""

    above: Floats
    below: Floats

    @classmethod
    def count(cls, amounts: Floats) -> Quotient:
        """How many there are in all; without a block, its number is estimated by the others."""
        return cls(amounts, np.full(len(amounts), 1.0 / len(amounts)))

    def value(self, kept: Truths) -> float | None:
        below = float(self.below[kept].sum())
        return float(self.above[kept].sum()) / below if below else None

    @property
    def size(self) -> int:
        return len(self.above)

    @property
    def step(self) -> float:
        below = float(self.below.sum())
        return 1.0 / below if below else 0.0


@dataclass(frozen=True, slots=True)
class Times(Statistic):
    """A mean (`quantile` None) or a percentile of latencies, s, by the block in which each began."""

    latency: Floats
    block: Ints
    blocks: int
    quantile: float | None

    def value(self, kept: Truths) -> float | None:
        some = self.latency[kept[self.block]]
        if not len(some):
            return None
        return float(some.mean() if self.quantile is None else np.quantile(some, self.quantile))

    @property
    def size(self) -> int:
        return self.blocks


class Gap(NamedTuple):
    """Another run's number minus a run's own, and how far chance may bring them apart."""

    difference: float
    half_width: float


def gap(one: Statistic, other: Statistic, confidence: float) -> Gap | None:
    """Compares a number of two runs with the same blocks; None where one of them does not have it."""
    blocks = one.size
    assert blocks == other.size, "the runs are cut into the same blocks"
    whole = _between(one, other, np.ones(blocks, dtype=np.bool_))
    if whole is None:
        return None
    kept = ~np.eye(blocks, dtype=np.bool_)
    without = [each for each in (_between(one, other, row) for row in kept) if each is not None]
    count = len(without)
    if count < 2:
        return Gap(whole, math.inf)
    mean = math.fsum(without) / count
    error = math.sqrt((count - 1) / count * math.fsum((each - mean) ** 2 for each in without))
    return Gap(whole, t_quantile(0.5 + confidence / 2.0, count - 1) * error)


def _between(one: Statistic, other: Statistic, kept: Truths) -> float | None:
    own, its = one.value(kept), other.value(kept)
    return None if own is None or its is None else its - own
