"""One who calls: the client, or a replica. Each has its own state of everything, as real sidecars do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from meshsim.random import PROXIES, Key, derive
from meshsim.reference.call import Call
from meshsim.reference.clock import Clock
from meshsim.reference.station import Sidecar
from meshsim.reference.tables import RequestRow
from meshsim.reference.upstream import Upstream
from meshsim.scenario.model import CLIENT, Scenario

if TYPE_CHECKING:
    from meshsim.reference.world import World


class Caller:
    """A caller instance and its proxy.

    Attributes:
        number: 0 for the client, then the replicas in order of the file.
        service: what it is an instance of.
        upstreams: what it knows of the services it calls.
        version: of its policies: when they were pushed, s, and the event's number; -1 for those of the start.
    """

    def __init__(self, world: World, number: int, service: str) -> None:
        self.clock: Clock = world.clock
        self.did: Counter[str] = world.did
        self.tables = world.tables
        self.number = number
        self.service = service
        self.key = derive(derive(world.seed, PROXIES), number)
        mesh = world.scenario.mesh
        has_sidecar = mesh.dataplane == "sidecar" and not self.is_client
        self.sidecar = Sidecar(world.clock, mesh.proxy if has_sidecar else None)
        self.upstreams: dict[str, Upstream] = {}
        self.version: tuple[float, int] = (-1.0, -1)

    @property
    def is_client(self) -> bool:
        """Whether it is where the load comes from."""
        return self.service == CLIENT

    def connect(self, world: World) -> None:
        """Get to know the services it calls, once all exist."""
        for edge, (caller, service) in enumerate(world.edges):
            if caller == self.service:
                self.upstreams[service] = Upstream(
                    self.clock,
                    self.key,
                    edge,
                    world.links[caller, service],
                    world.scenario.policy(caller, service),
                    world.services[service],
                    self.tables,
                    self.did,
                )

    def call(self, service: str, key: Key, request: RequestRow, *, extra: bool) -> Call:
        """Begin a call."""
        return Call(self, self.upstreams[service], key, request, self.tables, extra=extra)

    def push(self, scenario: Scenario) -> None:
        """Take the policies of a scenario."""
        for service, upstream in self.upstreams.items():
            upstream.push(scenario.policy(self.service, service))
