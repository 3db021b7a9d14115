"""The simulated network: links to simulated replicas."""

from __future__ import annotations

from typing import final

from meshsim.mesh.attempt import Attempt
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.journey import Journey, Transit
from meshsim.mesh.link import Link
from meshsim.mesh.replica import Replica


@final
class Network(Transit):
    """The simulated transport: links to simulated replicas.

    Attributes:
        replicas: by number.
        links: by number of the edge.
    """

    replicas: list[Replica]
    links: list[Link]

    def __init__(self) -> None:
        super().__init__()
        self.replicas = []
        self.links = []

    def open(self, cluster: Cluster, host: Host, now: float) -> None:
        """Opens a connection in no time: a simulated one needs no handshake."""
        if host.cluster is None:
            host.cluster = cluster
            self.replicas[host.replica].hosts.append(host)
        cluster.opened(host, now)

    def drain(self, host: Host) -> None:
        """Closes idle connections: simulated ones are no more than their count."""

    def stop_opening(self, host: Host) -> None:
        """There is nothing to give up: a connection is open at once."""

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what this mesh sends"
        attempt: Attempt = stream
        self.visits += 1
        route = attempt.call.route
        visit = Journey(attempt, self, self.replicas[attempt.host_sent().replica], self.links[route.edge])
        attempt.exchange = visit
        visit.depart(now)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what this mesh sends"
        attempt: Attempt = stream
        if isinstance(attempt.exchange, Journey):
            visit: Journey = attempt.exchange
            visit.give_up(now)
