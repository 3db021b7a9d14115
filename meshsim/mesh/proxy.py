"""A proxy: what makes the calls of its replicas, or of the client, and what all that passes it waits for.

State is per proxy, as in real meshes: each has balancers, pools, budgets and outlier state of its own.
The transport is the second seam of the mesh (the clock is the first): simulated links and replicas, or
sockets (`Transport` in cluster.py, whose connections it opens).
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.certificate import Agent
from meshsim.mesh.clock import Clock
from meshsim.mesh.cluster import Transport
from meshsim.mesh.policy import Policy
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import Station
from meshsim.policies.limit import TokenBucket
from meshsim.random import PROXIES, Key, derive


def proxy_key(seed: int, number: int) -> Key:
    """The key of a proxy's draws."""
    return derive(derive(seed, PROXIES), number)


@final
class Proxy:
    """One proxy.

    Attributes:
        number: 0 is the client's.
        key: of its draws.
        station: what a pass through it waits for.
        shared: whether several replicas are behind it.
        routes: by number.
        agent: what has its certificates; None if it has no identity.
        denied: visits that its access rules deny: twice the number of their route, plus 1 where secured.
        guarded: whether there are any.
    """

    key: Key
    routes: dict[int, Route]
    agent: Agent | None
    denied: frozenset[int]
    guarded: bool

    def __init__(
        self, clock: Clock, recorder: Recorder, tracer: Tracer, transport: Transport, number: int, seed: int,
        station: Station, shared: bool = False,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.recorder = recorder
        self.tracer = tracer
        self.transport = transport
        self.number = number
        self.key = proxy_key(seed, number)
        self.station = station
        self.shared = shared
        self.routes = {}
        self.agent = None
        self.guard(frozenset())

    def guard(self, denied: frozenset[int]) -> None:
        """Other access rules are in force."""
        self.denied = denied
        self.guarded = len(denied) > 0

    def stop(self) -> None:
        """Its replica goes down, and it with it, if it has no other: whatever is inside is lost."""
        if not self.shared:
            self.station.drop()


@final
class Route:
    """A proxy's way to one endpoint of a service.

    NOTE: what every call asks of the proxy is kept here too.

    Attributes:
        number: in the recorder, and of the proxy's.
        edge: number of the (caller, service) pair.
        endpoint: number of the endpoint at the service; 0 is the service itself.
        policy: in force now.
        bucket: the rate limit's; None without one.
    """

    clock: Clock
    recorder: Recorder
    tracer: Tracer
    transport: Transport
    station: Station

    def __init__(
        self, proxy: Proxy, number: int, edge: int, endpoint: int, policy: Policy, bucket: TokenBucket | None
    ) -> None:
        self.clock = proxy.clock
        self.recorder = proxy.recorder
        self.tracer = proxy.tracer
        self.transport = proxy.transport
        self.station = proxy.station
        self.number = number
        self.edge = edge
        self.endpoint = endpoint
        self.policy = policy
        self.bucket = bucket
