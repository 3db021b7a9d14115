"""Which host gets the attempt. A balancer picks among the hosts that are available now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshsim.random import BALANCE, START, Key, u01
from meshsim.scenario.model import Balance


class Loaded(Protocol):
    """What a balancer sees of a host."""

    @property
    def active(self) -> int:
        """Requests that this caller has in flight there."""


class Balancer(Protocol):
    """A way to choose."""

    def pick(self, key: Key, available: Sequence[Loaded]) -> int:
        """The place, in `available`, of the host for the attempt `key`."""
        ...


class RoundRobin:
    """Each in turn. Every caller starts elsewhere, or all would hit the same host together."""

    def __init__(self, caller: Key, hosts: int) -> None:
        self.position = int(u01(caller, START) * hosts)

    def pick(self, key: Key, available: Sequence[Loaded]) -> int:
        """The next one."""
        place = self.position % len(available)
        self.position += 1
        return place


class Random:
    """Any."""

    def pick(self, key: Key, available: Sequence[Loaded]) -> int:
        """One of them, each as likely."""
        return int(u01(key, BALANCE) * len(available))


class Choices:
    """The least loaded of a few drawn at random: nearly as good, and callers don't pick alike."""

    def __init__(self, choices: int) -> None:
        self.choices = choices

    def pick(self, key: Key, available: Sequence[Loaded]) -> int:
        """Draw with replacement; the first drawn keeps its place against equals."""
        drawn = [int(u01(key, BALANCE + i) * len(available)) for i in range(self.choices)]
        return min(drawn, key=lambda place: available[place].active)


class FullScan:
    """The least loaded of all, ties at random."""

    def pick(self, key: Key, available: Sequence[Loaded]) -> int:
        """Number floor(u · k) of the k least loaded."""
        least = min(host.active for host in available)
        idle = [place for place, host in enumerate(available) if host.active == least]
        return idle[int(u01(key, BALANCE) * len(idle))]


def balancer(balance: Balance, caller: Key, hosts: int) -> Balancer:
    """A new balancer, as configured, for a cluster of so many hosts."""
    if balance.kind == "round_robin":
        return RoundRobin(caller, hosts)
    if balance.kind == "random":
        return Random()
    options = balance.least_request
    return FullScan() if options.selection == "full_scan" else Choices(options.choices)
