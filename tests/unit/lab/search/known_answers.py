"""Noisy functions in place of simulations: the true answer of each is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from meshsim.lab.search.verdict import Observation, Score
from meshsim.measure.capacity import Limit
from meshsim.scenario import loads

P99 = Limit("a", "p99", 0.2)


def scenario(text: str = ""):
    """An M/M/1 of capacity 100/s at half load."""
    return loads(
        "{duration: 40s, services: {a: {time: {exponential: 10ms}, workers: 1}},"
        f" load: [{{to: a, rate: 50/s}}], objectives: [{{service: a, p99: 200ms}}]{text}}}"
    )


def late_share(rate: float, capacity: float = 100.0, limit: float = 0.2) -> float:
    """The share of an M/M/1's requests that take longer than the limit."""
    return math.exp(-(capacity - rate) * limit) if rate < capacity else 1.0


def noisy(share: Callable[[float], float], spread: float = 0.3) -> Callable[..., list[Observation]]:
    """Runs of a load factor, whose late share varies log-normally around the true one; 50/s is factor 1."""

    def observe(factor: float, seeds: Sequence[int]) -> list[Observation]:
        found = []
        for seed in seeds:
            normal = random.Random(seed).gauss(0.0, 1.0)
            late = min(1.0, share(50.0 * factor) * math.exp(spread * normal - spread * spread / 2.0))
            numbers = {"utilisation.a": min(1.0, factor / 2.0), "goodput": 50.0 * factor}
            count = int(2000 * factor)
            found.append(Observation(seed, (Score(None, 1.0 - late, count, count),), False, numbers))
        return found

    return observe


def spent(inquiry) -> int:
    """How many runs it has made."""
    return sum(len(finding.observations) for finding in inquiry.findings.values())
