"""A proxy, and those who call through it: the client, or replicas. Its state is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meshsim.random import PROXIES, Key, derive
from meshsim.reference.access import Rules
from meshsim.reference.attempt import Server
from meshsim.reference.call import Call
from meshsim.reference.certificate import Agent, Authority
from meshsim.reference.handshake import End
from meshsim.reference.link import Link
from meshsim.reference.run import Run
from meshsim.reference.station import Sidecar
from meshsim.reference.tables import CallRow, RequestRow
from meshsim.reference.upstream import Upstream
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.topology import Proxy, RouteKey, Topology

ALL = CLUSTERS, ROUTES = ("clusters", "routes")
"""The parts of a configuration."""


@dataclass(frozen=True, slots=True)
class Version:
    """What was wanted of the mesh when a push began: `refused` by the proxies of these services."""

    number: int
    scenario: Scenario
    endpoints: Mapping[str, Sequence[int]]
    refused: frozenset[str]


class Caller:
    """What calls through one proxy; `has` says which version of each part it has, -1 for none."""

    def __init__(self, run: Run, proxy: Proxy, authority: Authority | None) -> None:
        self.run = run
        self.proxy = proxy
        self.key = derive(derive(run.seed, PROXIES), proxy.number)
        self.sidecar = Sidecar(run.clock, run.scenario.mesh.proxy if proxy.in_path else None)
        self.connected = not any(replica.added for replica in proxy.replicas)  # to the control plane
        agent = None
        if authority is not None and proxy.identified:
            agent = Agent(run, proxy.number, self.key, authority, at_first=self.connected)
        self.end = End(self.sidecar, agent)
        self._guard(run.scenario)
        self.upstreams: dict[tuple[str, str], Upstream] = {}
        self.has = dict.fromkeys(ALL, 0 if self.connected else -1)
        self.refuses = False  # what it was sent last
        self.configured: Callable[[], None] | None = None  # what waits for its first configuration

    def connect(
        self,
        topology: Topology,
        links: Mapping[tuple[str, str], Link],
        replicas: Mapping[str, Mapping[int, Server]],
    ) -> None:
        """Get to know the services it calls, once all exist."""
        self.endpoints = topology.endpoints
        for number, edge in topology.edges_of(self.proxy):
            endpoints = [endpoint for _, endpoint in topology.routes_of[edge]]
            to, there = replicas[edge[1]], topology.endpoints_at_start[edge[1]]
            link = links[edge]
            self.upstreams[edge] = Upstream(self.run, self.key, number, link, to, there, endpoints, self.end)

    def _guard(self, scenario: Scenario) -> None:
        """What a sidecar asks of who comes: mTLS or not, and the access rules of its service."""
        services = {replica.service for replica in self.proxy.replicas if self.proxy.in_path}
        for service in services:
            self.end.mode = scenario.mode(service)
        self.rules = Rules(scenario, services.pop()) if services and scenario.access else None

    def call(self, route: RouteKey, key: Key, request: RequestRow, *, extra: bool) -> Call:
        """Begin a call to a service, or to one of its endpoints."""
        caller, service, endpoint = route
        upstream = self.upstreams[caller, service]
        number = self.endpoints[service].index(endpoint)
        row = CallRow(request, upstream.edge, number, self.run.clock.now, extra)
        return Call(self.run, self.sidecar, upstream.routes[endpoint], key, row, by_client=caller == CLIENT)

    def receive(self, version: Version, parts: Sequence[str]) -> bool:
        """Take what the control plane sends, unless something newer overtook it; whether it does."""
        if not self.connected:
            self.run.did["sent to nobody"] += 1
            return False
        if any(self.has[part] > version.number for part in parts):
            self.run.did["overtaken"] += 1
            return False
        self.has.update(dict.fromkeys(parts, version.number))
        refuses = not version.refused.isdisjoint(self.proxy.callers)
        if CLUSTERS in parts:
            for upstream in self.upstreams.values():
                upstream.learn(version.endpoints[upstream.names[1]], version.scenario)
            for upstream in () if refuses else self.upstreams.values():
                upstream.equip(version.scenario)
        if ROUTES in parts:
            self._take(version, refuses)
        return True

    @property
    def newest(self) -> int:
        """The version of which it has all parts, or newer ones; -1 for none."""
        return min(self.has.values())

    def _take(self, version: Version, refuses: bool) -> None:
        self.refuses = refuses
        if refuses:
            self.run.did["refused a configuration"] += 1
            return
        self._guard(version.scenario)
        for upstream in self.upstreams.values():
            upstream.push(version.scenario)
