"""One proxy as Envoy is told of it: what it listens for, calls, and knows of the versions of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from meshsim.live.options import TraceReceiver
from meshsim.scenario import topology
from meshsim.scenario.model import Scenario

INBOUND, OUTBOUND, URL = "inbound", "outbound", "url/"


@dataclass(frozen=True)
class Proxy:
    """One proxy of a scenario; `id` is that of its replica (``cart/v1/0``), or ``client/0``.

    Its listeners bind to `host`; `context` is the header that says whose a call is; `extra` is as in a
    `Topology`. Of `told` versions, by service, there are clusters; None: of all. Its spans go to `receiver`.
    """

    scenario: Scenario
    id: str
    host: str = "127.0.0.1"
    context: str = "x-meshsim"
    extra: topology.Extra = ()
    told: Mapping[str, frozenset[str]] | None = None
    receiver: TraceReceiver | None = None

    @cached_property
    def _topology(self) -> topology.Topology:
        return topology.Topology(self.scenario, self.extra)

    @cached_property
    def _place(self) -> topology.Proxy:
        return self._topology.proxy(self.id)

    def named(self) -> dict[str, frozenset[str]]:
        """The versions that its routes send to, by service."""
        found = {}
        for service in self.upstreams:
            each = (self.scenario.policy(self.caller, service, one) for one in self.endpoints(service))
            found[service] = frozenset(version for policy in each for version in policy.split or [""])
        return found

    def versions(self, service: str) -> list[str]:
        """The versions of an upstream service that have clusters; ``""`` is the whole service."""
        every = dict.fromkeys(["", *self.scenario.services[service].deployments()])
        return [each for each in every if self.told is None or each in self.told[service]]

    @property
    def caller(self) -> str:
        """The service it belongs to, or ``client``."""
        return self.id.split("/")[0]

    @property
    def upstreams(self) -> list[str]:
        """The services that it calls."""
        return [service for _, (_, service) in self._topology.edges_of(self._place)]

    def endpoints(self, service: str) -> list[str]:
        """What it asks an upstream service for; the last, ``""``, is the service itself."""
        itself, *others = (name for _, name in self._topology.routes_of[self.caller, service])
        return [*others, itself]

    @property
    def ruled(self) -> bool:
        """Whether there are access rules, or will be."""
        return bool(self.scenario.access) or any("access" in event.set for event in self.scenario.events)

    @property
    def watched(self) -> int:
        """How many files it watches, at most: three, two secrets, the route of its rules, endpoints."""
        clusters = sum(len(replace(self, told=None).versions(service)) for service in self.upstreams)
        return 3 + (2 if self.scenario.mesh.mtls is not None else 0) + (1 if self.ruled else 0) + clusters

    @property
    def program(self) -> bool:
        """Whether its replica is a program of the user's own."""
        return any(replica.deployment.live for replica in self._place.replicas)

    @property
    def keep_alive(self) -> float:
        """How long a connection to its replica may be idle, s; 0 is for ever."""
        return max((replica.deployment.keep_alive for replica in self._place.replicas), default=0.0)

    @property
    def listeners(self) -> list[str]:
        """The names of its listeners."""
        inbound = [INBOUND] if self._place.in_path else []
        return [*inbound, OUTBOUND, *(URL + service for service in self.upstreams)]
