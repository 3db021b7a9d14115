"""One who calls: the client, or a replica. Each has its own state of everything, as real sidecars do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshsim.random import PROXIES, Key, derive
from meshsim.reference.call import Call
from meshsim.reference.cluster import Server
from meshsim.reference.link import Link
from meshsim.reference.run import Run
from meshsim.reference.station import Sidecar
from meshsim.reference.tables import CallRow, RequestRow
from meshsim.reference.upstream import Upstream
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.topology import Proxy


class Caller:
    """A caller instance and its proxy.

    Attributes:
        service: what it is an instance of.
        key: of its proxy's draws.
        upstreams: what it knows of the services it calls.
        version: of its policies: when they were pushed, s, and the event's number; -1 for those of the start.
    """

    def __init__(self, run: Run, proxy: Proxy, service: str) -> None:
        self.run = run
        self.service = service
        self.key = derive(derive(run.seed, PROXIES), proxy.number)
        self.sidecar = Sidecar(run.clock, run.scenario.mesh.proxy if proxy.in_path else None)
        self.upstreams: dict[str, Upstream] = {}
        self.version: tuple[float, int] = (-1.0, -1)

    def connect(
        self, links: Mapping[tuple[str, str], Link], replicas: Mapping[str, Sequence[Server]]
    ) -> None:
        """Get to know the services it calls, once all exist."""
        for number, ((caller, service), link) in enumerate(links.items()):
            if caller == self.service:
                policy = self.run.scenario.policy(caller, service)
                self.upstreams[service] = Upstream(
                    self.run, self.key, number, link, policy, replicas[service]
                )

    def call(self, service: str, key: Key, request: RequestRow, *, extra: bool) -> Call:
        """Begin a call."""
        upstream = self.upstreams[service]
        row = CallRow(request, upstream.edge, self.run.clock.now, extra)
        return Call(self.run, self.sidecar, upstream, key, row, by_client=self.service == CLIENT)

    def push(self, scenario: Scenario, version: tuple[float, int]) -> None:
        """Take the policies of a scenario, unless newer ones overtook them."""
        if version <= self.version:
            return
        self.version = version
        for service, upstream in self.upstreams.items():
            upstream.push(scenario.policy(self.service, service))
