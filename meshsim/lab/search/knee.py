"""The knee: up to there more load buys mostly throughput, beyond it mostly waiting.

It is the load with the greatest *power*, goodput / mean latency of what succeeded. Below it one per cent
more load costs less than one per cent of latency, above it more. An M/M/1 has its knee at half its capacity,
larger pools have it nearer to full; it knows nothing of objectives. The top of the curve is flat, so besides
the best load there is a range of loads that are as good, as far as the replications tell: their power is not
lower by more than a hundredth, and not surely lower on the same seeds.

Source:
    Kleinrock, Power and Deterministic Rules of Thumb for Probabilistic Problems in Computer Communications,
    Proc. ICC (1979). Jain, The Art of Computer Systems Performance Analysis (1991), 3.3: knee capacity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshsim.lab.search.inquiry import FEWEST, Finding, Inquiry
from meshsim.measure.intervals import interval

POINTS = 10
BEYOND = 1.1
"""The curve goes on to so many times the load that misses."""
REFINEMENTS = 2
NEAR = 0.01

Nearest = Callable[[float], float]
"""The nearest load that can be had: many factors stand for the same number of users."""


@dataclass(frozen=True, slots=True)
class Knee:
    """Where power is greatest: the best load of the curve, and those between which it is not surely less.

    Attributes:
        inside: whether the curve has loads with less power on either side.
    """

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
        loads = _loads(inquiry)
        if not loads:
            return None
        place = loads.index(_best(inquiry, loads))
        for neighbour in loads[max(0, place - 1) : place] + loads[place + 1 : place + 2]:
            inquiry.look(nearest((loads[place] + neighbour) / 2.0))
    return knee_of([inquiry.findings[load] for load in _loads(inquiry)])


def knee_of(findings: Sequence[Finding[float]]) -> Knee | None:
    """The knee among findings in order of load."""
    powers = {finding.candidate: power for finding in findings if (power := _powers(finding)) is not None}
    if not powers:
        return None
    loads = sorted(powers)
    best = max(loads, key=lambda load: _mean(powers[load]))
    good = {load for load in loads if _as_good(powers[load], powers[best])}
    place = loads.index(best)
    low = high = place
    while low > 0 and loads[low - 1] in good:
        low -= 1
    while high < len(loads) - 1 and loads[high + 1] in good:
        high += 1
    return Knee(best, loads[low], loads[high], low > 0 and high < len(loads) - 1)


def _loads(inquiry: Inquiry[float]) -> list[float]:
    return sorted(load for load, finding in inquiry.findings.items() if _powers(finding) is not None)


def _best(inquiry: Inquiry[float], loads: Sequence[float]) -> float:
    def power(load: float) -> float:
        return _mean(_powers(inquiry.findings[load]) or [-math.inf])

    return max(loads, key=power)


def _powers(finding: Finding[float]) -> list[float] | None:
    """The logarithm of the power in each of the first replications; None if one has no successes."""
    seen = finding.observations[:FEWEST]
    pairs = [(each.numbers.get("goodput", 0.0), each.numbers.get("ok_latency.mean", 0.0)) for each in seen]
    if len(pairs) < FEWEST or any(goodput <= 0.0 or latency <= 0.0 for goodput, latency in pairs):
        return None
    return [math.log(goodput / latency) for goodput, latency in pairs]


def _as_good(power: list[float], best: list[float]) -> bool:
    """Whether a power is that of the best, or near it, or not surely lower on the same seeds."""
    if power is best:
        return True
    differences = [ours - theirs for ours, theirs in zip(power, best, strict=True)]
    found = interval(differences)
    return found.mean > -NEAR or found.high > 0.0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
