"""Which host gets the attempt. A balancer picks among the hosts that are available now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from math import exp

from meshsim.random import BALANCE, START, Key, u01
from meshsim.reference.attempt import Host
from meshsim.reference.run import Run
from meshsim.scenario.model import Balance

Balancer = Callable[[Key, Sequence[Host]], Host]
"""(an attempt's key, the available hosts) -> the host it goes to."""


def round_robin(caller: Key, hosts: int) -> Balancer:
    """Each in turn. Every caller starts elsewhere, or all would hit the same host together."""
    turns = count(int(u01(caller, START) * hosts))
    return lambda _, available: available[next(turns) % len(available)]


def random(key: Key, available: Sequence[Host]) -> Host:
    """One of them, each as likely."""
    return available[int(u01(key, BALANCE) * len(available))]


def choices(number: int) -> Balancer:
    """The least loaded of a few drawn at random: nearly as good, and callers don't pick alike.

    They are drawn with replacement; the first drawn keeps its place against equals.
    """

    def pick(key: Key, available: Sequence[Host]) -> Host:
        drawn = [available[int(u01(key, BALANCE + i) * len(available))] for i in range(number)]
        return min(drawn, key=lambda host: len(host.busy))

    return pick


def full_scan(key: Key, available: Sequence[Host]) -> Host:
    """The least loaded of all, ties at random: number floor(u · k) of the k least loaded."""
    least = min(len(host.busy) for host in available)
    idle = [host for host in available if len(host.busy) == least]
    return idle[int(u01(key, BALANCE) * len(idle))]


class PeakEwma:
    """The quicker of two. Each host's latency is estimated: bad news is believed at once, good news slowly.

    What is known of a host fades: an estimate halves every 0.69 `decay` in which nothing is heard of it.
    """

    def __init__(self, run: Run, decay: float, rtt: float) -> None:
        self.clock = run.clock
        self.did = run.did
        self.decay = decay
        self.rtt = rtt
        self.began: float | None = None  # when it first picked
        self.known: dict[int, tuple[float, float]] = {}  # host -> its latency, as estimated when

    def __call__(self, key: Key, available: Sequence[Host]) -> Host:
        if self.began is None:
            self.began = self.clock.now
        if len(available) == 1:
            return available[0]
        others = list(available)
        first = others.pop(int(u01(key, BALANCE) * len(others)))
        second = others[int(u01(key, BALANCE + 1) * len(others))]
        quicker = self._cost(first) <= self._cost(second) * (1.0 + 1e-9)
        self.did["ewma: second drawn"] += not quicker
        return first if quicker else second

    def _cost(self, host: Host) -> float:
        return self._hear(host, 0.0) * (len(host.busy) + len(host.pending) + 1)

    def meet(self, host: Host) -> None:
        """A host is new here."""
        if self.began is not None:
            self.known[host.number] = self.rtt, self.clock.now

    def ended(self, host: Host, bound: float) -> None:
        """An attempt that was bound to the host then is over."""
        if self.began is not None and bound >= self.began:
            self._hear(host, self.clock.now - bound)

    def _hear(self, host: Host, latency: float) -> float:
        """The new estimate; looking at one counts as a latency of 0."""
        now = self.clock.now
        assert self.began is not None
        estimate, then = self.known.get(host.number, (self.rtt, self.began))
        if latency > estimate:
            self.did["ewma: peak"] += 1
            estimate = latency
        else:
            kept = exp(-(now - then) / self.decay)
            estimate = kept * estimate + (1.0 - kept) * latency
        self.known[host.number] = estimate, now
        return estimate


def balancer(run: Run, balance: Balance, caller: Key, hosts: int) -> Balancer:
    """A new balancer, as configured, for a cluster of so many hosts."""
    if balance.kind == "round_robin":
        return round_robin(caller, hosts)
    if balance.kind == "random":
        return random
    if balance.kind == "peak_ewma":
        return PeakEwma(run, balance.peak_ewma.decay, balance.peak_ewma.rtt)
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
