"""Failure accrual: a host that keeps failing is shut, and judged by one request at a time until it is well.

Outlier detection (`policies/outlier.py`) lets a host back when its time has passed, and gives it its whole
share of the load, well or not. Here one request, a probe, goes first, and its answer decides. So a host that
is still broken costs one failure each time, however much load there is.

| host | failure | success | penalty over | picked | its probe is given up |
|---|---|---|---|---|---|
| ADMITS | count + 1; the last allowed: SHUT | count 0 | | | |
| SHUT | | | PROBE | | |
| PROBE | SHUT, for longer | ADMITS, count 0 | | PROBING | |
| PROBING | SHUT, for longer | ADMITS, count 0 | | | PROBE |

The balancer may pick a host that ADMITS, or that waits for a PROBE. What was sent before a host was shut can
still end while it is on trial, and decides as the probe does.

Failure mode: there is no limit on how many are shut. If all fail for a common reason, such as overload, all
are shut, and whoever calls meanwhile is refused. State is per caller proxy.

Source: linkerd2-proxy, http/breaker/consecutive_failures.rs, stack/gate.rs; Linkerd's documentation,
Circuit Breaking (read, not measured). There, a probe that is given up leaves the host shut until something
else of it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from meshsim.policies.backoff import Backoff
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import BACK, OUT, STAYS, OutlierDetection
from meshsim.random import PENALTY, Key, u01

# What a host does with requests
ADMITS = 0
SHUT = 1
PROBE = 2
PROBING = 3


@final
class FailureAccrual(OutlierDetection):
    """Linkerd's circuit breaking by consecutive failures.

    Attributes:
        limit: failures in a row that shut a host.
        penalty: how long it is shut, by how often in a row it was.
    """

    def __init__(self, limit: int, penalty: Backoff) -> None:
        self.detects = True
        self.probes = True
        self.merge_window = 0.0
        self.rates = None
        self.limit = limit
        self.penalty = penalty

    def record(self, host: Endpoint, hosts: Sequence[Endpoint], status: int, key: Key, now: float) -> int:
        if host.gate == SHUT:
            return STAYS
        if status < 500:
            host.consecutive = 0
            if host.gate == ADMITS:
                return STAYS
            host.forgive()
            return BACK
        if host.gate == ADMITS:
            host.consecutive += 1
            if host.consecutive < self.limit:
                return STAYS
        host.gate = SHUT
        host.ejected = True
        host.multiplier += 1
        host.returns = now + self.penalty.wait(host.multiplier, u01(key, PENALTY))
        return OUT

    def tick(self, host: Endpoint, now: float) -> bool:
        """The penalty of a host may be over: the next request there is a probe."""
        if host.gate != SHUT or host.returns > now:
            return False
        host.gate = PROBE
        host.ejected = False
        return True

    def picked(self, host: Endpoint, key: Key) -> bool:
        if host.gate != PROBE:
            return False
        host.gate = PROBING
        host.probe = key
        host.ejected = True
        return True

    def gave_up(self, host: Endpoint, key: Key) -> bool:
        if host.gate != PROBING or host.probe != key:
            return False
        host.gate = PROBE
        host.ejected = False
        return True
