"""A proxy, and those who call through it: the client, or replicas. Its state is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


class Caller:
    """What calls through one proxy.

    `version` is that of its policies: when they were pushed, s, and the event's number; -1 for the start's.
    """

    def __init__(self, run: Run, proxy: Proxy, authority: Authority | None) -> None:
        self.run = run
        self.proxy = proxy
        self.key = derive(derive(run.seed, PROXIES), proxy.number)
        self.sidecar = Sidecar(run.clock, run.scenario.mesh.proxy if proxy.in_path else None)
        agent = Agent(run, proxy.number, self.key, authority) if authority and proxy.identified else None
        self.end = End(self.sidecar, agent)
        self._guard(run.scenario)
        self.upstreams: dict[tuple[str, str], Upstream] = {}
        self.version: tuple[float, int] = (-1.0, -1)

    def connect(
        self,
        topology: Topology,
        links: Mapping[tuple[str, str], Link],
        replicas: Mapping[str, Sequence[Server]],
    ) -> None:
        """Get to know the services it calls, once all exist."""
        self.endpoints = topology.endpoints
        for number, edge in topology.edges_of(self.proxy):
            endpoints = [endpoint for _, endpoint in topology.routes_of[edge]]
            to = replicas[edge[1]]
            link = links[edge]
            self.upstreams[edge] = Upstream(self.run, self.key, number, link, to, endpoints, self.end)

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

    def push(self, scenario: Scenario, version: tuple[float, int]) -> None:
        """Take the policies of a scenario, unless newer ones overtook them."""
        if version <= self.version:
            return
        self.version = version
        self._guard(scenario)
        for upstream in self.upstreams.values():
            upstream.push(scenario)
