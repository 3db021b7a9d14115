"""Jittered exponential back-off: retries of many callers must not come back together.

Without jitter, all callers that failed at the same moment return at the same moment, and the upstream is hit
by the same wave again. The bound of the wait doubles with each retry. Envoy draws the whole wait uniformly
below it ("full jitter"); Linkerd waits for all of it, and draws a share of it on top. Its failure mode:
under lasting overload it only postpones the load; it does not reduce it. Budgets do.

Bounds before retry n: min(base · 2^(n-1), max): 25, 50, 100, 200, 250, 250 ms by default. (Envoy's older
documentation speaks of 25, 75, 175 ms; the code does what is said here.)

Sources: Envoy, source/common/common/backoff_strategy.cc; measured on 1.40. linkerd2-proxy,
linkerd/exp-backoff; read.
"""

from __future__ import annotations

from math import ldexp
from typing import final


@final
class Backoff:
    """A wait that is uniform between two shares of a bound, and never longer than the largest bound.

    Attributes:
        base: the first bound, s.
        ceiling: the largest bound, s.
        least: the share of the bound that is always waited for: 0 at Envoy, 1 at Linkerd.
        spread: the share of it that is drawn.
    """

    spread: float

    def __init__(self, base: float, ceiling: float, least: float, most: float) -> None:
        self.base = base
        self.ceiling = ceiling
        self.least = least
        self.spread = most - least

    def wait(self, retry: int, u: float) -> float:
        """Seconds to wait before retry number `retry` (from 1), for a uniform u on [0, 1)."""
        doublings = retry - 1
        if doublings > 60:
            doublings = 60
        bound = ldexp(self.base, doublings)
        if bound > self.ceiling:
            bound = self.ceiling
        wait = (self.least + u * self.spread) * bound
        return wait if wait < self.ceiling else self.ceiling
