"""Which host gets the attempt. A balancer picks among the hosts that are available now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

from meshsim.random import BALANCE, START, Key, u01
from meshsim.scenario.model import Balance

Balancer = Callable[[Key, Sequence[int]], int]
"""(an attempt's key, attempts in flight at each available host) -> the place of the host it goes to."""


def round_robin(caller: Key, hosts: int) -> Balancer:
    """Each in turn. Every caller starts elsewhere, or all would hit the same host together."""
    turns = count(int(u01(caller, START) * hosts))
    return lambda _, active: next(turns) % len(active)


def random(key: Key, active: Sequence[int]) -> int:
    """One of them, each as likely."""
    return int(u01(key, BALANCE) * len(active))


def choices(number: int) -> Balancer:
    """The least loaded of a few drawn at random: nearly as good, and callers don't pick alike.

    They are drawn with replacement; the first drawn keeps its place against equals.
    """

    def pick(key: Key, active: Sequence[int]) -> int:
        drawn = [int(u01(key, BALANCE + i) * len(active)) for i in range(number)]
        return min(drawn, key=lambda place: active[place])

    return pick


def full_scan(key: Key, active: Sequence[int]) -> int:
    """The least loaded of all, ties at random: number floor(u · k) of the k least loaded."""
    least = min(active)
    idle = [place for place, number in enumerate(active) if number == least]
    return idle[int(u01(key, BALANCE) * len(idle))]


def balancer(balance: Balance, caller: Key, hosts: int) -> Balancer:
    """A new balancer, as configured, for a cluster of so many hosts."""
    if balance.kind == "round_robin":
        return round_robin(caller, hosts)
    if balance.kind == "random":
        return random
    options = balance.least_request
    return full_scan if options.selection == "full_scan" else choices(options.choices)


def weighted(weights: Mapping[str, float], u: float) -> str:
    """The first whose cumulative share of the weights exceeds `u`."""
    total, below = sum(weights.values()), 0.0
    for name, weight in weights.items():
        below += weight
        if below / total > u:
            return name
    return list(weights)[-1]
