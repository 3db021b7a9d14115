"""Outlier detection: a host that keeps failing is left alone for a while.

A caller cannot know why a host fails, but it can see that its neighbours do not. After `consecutive_5xx`
failures in a row the host is ejected, each time for longer; and so it is after
`consecutive_gateway_failure` of 502, 503 and 504, the statuses of a host that is not reached or too slow.
Failure mode: when *all* hosts fail for a common reason, ejecting them moves their load onto the rest; so a
share of hosts is never ejected, and below `min_health_percent` healthy hosts everything is used again
(panic).

| host | 5xx, the N-th in a row | other status | tick |
|---|---|---|---|
| in | out, if the cap allows; count 0 | counts 0 | multiplier - 1 (not on the first tick after its return) |
| out | stays out | counts 0 | in, counts 0, once its time has passed |

Both counts go by this table; a 5xx that is no gateway failure zeroes the count of those. Of one status, the
gateway failure is counted first.

On a tick, first hosts come back, then success rates are compared (`policies/success_rate.py`), which may
eject others, and last the multipliers fall.

Ejections end only on the tick, so they last up to an `interval` longer than asked. The cap is a share of
the hosts: 10 % of nine hosts is none, unless one is always allowed (`always_eject_one`). State is per caller
proxy: with many callers, each may never see N in a row.

A change of who is out reaches the balancer at once, unless one did within the last `merge_window`: it then
waits for so long, together with those that follow. Many changes then cost one recalculation; failure mode:
meanwhile an ejected host goes on getting requests, and one that is back gets none.

Source: Envoy, outlier_detection_impl.cc, and scheduleUpdate in cluster_manager_impl.cc (both of
source/common/upstream); cap, grid, multiplier and window measured on 1.40.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, inf
from typing import final

from meshsim.policies.endpoint import Endpoint
from meshsim.policies.success_rate import SuccessRate
from meshsim.random import Key

# What the end of a try means for who may be picked
STAYS = 0
OUT = 1
BACK = 2


class OutlierDetection:
    """Detection that detects nothing: what a cluster without it has.

    Attributes:
        detects: whether it does anything.
        probes: whether a host that is out comes back by one request that succeeds, and not on a tick.
        merge_window: how long a change waits for others, if it follows another, s; 0: none waits.
        rates: the comparison of success rates, if there is one.
    """

    rates: SuccessRate | None

    def __init__(self) -> None:
        self.detects = False
        self.probes = False
        self.merge_window = 0.0
        self.rates = None

    def record(self, host: Endpoint, hosts: Sequence[Endpoint], status: int, key: Key, now: float) -> int:
        """Takes note of how the attempt with this key ended: the host STAYS as it is, is OUT, or BACK."""
        return STAYS

    def picked(self, host: Endpoint, key: Key) -> bool:
        """The attempt with this key is bound to a host; whether no other may be now."""
        return False

    def gave_up(self, host: Endpoint, key: Key) -> bool:
        """Nobody will know how the attempt with this key ends; whether another may be bound to its host."""
        return False

    def tick(self, host: Endpoint, now: float) -> bool:
        """Lets a host back whose time has passed; whether it was."""
        return False

    def outliers(self, hosts: Sequence[Endpoint]) -> list[Endpoint]:
        """The hosts whose success rates of the interval that ends lie too low; the next one begins."""
        return []

    def eject(self, host: Endpoint, hosts: Sequence[Endpoint], now: float) -> bool:
        """Takes a host out, for longer than the last time, if the cap allows it; whether it does."""
        return False

    def forget(self, host: Endpoint) -> None:
        """At the end of a tick: the next ejection of a host that stayed in is less long."""

    def merges(self, since: float) -> bool:
        """Whether a change waits for others, so long (s) after the last; Envoy counts whole milliseconds."""
        return self.merge_window > 0.0 and since < self.merge_window + 0.001

    def next_tick(self, hosts: Sequence[Endpoint], now: float) -> float:
        """When `tick` must be called next, s; never (inf) while there is nothing to remember of any host."""
        return inf

    def panics(self, healthy: int, count: int) -> bool:
        """Whether so few of `count` hosts are healthy that all are used."""
        return False


@final
class ConsecutiveErrors(OutlierDetection):
    """Envoy's ejection after consecutive failures, and of outliers by success rate.

    Attributes:
        limit: 5xx in a row.
        gateway_limit: gateway failures in a row; 0: they eject nobody.
        interval: of the tick, s.
        base, ceiling: first and longest ejection, s.
        max_ratio: share of hosts that may be out.
        always_one: whether one may be, whatever the share.
        min_healthy_ratio: below it all hosts are used; 0 never.
        origin: where the grid of ticks begins, s.
    """

    def __init__(
        self, limit: int, gateway_limit: int, interval: float, base: float, ceiling: float, max_ratio: float,
        always_one: bool, min_healthy_ratio: float, origin: float, merge_window: float,
        rates: SuccessRate | None = None,
    ) -> None:  # fmt: skip
        self.detects = True
        self.probes = False
        self.merge_window = merge_window
        self.rates = rates
        self.limit = limit
        self.gateway_limit = gateway_limit
        self.interval = interval
        self.base = base
        self.ceiling = ceiling
        self.max_ratio = max_ratio
        self.always_one = always_one
        self.min_healthy_ratio = min_healthy_ratio
        self.origin = origin

    def record(self, host: Endpoint, hosts: Sequence[Endpoint], status: int, key: Key, now: float) -> int:
        if self.rates is not None:
            host.asked += 1
            if status >= 500:
                host.failed += 1
        if status < 500:
            host.consecutive = host.gateway = 0
            return STAYS
        ejected = False
        host.gateway = host.gateway + 1 if 502 <= status <= 504 else 0
        if host.gateway == self.gateway_limit and host.gateway > 0 and not host.ejected:
            host.gateway = 0
            ejected = self.eject(host, hosts, now)
        host.consecutive += 1
        if host.consecutive == self.limit and not host.ejected:
            host.consecutive = 0
            ejected = self.eject(host, hosts, now)
        return OUT if ejected else STAYS

    def eject(self, host: Endpoint, hosts: Sequence[Endpoint], now: float) -> bool:
        out = 1
        for other in hosts:
            if other.ejected:
                out += 1
        if out > self.max_ratio * len(hosts) + 1e-9 and not (self.always_one and out == 1):
            return False
        host.multiplier += 1
        lasts = self.base * host.multiplier
        host.ejected = True
        host.returns = now + (lasts if lasts < self.ceiling else self.ceiling)
        return True

    def tick(self, host: Endpoint, now: float) -> bool:
        if not host.ejected or host.returns > now:
            return False
        host.ejected = False
        host.consecutive = host.gateway = 0
        host.fresh = 2
        return True

    def outliers(self, hosts: Sequence[Endpoint]) -> list[Endpoint]:
        if self.rates is None:
            return []
        found = self.rates.outliers(hosts)
        for host in hosts:
            host.asked = host.failed = 0
        return found

    def forget(self, host: Endpoint) -> None:
        if host.ejected:
            return
        if host.fresh > 0:
            host.fresh -= 1
        elif host.multiplier > 0:
            host.multiplier -= 1

    def next_tick(self, hosts: Sequence[Endpoint], now: float) -> float:
        for host in hosts:
            if host.ejected or host.fresh > 0 or host.multiplier > 0 or host.asked > 0:
                passed = float(floor((now - self.origin) / self.interval))
                tick = self.origin + passed * self.interval
                while tick <= now + 1e-9 * self.interval:
                    passed += 1.0
                    tick = self.origin + passed * self.interval
                return tick
        return inf

    def panics(self, healthy: int, count: int) -> bool:
        return healthy / count < self.min_healthy_ratio and 1.4 * healthy / count < 1.0
