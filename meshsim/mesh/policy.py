"""The policy of a route: what its calls meet, and the clusters they go to."""

from __future__ import annotations

from typing import final

from meshsim.mesh.clock import Clock, Deadlines
from meshsim.mesh.cluster import Cluster
from meshsim.policies.fault import FaultInjection
from meshsim.policies.hedge import Hedge
from meshsim.policies.retry import RetryRule
from meshsim.policies.split import WeightedSplit


@final
class Policy:
    """What a route does with a call: a call keeps the one it met.

    Attributes:
        rule: what is retried; None: nothing is.
        timeouts, try_timeouts, hedges: running timers; None for a time-out that is off.
        hedge: when to hedge.
        fault: what to inject.
        repicks: how often a retry or hedge whose host the call has tried picks again; 0 is never.
        split: over `clusters`.
        clusters: where calls go.
    """

    rule: RetryRule | None
    timeouts: Deadlines | None
    try_timeouts: Deadlines | None
    hedges: Deadlines | None

    def __init__(
        self, clock: Clock, rule: RetryRule | None, timeout: float, try_timeout: float, hedge: Hedge,
        repicks: int, fault: FaultInjection, split: WeightedSplit, clusters: list[Cluster],
    ) -> None:  # fmt: skip
        self.rule = rule
        self.timeouts = Deadlines(clock, timeout) if timeout > 0.0 else None
        # Envoy ignores a per-try time-out that could not fire before the route's
        used = try_timeout > 0.0 and (timeout == 0.0 or try_timeout < timeout)
        self.try_timeouts = Deadlines(clock, try_timeout) if used else None
        self.hedges = Deadlines(clock, hedge.after) if hedge.limit > 0 else None
        self.hedge = hedge
        self.repicks = repicks
        self.fault = fault
        self.split = split
        self.clusters = clusters
