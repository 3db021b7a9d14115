"""The knee: up to there more load buys mostly throughput, beyond it mostly waiting.

It is the load with the greatest *power*, goodput / mean latency of what succeeded: below it one per cent more
load costs less than one per cent of latency, above it more (M/M/1: half its capacity). The top is flat, so
a range of loads is as good: power not lower by more than 1 %, or not significantly (common random numbers).

Source: Kleinrock, Power and Deterministic Rules of Thumb for Probabilistic Problems in Computer
Communications, Proc. ICC (1979). Jain, The Art of Computer Systems Performance Analysis (1991), 3.3: knee
capacity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from meshsim.lab.search.inquiry import FEWEST, Finding, Inquiry
from meshsim.measure.intervals import interval

POINTS = 10
BEYOND = 1.1
"""The curve goes on to so many times the load that misses."""
REFINEMENTS = 2
NEAR = 0.01

Nearest = Callable[[float], float]
"""The nearest load that can be had: many factors stand for the same number of users."""


class Knee(NamedTuple):
    """The best load of the curve, and those not significantly worse; `inside` if both sides have less."""

    best: float
    low: float
    high: float
    inside: bool


def draw_curve(inquiry: Inquiry[float], misses: float, nearest: Nearest) -> None:
    """Makes sure of a few replications at loads up to beyond one that misses, evenly spaced."""
    for number in range(1, POINTS + 1):
        inquiry.look(nearest(BEYOND * misses * number / POINTS))


def find_knee(inquiry: Inquiry[float], nearest: Nearest) -> Knee | None:
    """The knee of the loads that were looked at, and of a few more around the best of them."""
    for _ in range(REFINEMENTS):
        loads, powers = _powers(inquiry)
        if not loads:
            return None
        place = _best(powers)
        for neighbour in loads[max(0, place - 1) : place] + loads[place + 1 : place + 2]:
            inquiry.look(nearest((loads[place] + neighbour) / 2.0))
    loads, powers = _powers(inquiry)
    low = high = best = _best(powers)
    while low > 0 and _as_good(powers[low - 1], powers[best]):
        low -= 1
    while high < len(loads) - 1 and _as_good(powers[high + 1], powers[best]):
        high += 1
    return Knee(loads[best], loads[low], loads[high], low > 0 and high < len(loads) - 1)


def _powers(inquiry: Inquiry[float]) -> tuple[list[float], list[list[float]]]:
    """Loads in rising order, and the power of each, replication by replication."""
    powers = {load: _power(finding) for load, finding in sorted(inquiry.findings.items())}
    return [load for load, power in powers.items() if power], [power for power in powers.values() if power]


def _power(finding: Finding[float]) -> list[float]:
    """The logarithm of the power in each of the first replications; none if one has no successes."""
    seen = finding.observations[:FEWEST]
    pairs = [(each.numbers.get("goodput", 0.0), each.numbers.get("ok_latency.mean", 0.0)) for each in seen]
    if len(pairs) < FEWEST or any(goodput <= 0.0 or latency <= 0.0 for goodput, latency in pairs):
        return []
    return [math.log(goodput / latency) for goodput, latency in pairs]


def _best(powers: Sequence[list[float]]) -> int:
    means = [math.fsum(power) / len(power) for power in powers]
    return means.index(max(means))


def _as_good(power: list[float], best: list[float]) -> bool:
    """Whether a power is near the best, or not significantly lower with common random numbers."""
    found = interval([ours - theirs for ours, theirs in zip(power, best, strict=True)])
    return found.mean > -NEAR or found.high > 0.0
