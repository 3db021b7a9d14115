"""Peak EWMA: which host gets the next try, by how fast hosts answered of late.

Counting what is in flight (`LeastRequest`) says little where few requests are: a slow host is often idle.
Here each host has an estimate of its latency. A slower answer raises the estimate at once (the peak), faster
ones bring it down by and by (an exponentially weighted moving average), and so does time alone: a host nobody
asks gets another chance. Of two different hosts drawn at random, the one with the lower estimate x (requests
under way + 1) gets the try.

    a latency is observed, above the estimate     estimate = latency
    a latency is observed, another                estimate = estimate * w + latency * (1 - w)
    the estimate is looked at                     estimate = estimate * w, as if 0 were observed
                                                  w = exp(-elapsed / decay)

Looking counts as an observation, and elapsed is from the last of either. So an answer that ends right after a
look weighs next to nothing, unless it is a peak.

Failure mode: a host that fails fast answers fastest, and attracts traffic (a black hole); Linkerd has failure
accrual beside it. With little load estimates decay to nearly 0 between requests, and one slow answer keeps a
host out for about `decay`.

Sources: tower, load/peak_ewma.rs; linkerd2-proxy, linkerd/pool/p2c (read, not measured); Finagle's
`p2c-peak-ewma`, where the name comes from.
"""

from __future__ import annotations

from math import exp, inf
from typing import final

from meshsim.policies.balance import Balancer
from meshsim.policies.endpoint import Endpoint
from meshsim.random import BALANCE, Key, u01

TIE = 1.0 + 1e-9
"""Costs this close are equal: estimates of equal hosts, decayed in other steps, differ by rounding alone."""


@final
class PeakEwma(Balancer):
    """Of two different hosts, the one with the lower cost; a tie takes the first drawn.

    The estimates begin with the first pick: Linkerd makes its balancer with the first request.

    Args:
        decay: how fast the past is forgotten, s.
        rtt: the estimate of a host nobody has heard of, s.
        hosts: how many the cluster has.

    Attributes:
        began: when the estimates began, s; inf: not yet.
        estimates: of latency, by the index of the host, s.
        updated: when each was last observed or looked at, s.
    """

    began: float
    estimates: list[float]
    updated: list[float]

    def __init__(self, decay: float, rtt: float, hosts: int) -> None:
        self.decay = decay
        self.rtt = rtt
        self.began = inf
        self.estimates = [rtt] * hosts
        self.updated = [0.0] * hosts

    def pick(self, hosts: list[Endpoint], key: Key, now: float) -> Endpoint:
        if self.began == inf:
            self.began = now
            self.updated = [now] * len(self.updated)
        count = len(hosts)
        if count == 1:
            return hosts[0]
        i = int(u01(key, BALANCE) * count)
        j = int(u01(key, BALANCE + 1) * (count - 1))
        first = hosts[i]
        second = hosts[j + 1 if j >= i else j]
        cost = self.cost(first, now)
        return first if cost <= self.cost(second, now) * TIE else second

    def cost(self, host: Endpoint, now: float) -> float:
        """What a try would meet at the host: its latency, once for each request under way and for the try."""
        self.observe(host.index, 0.0, now)
        return self.estimates[host.index] * (host.active + host.pending + 1)

    def joined(self, host: Endpoint, now: float) -> None:
        self.estimates.append(self.rtt)
        self.updated.append(now)

    def ended(self, host: Endpoint, since: float, now: float) -> None:
        if since >= self.began:
            self.observe(host.index, now - since, now)

    def observe(self, index: int, latency: float, now: float) -> None:
        """One latency of a host, s."""
        estimate = self.estimates[index]
        if latency > estimate:
            estimate = latency
        else:
            weight = exp(-(now - self.updated[index]) / self.decay)
            estimate = estimate * weight + latency * (1.0 - weight)
        self.estimates[index] = estimate
        self.updated[index] = now
