"""A caller proxy's route to one service: the policy that its calls meet, and what carries them.

The transport is the second seam of the mesh (the clock is the first): simulated links and replicas, or
sockets (`Transport` in cluster.py, whose connections it opens).
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.clock import Clock, Deadlines
from meshsim.mesh.cluster import Cluster, Transport
from meshsim.mesh.dataplane import Dataplane
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.policies.fault import FaultInjection
from meshsim.policies.hedge import Hedge
from meshsim.policies.limit import TokenBucket
from meshsim.policies.retry import RetryRule
from meshsim.policies.split import WeightedSplit
from meshsim.random import Key


@final
class Request:
    """What a client wants.

    Attributes:
        row: its number in the recorder.
        key: its key.
        start: when it was sent, s.
        priority: of its work in queues that look at it.
        sampled: whether its spans are kept.
    """

    row: int
    key: Key
    start: float
    priority: int
    sampled: bool

    def __init__(self, row: int, key: Key, start: float, priority: int, sampled: bool) -> None:
        self.row = row
        self.key = key
        self.start = start
        self.priority = priority
        self.sampled = sampled


@final
class Policy:
    """What a route does with a call: a call keeps the one it met.

    Attributes:
        rule: what is retried.
        retries: whether there is a rule at all.
        timeouts, try_timeouts, hedges: running timers; None for a time-out that is off.
        hedge: when to hedge.
        fault: what to inject.
        split: over `clusters`.
        clusters: where calls go.
    """

    rule: RetryRule
    retries: bool
    timeouts: Deadlines | None
    try_timeouts: Deadlines | None
    hedges: Deadlines | None
    hedge: Hedge
    fault: FaultInjection
    split: WeightedSplit
    clusters: list[Cluster]

    def __init__(
        self, clock: Clock, rule: RetryRule, retries: bool, timeout: float, try_timeout: float, hedge: Hedge,
        fault: FaultInjection, split: WeightedSplit, clusters: list[Cluster],
    ) -> None:  # fmt: skip
        self.rule = rule
        self.retries = retries
        self.timeouts = Deadlines(clock, timeout) if timeout > 0.0 else None
        # Envoy ignores a per-try time-out that could not fire before the route's
        used = try_timeout > 0.0 and (timeout == 0.0 or try_timeout < timeout)
        self.try_timeouts = Deadlines(clock, try_timeout) if used else None
        self.hedges = Deadlines(clock, hedge.after) if hedge.limit > 0 else None
        self.hedge = hedge
        self.fault = fault
        self.split = split
        self.clusters = clusters


@final
class Route:
    """One caller proxy's way to one service.

    Attributes:
        edge: number of the (caller, service) pair in the recorder.
        dataplane: the caller's sidecar.
        policy: in force now.
        bucket: the rate limit's; None without one.
    """

    clock: Clock
    recorder: Recorder
    tracer: Tracer
    transport: Transport
    edge: int
    dataplane: Dataplane
    policy: Policy
    bucket: TokenBucket | None

    def __init__(
        self, clock: Clock, recorder: Recorder, tracer: Tracer, transport: Transport, edge: int, dataplane:
        Dataplane, policy: Policy, bucket: TokenBucket | None,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.recorder = recorder
        self.tracer = tracer
        self.transport = transport
        self.edge = edge
        self.dataplane = dataplane
        self.policy = policy
        self.bucket = bucket
