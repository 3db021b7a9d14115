"""Which host gets the next try.

Round robin spreads evenly what it knows nothing about: it keeps sending to a host that is slow. Random does
the same with more variance. Least request looks: of two hosts drawn at random it takes the one with fewer
requests in flight *from this proxy*, which avoids a slow host without everyone rushing to the same idle
one. Failure mode: a host that fails fast has nothing in flight and attracts traffic (a black hole) until
outlier detection removes it.

Envoy draws with replacement: of two hosts the busier one still gets a quarter of the picks.

Sources: Envoy, least_request_lb.cc and load_balancer_impl.cc, the 25 % measured on 1.40; Mitzenmacher, The
Power of Two Choices in Randomized Load Balancing, IEEE TPDS 12 (2001).
"""

from __future__ import annotations

from typing import final

from meshsim.policies.endpoint import Endpoint
from meshsim.random import BALANCE, Key, u01


class Balancer:
    """Picks a host for one try. Subclass it to pick otherwise; each caller proxy and cluster has its own."""

    def pick(self, hosts: list[Endpoint], key: Key, now: float) -> Endpoint:
        """One of the hosts.

        Args:
            hosts: those available, at least one, in a fixed order.
            key: the attempt's; draw as ``u01(key, BALANCE + i)``.
            now: s.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to pick: write its method pick")

    def joined(self, host: Endpoint, now: float) -> None:
        """A host is there that never was before; its index is the next."""

    def observes(self) -> bool:
        """Whether it wants to hear how tries end: it has a method `ended` of its own."""
        return type(self).ended is not vars(Balancer)["ended"]

    def ended(self, host: Endpoint, since: float, now: float) -> None:
        """A try is over, whatever its end; called if it `observes`.

        Args:
            host: where it was bound; it is still among those that are active or pending there.
            since: when it was bound, s.
            now: s.
        """


@final
class RoundRobin(Balancer):
    """One after the other, from a place that differs from proxy to proxy."""

    def __init__(self, position: int) -> None:
        self.position = position

    def pick(self, hosts: list[Endpoint], key: Key, now: float) -> Endpoint:
        host = hosts[self.position % len(hosts)]
        self.position += 1
        return host


@final
class Random(Balancer):
    """Any, with equal chance."""

    def pick(self, hosts: list[Endpoint], key: Key, now: float) -> Endpoint:
        return hosts[int(u01(key, BALANCE) * len(hosts))]


@final
class LeastRequest(Balancer):
    """The least active of `choices` hosts drawn with replacement; ties keep the first drawn."""

    def __init__(self, choices: int) -> None:
        self.choices = choices

    def pick(self, hosts: list[Endpoint], key: Key, now: float) -> Endpoint:
        count = len(hosts)
        best = hosts[int(u01(key, BALANCE) * count)]
        for i in range(1, self.choices):
            other = hosts[int(u01(key, BALANCE + i) * count)]
            if other.active < best.active:
                best = other
        return best


@final
class LeastRequestFullScan(Balancer):
    """The least active of all hosts, ties at random."""

    def pick(self, hosts: list[Endpoint], key: Key, now: float) -> Endpoint:
        least = hosts[0].active
        ties = 0
        for host in hosts:
            if host.active < least:
                least = host.active
                ties = 1
            elif host.active == least:
                ties += 1
        chosen = int(u01(key, BALANCE) * ties)
        for host in hosts:
            if host.active == least:
                if chosen == 0:
                    return host
                chosen -= 1
        raise AssertionError("one host has the least")
