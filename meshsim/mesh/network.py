"""The simulated network: links to simulated replicas, and the connections over them."""

from __future__ import annotations

from typing import final

from meshsim.mesh.attempt import Attempt
from meshsim.mesh.clock import Event
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.connection import IDLE, Connection, FarEnd
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.journey import Journey, Transit
from meshsim.mesh.link import Link
from meshsim.mesh.replica import Replica
from meshsim.mesh.visit import HOMEWARD, RESENDING_HOME

# Steps of the far end of a connection
READY = 0
FIN = 1


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

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        """Opens a connection: in no time, unless it is tracked."""
        replica = self.replicas[host.replica]
        if host.cluster is None:
            host.cluster = cluster
            replica.hosts.append(host)
        if connection is None:
            cluster.opened(host, None, now)
        else:
            ReplicaEnd(cluster, host, connection, replica, self.links[cluster.edge]).open(now)

    def hang_up(self, connection: Connection) -> None:
        """There is nothing to close: its far end has stopped already."""

    def drain(self, host: Host) -> None:
        """Closes idle connections: simulated ones are no more than their count."""

    def stop_opening(self, host: Host) -> None:
        """There is nothing to give up: what is READY is not wanted then."""

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what this mesh sends"
        attempt: Attempt = stream
        self.visits += 1
        route = attempt.call.route
        visit = Journey(attempt, self, self.replicas[attempt.host_sent().replica], self.links[route.edge])
        if attempt.connection is not None:
            visit.far = attempt.connection.far
        attempt.exchange = visit
        visit.depart(now)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what this mesh sends"
        attempt: Attempt = stream
        if isinstance(attempt.exchange, Journey):
            visit: Journey = attempt.exchange
            visit.give_up(now)


@final
class ReplicaEnd(FarEnd):
    """A simulated replica's end of a connection.

    Attributes:
        in_vain: whether its opening takes too long.
    """

    def __init__(
        self, cluster: Cluster, host: Host, connection: Connection, replica: Replica, link: Link
    ) -> None:
        super().__init__()
        self.cluster = cluster
        self.host = host
        self.connection = connection
        self.replica = replica
        self.link = link
        self.keeping = replica.keeping
        self.in_vain = False
        if replica.keeping is not None:
            connection.far = self

    def open(self, now: float) -> None:
        """Begins to open: what takes no time is done at once, unless it fails."""
        connection = self.connection
        lasts = self.link.opening(connection.key)
        if lasts == 0.0 and self.replica.downs == 0:
            self.cluster.opened(self.host, connection, now)
            return
        self.in_vain = connection.rule.gives_up(lasts)
        if self.in_vain:
            lasts = connection.rule.connect_timeout
        self.replica.clock.at(now + lasts, self, READY)

    def unlink(self) -> Event | None:
        super().unlink()
        return self.connection.stream

    def expire(self, now: float) -> None:
        """It has been idle for too long."""
        self.closed = True
        self.replica.clock.at(now + self.link.finish(self.connection.key), self, FIN)

    def fire(self, step: int, now: float) -> None:
        connection = self.connection
        if step == FIN:
            self.finish(connection, now)
        elif connection.wanted():
            if self.in_vain or self.replica.downs > 0:
                self.cluster.failed(self.host, connection, now)
            else:
                self.cluster.opened(self.host, connection, now)
        else:
            connection.far = None  # it was given up

    def finish(self, connection: Connection, now: float) -> None:
        """The caller hears that it has closed."""
        if connection.state == IDLE:
            self.cluster.closed(self.host, connection, now)
        elif connection.stream is not None:
            assert isinstance(connection.stream, Attempt), "attempts are what this mesh sends"
            attempt: Attempt = connection.stream
            assert isinstance(attempt.exchange, Journey), "it is on its way"
            visit: Journey = attempt.exchange
            if visit.step in (HOMEWARD, RESENDING_HOME):
                connection.finished = True
            else:
                visit.cut(now)
